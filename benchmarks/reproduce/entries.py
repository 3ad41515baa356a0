"""The reproductions on images, a table a group. To add one, add an `Entry`: `python benchmarks/reproduce images`."""

from functools import partial
from typing import Any

import digits
import judging
import numpy as np
import p3
import pixels
import places
import senses
import stacked
from entry import Bar, Entry

FASHION: dict[str, Any] = {"data": partial(places.archive, "fashion_mnist"), "data_words": "fashion_mnist.npz"}
MNIST: dict[str, Any] = {"data": partial(places.archive, "mnist"), "data_words": "mnist.npz"}
P3 = {"s": ".3f", "fid": ".1f"}


def at_most(bound: float) -> Bar:
    """The bar of P3's normalised distance."""
    return Bar(f"s ≤ {bound:.2f}", lambda own: own["s"] <= bound)


FEW: dict[str, Any] = {"data": partial(digits.first, 500), "data_words": "mnist-500.npz"}
BETTER_BY_A_FIFTH = Bar(
    "s at least 20 % below that without", lambda own, other: own["s"] <= 0.8 * other["s"], against="dcgan, 500 images"
)
clothes = partial(p3.score, name="fashion_mnist")
CLOTHES = "Clothes, by classifier-FID"
DIGITS, FEW_DIGITS = "Digits, by classifier-FID", "500 digits, by classifier-FID"
STACKED = "Two digits on top of one another"
STACKED_SIZE = {"width": 16, "batch_size": 64, "steps": 3_000}
LONG = {"width": 16, "batch_size": 64, "steps": 8_000}  # a thousand passes: long enough to learn 500 images by heart
SMALL = {"width": 16, "batch_size": 64, "steps": 2_000}
HALF = {"precision": "bf16"}  # twice as fast and more where the processor has such products; judged in full precision

SENSES = "Across senses"
NETWORKS_OF_GAN_CLS = {
    "generator": "resnet",
    "discriminator": "plain",
    "learning_rate": 1e-3,
    "beta1": 0.0,
    "beta2": 0.99,
}
CONDITIONAL, FOUND, FEW_LABELS = "Asked for a class", "Categories found without labels", "A hundred labels"
INFERENCE, PYRAMIDS, DOMAINS = "Codes found for images", "Several stages", "Two domains"
VARIATIONAL = "Autoencoders"
PIXELS = "Pixel after pixel"
NATS: dict[str, Any] = {
    "data": pixels.binarised,
    "data_words": "mnist-binarised.npz",
    "judge": judging.by_capability("nll"),
    "shows": {"nll": ".1f"},
}
SPRITES: dict[str, Any] = {
    "data": pixels.sprites,
    "data_words": "pokemon20-split.npz",
    "judge": pixels.against_unigram,
    "picture": pixels.completions,
    "shows": {"nats a pixel": ".2f", "unigram": ".2f", "ratio": ".2f"},
    "bar": Bar("≤ 80 % of unigram", lambda own: own["ratio"] <= 0.8),
}
RECOVERY = {"label-recovery": ".3f", **P3}
RECOVERED = Bar("label recovery ≥ 95 %", lambda own: own["label-recovery"] >= 0.95)
recovery = judging.both(judging.by_capability("label-recovery", split="train"), p3.score)
inference = judging.both(judging.by_capability("nearest-code-accuracy"), judging.rebuilding, p3.score)
INFERRED = {"nearest-code-accuracy": ".3f", "rebuilt": ".3f", "rmse": ".3f", "shuffled": ".3f", **P3}
PAIRED = Bar(
    "1-NN of codes ≥ 94 %, RMSE below that of shuffled pairs",
    lambda own: own["nearest-code-accuracy"] >= 0.94 and own["rmse"] < own["shuffled"],
)
SEEN_AND_UNSEEN = {
    f"{name}, {word}": ".3f"
    for name in ("label-recovery", "attribute-recovery", "r-precision")
    for word in ("seen", "unseen")
}
ERRORS = {"error": ".3f", "baseline-error": ".3f"}
errors = judging.by_capability("error", "baseline-error")


def agreement(run: Any) -> dict[str, float]:
    """Return the share of pixels, black or white, in which a pair is one image and its negative; and by chance."""
    import kallima

    first, second = np.split(kallima.sample(run, 2_000, condition="domain=*", device="cpu") > 127, 2)
    return {"agreement": float((first == ~second).mean()), "unpaired": float((np.roll(first, 1, 0) == ~second).mean())}


ENTRIES: dict[str, Entry] = {
    "dcgan": Entry(DIGITS, "dcgan", **MNIST, judge=p3.score, shows=P3, bar=at_most(0.10), options=SMALL),
    "lsgan": Entry(DIGITS, "lsgan", **MNIST, judge=p3.score, shows=P3, bar=at_most(0.15), options=SMALL),
    "ebgan": Entry(DIGITS, "ebgan", **MNIST, judge=p3.score, shows=P3, bar=at_most(0.15), options=SMALL),
    "dcgan, clothes": Entry(CLOTHES, "dcgan", **FASHION, judge=clothes, shows=P3, options=LONG, seeds=3),
    "lsgan, clothes": Entry(CLOTHES, "lsgan", **FASHION, judge=clothes, shows=P3, options=LONG, seeds=3),
    "vae, clothes": Entry(CLOTHES, "vae", **FASHION, judge=clothes, shows=P3),
    "projection-gan, clothes": Entry(
        CLOTHES,
        "projection-gan",
        **FASHION,
        judge=judging.both(judging.by_capability("label-recovery", split="train"), clothes),
        shows=RECOVERY,
        seeds=3,
        picture=judging.rows_of_classes,
    ),
    "dcgan, 500 images": Entry(FEW_DIGITS, "dcgan", **FEW, judge=p3.score, shows=P3, options=LONG),
    "dcgan + DiffAugment, 500 images": Entry(
        FEW_DIGITS,
        "dcgan",
        **FEW,
        judge=p3.score,
        shows=P3,
        bar=BETTER_BY_A_FIFTH,
        options=LONG | {"augment": "diffaugment"},
    ),
    **{
        name: Entry(
            STACKED,
            "dcgan",
            data=stacked.data,
            data_words="mnist-stacked-2.npz",
            judge=stacked.score,
            shows={"modes": ".0f", "KL": ".2f"},
            options=STACKED_SIZE | more,
            bar=bar,
            published=published,
        )
        for name, more, bar, published in (
            ("dcgan, two digits", {}, None, "three digits, of 1,000 modes: 99, KL 3.40"),
            (
                "dcgan --pack 2, two digits",
                {"pack": 2},
                Bar("modes ≥ 95, KL ≤ .3", lambda own: own["modes"] >= 95 and own["KL"] <= 0.3),
                "1,000, KL .06",
            ),
        )
    },
    **{
        name: Entry(
            CONDITIONAL,
            name,
            **MNIST,
            judge=recovery,
            shows=RECOVERY,
            bar=RECOVERED,
            picture=judging.rows_of_classes,
            seeds=3,
        )
        for name in ("cgan", "projection-gan", "acgan")
    },
    "infogan": Entry(
        FOUND,
        "infogan",
        **MNIST,
        judge=judging.both(judging.by_capability("cluster-accuracy"), judging.information, p3.score),
        shows={"cluster-accuracy": ".3f", "L_I": ".2f", **P3},
        bar=Bar(
            "L_I ≥ 2.2; best of three seeds ≥ .80",
            lambda own: own["L_I"] >= 2.2 and own["best cluster-accuracy"] >= 0.80,
        ),
        seeds=3,
        published="c1 alone: 5 % error",
        picture=judging.rows_of_categories,
    ),
    "aae-clustering": Entry(
        FOUND,
        "aae-clustering",
        **MNIST,
        judge=judging.both(judging.by_capability("cluster-accuracy"), p3.score),
        shows={"cluster-accuracy": ".3f", **P3},
        published="16 clusters: 9.55 % error",
        picture=judging.rows_of_categories,
        seeds=3,
    ),
    "gmvae": Entry(
        FOUND,
        "gmvae",
        **MNIST,
        judge=judging.both(judging.by_capability("cluster-accuracy", "nll"), p3.score),
        shows={"cluster-accuracy": ".3f", "nll": ".1f", **P3},
        bar=Bar("accuracy: median ≥ .68", lambda own: own["median cluster-accuracy"] >= 0.68),
        published=".67–.81 after 24.5k steps",
        picture=judging.rows_of_categories,
    ),
    "m2-unsupervised": Entry(
        FOUND,
        "m2-unsupervised",
        **MNIST,
        options=HALF,
        judge=judging.by_capability("cluster-accuracy"),
        shows={"cluster-accuracy": ".3f"},
        published="collapses: .114",
        picture=judging.rows_of_categories,
    ),
    "semi-supervised": Entry(
        FEW_LABELS,
        "semi-supervised",
        **MNIST,
        judge=errors,
        shows=ERRORS,
        bar=Bar(
            "error ≤ 4 %, two points below the baseline",
            lambda own: own["error"] <= min(0.04, own["baseline-error"] - 0.02),
        ),
        published="0.93 %",
    ),
    "aae-semi-supervised": Entry(
        FEW_LABELS,
        "aae-semi-supervised",
        **MNIST,
        judge=judging.by_capability("error"),
        shows={"error": ".3f"},
        published="1.90 %",
        picture=judging.rows_of_classes,
        seeds=3,
    ),
    "m2": Entry(
        FEW_LABELS,
        "m2",
        **MNIST,
        options=HALF,
        judge=errors,
        shows=ERRORS,
        bar=Bar("error ≤ 15 %", lambda own: own["error"] <= 0.15),
        published="11.97 %",
        picture=judging.rows_of_classes,
    ),
    **{
        name: Entry(
            FEW_LABELS,
            name,
            **MNIST,
            options=HALF,
            judge=errors,
            shows=ERRORS,
            published=published,
        )
        for name, published in (("m1", "11.82 %, with a TSVM (memory)"), ("m1-m2", "3.33 % (memory)"))
    },
    "bigan": Entry(
        INFERENCE,
        "bigan",
        **MNIST,
        judge=inference,
        shows=INFERRED,
        bar=PAIRED,
        published="97.39 %",
        picture=judging.beside_originals,
    ),
    "ali": Entry(
        INFERENCE, "ali", **MNIST, judge=inference, shows=INFERRED, bar=PAIRED, picture=judging.beside_originals
    ),
    "vae-gan": Entry(
        INFERENCE,
        "vae-gan",
        **MNIST,
        judge=inference,
        shows=INFERRED,
        bar=Bar(
            "s below that of a VAE as wide, with as long codes and as many steps",
            lambda own, vae: own["s"] < vae["s"],
            against="vae, convolutional",
        ),
        picture=judging.beside_originals,
        seeds=3,
    ),
    "alpha-gan": Entry(
        INFERENCE,
        "alpha-gan",
        **MNIST,
        judge=inference,
        shows=INFERRED,
        bar=Bar("1-NN of reconstructions ≥ 90 %", lambda own: own["rebuilt"] >= 0.90),
        picture=judging.beside_originals,
        seeds=3,
    ),
    "aae": Entry(
        INFERENCE,
        "aae",
        **MNIST,
        judge=judging.both(inference, judging.code_p),
        shows={"p": ".3f", **INFERRED},
        bar=Bar(
            "codes against the prior p > .01, RMSE² ≤ 1.3 × a plain autoencoder's",
            lambda own, plain: own["p"] > 0.01 and own["rmse"] ** 2 <= 1.3 * plain["rmse"] ** 2,
            against="aae without the game",
        ),
        seeds=3,
        published="Parzen 340 ± 2",
        picture=judging.beside_originals,
    ),
    "aae without the game": Entry(
        INFERENCE,
        "aae",
        **MNIST,
        judge=inference,
        shows=INFERRED,
        options={"adversarial_weight": 0.0},
        picture=None,
        seeds=3,
    ),
    "aae, unseen by chance": Entry(
        INFERENCE,
        "aae",
        data=digits.held_out,
        data_words="mnist-held-out.npz",
        judge=judging.code_p,
        shows={"p": ".3f"},
        seeds=3,
        picture=None,
    ),
    "lapgan": Entry(PYRAMIDS, "lapgan", **MNIST, judge=p3.score, shows=P3, seeds=3),
    "stackgan": Entry(PYRAMIDS, "stackgan", **MNIST, judge=recovery, shows=RECOVERY, picture=judging.rows_of_classes),
    "lcc-gan": Entry(PYRAMIDS, "lcc-gan", **MNIST, judge=p3.score, shows=P3, seeds=3),
    "cogan": Entry(
        DOMAINS,
        "cogan",
        data=digits.negatives,
        data_words="mnist-negatives.npz",
        judge=agreement,
        shows={"agreement": ".3f", "unpaired": ".3f"},
        bar=Bar("agreement ≥ .90", lambda own: own["agreement"] >= 0.90),
        published=".967",
        picture=judging.rows_of_domains,
        seeds=3,
    ),
    **{
        f"vae, {steps:,} steps": Entry(
            VARIATIONAL,
            "vae",
            **MNIST,
            judge=judging.by_capability("elbo"),
            shows={"elbo": ".1f"},
            options={"steps": steps},
            bar=Bar(f"−ELBO ≤ {bound:g}", lambda own, bound=bound: -own["elbo"] <= bound),
            seeds=3,
            published=published,
            picture=None,
        )
        for steps, bound, published in ((4_500, 102, "98.5–101"), (9_500, 98.5, "95.7–97.3"))
    },
    "vae": Entry(
        VARIATIONAL,
        "vae",
        **MNIST,
        judge=judging.both(judging.by_capability("elbo", "nll"), p3.score),
        shows={"elbo": ".1f", "nll": ".1f", **P3},
        bar=Bar("−ELBO ≤ 96", lambda own: -own["elbo"] <= 96),
        seeds=3,
        published="93.5–95.0",
        picture=judging.beside_originals,
    ),
    "vae, convolutional": Entry(
        VARIATIONAL,
        "vae",
        **MNIST,
        judge=p3.score,
        shows=P3,
        options={"network": "convolutional", "width": 16, "latent_dim": 32, "steps": 4_000, "batch_size": 64},
        picture=judging.beside_originals,
        seeds=3,
    ),
    "autoencoder": Entry(
        VARIATIONAL,
        "autoencoder",
        **MNIST,
        judge=judging.squared_error,
        shows={"error": ".2f", "PCA": ".2f"},
        bar=Bar("error ≤ 5.0; PCA in 13.4–14.4", lambda own: own["error"] <= 5.0 and 13.4 <= own["PCA"] <= 14.4),
        published="3.00; PCA 13.87",
        picture=judging.beside_originals,
    ),
    "ladder-vae": Entry(
        VARIATIONAL,
        "ladder-vae",
        **MNIST,
        options=HALF,
        judge=judging.both(judging.by_capability("elbo", "nll"), p3.score),
        shows={"elbo": ".1f", "nll": ".1f", **P3},
        picture=judging.beside_originals,
    ),
    "vq-vae": Entry(VARIATIONAL, "vq-vae", **MNIST, judge=p3.score, shows=P3, options=HALF),
    "dfc-vae": Entry(
        VARIATIONAL,
        "dfc-vae",
        **MNIST,
        judge=p3.score,
        shows=P3,
        bar=Bar(
            "s below that of `vae`, whose networks are the same",
            lambda own, vae: own["s"] < vae["s"],
            against="vae",
        ),
        picture=judging.beside_originals,
    ),
    "denoising-autoencoder": Entry(
        VARIATIONAL,
        "denoising-autoencoder",
        **MNIST,
        judge=judging.by_capability("denoising-gain"),
        shows={"denoising-gain": ".2f"},
        bar=Bar("gain ≥ 4 dB at σ = .3", lambda own: own["denoising-gain"] >= 4.0),
        picture=judging.beside_originals,
    ),
    "iwae": Entry(
        VARIATIONAL,
        "iwae",
        **MNIST,
        judge=judging.by_capability("elbo", "nll"),
        shows={"elbo": ".1f", "nll": ".1f"},
        bar=Bar(
            "NLL ≤ 91, and 0.3 below that of `vae`",
            lambda own, vae: own["nll"] <= min(91, vae["nll"] - 0.3),
            against="vae",
        ),
        published="85.54 with five draws",
        picture=judging.beside_originals,
    ),
    "pixel-cnn": Entry(
        PIXELS,
        "pixel-cnn",
        **NATS,
        options=HALF,
        bar=Bar("≤ 88 nats", lambda own: own["nll"] <= 88),
        published="81.30 (memory)",
    ),
    "gated-pixel-cnn": Entry(PIXELS, "gated-pixel-cnn", **NATS, options={"steps": 6_000} | HALF),
    "vae, drawn digits": Entry(PIXELS, "vae", **NATS, picture=None),
    "pixel-rnn, sprites": Entry(PIXELS, "pixel-rnn", **SPRITES),
    "pixel-cnn, sprites": Entry(
        PIXELS,
        "pixel-cnn",
        **SPRITES,
        options={"batch_size": 16, "steps": 1_000, "learning_rate": 2e-3, "schedule": "cosine"},
    ),
    "pixel-cnn-pp, CIFAR": Entry(
        PIXELS,
        "pixel-cnn-pp",
        data=pixels.photographs,
        data_words="cifar10-split.npz",
        judge=judging.by_capability("bits-per-dimension"),
        shows={"bits-per-dimension": ".2f"},
        options={"steps": 2_000} | HALF,
        published="2.92, from all 50,000",
    ),
    **{
        f"{recipe}, coloured digits": Entry(
            SENSES,
            recipe,
            data=senses.coloured_digits,
            data_words="mnist-coloured.npz",
            judge=senses.seen_and_unseen("label-recovery", "attribute-recovery", "r-precision"),
            shows=SEEN_AND_UNSEEN,
            options={"width": 16, "steps": 2_500} | more,
            bar=Bar(
                "digit ≥ 90 %, colour ≥ 95 %, unseen pairs ≥ 80 %",
                lambda own: (
                    own["label-recovery, seen"] >= 0.9
                    and own["attribute-recovery, seen"] >= 0.95
                    and own["label-recovery, unseen"] >= 0.8
                    and own["attribute-recovery, unseen"] >= 0.8
                ),
            ),
            seeds=3,
            picture=senses.of_unseen_captions,
        )
        for recipe, more in (
            ("gan-cls", {}),
            ("gan-int", {}),
            ("stackgan", {"condition_on": "text", **NETWORKS_OF_GAN_CLS}),
        )
    },
    "gan-cls, glyphs": Entry(
        SENSES,
        "gan-cls",
        data=senses.glyphs,
        data_words="glyphs-captioned.npz",
        judge=senses.seen_and_unseen("label-recovery", "attribute-recovery", "r-precision"),
        shows=SEEN_AND_UNSEEN,
        options={"width": 24, "steps": 2_000},
        picture=senses.of_unseen_captions,
        seeds=3,
    ),
    "gan-cls, faces": Entry(
        SENSES,
        "gan-cls",
        data=senses.faces,
        data_words="anime-faces-32.npz",
        judge=senses.seen_and_unseen("attribute-recovery", "r-precision"),
        shows={name: form for name, form in SEEN_AND_UNSEEN.items() if "label" not in name},
        options={"width": 24, "steps": 3_000},
        picture=senses.of_unseen_captions,
    ),
    "sound-to-image, spoken digits": Entry(
        SENSES,
        "sound-to-image",
        data=senses.spoken_digits,
        data_words="spoken-digits.npz",
        judge=judging.by_capability("label-recovery"),
        shows={"label-recovery": ".3f"},
        options={"width": 16, "steps": 2_500},
        bar=Bar("digit ≥ 80 %", lambda own: own["label-recovery"] >= 0.8),
        picture=senses.of_test_sounds,
        seeds=3,
    ),
    "sound-to-image, scenes": Entry(
        SENSES,
        "sound-to-image",
        data=senses.sounding_scenes,
        data_words="sounding-scenes.npz",
        judge=judging.by_capability("label-recovery"),
        shows={"label-recovery": ".3f"},
        options={"width": 24, "steps": 2_000},
        picture=senses.of_test_sounds,
    ),
}
