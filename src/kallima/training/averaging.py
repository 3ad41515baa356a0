"""Exponential moving averages of the weights."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from kallima.system import Player, System


class Average:
    """A copy of the system whose averaged players follow the original's weights slowly; the rest it shares.

    After each step w̄ ← d w̄ + (1 − d) w with d = min(decay, (1 + t) / (10 + t)) at step t, so that the first weights
    are soon forgotten. Buffers are copied, not averaged: batch-norm statistics are averages already.
    `system` is always in evaluation mode: it can sample at any time.
    """

    def __init__(self, system: System, players: Sequence[Player]):
        followers = [player for player in players if player.average]
        owned = {id(p) for player in followers for p in player.parameters()}
        owned |= {id(b) for player in followers for module in player.modules for b in module.buffers()}
        shared = [t for t in (*system.parameters(), *system.buffers()) if id(t) not in owned]
        self.system = copy.deepcopy(system, {id(tensor): tensor for tensor in shared}).eval()
        originals = (*system.parameters(), *system.buffers())
        averages = (*self.system.parameters(), *self.system.buffers())
        twin: dict[int, Tensor] = {id(o): a for o, a in zip(originals, averages, strict=True)}
        self._weights = [
            (player.average, player.parameters(), [twin[id(p)] for p in player.parameters()]) for player in followers
        ]
        buffers = list(
            {id(b): b for player in followers for module in player.modules for b in module.buffers()}.values()
        )
        self._buffers = buffers, [twin[id(b)] for b in buffers]
        for average in self.state().values():
            average.requires_grad_(False)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the original after its step number `step`."""
        warm = (1 + step) / (10 + step)
        for decay, weights, averages in self._weights:
            torch._foreach_lerp_(averages, list[Tensor](weights), 1 - min(decay, warm))
        if self._buffers[0]:
            torch._foreach_copy_(self._buffers[1], self._buffers[0])

    def state(self) -> dict[str, Tensor]:
        """Return what is averaged, by its name in the system; empty where nothing is."""
        own = {id(t) for _, _, averages in self._weights for t in averages} | {id(t) for t in self._buffers[1]}
        named = (*self.system.named_parameters(), *self.system.named_buffers())
        kept = self.system.state_dict().keys()  # a buffer that is not persistent is no state
        return {name: tensor for name, tensor in named if id(tensor) in own and name in kept}

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
