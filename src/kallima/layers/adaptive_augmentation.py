"""Adaptive discriminator augmentation, ADA (Karras et al. 2020, arXiv:2006.06676): the pipeline and its controller."""

import functools
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kallima.errors import UsageError
from kallima.full_precision import in_full_precision
from kallima.layers.resampling import resample

TARGET = 0.6
"""The r_t that the controller holds."""
SPEED = 500_000
"""Real images over which the probability can go from 0 to 1."""


class AdaptiveAugmentation(nn.Module):
    """Augments as much as the discriminator's overfitting asks for: each transformation with `probability`, a buffer.

    Real and fake images go through it alike, each by draws of its own. The transformations are the paper's pixel
    blitting, geometry and colour, in the order and strength of its appendix B; not its filters, noise and cutout, which
    it found no help. Where we deviate: pixels are looked up once, bilinearly, without the wavelet filters around it.
    """

    probability: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("probability", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to the same shape; see `augmented`."""
        return augmented(images, self.probability)

    @torch.no_grad()
    def adapt(self, notes: Mapping[str, Tensor]) -> None:
        """Move the probability by `notes["real_signs"]` (N,), the signs of the scores of N real images."""
        self.probability.copy_(adapted(self.probability, notes["real_signs"]))


def adapted(probability: Tensor, real_signs: Tensor) -> Tensor:
    """p + sign(r_t − 0.6) · N / 500,000, clipped to [0, 1], where r_t = E sign(s(x)) over N real images (Eq. 1).

    r_t is 0 where the discriminator does not overfit and 1 where it does so completely.
    """
    step = (real_signs.mean() - TARGET).sign() * (real_signs.numel() / SPEED)
    return (probability + step).clamp(0, 1)


def augmented(images: Tensor, probability: float | Tensor) -> Tensor:
    """Put each image through each transformation with `probability`; one that none meets is returned as it is.

    (N, C, H, W) in [-1, 1] to the same shape, whose values may leave [-1, 1]. Grey images stay grey.

    Raises:
        UsageError: the images have neither 1 nor 3 channels.
    """
    channels, height, width = images.shape[1:]
    if channels not in (1, 3):
        raise UsageError(f"adaptive augmentation takes images of 1 or 3 channels, not {channels}: use diffaugment")
    to_source = geometry(images, height, width, probability)
    images = torch.where(_identity(to_source), images, resample(images, to_source[:, :2]))
    matrix = colour(images, channels, probability)
    if channels == 1:
        matrix = torch.stack([matrix[:, :1, :3].sum(2), matrix[:, :1, 3]], 2)  # (N, 1, 2)
    linear, offset = matrix[:, :channels, :channels, None, None], matrix[:, :channels, -1, None, None]
    return torch.where(_identity(matrix[:, :channels]), images, (linear * images[:, None]).sum(2) + offset)


def geometry(like: Tensor, height: int, width: int, probability: float | Tensor) -> Tensor:
    """Draw for each of N images where a pixel comes from: (N, 3, 3) on (x, y, 1), in pixels from the centre.

    The paper multiplies the inverse transformations; each is as likely as its inverse, which is therefore drawn itself.
    """
    number, one = len(like), like.new_ones(len(like))

    def uniform() -> Tensor:
        return 2 * torch.rand_like(one) - 1

    def log_normal() -> Tensor:
        return torch.exp2(0.2 * torch.randn_like(one))

    side = 1 - 2 * torch.randint(2, (number,), device=like.device).to(one)
    quarter = torch.randint(4, (number,), device=like.device)
    cosines, sines = one.new_tensor([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]])[:, quarter]  # exact
    scale, stretch = log_normal(), log_normal()
    rotation = 1 - (1 - probability) ** 0.5  # two rotations, which together meet an image with `probability`
    moves = [
        (_affine(side, one), probability),
        (_turn(cosines, sines), probability),
        (_affine(one, one, (uniform() * width / 8).round(), (uniform() * height / 8).round()), probability),
        (_affine(scale, scale), probability),
        (_rotation(math.pi * uniform()), rotation),
        (_affine(stretch, 1 / stretch), probability),
        (_rotation(math.pi * uniform()), rotation),
        (_affine(one, one, torch.randn_like(one) * width / 8, torch.randn_like(one) * height / 8), probability),
    ]
    return functools.reduce(_product, (_met(matrix, chance) for matrix, chance in moves))


def colour(like: Tensor, channels: int, probability: float | Tensor) -> Tensor:
    """Draw for each of N images what becomes of a pixel: (N, 4, 4) on (red, green, blue, 1).

    Brightness, contrast and the flip of luma leave grey grey; hue and saturation do nothing to it, and are not drawn
    where there is but one channel.
    """
    number, one = len(like), like.new_ones(len(like))
    full = torch.eye(4, dtype=like.dtype, device=like.device)
    colours = full * full.new_tensor([1.0, 1.0, 1.0, 0.0])
    grey = (colours.sum(0)[:, None] * colours.sum(0)) / 3  # v vᵀ, v the axis of greys
    rest = full - colours  # the constant 1

    def along(matrix: Tensor, factor: Tensor) -> Tensor:
        return factor[:, None, None] * matrix

    brightness = full + along(colours.sum(0)[:, None] * rest[3], 0.2 * torch.randn_like(one))
    contrast = along(colours, torch.exp2(0.5 * torch.randn_like(one))) + rest
    luma = full - along(2 * grey, torch.randint(2, (number,), device=like.device).to(one))
    met = [_met(matrix, probability) for matrix in (brightness, contrast, luma)]
    if channels == 3:
        angle = math.pi * (2 * torch.rand_like(one) - 1)
        cross = torch.zeros_like(full)  # v × · on the colours
        cross[:3, :3] = full.new_tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
        hue = grey + rest + along(colours - grey, angle.cos()) + along(cross, angle.sin())
        saturation = grey + rest + along(colours - grey, torch.exp2(torch.randn_like(one)))
        met += [_met(matrix, probability) for matrix in (hue, saturation)]
    return functools.reduce(lambda done, matrix: _product(matrix, done), met)


def _met(matrix: Tensor, probability: float | Tensor) -> Tensor:
    """Keep each image's matrix (N, K, K) with `probability`, else put the identity in its place."""
    met = torch.rand(len(matrix), device=matrix.device) < probability
    return torch.where(met[:, None, None], matrix, torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device))


@in_full_precision
def _product(left: Tensor, right: Tensor) -> Tensor:
    """(N, K, K) times (N, K, K)."""
    return left @ right


def _identity(matrix: Tensor) -> Tensor:
    """Say of each map (N, K, L) whether it changes nothing: (N, 1, 1, 1)."""
    same = matrix == torch.eye(*matrix.shape[1:], dtype=matrix.dtype, device=matrix.device)
    return same.flatten(1).all(1)[:, None, None, None]


def _affine(across: Tensor, down: Tensor, x: Tensor | None = None, y: Tensor | None = None) -> Tensor:
    zero = torch.zeros_like(across)
    return _matrix(across, zero, zero if x is None else x, zero, down, zero if y is None else y)


def _turn(cosine: Tensor, sine: Tensor) -> Tensor:
    zero = torch.zeros_like(cosine)
    return _matrix(cosine, -sine, zero, sine, cosine, zero)


def _rotation(angle: Tensor) -> Tensor:
    return _turn(angle.cos(), angle.sin())


def _matrix(*entries: Tensor) -> Tensor:
    """Fill the first two rows of (N, 3, 3) with `entries` (N,)."""
    zero, one = torch.zeros_like(entries[0]), torch.ones_like(entries[0])
    return torch.stack([*entries, zero, zero, one], 1).unflatten(1, (3, 3))
