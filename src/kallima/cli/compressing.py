"""`kallima compress` and `kallima decompress`: images to files and back, by a run of an image codec."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from kallima import api
from kallima.arguments import REQUIRED
from kallima.cli.output import emit, emit_json
from kallima.cli.parsing import JSON, Command, command


def _compress(*, out: str, json: bool = False, **given: Any) -> int:
    found = api.compress(out=out, **given)
    if json:
        emit_json(
            {
                "file": out,
                "width": found.width,
                "height": found.height,
                "bytes": found.bytes,
                "bits": found.bits,
                "bpp": found.bits_per_pixel,
                "payload_bpp": found.payload_bits_per_pixel,
                "psnr": found.psnr,
            }
        )
    else:
        size = f"{found.width}×{found.height}"
        emit(f"{out}: {size}, {found.bytes:,} bytes, {found.bits_per_pixel:.3f} bits a pixel, {found.psnr:.2f} dB")
    return 0


def _decompress(*, out: str, json: bool = False, **given: Any) -> int:
    height, width, channels = api.decompress(out=out, **given).shape
    if json:
        emit_json({"image": out, "width": width, "height": height, "channels": channels})
    else:
        emit(f"{out}: {width}×{height}")
    return 0


def _paths(made: Command, *names: str) -> Command:
    """Make these parameters of a command words that are given without a name."""
    groups = {
        title: [replace(p, hint=str, positional=True, default=REQUIRED) if p.name in names else p for p in group]
        for title, group in made.groups.items()
    }
    return replace(made, groups=groups)


COMMANDS: dict[str, Callable[[Sequence[str]], Command]] = {
    "compress": lambda words: _paths(command("compress", api.compress, _compress, JSON), "run", "image", "out"),
    "decompress": lambda words: _paths(command("decompress", api.decompress, _decompress, JSON), "run", "file", "out"),
}
