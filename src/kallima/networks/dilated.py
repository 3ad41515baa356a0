"""Dilated causal convolutions (van den Oord et al. 2016, arXiv:1609.03499), at all places at once or one by one."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def across(linear: nn.Linear, maps: Tensor) -> Tensor:
    """Apply a layer to the channels of (N, C, T); as one product, which on a CPU is faster than a convolution."""
    return linear.weight @ maps + linear.bias[:, None]


class DilatedLayer(nn.Module):
    """One convolution of kernel 2 with a gate, what it adds to the maps and what it says at once.

    z = tanh(W_f ∗ h + V_f c) ⊙ σ(W_g ∗ h + V_g c), where ∗ sees h at a place and `dilation` before it; h + W_r z
    goes on and W_s z is said (Eq. 2 and Figure 4 of the paper). The last layer of a network only says.
    """

    def __init__(self, width: int, said: int, dilation: int, *, told: int, last: bool):
        super().__init__()
        self.dilation, self.sizes = dilation, [0 if last else width, said]
        self.gates = nn.Linear(2 * width, 2 * width)
        self.told = nn.Linear(told, 2 * width, bias=False) if told else None
        self.out = nn.Linear(width, sum(self.sizes))

    def forward(self, maps: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """Maps (N, W, T) and conditions (N, K) to what is added to the maps (N, W or 0, T) and is said (N, S, T)."""
        past = F.pad(maps, (self.dilation, 0))[..., : maps.shape[-1]]
        seen = across(self.gates, torch.cat([past, maps], 1))
        if self.told is not None:
            seen = seen + self.told(condition)[..., None]
        filtered, gate = seen.chunk(2, 1)
        added, said = across(self.out, filtered.tanh() * gate.sigmoid()).split(self.sizes, 1)
        return added, said


class DilatedNetwork(nn.Module):
    """Layers of these `dilations` one upon another; what they say together, after two more layers, is the output.

    The output at a place is a function of the inputs there and at `reach` places before.
    """

    def __init__(self, dilations: Sequence[int], *, width: int, said: int, outputs: int, condition_size: int = 0):
        super().__init__()
        last = len(dilations) - 1
        self.layers = nn.ModuleList(
            DilatedLayer(width, said, dilation, told=condition_size, last=place == last)
            for place, dilation in enumerate(dilations)
        )
        self.mix, self.output = nn.Linear(said, said), nn.Linear(said, outputs)
        self.width, self.reach = width, sum(dilations)

    def forward(
        self, inputs: Tensor, condition: Tensor | None, *, there: Tensor | None = None, last: int | None = None
    ) -> Tensor:
        """Inputs (N, T, W) to outputs (N, T, K), or those of the `last` places alone.

        Before the first place there is nothing, in any layer; where `there` (N, T) is false there is nothing either.
        """
        maps = inputs.transpose(1, 2)
        present = None if there is None else there[:, None].to(maps.dtype)
        kept = slice(None) if last is None else slice(maps.shape[-1] - last, None)
        total: Tensor | None = None
        for layer in self.layers:
            added, said = layer(maps, condition)
            total = said[..., kept] if total is None else total + said[..., kept]
            if added.shape[1]:
                maps = maps + added if present is None else (maps + added) * present
        assert total is not None
        return across(self.output, across(self.mix, total.relu()).relu()).transpose(1, 2)


class DilatedSteps:
    """The network's way from place to place: each layer keeps what it will see again, `dilation` places of it."""

    def __init__(self, network: DilatedNetwork, count: int, condition: Tensor | None):
        self.network, self.place = network, 0
        self.layers: list[tuple[DilatedLayer, Tensor, Tensor, Tensor, Tensor]] = []
        for layer in network.layers:
            assert isinstance(layer, DilatedLayer)
            before, now = (half.t().contiguous() for half in layer.gates.weight.chunk(2, 1))
            bias = layer.gates.bias.expand(count, -1)
            if layer.told is not None:
                bias = bias + layer.told(condition)
            past = before.new_zeros(layer.dilation, count, len(before))  # a ring
            self.layers.append((layer, before, now, bias, past))

    def step(self, inputs: Tensor) -> Tensor:
        """Go on by one place: inputs (N, W) to outputs (N, K)."""
        maps, total = inputs, None
        for layer, before, now, bias, past in self.layers:
            slot = past[self.place % layer.dilation]
            seen = torch.addmm(bias, slot, before).addmm_(maps, now)
            slot.copy_(maps)
            filtered, gate = seen.chunk(2, 1)
            out = F.linear(filtered.tanh_().mul_(gate.sigmoid_()), layer.out.weight, layer.out.bias)
            added, said = out.split(layer.sizes, 1)
            total = said if total is None else total + said
            if layer.sizes[0]:
                maps = maps + added
        self.place += 1
        assert total is not None
        return self.network.output(self.network.mix(total.relu()).relu())
