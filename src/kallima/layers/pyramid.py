"""How an image's height and width are halved down to a small grid, and how many channels each level has."""

from dataclasses import dataclass

from kallima.errors import DataError

SMALLEST, LARGEST = 8, 256
GRIDS = (4, 5, 6, 7)


def _sizes() -> list[int]:
    return sorted(grid << k for grid in GRIDS for k in range(1, 7) if SMALLEST <= grid << k <= LARGEST)


@dataclass(frozen=True)
class Pyramid:
    """An image of `height` x `width` pixels halved `levels` times, to a `grid` (height, width).

    The shorter side ends as 4, 5, 6 or 7 pixels: 28 is 7 · 2², 32 is 4 · 2³, 48 is 6 · 2³; the longer is halved as
    often. So 8 to 256 pixels are served in steps of a quarter of the power of two below.
    """

    height: int
    width: int
    levels: int

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the smallest level."""
        return self.height >> self.levels, self.width >> self.levels

    @property
    def area(self) -> int:
        """Places in the smallest level."""
        return self.grid[0] * self.grid[1]

    @property
    def fold(self) -> int:
        """The side of the squares of pixels that become channels where the finest level is folded: 2.

        1 (nothing is folded) for images of less than 16 pixels, which would have no other halving left.
        """
        return 2 if self.levels > 1 else 1

    def channels(self, width: int, most: int) -> list[int]:
        """Return the channels of levels 1 (half the image) to `levels` (the grid).

        They double from `width` with each halving and stop growing at `most` times `width`.
        """
        return [width * min(2**level, most) for level in range(self.levels)]

    def folded_channels(self, width: int, most: int) -> list[int]:
        """Return the channels from the folded finest level to the grid: always two levels or more."""
        return [width * min(2**level, most) for level in range(max(2, self.levels))]


def pyramid(height: int, width: int) -> Pyramid:
    """Plan the halving of an image.

    Raises:
        DataError: a side is not of the served sizes; the message names the nearest.
    """
    shorter, longer = sorted((height, width))
    sizes = _sizes()
    nearest = min(sizes, key=lambda size: abs(size - shorter))
    if shorter != nearest:
        raise DataError(
            f"this network takes images of 8, 10, 12, 14, 16, 20, … {LARGEST} pixels "
            f"({', '.join(str(g) for g in GRIDS)} times a power of two), not {height}x{width}: give --size {nearest}"
        )
    levels = next(k for k in range(1, 7) if shorter >> k in GRIDS and shorter % (1 << k) == 0)
    if longer % (1 << levels) or longer > LARGEST:
        fitting = min(LARGEST, round(longer / (1 << levels)) << levels)
        sides = (shorter, fitting) if height <= width else (fitting, shorter)
        raise DataError(f"this network cannot halve {height}x{width} pixels {levels} times: use {sides[0]}x{sides[1]}")
    return Pyramid(height, width, levels)
