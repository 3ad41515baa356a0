"""Features, images and labels as the metrics of images need them: checked once, the mistake named in one line."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from kallima.errors import DataError
from kallima.evaluation.arrays import Array, alike

_BLOCK = 1024


def tensor_of(values: Array) -> Tensor:
    """Return an array as a tensor over the same memory, of one that must not be written a copy."""
    if isinstance(values, np.ndarray) and (not values.flags.writeable or min(values.strides, default=0) < 0):
        values = values.copy()
    return torch.as_tensor(values)


def feature_sets(sets: Mapping[str, Array], least: int = 2) -> list[Tensor]:
    """Return sets of features (N, d) by name as tensors of one width, all numbers finite.

    Raises:
        DataError: one is no table of numbers, has fewer than `least` rows or another width, or holds NaN or infinity.
    """
    tensors: list[Tensor] = []
    for name, given in sets.items():
        features = tensor_of(given)
        if features.ndim != 2 or not features.shape[1]:
            raise DataError(f"the {name} features have shape {tuple(features.shape)}, they need (N, d)")
        if len(features) < least:
            raise DataError(f"{len(features)} {name} features are too few: this metric needs {least} or more")
        if tensors and features.shape[1] != tensors[0].shape[1]:
            raise DataError(
                f"the {name} features have {features.shape[1]} numbers each, the others {tensors[0].shape[1]}: "
                "take both from one extractor"
            )
        if not features.isfinite().all():
            raise DataError(f"the {name} features hold NaN or infinity")
        tensors.append(features)
    return tensors


def image_sets(sets: Mapping[str, Array], least: int = 2) -> list[Tensor]:
    """Return sets of images uint8 (N, H, W, C) by name as tensors of one size.

    Raises:
        DataError: one is not uint8 or not of that form, has fewer than `least` images, or another size than the first.
    """
    tensors: list[Tensor] = []
    for name, given in sets.items():
        images = tensor_of(given)
        if images.dtype != torch.uint8:
            raise DataError(f"the {name} images are {images.dtype}, they need to be uint8 from 0 to 255")
        if images.ndim != 4 or 0 in images.shape[1:]:
            raise DataError(f"the {name} images have shape {tuple(images.shape)}, they need (N, H, W, C)")
        if len(images) < least:
            raise DataError(f"{len(images)} {name} images are too few: this metric needs {least} or more")
        if tensors and images.shape[1:] != tensors[0].shape[1:]:
            raise DataError(
                f"the {name} images have shape {tuple(images.shape[1:])}, the others {tuple(tensors[0].shape[1:])}"
            )
        tensors.append(images)
    return tensors


def class_labels(labels: Array, count: int, name: str) -> Tensor:
    """Return class indices int64 (N,), one for each of `count` examples.

    Raises:
        DataError: they are not whole numbers from 0, or of another count.
    """
    found = tensor_of(labels)
    if found.is_floating_point() or found.is_complex() or found.ndim != 1:
        raise DataError(f"the {name} labels are {found.dtype} {tuple(found.shape)}, they need whole numbers (N,)")
    alike(f"{name} labels", len(found), f"{name} examples", count)
    if count and found.min() < 0:
        raise DataError(f"the {name} labels hold {int(found.min())}: classes count from 0")
    return found.long()


def random_order(rows: Tensor, rng: torch.Generator) -> Tensor:
    """Return a random permutation (N,) of rows (N, …) that draws the same rows in whatever order they are given."""
    flat = rows.flatten(1)
    direction = torch.randn(flat.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(
        rows.device
    )
    # rows that differ by rounding keep their places too, as hashes would not
    place = torch.cat([block.double() @ direction for block in flat.split(_BLOCK)])
    return place.argsort(stable=True)[torch.randperm(len(rows), generator=rng).to(rows.device)]


def by_class(**labels: Tensor) -> Mapping[int, list[Tensor]]:
    """Return, for each class that any of the sets has, the indices of its examples in each."""
    classes = sorted({int(c) for some in labels.values() for c in some.unique()})
    return {c: [(some == c).nonzero()[:, 0] for some in labels.values()] for c in classes}


def listed(items: list[str], most: int = 10) -> str:
    """Join items by commas, saying how many are left out beyond `most`."""
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"
