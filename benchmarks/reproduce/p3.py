"""P3: Fréchet distances of digits and clothes, by a classifier of the same data, on a scale from real images to noise.

The classifier is `kallima evaluate`'s probe: it learns from 55,000 of the 60,000 training images, 64 units before its
last ReLU are the features, and it is kept in the cache. It must be right on 99 % of MNIST's test images and on 90 % of
Fashion-MNIST's, or nothing is scored. With all FIDs taken against the N test images (8,000 of them in our files)

    s = (FID of N samples − FID of N training images) / (FID of N noise images − FID of N training images)

is 0 for real data and 1 for noise, whose pixels are independent and uniform over 0 … 255.
"""

from functools import cache
from pathlib import Path

import numpy as np
import places
import torch
from torch import Tensor

import kallima
from kallima.data.dataset import prepare
from kallima.data.opening import open_source
from kallima.data.view import View
from kallima.evaluation.features.probe import Probe
from kallima.evaluation.fid import fid
from kallima.evaluation.moments import FoldedMoments

LEAST_ACCURACY = {"mnist": 0.99, "fashion_mnist": 0.90}


class Judge:
    """The classifier of a data set, its test images, and the two ends of the scale.

    Raises:
        SystemExit: the classifier is not right often enough.
    """

    def __init__(self, file: Path, least_accuracy: float):
        self.probe = Probe(prepare(open_source(file), View()))
        with np.load(file) as arrays:
            train, test, labels = (arrays[name] for name in ("x_train", "x_test", "y_test"))
        self.count = len(test)
        images = torch.from_numpy(test)[..., None]
        features = self.probe.features(images)
        self.accuracy = (self.probe.classify(features).argmax(1).numpy() == labels).mean().item()
        if self.accuracy < least_accuracy:
            raise SystemExit(
                f"the classifier of {file.name} is right on {self.accuracy:.2%}: {least_accuracy:.0%} is asked"
            )
        self.truth = FoldedMoments.of(features)
        rng = np.random.default_rng(0)
        chosen = rng.choice(len(train), self.count, replace=False)
        self.real = self.fid(train[np.sort(chosen)][..., None])
        self.noise = self.fid(rng.integers(0, 256, (*test.shape, 1), dtype=np.uint8))

    def fid(self, images: np.ndarray) -> float:
        """Return the FID of images uint8 (N, H, W, 1) against the test images."""
        return fid(self.truth, self.probe.features(torch.from_numpy(images))).value

    def score(self, images: np.ndarray) -> dict[str, float]:
        """Return `fid` and `s` of as many images as there are test images."""
        distance = self.fid(images)
        return {"fid": distance, "s": (distance - self.real) / (self.noise - self.real)}

    def classes(self, images: np.ndarray) -> Tensor:
        """Return what the classifier takes images uint8 (N, H, W, 1) for: int64 (N,)."""
        return self.probe.logits(torch.from_numpy(images)).argmax(1)


@cache
def judge(name: str) -> Judge:
    """Return the judge of mnist or fashion_mnist; one a process."""
    return Judge(places.archive(name), LEAST_ACCURACY[name])


def score(run: "kallima.Run | str | Path", name: str = "mnist") -> dict[str, float]:
    """Return `fid` and `s` of a run's samples, drawn with seed 0."""
    one = judge(name)
    return one.score(kallima.sample(run, one.count, device="cpu"))
