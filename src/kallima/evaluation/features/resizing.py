"""Three ways in which images have been brought to Inception's 299×299, each exactly as its scores were published.

clean: bicubic with antialiasing, each channel in floating point, clipped to 0 … 255 and never rounded (Parmar et al.
2022, arXiv:2104.11222; the filter is Pillow's, a = −½). legacy TensorFlow: `resize_bilinear` of TensorFlow 1, whose
output pixel i reads position i · in / out with no half-pixel offset and no antialiasing (the FID authors' code).
legacy PyTorch: bilinear with half-pixel centres and no antialiasing (pytorch-fid). They differ by points of FID.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def rgb(images: Tensor) -> Tensor:
    """Return images uint8 (N, H, W, C) as RGB float (N, 3, H, W) in 0 … 255.

    Grey is repeated, alpha is laid over white.
    """
    pixels = images.permute(0, 3, 1, 2).float()
    if pixels.shape[1] == 4:
        alpha = pixels[:, 3:] / 255
        pixels = pixels[:, :3] * alpha + 255 * (1 - alpha)
    return pixels.expand(-1, 3, -1, -1)


def clean_resize(images: Tensor, size: int = 299) -> Tensor:
    """Return images uint8 (N, H, W, C) as RGB float (N, 3, size, size) in 0 … 255 by the clean protocol."""
    pixels = rgb(images)
    if pixels.shape[2:] == (size, size):
        return pixels
    return F.interpolate(pixels, (size, size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 255)


def legacy_tensorflow_resize(images: Tensor, size: int = 299) -> Tensor:
    """Return images uint8 (N, H, W, C) as RGB float (N, 3, size, size) in 0 … 255 as TensorFlow 1 resized them."""
    pixels = rgb(images)
    for axis in (2, 3):
        pixels = _lerp(pixels, axis, size)
    return pixels


def _lerp(pixels: Tensor, axis: int, size: int) -> Tensor:
    """Interpolate along one axis; the position is reckoned in float32, as TensorFlow does."""
    length = pixels.shape[axis]
    if length == size:
        return pixels
    scale = torch.tensor(length, dtype=torch.float32) / torch.tensor(size, dtype=torch.float32)
    position = torch.arange(size, dtype=torch.float32) * scale
    lower = position.long().clamp(max=length - 1)
    upper = (lower + 1).clamp(max=length - 1)
    share = (position - lower).to(pixels.device).view([-1 if i == axis else 1 for i in range(4)])
    low = pixels.index_select(axis, lower.to(pixels.device))
    return low + (pixels.index_select(axis, upper.to(pixels.device)) - low) * share


def legacy_pytorch_resize(images: Tensor, size: int = 299) -> Tensor:
    """Return images uint8 (N, H, W, C) as RGB float (N, 3, size, size) in 0 … 255 as pytorch-fid resized them."""
    pixels = rgb(images)
    if pixels.shape[2:] == (size, size):
        return pixels
    return F.interpolate(pixels, (size, size), mode="bilinear", antialias=False, align_corners=False)
