"""P2, in the size that a CPU can do: two random digits on top of one another, 100 modes (PacGAN: three, 1,000).

One digit is the red channel and one the green; blue is black. The digits of 2,600 samples are told by P3's classifier,
a channel each. A mode is found where a sample shows its pair; KL is the divergence of the histogram of pairs from the
uniform one. A perfect sampler finds 100 modes and has KL .0194 ± .0009.
"""

from pathlib import Path

import numpy as np
import p3
import places

import kallima

SAMPLES, TRAINED_ON = 2_600, 20_000


def data() -> Path:
    """Make the training set: pairs of the training digits, drawn with seed 0."""
    with np.load(places.archive("mnist")) as arrays:
        digits = arrays["x_train"]
    chosen = np.random.default_rng(0).integers(0, len(digits), (2, TRAINED_ON))
    images = np.stack([digits[chosen[0]], digits[chosen[1]], np.zeros_like(digits[:TRAINED_ON])], -1)
    return places.keep("mnist-stacked-2", x=images)


def histogram(images: np.ndarray) -> np.ndarray:
    """Return how often each pair of digits is seen in images uint8 (N, 28, 28, 3): (100,)."""
    classifier = p3.judge("mnist")
    red, green = (classifier.classes(np.ascontiguousarray(images[..., [channel]])) for channel in (0, 1))
    return np.bincount((10 * red + green).numpy(), minlength=100)


def divergence(counts: np.ndarray) -> float:
    """Return KL(histogram ‖ uniform), nats."""
    shares = counts[counts > 0] / counts.sum()
    return float((shares * np.log(shares * len(counts))).sum())


def score(run: "kallima.Run") -> dict[str, float]:
    """Return the modes found and the divergence of a run's samples."""
    counts = histogram(kallima.sample(run, SAMPLES, device="cpu"))
    return {"modes": float((counts > 0).sum()), "KL": divergence(counts)}
