"""Long short-term memory, layer upon layer, for a whole sequence or for one step of it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = tuple[Tensor, Tensor]
"""What an LSTM keeps: its outputs h and cells c, (layers, N, width) each."""


class LSTM(nn.Module):
    """Hochreiter & Schmidhuber 1997, with forget gates (Gers et al. 2000): (N, T, inputs) to (N, T, width).

        i, f, o = σ(W x + U h + b),   g = tanh(W x + U h + b),   c ← f c + i g,   h ← o tanh c

    The weights are its own, for torch.compile refuses torch's module; the arithmetic is torch's, a fused call a layer.
    `dropout` falls between the layers and never on what a layer tells itself (Zaremba et al. 2014, arXiv:1409.2329).
    Forget gates start with a bias of 1, so that cells keep what they hold (Jozefowicz et al. 2015).
    """

    def __init__(self, inputs: int, width: int, layers: int, *, dropout: float = 0.0):
        super().__init__()
        self.width, self.layers, self.dropout = width, layers, dropout
        bound = 1 / math.sqrt(width)
        self.weights = nn.ParameterList()  # of each layer W (4 width, inputs), U (4 width, width), b (4 width,)
        for layer in range(layers):
            for shape in ((4 * width, width if layer else inputs), (4 * width, width), (4 * width,)):
                self.weights.append(nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))
            with torch.no_grad():
                self.weights[-1][width : 2 * width] = 1.0  # the gates lie in the order i, f, g, o
        self.register_buffer("no_bias", torch.zeros(4 * width), persistent=False)  # torch wants a second one

    def start(self, count: int) -> State:
        """Return the state before the first step of `count` sequences."""
        empty = self.weights[0].new_zeros(self.layers, count, self.width)
        return empty, empty

    def forward(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the outputs (N, T, width) of sequences (N, T, inputs) that go on from `state`, and the state then.

        Raises:
            ValueError: the state is not one of so many sequences.
        """
        h, c = state or self.start(len(inputs))
        if not h.shape == c.shape == (self.layers, len(inputs), self.width):  # torch's own check is in its module
            raise ValueError(f"a state {tuple(h.shape)}, {tuple(c.shape)} is not one of {len(inputs)} sequences")
        outputs, kept = inputs, []
        for layer in range(self.layers):
            if layer:
                outputs = F.dropout(outputs, self.dropout, self.training)
            own = [*self.weights[3 * layer : 3 * layer + 3], self.no_bias]
            before = (h[layer : layer + 1], c[layer : layer + 1])
            # with biases, 1 layer, no dropout, one direction, N before T
            outputs, *after = torch.lstm(outputs, before, own, True, 1, 0.0, self.training, False, True)
            kept.append(after)
        return outputs, (torch.cat([h for h, _ in kept]), torch.cat([c for _, c in kept]))
