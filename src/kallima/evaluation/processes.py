"""Several processes that judge together: each takes its share of the images, and all reach the same score."""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from kallima.errors import UsageError
from kallima.evaluation.moments import FoldedMoments, Moments


@dataclass(frozen=True)
class Processes:
    """This process, number `rank` of `count`; every one of them must make the same calls in the same order."""

    rank: int = 0
    count: int = 1

    @classmethod
    def of_group(cls) -> "Processes":
        """Return this process's place in the group of torch.distributed.

        Raises:
            UsageError: no group has been formed.
        """
        if not dist.is_available() or not dist.is_initialized():
            raise UsageError("there is no group of processes: start with torchrun and call init_process_group first")
        return cls(dist.get_rank(), dist.get_world_size())

    def total(self, number: int) -> int:
        """Return the sum over all processes."""
        return int(self._reduced(number, dist.ReduceOp.SUM)) if self.count > 1 else number

    def largest(self, number: int) -> int:
        """Return the largest of all processes."""
        return int(self._reduced(number, dist.ReduceOp.MAX)) if self.count > 1 else number

    def all(self, flag: bool) -> bool:
        """Say whether every process says yes."""
        return not self.largest(int(not flag))

    def all_agree(self, flag: bool, value: Tensor) -> bool:
        """Say whether every process says yes and holds the same uint8 value as the first."""
        if self.count == 1:
            return flag
        first = value.clone()
        dist.broadcast(first, src=0)
        return self.all(flag and torch.equal(first, value))

    def gather(self, rows: Tensor, positions: Tensor, count: int) -> Tensor:
        """Return all rows (count, …) on every process, each at its position; `rows` (n, …) are this one's."""
        if self.count == 1:
            return rows
        device = rows.device
        whole = torch.empty(count, *rows.shape[1:], dtype=rows.dtype)
        for rank in range(self.count):  # one share at a time: no more than the whole and a share are held
            size = torch.tensor(len(rows))
            dist.broadcast(size, src=rank)
            mine = rank == self.rank
            share = rows.cpu().contiguous() if mine else torch.empty(int(size), *rows.shape[1:], dtype=rows.dtype)
            places = positions.cpu().contiguous() if mine else torch.empty(int(size), dtype=torch.int64)
            dist.broadcast(share, src=rank)
            dist.broadcast(places, src=rank)
            whole[places] = share
        return whole.to(device)

    def combine(self, moments: FoldedMoments) -> FoldedMoments:
        """Return the moments of all processes' features together."""
        if self.count == 1:
            return moments
        assert moments.count is not None
        count = self.total(moments.count)
        if count <= moments.few:
            kept = moments.kept
            assert kept is not None
            together = FoldedMoments(moments.width, device=moments.device)
            together.add(self.gather(*kept, count), torch.arange(count))
            return together
        return FoldedMoments.from_parts([self._merged(part) for part in moments.parts])

    def _merged(self, part: Moments) -> Moments:
        """Add up one fold: Σ nᵣ μᵣ / n, then Σ Sᵣ + nᵣ (μᵣ − μ)(μᵣ − μ)ᵀ."""
        device, own = part.mean.device, part.mean.cpu()
        count = self.total(part.count)
        mean = own * (part.count / max(count, 1))
        dist.all_reduce(mean)
        scatter = part.scatter.cpu()
        scatter = scatter.addr(own - mean, own - mean, alpha=part.count)
        dist.all_reduce(scatter)
        return Moments(count, mean.to(device), scatter.to(device))

    def _reduced(self, number: int, operation: dist.ReduceOp.RedOpType) -> float:
        box = torch.tensor(number, dtype=torch.int64)
        dist.all_reduce(box, operation)
        return box.item()
