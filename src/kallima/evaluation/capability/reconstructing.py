"""How like the original a system's reconstruction of each image is, and what a linear code would have kept of it."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from kallima.data.dataset import Dataset
from kallima.evaluation.arrays import Array
from kallima.evaluation.capability.subject import Found, Subject, lacks_images
from kallima.evaluation.examples import draw, image_field, read_blocks
from kallima.evaluation.principal import Principal, principal_components
from kallima.evaluation.resampling import mean_of
from kallima.evaluation.score import Measure

LEARNED = 60_000
"""From how many training images, at most, principal components are learnt."""

_UNIT = "the sum over an image's pixels from 0 to 1, the mean over images"


def of_reconstructions(compare: Callable[[Array, Array], Measure]) -> Callable[[Subject], Found]:
    """Return the metric that holds the images, uint8 (N, H, W, C), against their reconstructions by `compare`."""

    def measure(subject: Subject) -> Found:
        images, made = subject.seen.images, subject.reconstructions
        found = compare(images, made)
        notes = (*found.notes, "each image against its own reconstruction")
        return Found(found._replace(notes=notes), subject.real, len(images), len(made), "0 … 255")

    return measure


def squared_error(subject: Subject) -> Found:
    """Return the mean over images of the squared error of the reconstruction, summed over pixels in [0, 1]."""

    def errors(images: Tensor) -> Tensor:
        return summed_squares(subject.system.reconstruct(images), images)

    found = mean_of(subject.ask(errors, subject.seen, "reconstructing").double().numpy(), "images", (_UNIT,))
    return Found(found, subject.real, len(subject.seen), len(subject.seen), "0 … 1")


def pca_error(subject: Subject) -> Found:
    """Return the same of principal components, as many as a code of the system has numbers."""
    known, size = subject.trained_on, subject.codes.shape[1]
    assert known is not None
    linear = principal_of(known, size, seed=subject.seed)
    least = min(LEARNED, len(known))
    notes = (_UNIT, f"{linear.axes.shape[1]} components of {least:,} images of {known.name} ({known.split})")

    def errors(images: Tensor) -> Tensor:
        flat = 0.5 * (images.flatten(1).cpu().double() + 1)
        return (linear.rebuilt(flat) - flat).square().sum(1)

    found = mean_of(subject.ask(errors, subject.seen, "projecting").double().numpy(), "images", notes)
    return Found(found, subject.real, len(subject.seen), len(subject.seen), "0 … 1")


def lacks_known_images(subject: Subject) -> str | None:
    """Say what is missing where images are held against those that a system learned from."""
    if (lacking := lacks_images(subject)) or subject.trained_on is None:
        return lacking or "needs the data that the run was trained on"
    return None


def principal_of(data: Dataset, count: int, *, seed: int = 0) -> Principal:
    """Return `count` principal components of up to 60,000 images of a data set, drawn with the seed.

    The images count as values (N, C · H · W) in [0, 1], laid out as in a batch.
    """
    image_field(data)
    return principal_components(partial(_pixels, data, draw(data, seed, LEARNED)), count, seed=seed)


def summed_squares(made: Tensor, images: Tensor) -> Tensor:
    """Return the squared error of each of the images (N, …) in [-1, 1], summed over pixels as if in [0, 1]: (N,)."""
    return (0.5 * (made - images)).square().flatten(1).sum(1)


def _pixels(data: Dataset, indices: np.ndarray) -> Iterator[Tensor]:
    for block in read_blocks(data, indices):
        yield block["image"].permute(0, 3, 1, 2).flatten(1).to(torch.float32) / 255
