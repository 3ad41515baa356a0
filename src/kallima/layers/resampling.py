"""Images moved by affine maps, one an image, in plain torch."""

import torch
from torch import Tensor


def resample(images: Tensor, to_source: Tensor) -> Tensor:
    """Paint each pixel with what its source shows: (N, C, H, W) and maps (N, 2, 3) to (N, C, H, W).

    A map takes (x, y, 1), in pixels from the image's centre, to the source (x', y') there; between pixels the image is
    bilinear, beyond its border it is mirrored at the last pixel. A map between pixel centres copies exactly. Unlike
    torch's grid_sample this can be differentiated twice.
    """
    height, width = images.shape[2:]
    x = torch.arange(width, dtype=images.dtype, device=images.device) - (width - 1) / 2
    y = torch.arange(height, dtype=images.dtype, device=images.device) - (height - 1) / 2
    maps = to_source.to(images.dtype)[:, :, :, None, None]  # (N, 2, 3, 1, 1)
    source = maps[:, :, 0] * x + maps[:, :, 1] * y[:, None] + maps[:, :, 2]  # (N, 2, H, W)
    source_x, source_y = source[:, 0] + (width - 1) / 2, source[:, 1] + (height - 1) / 2
    left, top = source_x.floor(), source_y.floor()
    right_share, bottom_share = (source_x - left)[:, None], (source_y - top)[:, None]  # (N, 1, H, W)

    pixels = images.flatten(2)

    def at(row: Tensor, column: Tensor) -> Tensor:
        place = _mirrored(row.long(), height) * width + _mirrored(column.long(), width)
        return pixels.gather(2, place.flatten(1)[:, None].expand(-1, images.shape[1], -1)).view_as(images)

    above = at(top, left) * (1 - right_share) + at(top, left + 1) * right_share
    below = at(top + 1, left) * (1 - right_share) + at(top + 1, left + 1) * right_share
    return above * (1 - bottom_share) + below * bottom_share


def _mirrored(index: Tensor, size: int) -> Tensor:
    """Fold any index into 0 … size − 1, back and forth."""
    period = max(2 * size - 2, 1)
    index = index % period
    return torch.minimum(index, period - index) if size > 1 else index
