"""What the metrics ask of the arrays they are given."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from kallima.errors import DataError

Array = Tensor | np.ndarray


def feature_sets(sets: Mapping[str, Array], least: int = 2) -> list[Tensor]:
    """Return sets of features (N, d) by name as tensors of one width, all numbers finite.

    Raises:
        DataError: one is no table of numbers, has fewer than `least` rows or another width, or holds NaN or infinity.
    """
    tensors: list[Tensor] = []
    for name, given in sets.items():
        features = torch.as_tensor(given)
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
        images = torch.as_tensor(given)
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
    found = torch.as_tensor(labels)
    if found.is_floating_point() or found.is_complex() or found.ndim != 1:
        raise DataError(f"the {name} labels are {found.dtype} {tuple(found.shape)}, they need whole numbers (N,)")
    if len(found) != count:
        raise DataError(f"there are {len(found)} {name} labels for {count} {name} examples")
    if count and found.min() < 0:
        raise DataError(f"the {name} labels hold {int(found.min())}: classes count from 0")
    return found.long()


def by_class(**labels: Tensor) -> Mapping[int, list[Tensor]]:
    """Return, for each class that any of the sets has, the indices of its examples in each."""
    classes = sorted({int(c) for some in labels.values() for c in some.unique()})
    return {c: [(some == c).nonzero()[:, 0] for some in labels.values()] for c in classes}


def listed(items: list[str], most: int = 10) -> str:
    """Join items by commas, saying how many are left out beyond `most`."""
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"
