"""DiffAugment (Zhao et al. 2020, arXiv:2006.10738): differentiable augmentation of all that a discriminator sees."""

import torch
from torch import Tensor, nn

TRANSLATION = 1 / 8
CUTOUT = 1 / 2


class DiffAugment(nn.Module):
    """Changes colour, place and a square of each image, always; real and fake ones alike, each by draws of its own.

    The policy "colour, translation, cutout" of the paper's section 4, in the authors' order. What is moved or cut in is
    0, grey; values may leave [-1, 1].
    """

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to (N, C, H, W)."""
        return cutout(translation(colour(images)))


def colour(images: Tensor) -> Tensor:
    """Add U(−½, ½) to the brightness; multiply saturation by U(0, 2), then contrast by U(½, 3⁄2)."""
    brightness, saturation, contrast = _uniform(images, 3)[:, :, None, None, None]
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (2 * saturation)
    level = images.mean((1, 2, 3), keepdim=True)
    return level + (images - level) * (contrast + 0.5)


def translation(images: Tensor) -> Tensor:
    """Move by whole pixels, up to an eighth of either side, each way as likely."""
    height, width = images.shape[2:]
    most_down, most_right = round(height * TRANSLATION), round(width * TRANSLATION)
    down = _integers(images, -most_down, most_down)
    right = _integers(images, -most_right, most_right)
    rows = torch.arange(height, device=images.device) - down[:, None]
    columns = torch.arange(width, device=images.device) - right[:, None]  # (N, W): where each column comes from
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((columns >= 0) & (columns < width))[:, None, None]
    place = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None]  # (N, H, W)
    moved = images.flatten(2).gather(2, place.flatten(1)[:, None].expand(-1, images.shape[1], -1))
    return moved.view_as(images) * inside


def cutout(images: Tensor) -> Tensor:
    """Blank a rectangle of half the height and half the width, its centre anywhere in the image."""
    height, width = images.shape[2:]
    tall, broad = round(height * CUTOUT), round(width * CUTOUT)
    top = _integers(images, 0, height - tall % 2) - tall // 2
    left = _integers(images, 0, width - broad % 2) - broad // 2
    rows = torch.arange(height, device=images.device) - top[:, None]
    columns = torch.arange(width, device=images.device) - left[:, None]
    cut = ((rows >= 0) & (rows < tall))[:, None, :, None] & ((columns >= 0) & (columns < broad))[:, None, None]
    return images * ~cut


def _uniform(images: Tensor, count: int) -> Tensor:
    """Return `count` rows of U(0, 1), one number an image."""
    return torch.rand(count, len(images), dtype=images.dtype, device=images.device)


def _integers(images: Tensor, lowest: int, highest: int) -> Tensor:
    """Return one of lowest … highest, both included, an image."""
    return torch.randint(lowest, highest + 1, (len(images),), device=images.device)
