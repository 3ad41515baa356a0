"""What the components of an image are: levels of its channels, or places of its colours in a palette."""

import torch
from torch import Tensor, nn

from kallima.data.spec import Image
from kallima.errors import UsageError


class Levels(nn.Module):
    """Each channel of a pixel is one of `levels` equal steps from 0 to 255; two of them are black and white."""

    def __init__(self, image: Image, levels: int):
        super().__init__()
        if not 2 <= levels <= 256:
            raise UsageError(f"--levels must be from 2 to 256, not {levels}")
        self.choices, self.parts = levels, image.channels

    def read(self, images: Tensor) -> Tensor:
        """Return the levels of images (N, C, H, W) in [-1, 1]: int64 (N, H, W, C)."""
        levels = ((images.movedim(1, -1) + 1) * (0.5 * (self.choices - 1))).round()
        return levels.clamp(0, self.choices - 1).long()

    def write(self, levels: Tensor) -> Tensor:
        """Return the images (N, C, H, W) in [-1, 1] of levels (N, H, W, C)."""
        return levels.movedim(-1, 1) * (2 / (self.choices - 1)) - 1

    def strange(self, images: Tensor) -> Tensor:
        """Say which pixels of images no component stands for: bool (N, H, W)."""
        return torch.zeros_like(images[:, 0], dtype=torch.bool)

    @property
    def note(self) -> str:
        """What the nats are of."""
        if self.choices == 2:
            return "of pixels made black or white by the threshold 1/2"
        return f"of the {self.choices} levels of each pixel" + (" and channel" if self.parts > 1 else "")


class Palette(nn.Module):
    """A pixel is the place of its colour among those that the data has."""

    colours: Tensor
    keys: Tensor
    order: Tensor

    def __init__(self, colours: tuple[tuple[int, ...], ...]):
        super().__init__()
        self.choices, self.parts = len(colours), 1
        table = torch.tensor(colours, dtype=torch.int64)
        keys, order = self._keys(table).sort()
        self.register_buffer("colours", table, persistent=False)
        self.register_buffer("keys", keys, persistent=False)
        self.register_buffer("order", order, persistent=False)

    def read(self, images: Tensor) -> Tensor:
        """Return the places of the colours of images (N, C, H, W) in [-1, 1]: int64 (N, H, W, 1)."""
        return self.order[self._nearest(images)][..., None]

    def write(self, places: Tensor) -> Tensor:
        """Return the images (N, C, H, W) in [-1, 1] of places (N, H, W, 1)."""
        return self.colours[places[..., 0]].movedim(-1, 1) / 127.5 - 1

    def strange(self, images: Tensor) -> Tensor:
        """Say which pixels of images (N, C, H, W) have a colour that is not in the palette: bool (N, H, W)."""
        return self.keys[self._nearest(images)] != self._keys(self._bytes(images))

    @property
    def note(self) -> str:
        """What the nats are of."""
        return f"of the places of pixels among {self.choices} colours"

    def _nearest(self, images: Tensor) -> Tensor:
        """Return where the colours' keys are, or would be, among the sorted ones."""
        found = torch.searchsorted(self.keys, self._keys(self._bytes(images)).contiguous())
        return found.clamp_max(self.choices - 1)

    @staticmethod
    def _bytes(images: Tensor) -> Tensor:
        return ((images.movedim(1, -1) + 1) * 127.5).round().long()

    @staticmethod
    def _keys(colours: Tensor) -> Tensor:
        """Return a number for each colour (..., C), different for different ones."""
        return (colours * 256 ** torch.arange(colours.shape[-1], device=colours.device)).sum(-1)


def alphabet(image: Image, levels: int | None) -> Levels | Palette:
    """Return what the components of images are: `levels` where asked for, else places in the palette that they have.

    Without either they are black and white where they are grey, and 256 levels where they have colours.
    """
    if levels is None and image.palette is not None:
        return Palette(image.palette)
    return Levels(image, levels or (2 if image.channels == 1 else 256))
