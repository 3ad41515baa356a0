"""One process or many: torchrun starts them, torch.distributed joins them, these functions use the result.

Gradients travel in one flat all_reduce a phase. A wrapper a network (DistributedDataParallel) would not do: it fails
where a discriminator runs twice before one backward, where a network has a turn only at times, or where two players
share a forward.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class World:
    """This process among all: `rank` of `size`, on device number `local_rank` of its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes, prints and judges."""
        return self.rank == 0


def join() -> World:
    """Join the processes that torchrun started (it says so in the environment), or stand alone."""
    if "WORLD_SIZE" not in os.environ or "RANK" not in os.environ:
        return World()
    world = World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), int(os.environ.get("LOCAL_RANK", "0")))
    if world.size > 1 and not dist.is_initialized():
        # gloo carries what lies on the CPU (flags, paths), NCCL what lies on the GPU
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=timedelta(minutes=30))
    return world


def leave() -> None:
    """Leave the group, where there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def share(value: Any, world: World) -> Any:
    """Return the leader's value (a string, a number) on every rank."""
    if world.size == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def barrier(world: World) -> None:
    """Wait for all."""
    if world.size > 1:
        dist.barrier()


def any_rank(flag: bool, world: World) -> bool:
    """Say whether the flag is up on any rank."""
    if world.size == 1:
        return flag
    raised = torch.tensor([float(flag)])
    dist.all_reduce(raised, dist.ReduceOp.MAX)
    return bool(raised.item())


def equalise(module: nn.Module, world: World) -> None:
    """Give every rank the leader's parameters and buffers."""
    if world.size > 1:
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, src=0)


def average_gradients(parameters: Sequence[nn.Parameter], world: World) -> None:
    """Average the gradients over the ranks; what no rank has stays None, what some lack counts as zero there."""
    if world.size == 1 or not parameters:
        return
    present = torch.tensor([float(p.grad is not None) for p in parameters])
    dist.all_reduce(present)
    used = [p for p, count in zip(parameters, present.tolist(), strict=True) if count > 0]
    if not used:
        return
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in used])
    dist.all_reduce(flat)
    flat /= world.size
    for parameter, part in zip(used, flat.split([p.numel() for p in used]), strict=True):
        # laid out as the parameter is: fused optimisers walk the memory and do not look at strides
        parameter.grad = torch.empty_like(parameter).copy_(part.view_as(parameter))


def average_buffers(modules: Sequence[nn.Module], world: World) -> None:
    """Average a player's floating-point buffers (batch-norm statistics) over the ranks."""
    if world.size == 1:
        return
    for buffer in {id(b): b for module in modules for b in module.buffers()}.values():
        if buffer.is_floating_point():
            dist.all_reduce(buffer)
            buffer /= world.size


def merge_notes(notes: Sequence[Mapping[str, Tensor]], world: World) -> dict[str, Tensor]:
    """Merge notes of micro-batches and ranks: scalars are averaged, batches concatenated; the same on every rank."""
    merged = {}
    for name, first in notes[0].items():
        values = [note[name].detach() for note in notes]
        value = torch.stack(values).mean(0) if first.ndim == 0 else torch.cat(values)
        if world.size > 1:
            parts = [torch.empty_like(value) for _ in range(world.size)]
            dist.all_gather(parts, value.contiguous())
            value = torch.stack(parts).mean(0) if first.ndim == 0 else torch.cat(parts)
        merged[name] = value
    return merged
