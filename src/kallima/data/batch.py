"""A batch: what a loss reads."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Batch:
    """Examples of one stream on the training device, by field name; `len(batch)` counts them.

    image: float (N, C, H, W) in [-1, 1]; video: float (N, T, C, H, W) likewise; audio: float (N, T) in [-1, 1), with
    audio_length: int64 (N,); text: codes, int64 (N, L); points: float (N, D), standardised as the spec says; label:
    int64 (N,); attributes: float (N, A); values: float (N, V), standardised likewise.
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


def as_batch(fields: Mapping[str, Tensor], memory_format: torch.memory_format = torch.contiguous_format) -> Batch:
    """Turn what `Dataset.read` gives into a batch, on the device where it lies."""
    made = dict(fields)
    if "image" in made:
        made["image"] = from_storage(made["image"], memory_format)
    if "video" in made:
        made["video"] = made["video"].permute(0, 1, 4, 2, 3).to(torch.float32).div_(127.5).sub_(1).contiguous()
    if "audio" in made:
        made["audio"] = made["audio"].to(torch.float32).div_(32768)
    return Batch(made)


def from_storage(value: Tensor, memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
    """Turn stored bytes (N, H, W, C) into an image batch (N, C, H, W) in [-1, 1]: 0 becomes -1, 255 becomes 1."""
    return value.permute(0, 3, 1, 2).to(torch.float32, memory_format=memory_format).div_(127.5).sub_(1)


def to_storage(image: Tensor) -> Tensor:
    """Turn images (N, C, H, W), or videos (N, T, C, H, W), in [-1, 1] into bytes, channels last."""
    return image.float().add(1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8).movedim(-3, -1).contiguous()
