"""Convolutional LSTMs (Shi et al. 2015, arXiv:1506.04214): memory that lies in a plane, as what it remembers does."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.errors import UsageError

State = list[tuple[Tensor, Tensor]]
"""Of each layer its output and its cell, (N, width, H, W) both."""


class ConvLSTM(nn.Module):
    """One layer: the gates of an LSTM by a convolution over the input and its own last output.

        i, f, o = σ(W ∗ [x, h] + b),   c ← f c + i tanh(W_c ∗ [x, h] + b_c),   h ← o tanh(c)

    Without the paper's peepholes; the forget gate begins with a bias of 1.
    """

    def __init__(self, inputs: int, width: int, *, kernel: int = 3):
        super().__init__()
        self.gates = nn.Conv2d(inputs + width, 4 * width, kernel, padding=kernel // 2)
        with torch.no_grad():
            self.gates.bias[width : 2 * width] += 1.0  # type: ignore[index]

    def forward(self, maps: Tensor, output: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Take maps (N, inputs, H, W) in: the new output and cell."""
        enter, keep, show, new = self.gates(torch.cat([maps, output], 1)).chunk(4, 1)
        cell = keep.sigmoid() * cell + enter.sigmoid() * new.tanh()
        return show.sigmoid() * cell.tanh(), cell


class FrameMemory(nn.Module):
    """What is remembered of the frames so far, as maps (N, width, H, W) that tell of each pixel of the next.

    Squares of `patch` × `patch` pixels are channels of one place, as in the paper; above them lie `depth` layers with
    `width` channels, each on the output of that below.

    Raises:
        UsageError: the frames do not fall into such squares.
    """

    def __init__(self, planes: int, height: int, columns: int, *, width: int, depth: int, patch: int):
        super().__init__()
        if patch < 1 or height % patch or columns % patch:
            raise UsageError(f"--patch {patch} does not divide frames of {columns}×{height} pixels: give another, or 1")
        self.width, self.patch, self.grid = width, patch, (height // patch, columns // patch)
        inputs = [planes * patch**2] + [width] * (depth - 1)
        self.layers = nn.ModuleList(ConvLSTM(each, width) for each in inputs)
        self.tell = nn.Conv2d(depth * width, width * patch**2, 3, 1, 1)

    def start(self, count: int) -> State:
        """Return the memory of nothing."""
        blank = self.tell.weight.new_zeros(count, self.width, *self.grid)
        return [(blank, blank) for _ in self.layers]

    def step(self, frame: Tensor, state: State) -> State:
        """Take a frame (N, planes, H, W) in."""
        maps, after = F.pixel_unshuffle(frame, self.patch), []
        for layer, (output, cell) in zip(self.layers, state, strict=True):
            after.append(layer(maps, output, cell))
            maps = after[-1][0]
        return after

    def context(self, state: State) -> Tensor:
        """Return what the memory says of the next frame: (N, width, H, W)."""
        return F.pixel_shuffle(self.tell(torch.cat([output for output, _ in state], 1)), self.patch)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the context of each of the frames (N, T, planes, H, W), from those before it: (N, T, width, H, W)."""
        state = self.start(len(frames))
        contexts = [self.context(state)]
        for place in range(frames.shape[1] - 1):
            state = self.step(frames[:, place], state)
            contexts.append(self.context(state))
        return torch.stack(contexts, 1)
