"""Judging a system by what it can do: its answers to real examples, to wishes, and of its own latents."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kallima.errors import UsageError
from kallima.evaluation.capability import (
    classifying,
    clusters,
    codes,
    denoising,
    dimensions,
    factors,
    likelihood,
    matching,
    path,
    rate,
    reconstructing,
    recovery,
    sounds,
    tagging,
    tokens,
)
from kallima.evaluation.capability.reconstructing import of_reconstructions
from kallima.evaluation.capability.subject import Found, Subject, lacks_images, lacks_labels
from kallima.evaluation.examples import describe_view
from kallima.evaluation.image_metrics import PAIRED
from kallima.evaluation.metrics import METRICS, choose, score_of
from kallima.evaluation.reconstruction import mean_squared_error, multiscale_similarity, psnr, structural_similarity
from kallima.evaluation.score import Score
from kallima.system import (
    Classifies,
    Clusters,
    Compresses,
    Conditional,
    Decodes,
    Encodes,
    Reconstructs,
    Samples,
    ScoresLikelihood,
    Tags,
)

Lacks = Callable[[Subject], str | None]
"""What is missing for a metric, beside the capability; None where nothing is."""


@dataclass(frozen=True)
class SystemMetric:
    """What a system must be able to do for a metric, what else may be lacking, and how it is computed.

    What is not `by_default` is computed where it is asked for by name, or where a run has no samples to be judged by.
    """

    measure: Callable[[Subject], Found]
    can: tuple[type, ...]
    lacks: Lacks
    by_default: bool = False


# In the order of METRICS, which describes them.
SYSTEM_METRICS: dict[str, SystemMetric] = {
    "mse": SystemMetric(of_reconstructions(mean_squared_error), (Reconstructs,), lacks_images),
    "psnr": SystemMetric(of_reconstructions(psnr), (Reconstructs,), lacks_images),
    "ssim": SystemMetric(of_reconstructions(structural_similarity), (Reconstructs,), lacks_images),
    "reconstruction-ms-ssim": SystemMetric(of_reconstructions(multiscale_similarity), (Reconstructs,), lacks_images),
    "bits-per-pixel": SystemMetric(rate.bits_per_pixel, (Compresses,), rate.lacks, by_default=True),
    "elbo": SystemMetric(likelihood.elbo, (ScoresLikelihood,), likelihood.lacks_bound, by_default=True),
    "nll": SystemMetric(likelihood.negative_log_likelihood, (ScoresLikelihood,), likelihood.lacks),
    "bits-per-dimension": SystemMetric(
        dimensions.bits_per_dimension, (dimensions.CountsComponents,), dimensions.lacks, by_default=True
    ),
    "token-perplexity": SystemMetric(tokens.token_perplexity, (ScoresLikelihood,), tokens.lacks, by_default=True),
    "nats-per-sample": SystemMetric(sounds.nats_per_sample, (ScoresLikelihood,), sounds.lacks, by_default=True),
    "error": SystemMetric(classifying.error, (Classifies,), lacks_labels, by_default=True),
    "baseline-error": SystemMetric(
        classifying.baseline_error, (Classifies,), classifying.lacks_baseline, by_default=True
    ),
    "micro-f1": SystemMetric(tagging.micro_f1, (Tags,), tagging.lacks_attributes, by_default=True),
    "macro-f1": SystemMetric(tagging.macro_f1, (Tags,), tagging.lacks_attributes, by_default=True),
    "label-recovery": SystemMetric(recovery.label_recovery, (Conditional,), recovery.lacks_classes, by_default=True),
    "attribute-recovery": SystemMetric(recovery.attribute_recovery, (Conditional,), recovery.lacks_attributes),
    "r-precision": SystemMetric(matching.r_precision, (Conditional,), matching.lacks_captions, by_default=True),
    "nearest-code-accuracy": SystemMetric(codes.nearest_code_accuracy, (Encodes,), codes.lacks_neighbours),
    "cluster-accuracy": SystemMetric(clusters.cluster_accuracy, (Clusters,), lacks_labels),
    "squared-error": SystemMetric(reconstructing.squared_error, (Reconstructs,), lacks_images),
    "pca-error": SystemMetric(reconstructing.pca_error, (Encodes, Reconstructs), reconstructing.lacks_known_images),
    "denoising-gain": SystemMetric(denoising.denoising_gain, (denoising.Denoises, Reconstructs), denoising.lacks_noise),
    "disentanglement": SystemMetric(factors.disentanglement, (Encodes,), factors.lacks_factors),
    "mig": SystemMetric(factors.mutual_information_gap, (Encodes,), factors.lacks_numbers),
    "code-mmd": SystemMetric(codes.code_mmd, (Encodes, Decodes), codes.lacks_noise),
    "path-length": SystemMetric(path.path_length, (Decodes,), lambda subject: None),
}


def divide(metrics: Sequence[str] | None, subject: Subject) -> tuple[list[str], list[str] | None]:
    """Return which of the metrics the system itself answers, and which judge its samples: None for all that apply.

    By default the system answers what is cheap and central of what it can do, and all that it can where it does not
    sample.

    Raises:
        UsageError: a metric is unknown, or asks for what the system cannot do or the data does not have.
    """
    reasons = {name: reason for name in SYSTEM_METRICS if (reason := _reason(name, subject))}
    available = [name for name in SYSTEM_METRICS if name not in reasons]
    samples = isinstance(subject.system, Samples)
    if not metrics:
        own = [name for name in available if SYSTEM_METRICS[name].by_default or not samples]
        if not own and not samples:
            raise UsageError(f"{subject.name} makes no samples, and nothing else that it does can be judged here")
        return own, None if samples else []
    choose(metrics, METRICS, {})
    own = list(dict.fromkeys(name for name in metrics if name in SYSTEM_METRICS))
    others = [name for name in metrics if name not in SYSTEM_METRICS]
    choices = f": choose from {', '.join(available)}" if available else ""
    for name in own:
        if name in reasons:
            raise UsageError(f"{name} {reasons[name]}{choices}")
    if others and not samples:
        raise UsageError(f"{others[0]} judges samples, and {subject.name} makes none{choices}")
    return own, others


def evaluate_system(subject: Subject, metrics: Sequence[str]) -> list[Score]:
    """Score what a system can do, by these metrics of `divide`.

    Raises:
        DataError: the system's answers are broken.
    """
    scores = []
    for name in metrics:
        start = time.perf_counter()
        found = SYSTEM_METRICS[name].measure(subject)
        data = found.data
        scores.append(
            score_of(
                name,
                found.measure,
                real=found.real,
                generated=found.generated,
                data=data.name if data else "-",
                split=data.split if data else "-",
                fingerprint=data.fingerprint if data else None,
                seed=subject.seed,
                seconds=time.perf_counter() - start,
                range=found.range,
                view=describe_view(data) if data and "image" in data.spec else None,
                extractor=found.extractor,
            )
        )
    return scores


def _reason(name: str, subject: Subject) -> str | None:
    """Say why a metric does not apply to the system and the data, if so."""
    metric = SYSTEM_METRICS[name]
    if all(isinstance(subject.system, kind) for kind in metric.can):
        return metric.lacks(subject)
    if name in PAIRED:
        return f"compares pairs, and {subject.name} does not reconstruct: samples with partners are given as --samples"
    return f"needs a system that {METRICS[name].ability}, and {subject.name} does not"
