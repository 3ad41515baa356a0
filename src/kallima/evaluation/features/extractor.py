"""What a feature extractor is, and what the built-in ones share."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.spec import Image
from kallima.errors import UsageError


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


@runtime_checkable
class Classifier(FeatureExtractor, Protocol):
    """An extractor that also tells classes apart: the inception score and its like need one."""

    def logits(self, images: Tensor) -> Tensor:
        """Return class logits float32 (N, K), on the CPU, of images uint8 (N, H, W, C)."""
        ...


@runtime_checkable
class Head(Protocol):
    """A classifier whose logits are a function of its features, so that one pass gives both."""

    def classify(self, features: Tensor) -> Tensor:
        """Return class logits float32 (N, K) of features float32 (N, d), both on the CPU."""
        ...


def features_and_logits(extractor: FeatureExtractor, images: Tensor, *, logits: bool) -> tuple[Tensor, Tensor | None]:
    """Return features (N, d) and, where they are wanted, logits (N, K) of images uint8 (N, H, W, C).

    Raises:
        UsageError: logits are wanted of an extractor that has none.
    """
    features = extractor.features(images)
    if not logits:
        return features, None
    if isinstance(extractor, Head):
        return features, extractor.classify(features)
    if isinstance(extractor, Classifier):
        return features, extractor.logits(images)
    raise UsageError(f"the {extractor.name} features tell no classes apart: choose --features probe or inception")


def class_probabilities(logits: Tensor) -> Tensor:
    """Return the softmax float32 (N, K) of logits (N, K)."""
    return logits.double().softmax(1).float()


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
