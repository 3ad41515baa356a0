"""Images made larger by their own mirror image."""

import torch
from torch import Tensor


def reflect_to(images: Tensor, height: int, width: int) -> Tensor:
    """Continue images (N, C, H, W) to the right and below, mirrored at the last pixel, to (N, C, height, width).

    However small the image is, it is mirrored back and forth as often as that takes.
    """
    for axis, size in ((2, height), (3, width)):
        if size != images.shape[axis]:
            images = images.index_select(axis, _places(images.shape[axis], size, images.device))
    return images


def _places(old: int, new: int, device: torch.device) -> Tensor:
    period = max(2 * old - 2, 1)
    folded = torch.arange(new, device=device) % period
    return torch.minimum(folded, (period - folded) % period)
