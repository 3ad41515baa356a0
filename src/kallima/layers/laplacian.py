"""The Laplacian pyramid of an image (Burt & Adelson 1983, doi:10.1109/TCOM.1983.1095851): its coarse form and details.

    h_k = I_k − up(down(I_k)),    I_{k+1} = down(I_k);    back again:  I_k = up(I_{k+1}) + h_k

Whatever `down` and `up` are the way back is exact, but for rounding. Here `down` blurs with (1 3 3 1)/8 a dimension and
keeps every second pixel, `up` is its mirror image, bilinear interpolation; beyond the border the last pixel goes on.
Both treat left and right alike, which filters of odd length with even sizes don't.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def down(images: Tensor) -> Tensor:
    """(N, C, H, W) with H and W even to (N, C, H/2, W/2); values stay between the least and the greatest of theirs."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    rows = (padded[:, :, :-2:2] + padded[:, :, 3::2] + 3 * (padded[:, :, 1:-2:2] + padded[:, :, 2:-1:2])) / 8
    return (rows[..., :-2:2] + rows[..., 3::2] + 3 * (rows[..., 1:-2:2] + rows[..., 2:-1:2])) / 8


def up(images: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C, 2H, 2W), between the least and the greatest values too."""
    return F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)


def taken_apart(images: Tensor, levels: int) -> list[Tensor]:
    """Return the pyramid of images (N, C, H, W): `levels` details, the finest first, and what is left, the coarsest."""
    pyramid = []
    for _ in range(levels):
        coarse = down(images)
        pyramid.append(images - up(coarse))
        images = coarse
    return [*pyramid, images]


def put_together(pyramid: Sequence[Tensor]) -> Tensor:
    """Return the images (N, C, H, W) of a pyramid as `taken_apart` gives it."""
    *details, image = pyramid
    for detail in reversed(details):
        image = up(image) + detail
    return image
