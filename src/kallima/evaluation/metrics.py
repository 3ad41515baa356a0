"""The metrics by name: what each says, which way is better, and what kind of example it judges."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kallima import __version__
from kallima.errors import UsageError, did_you_mean
from kallima.evaluation.score import Direction, Measure, Score, now


@dataclass(frozen=True)
class Metric:
    """What a metric says in plain words, which way is better, and the field it judges.

    That is "image", "points" or "text", several as in "image or points", or "system": then it is held against what the
    system can do, which `ability` says in words ("classifies").

    `version` is raised by one whenever the metric's definition changes: values of two versions do not compare.
    """

    description: str
    direction: Direction
    field: str
    ability: str = ""
    version: int = 1


METRICS: dict[str, Metric] = {
    "fid": Metric("distance between the Gaussians of real and generated features", "lower", "image"),
    "kid": Metric("kernel distance between real and generated features, unbiased", "lower", "image"),
    "precision": Metric("share of generated images that look like real ones", "higher", "image"),
    "recall": Metric("share of real images that the generator could make", "higher", "image"),
    "density": Metric("how deep among the real images the generated ones lie (1 for equal sets)", "higher", "image"),
    "coverage": Metric("share of real images with a generated one close by", "higher", "image"),
    "fid-infinity": Metric("FID extrapolated to infinitely many examples, free of its bias", "lower", "image"),
    "class-fid": Metric("mean FID within each class, by the labels of the samples", "lower", "image"),
    "predicted-class-fid": Metric("mean FID within each class, as a classifier sees the samples", "lower", "image"),
    "inception-score": Metric("how sure and how varied the classes of generated images are", "higher", "image"),
    "ms-ssim": Metric("how alike two generated images are (1 for collapse)", "lower", "image"),
    "class-ms-ssim": Metric("how alike two generated images of one predicted class are", "lower", "image"),
    "sliced-wasserstein": Metric("distance between patches of real and generated images, by scale", "lower", "image"),
    "ndb": Metric("share of bins of the real images that hold another share of generated ones", "lower", "image"),
    "bin-divergence": Metric("divergence of the histograms over these bins, nats", "lower", "image"),
    "birthday": Metric("number of different images behind the generated, by their duplicates", "higher", "image"),
    "memorisation": Metric("share of generated images suspiciously near to a real one", "lower", "image"),
    "gan-train": Metric("accuracy on held-out images of a classifier of generated ones", "higher", "image"),
    "gan-test": Metric("accuracy on generated images of a classifier of real ones", "higher", "image"),
    "mse": Metric("mean squared error of reconstructions, pixels from 0 to 255", "lower", "image"),
    "psnr": Metric("peak signal-to-noise ratio of reconstructions, dB", "higher", "image"),
    "ssim": Metric("structural similarity of reconstructions to their originals", "higher", "image"),
    "reconstruction-ms-ssim": Metric("the same at several scales", "higher", "image"),
    "parzen": Metric("log-likelihood of real examples under windows at the samples, nats", "higher", "image or points"),
    "modes": Metric("modes that hold at least one high-quality point", "higher", "points"),
    "high-quality": Metric("share of points within three standard deviations of a mode", "higher", "points"),
    "reverse-kl": Metric("divergence of the generated histogram of modes from the true one, nats", "lower", "points"),
    "log-density": Metric("mean exact log-density of the generated points, nats", "higher", "points"),
    "energy-distance": Metric("energy distance between generated and real points", "lower", "points"),
    "mmd": Metric("kernel distance between generated and real points, with a permutation test", "lower", "points"),
    "wasserstein": Metric("mean way from generated to real points, in their own units", "lower", "points"),
    "bleu": Metric("n-grams of generated texts that some real text has, 0 to 100", "higher", "text"),
    "self-bleu": Metric("n-grams that another generated text has too, 0 to 100 (100 for copies)", "lower", "text"),
    "distinct-1": Metric("share of the words that differ", "higher", "text"),
    "distinct-2": Metric("share of the pairs of words that differ", "higher", "text"),
    "perplexity": Metric("how unlikely the texts are to a model of three words of the real ones", "lower", "text"),
    "paired-bleu": Metric("BLEU of each text against its own reference, 0 to 100", "higher", "text"),
    "rouge": Metric("longest common subsequence with its own reference, F1 (ROUGE-L)", "higher", "text"),
    "rouge-1": Metric("words shared with its own reference, F1", "higher", "text"),
    "rouge-2": Metric("pairs of words shared with its own reference, F1", "higher", "text"),
    "wer": Metric("errors in words, each text against its own reference", "lower", "text"),
    "cer": Metric("errors in characters, each text against its own reference", "lower", "text"),
    "bits-per-pixel": Metric("length of images that were coded and read back, bits", "lower", "system", "compresses"),
    "elbo": Metric("lower bound on the log-likelihood of real examples, nats", "higher", "system", "scores likelihood"),
    "nll": Metric(
        "their negative log-likelihood, bounded above by many draws, nats", "lower", "system", "scores likelihood"
    ),
    "bits-per-dimension": Metric(
        "how unlikely real images are, bits for each of the numbers that they are made of",
        "lower",
        "system",
        "makes images component by component",
    ),
    "token-perplexity": Metric(
        "among how many tokens the system seems to choose at each place of real texts",
        "lower",
        "system",
        "scores likelihood",
    ),
    "nats-per-sample": Metric(
        "how unlikely the samples of real sounds are, nats for each of their own",
        "lower",
        "system",
        "scores likelihood",
    ),
    "error": Metric("share of real examples whose class the system gets wrong", "lower", "system", "classifies"),
    "baseline-error": Metric(
        "the same of the baseline trained beside it, on labelled examples alone", "lower", "system", "classifies"
    ),
    "micro-f1": Metric(
        "labels of real examples that are found, among all that are there or told, all labels together",
        "higher",
        "system",
        "tells several labels",
    ),
    "macro-f1": Metric("the same of each label, then the mean", "higher", "system", "tells several labels"),
    "label-recovery": Metric(
        "share of samples that a classifier takes for the class asked for",
        "higher",
        "system",
        "makes what is asked for",
    ),
    "attribute-recovery": Metric(
        "share of attributes that samples have, or have not, as asked for",
        "higher",
        "system",
        "makes what is asked for",
    ),
    "r-precision": Metric(
        "share of images nearer to the caption they were drawn for than to 99 others",
        "higher",
        "system",
        "draws captions",
    ),
    "nearest-code-accuracy": Metric(
        "share of examples whose nearest training code is of their class", "higher", "system", "encodes"
    ),
    "cluster-accuracy": Metric(
        "share of examples in the cluster that stands for their class", "higher", "system", "clusters"
    ),
    "squared-error": Metric(
        "squared error of reconstructions, summed over an image's pixels from 0 to 1",
        "lower",
        "system",
        "reconstructs",
    ),
    "pca-error": Metric(
        "the same of principal components, as many as a code has numbers",
        "lower",
        "system",
        "encodes and reconstructs",
    ),
    "denoising-gain": Metric(
        "PSNR gained on images spoilt as in training, dB", "higher", "system", "was trained to mend images"
    ),
    "disentanglement": Metric(
        "share of groups of pairs whose shared factor their codes betray (β-VAE)", "higher", "system", "encodes"
    ),
    "mig": Metric("how far each factor is known to one number of the code alone", "higher", "system", "encodes"),
    "code-mmd": Metric(
        "kernel distance of real examples' codes from the prior", "lower", "system", "encodes and decodes latents"
    ),
    "path-length": Metric(
        "how abruptly examples change on the way between latents", "lower", "system", "decodes latents"
    ),
}

KINDS = {"image": "images", "points": "points", "text": "text"}
"""What a metric may judge, in the plural."""


class Told(Protocol):
    """What a receipt says of an extractor; see `FeatureExtractor`."""

    @property
    def name(self) -> str: ...  # noqa: D102 -- told there
    @property
    def version(self) -> str: ...  # noqa: D102
    @property
    def resize(self) -> str: ...  # noqa: D102
    @property
    def range(self) -> str: ...  # noqa: D102
    @property
    def accuracy(self) -> float | None: ...  # noqa: D102
    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102


def choose(asked: Sequence[str] | None, available: Iterable[str], reasons: Mapping[str, str]) -> list[str]:
    """Return the metrics asked for, each once, or all that are available.

    Raises:
        UsageError: one is unknown, or not available here; `reasons` says why by name.
    """
    available = list(available)
    for name in asked or ():
        if name not in METRICS:
            near = did_you_mean(name, METRICS) or f"; there are {', '.join(METRICS)}"
            raise UsageError(f"no metric '{name}'{near}")
        if name not in available:
            raise UsageError(f"{name} {reasons.get(name, 'does not apply here')}: choose from {', '.join(available)}")
    return list(dict.fromkeys(asked)) if asked else available


def foreign(kind: str) -> dict[str, str]:
    """Say why the metrics that do not judge examples of a kind ("image", …) do not apply to them."""
    reasons = {}
    for name, metric in METRICS.items():
        fields = metric.field.split(" or ")
        if fields == ["system"]:
            reasons[name] = f"needs a run, of a system that {metric.ability}"
        elif kind not in fields:
            reasons[name] = f"judges {' or '.join(KINDS[field] for field in fields)}, and the data is {KINDS[kind]}"
    return reasons


def score_of(
    name: str,
    measure: Measure,
    *,
    real: int,
    generated: int,
    data: str,
    split: str,
    fingerprint: str | None,
    seed: int,
    seconds: float,
    range: str | None = None,
    view: str | None = None,
    extractor: Told | None = None,
) -> Score:
    """Return a measure with its receipt; `extractor` is what looked at images, if anything did."""
    return Score(
        metric=name,
        value=measure.value,
        spread=measure.spread,
        spread_method=measure.spread_method,
        direction=METRICS[name].direction,
        extractor=extractor.name if extractor else None,
        extractor_hash=extractor.version if extractor else None,
        extractor_accuracy=extractor.accuracy if extractor else None,
        resize=extractor.resize if extractor else None,
        range=extractor.range if extractor else range,
        real=real,
        generated=generated,
        data=data,
        split=split,
        seed=seed,
        kallima=__version__,
        seconds=round(seconds, 3),
        metric_version=METRICS[name].version,
        data_fingerprint=fingerprint,
        view=view,
        time=now(),
        notes=(*measure.notes, *(extractor.notes if extractor else ())),
    )
