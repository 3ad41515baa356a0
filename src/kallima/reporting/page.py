"""One HTML file that needs nothing else: styles, scripts and pictures inlined, and a policy that forbids the rest."""

import base64
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from PIL import Image

import kallima
from kallima.reporting import wording
from kallima.reporting.markdown import render_markdown

PICTURE_BYTES = 11_000_000
"""All pictures of a page together, before base64 makes them a third longer: the page stays under 15 MB."""

SOUND_BYTES = 4_000_000
"""All sounds of a page together, of what its pictures may weigh."""

TEXT_CHARACTERS = 500_000
"""All sample texts of a page together."""

LONGEST_TEXT = 2_000  # characters of a text that are shown
LARGE_PICTURE = 1_000_000  # bytes from which on a picture is shown as JPEG, so that more than a few fit
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """A sample grid for a page; width and height in pixels."""

    step: int
    address: str  # a data: URI
    width: int
    height: int


@dataclass(frozen=True)
class Pictures:
    """The grids that a page shows, and what was left out."""

    shown: list[Picture]
    total: int  # grids in the run, damaged ones aside
    shrunk: bool  # some are shown as JPEG
    damaged: int

    @property
    def latest(self) -> Picture | None:
        """The grid of the last step."""
        return self.shown[-1] if self.shown else None


@dataclass(frozen=True)
class Writing:
    """Sample texts of one step: what was asked for, empty where nothing was, and the text."""

    step: int
    lines: list[tuple[str, str]]


def read_writings(paths: Mapping[int, Path], budget: int = TEXT_CHARACTERS) -> list[Writing]:
    """Return the sample texts by step; where they exceed `budget` characters, an even selection of the steps."""
    writings = [_writing(step, path) for step, path in paths.items()]
    wanted = len(writings)
    sizes = [sum(len(asked) + len(text) for asked, text in each.lines) for each in writings]
    while wanted > 1 and sum(sizes[place] for place in _even(len(sizes), wanted)) > budget:
        wanted -= 1
    return [writings[place] for place in _even(len(writings), wanted)]


@dataclass(frozen=True)
class Sound:
    """The sample sounds of one step, one after the other."""

    step: int
    address: str  # a data: URI
    size: int  # bytes of the file


def read_sounds(paths: Mapping[int, Path], budget: int = SOUND_BYTES) -> list[Sound]:
    """Inline the sounds by step; where they exceed `budget` bytes, an even selection of the steps."""
    steps = [step for step, path in paths.items() if path.stat().st_size <= budget]
    wanted = len(steps)
    sizes = [paths[step].stat().st_size for step in steps]
    while sum(sizes[place] for place in _even(len(steps), wanted)) > budget:
        wanted -= 1
    chosen = [(steps[place], paths[steps[place]].read_bytes()) for place in _even(len(steps), wanted)]
    return [
        Sound(step, f"data:audio/wav;base64,{base64.b64encode(sound).decode()}", len(sound)) for step, sound in chosen
    ]


def _writing(step: int, path: Path) -> Writing:
    # str.splitlines would break texts at separators that are no line breaks
    lines = path.read_text("utf-8", errors="replace").removesuffix("\n").split("\n")
    told = all("\t" in line for line in lines)  # else a tab is of the text
    parts = [line.partition("\t") if told else ("", "", line) for line in lines]
    return Writing(step, [(asked, _shortened(text)) for asked, _, text in parts])


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"


def inline_pictures(paths: Mapping[int, Path], budget: int = PICTURE_BYTES) -> Pictures:
    """Inline the grids by step; where they exceed `budget` bytes, an even selection with the first and the last."""
    sizes = {step: path.stat().st_size for step, path in paths.items() if _is_png(path)}
    steps, wanted = list(sizes), len(sizes)
    while wanted > 1 and sum(min(LARGE_PICTURE, sizes[steps[i]]) for i in _even(len(steps), wanted)) > budget:
        wanted -= 1
    inlined: dict[int, Picture | None] = {}
    while True:
        chosen = [steps[index] for index in _even(len(steps), wanted)]
        inlined |= {step: _inline(step, paths[step]) for step in chosen if step not in inlined}
        shown = [picture for step in chosen if (picture := inlined[step])]
        weight = sum(len(picture.address) for picture in shown) * 3 // 4
        if weight <= budget or wanted < 2:
            break
        wanted = max(1, min(wanted - 1, wanted * budget // weight))
    damaged = len(paths) - len(steps) + sum(picture is None for picture in inlined.values())
    shrunk = any(sizes[picture.step] > LARGE_PICTURE for picture in shown)
    return Pictures(shown, total=len(paths) - damaged, shrunk=shrunk, damaged=damaged)


def _even(count: int, wanted: int) -> list[int]:
    """Return `wanted` of `count` indices, evenly spread, the last always among them, the first if there are two."""
    if wanted < 2:
        return [count - 1] if wanted and count else []
    return [round(index * (count - 1) / (wanted - 1)) for index in range(wanted)]


def _is_png(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(24)
    return head.startswith(PNG_SIGNATURE) and head[12:16] == b"IHDR"


def _inline(step: int, path: Path) -> Picture | None:
    """Return the grid, as JPEG where it is large, or None where it cannot be decoded."""
    content, kind = path.read_bytes(), "png"
    width, height = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    if len(content) > LARGE_PICTURE:
        buffer = io.BytesIO()
        try:
            with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
                picture.convert("RGB").save(buffer, format="JPEG", quality=90)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None
        content, kind = buffer.getvalue(), "jpeg"
    return Picture(step, f"data:image/{kind};base64,{base64.b64encode(content).decode()}", width, height)


def asset(name: str) -> str:
    """Return a packaged file of assets/ as text."""
    return files("kallima.reporting").joinpath("assets", name).read_text("utf-8")


def _template(name: str) -> str:
    return files("kallima.reporting").joinpath("templates", name).read_text("utf-8")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "amount": wording.amount,
        "duration": wording.duration,
        "field": wording.field,
        "markdown": render_markdown,
        "moment": wording.moment,
        "setting": wording.setting,
    }
    environment.globals |= {"measured": wording.measured, "version": kallima.__version__}
    # a NaN would make the page's JSON unreadable: whatever comes here has None in its place
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "ensure_ascii": True, "separators": (",", ":")}
    return environment


def render(template: str, **context: Any) -> bytes:
    """Fill in a template of templates/; what it says is escaped, JSON too, and only our own scripts may run."""
    uplot = f"/*\nuPlot\n\n{asset('uPlot.LICENSE')}*/\n{asset('uPlot.iife.min.js')}"
    scripts = [uplot, asset("charts.js"), asset("samples.js")]
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; media-src data:; "
        f"style-src 'unsafe-inline'; script-src {allowed}"
    )
    page = _environment().get_template(template)
    return page.render(
        policy=policy,
        styles=[Markup(asset("uPlot.min.css")), Markup(asset("page.css"))],
        scripts=[Markup(script) for script in scripts],
        **context,
    ).encode("utf-8", errors="replace")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
