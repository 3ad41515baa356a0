"""What a feature extractor is, and what the built-in ones share."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.spec import Image


@runtime_checkable
class FeatureExtractor(Protocol):
    """Turns images into vectors whose distances mean something; its attributes go into every score's receipt.

    `version` identifies the weights (a SHA-256); `resize` and `range` say in words how pixels enter; `accuracy` is the
    share of held-out examples that a probe classifies rightly, None for others; `notes` are plain sentences.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 -- told above
    @property
    def version(self) -> str: ...  # noqa: D102
    @property
    def resize(self) -> str: ...  # noqa: D102
    @property
    def range(self) -> str: ...  # noqa: D102
    @property
    def accuracy(self) -> float | None: ...  # noqa: D102
    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102

    def features(self, images: Tensor) -> Tensor:
        """Return features float32 (N, d), on the CPU, of images uint8 (N, H, W, C), any number of them."""
        ...


def working_size(image: Image) -> int:
    """Return the side of the square that small networks see: 32, or 64 for images whose longer side exceeds 40."""
    return 32 if max(image.height or 0, image.width or 0) <= 40 else 64


def describe_resize(image: Image, size: int) -> str:
    """Say in words what `squared` does to such images."""
    return (
        f"none ({size}×{size})"
        if (image.height, image.width) == (size, size)
        else f"bilinear, antialiased, {size}×{size}"
    )


def squared(images: Tensor, size: int) -> Tensor:
    """Return images uint8 (N, H, W, C) as float (N, C, size, size) in [-1, 1], resized where they differ."""
    pixels = images.permute(0, 3, 1, 2).float()
    if pixels.shape[2:] != (size, size):
        pixels = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return pixels / 127.5 - 1


@torch.inference_mode()
def run_in_batches(
    network: Callable[[Tensor], Tensor], images: Tensor, *, batch_size: int, device: torch.device
) -> Tensor:
    """Return `network(batch)` for images uint8 (N, H, W, C) of any number: float32 (N, d) on the CPU."""
    return torch.cat([network(batch.to(device)).float().cpu() for batch in images.split(batch_size)])


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of named tensors: names, shapes, types and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def frozen(network: nn.Module, device: torch.device) -> nn.Module:
    """Put a network into evaluation mode on a device, its weights fixed."""
    return network.eval().requires_grad_(False).to(device)
