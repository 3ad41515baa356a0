"""How numbers, times and settings read on a page."""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any


def amount(value: Any) -> str:
    """Return a number with thousands separated and about four significant digits; anything else as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return setting(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "not finite"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def measured(value: Any, spread: Any) -> tuple[str, str]:
    """Return a score and its spread as text, the spread to two significant digits and the score to its last place."""
    known = isinstance(value, int | float) and isinstance(spread, int | float)
    if not known or not math.isfinite(value) or not math.isfinite(spread) or spread <= 0:
        return amount(value), "" if spread is None else amount(spread)
    places = min(8, max(0, 1 - math.floor(math.log10(spread))))
    return f"{value:,.{places}f}", f"{spread:,.{places}f}"


def duration(seconds: float) -> str:
    """Return a time span in its two largest units: 42 s, 5 min 12 s, 3 h 07 min, 2 d 4 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if whole >= 10 else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def moment(text: Any) -> str:
    """Return an ISO time as 21 November 2025, 08:14 UTC; what is none as it stands."""
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return "" if text is None else str(text)
    return f"{time.day} {time:%B %Y, %H:%M} {time.tzname() or ''}".strip()


def setting(value: Any) -> str:
    """Return a setting's value in one line."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, int | float | str) for item in value):
        return ", ".join(str(item) for item in value)
    return json.dumps(value, ensure_ascii=False)


def field(description: Any) -> str:
    """Say what a field of a spec holds: image: 32 × 32, 3 channels."""
    if not isinstance(description, Mapping):
        return setting(description)
    match description:
        case {"kind": "image", "height": height, "width": width, "channels": channels}:
            return f"{width} × {height} pixels, {channels} channel{'' if channels == 1 else 's'}"
        case {"kind": "video", "frames": frames, "height": height, "width": width}:
            return f"{frames} frames of {width} × {height} pixels"
        case {"kind": "audio", "rate": int(rate), "samples": int(samples)}:
            return f"{samples / rate:.3g} s at {rate:,} samples a second"
        case {"kind": "label", "classes": [*classes]}:
            return f"{len(classes)} classes: {_some(classes)}"
        case {"kind": "attributes", "names": [*names]}:
            return f"{len(names)} properties: {_some(names)}"
        case {"kind": "text", "tokens": tokens, "vocabulary": [*vocabulary], "length": int(length)}:
            shown = [str(each).strip() or "␣" for each in vocabulary]
            return f"up to {length:,} codes, {len(shown):,} {tokens}s: {_some(shown)}"
        case {"kind": "points", "dimensions": dimensions}:
            return f"{dimensions} numbers" if dimensions != 1 else "1 number"
    return ", ".join(f"{name} {setting(value)}" for name, value in description.items())


def _some(names: list[Any], most: int = 12) -> str:
    return ", ".join(str(name) for name in names[:most]) + (", …" if len(names) > most else "")
