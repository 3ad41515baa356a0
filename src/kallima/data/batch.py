"""A batch: what a loss reads."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Batch:
    """Examples of one stream on the training device, by field name; `len(batch)` counts them.

    image: float (N, C, H, W) in [-1, 1]; points: float (N, D), standardised as the spec says; label: int64 (N,);
    attributes: float (N, A); values: float (N, V), standardised likewise.
    """

    def __init__(self, fields: Mapping[str, Tensor]):
        self.fields = dict(fields)

    def __getitem__(self, name: str) -> Tensor:
        return self.fields[name]

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    def chunk(self, count: int) -> list["Batch"]:
        """Split into `count` batches of equal length."""
        parts = {name: value.chunk(count) for name, value in self.fields.items()}
        return [Batch({name: part[i] for name, part in parts.items()}) for i in range(count)]


def from_storage(value: Tensor, memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
    """Turn stored bytes (N, H, W, C) into an image batch (N, C, H, W) in [-1, 1]: 0 becomes -1, 255 becomes 1."""
    return value.permute(0, 3, 1, 2).to(torch.float32, memory_format=memory_format).div_(127.5).sub_(1)


def to_storage(image: Tensor) -> Tensor:
    """Turn an image batch (N, C, H, W) in [-1, 1] into bytes (N, H, W, C), rounded and clipped."""
    return image.float().add(1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
