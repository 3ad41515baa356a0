"""Samples as files: a picture of them all, an array, or one file each."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kallima.errors import UsageError
from kallima.files import write_whole
from kallima.reporting.grid import image_grid, point_plot, save_picture
from kallima.reporting.sound import spectrograms, wave_file

COVER = 128
"""The grey that stands where nothing was given."""
FRAME_MS = 120
"""How long a frame of a video is shown."""
HOLDS = {
    ".png": "a picture",
    ".gif": "all in motion, side by side",
    ".wav": "all, one after the other",
    ".txt": "one text a line",
    ".npz": "an array",
    "/": "a folder of files",
}
ENDINGS = {
    "image": (".png", ".npz", "/"),
    "video": (".png", ".gif", ".npz", "/"),
    "audio": (".png", ".wav", ".npz", "/"),
    "points": (".png", ".npz"),
    "text": (".txt", ".npz"),
}
"""What samples of a medium can be written as, by what --out ends in."""


def sheet(samples: np.ndarray, reference: np.ndarray | None = None, *, rate: int | None = None) -> Image.Image:
    """Draw samples on one picture.

    Images uint8 (N, H, W, C) as a grid, videos uint8 (N, T, H, W, C) a row each, sounds (N, T) of `rate` samples a
    second as spectrograms, points (N, D) over those of `reference`.
    """
    if samples.ndim == 5:
        return image_grid(samples.reshape(-1, *samples.shape[2:]), columns=samples.shape[1])
    if rate is not None:
        return spectrograms(samples, rate)
    return image_grid(samples) if samples.ndim == 4 else point_plot(samples, reference)


def ending(out: str, medium: str) -> str:
    """Return what `out` ends in, "/" for a folder, where samples of such a medium can be written so.

    Raises:
        UsageError: they cannot.
    """
    found = "/" if out.endswith("/") or Path(out).is_dir() else Path(out).suffix
    endings = ENDINGS[medium]
    if found not in endings:
        choices = [f"{each} ({HOLDS[each]})" for each in endings]
        raise UsageError(f"--out {out} must end in {', '.join(choices[:-1])} or {choices[-1]}")
    return found


def write_samples(
    samples: np.ndarray,
    out: str,
    medium: str,
    *,
    rate: int | None = None,
    rows: Sequence[Mapping[str, object]] = ({},),
) -> None:
    """Write samples of a medium where `out` says: x.png one picture, x.npz the array `samples`, x/ one file each.

    Texts go into x.txt, one a line, after what was asked for and a tab where there are several rows; sounds, of `rate`
    samples a second, into x.wav, one after the other; videos into x.gif, side by side. In a folder images are .png,
    videos .gif, sounds .wav.

    `rows` are what equal shares of the samples were asked for: the picture has a row of each, a folder a metadata.csv
    that tells it of each image, so that it is labelled data, and an .npz an array of each name.

    Raises:
        UsageError: the place cannot be written to, or what it ends in does not suit the samples.
    """
    path, kind, share = Path(out), ending(out, medium), len(samples) // len(rows)
    asked = {name: [str(row.get(name, "")) for row in rows for _ in range(share)] for row in rows for name in row}
    try:
        if kind == "/":
            return _write_folder(samples, path, asked, rate)
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == ".txt":
            told = [""] * len(samples)
            if len(rows) > 1:  # the class before a tab, as in labelled data
                told = [f"{', '.join(each)}\t" for each in zip(*asked.values(), strict=True)]
            write_whole(path, "".join(map("{}{}\n".format, told, samples)).encode())
        elif kind == ".npz":
            _write_arrays(path, **{name: np.array(each) for name, each in asked.items()}, samples=samples)
        elif kind == ".wav":
            assert rate is not None
            write_whole(path, wave_file(list(samples), rate))
        elif kind == ".gif":
            columns = share if len(rows) > 1 else None
            _animate(path, [image_grid(frames, columns=columns) for frames in samples.swapaxes(0, 1)])
        else:
            several = samples.ndim == 4 and len(rows) > 1
            save_picture(path, image_grid(samples, columns=share) if several else sheet(samples, rate=rate))
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from error


def _write_folder(samples: np.ndarray, path: Path, asked: Mapping[str, Sequence[str]], rate: int | None) -> None:
    path.mkdir(parents=True, exist_ok=True)
    digits = max(5, len(str(len(samples) - 1)))
    suffix = ".wav" if rate is not None else {4: ".png", 5: ".gif"}[samples.ndim]
    names = [f"{number:0{digits}}{suffix}" for number in range(len(samples))]
    for name, sample in zip(names, samples, strict=True):
        if rate is not None:
            write_whole(path / name, wave_file([sample], rate))
        else:
            frames = sample if sample.ndim == 4 else sample[None]
            _animate(path / name, [Image.fromarray(each[..., 0] if each.shape[-1] == 1 else each) for each in frames])
    if asked:
        with (path / "metadata.csv").open("w", newline="", encoding="utf-8") as table:
            csv.writer(table).writerows([("file_name", *asked), *zip(names, *asked.values(), strict=True)])


def _animate(path: Path, frames: Sequence[Image.Image]) -> None:
    if len(frames) == 1:
        frames[0].save(path)
    else:
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0)


def _write_arrays(path: Path, **arrays: np.ndarray) -> None:
    buffer = io.BytesIO()
    plain: dict[str, Any] = {name: each.astype(str) if each.dtype == object else each for name, each in arrays.items()}
    np.savez_compressed(buffer, **plain)  # objects would be pickled
    write_whole(path, buffer.getvalue())


def write_completions(
    originals: np.ndarray, kept: np.ndarray, completed: np.ndarray, out: str, medium: str, *, rate: int | None = None
) -> None:
    """Write completions (N, n, …) of `originals` (N, …), of which the places `kept`, bool (N, *places), were given.

    x.png has a row an example: the original, what was kept of it, its completions. Into x.npz go the arrays
    `originals`, `kept` and `samples`; all else is as `write_samples` writes the completions.

    Raises:
        UsageError: the place cannot be written to, or what it ends in does not suit them.
    """
    kind, path = ending(out, medium), Path(out)
    if kind not in (".png", ".npz"):
        return write_samples(completed.reshape(-1, *completed.shape[2:]), out, medium, rate=rate)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == ".npz":
            return _write_arrays(path, originals=originals, kept=kept, samples=completed)
        cover = COVER if rate is None else 0  # silence
        covered = np.where(kept.reshape(*kept.shape, *[1] * (originals.ndim - kept.ndim)), originals, cover)
        rows = np.concatenate([originals[:, None], covered.astype(originals.dtype)[:, None], completed], 1)
        if rate is not None:
            save_picture(path, spectrograms(rows.reshape(-1, rows.shape[-1]), rate, columns=rows.shape[1]))
        elif originals.ndim == 5:  # a row a video
            save_picture(path, sheet(rows.reshape(-1, *rows.shape[2:])))
        else:
            save_picture(path, image_grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1]))
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from error
    return None
