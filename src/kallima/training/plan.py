"""What a training would be: shapes, parameters, memory and time, measured on a few throwaway steps."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from kallima.training.trainer import Trainer

PATIENCE = 5.0  # seconds of trial steps


@dataclass(frozen=True)
class Plan:
    """Everything resolved. Memory is bytes on the training device, times are seconds."""

    recipe: str
    arguments: dict[str, Any]
    options: dict[str, Any]
    fields: dict[str, Any]
    examples: int
    parameters: dict[str, int]
    device: str
    memory: int
    seconds_per_step: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return asdict(self)

    def __str__(self) -> str:
        def listed(values: dict[str, Any]) -> str:
            return "  ".join(f"{name}={value}" for name, value in values.items())

        hours, rest = divmod(round(self.seconds), 3600)
        rows = {
            "recipe": f"{self.recipe}  {listed(self.arguments)}",
            "data": f"{self.examples:,} examples: "
            + "; ".join(
                f"{name} "
                + listed({k: v if not isinstance(v, tuple | list) else f"{len(v)}" for k, v in field.items()})
                for name, field in self.fields.items()
            ),
            "options": listed({name: value for name, value in self.options.items() if value is not None}),
            "parameters": "  ".join(f"{player} {count:,}" for player, count in self.parameters.items()),
            "device": self.device,
            "memory": f"about {self.memory / 2**20:,.0f} MiB for weights, optimisers, averages and activations",
            "time": f"{self.seconds_per_step * 1000:.1f} ms a step, {hours}:{rest // 60:02d}:{rest % 60:02d} in all",
        }
        return "\n".join(f"{name:<11} {value}" for name, value in rows.items())


def measure(trainer: Trainer) -> tuple[int, float]:
    """Play a few steps; return the bytes that training needs and the seconds that a step takes.

    On CUDA the bytes are the allocator's peak; elsewhere they are counted: what the trainer keeps, and what the
    forward passes of the hungriest phase keep for their backward.
    """
    on_cuda = trainer.device.type == "cuda"
    if on_cuda:
        torch.cuda.reset_peak_memory_stats(trainer.device)
    saved: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        trainer.play()
    times: list[float] = []
    start = time.monotonic()
    while len(times) < 2 or (len(times) < 20 and time.monotonic() - start < PATIENCE):
        before = time.monotonic()
        trainer.play()
        if on_cuda:
            torch.cuda.synchronize(trainer.device)
        times.append(time.monotonic() - before)
    if on_cuda:
        memory = torch.cuda.max_memory_allocated(trainer.device)
    else:
        kept = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in _tensors(trainer.state())}
        gradients = sum(p.numel() * p.element_size() for player in trainer.players for p in player.parameters())
        memory = sum((saved | kept).values()) + gradients
    return memory, sorted(times)[len(times) // 2]


def _tensors(state: Any) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    return [tensor for value in state.values() for tensor in _tensors(value)] if isinstance(state, dict) else []
