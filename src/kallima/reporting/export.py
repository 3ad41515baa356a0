"""Samples as files: a picture of them all, an array, or one file each."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kallima.errors import UsageError
from kallima.reporting.grid import image_grid, point_plot, save_picture
from kallima.reporting.sound import spectrograms, wave_file

COVER = 128
"""The grey that stands where nothing was given."""
FRAME_MS = 120
"""How long a frame of a video is shown."""


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


def write_samples(
    samples: np.ndarray,
    out: str,
    reference: np.ndarray | None = None,
    *,
    rows: Sequence[Mapping[str, object]] = ({},),
    rate: int | None = None,
) -> None:
    """Write samples where `out` says: x.png a picture of them all, x.npz the array `samples`, x/ one file each.

    Texts go into x.txt, one a line, after what was asked for and a tab where there are several rows. In a folder
    images are .png, videos .gif, sounds (of `rate` samples a second) .wav.

    `rows` are what equal shares of the samples were asked for: the picture has a row of each, a folder a metadata.csv
    that tells it of each image, so that it is labelled data, and an .npz an array of each name.

    Raises:
        UsageError: the place cannot be written to, or the kind of file is another or does not suit the samples.
    """
    path, share = Path(out), len(samples) // len(rows)
    asked = {name: [str(row.get(name, "")) for row in rows for _ in range(share)] for row in rows for name in row}
    try:
        if out.endswith("/") or path.is_dir():
            ending = _ending(samples, rate)
            if ending is None:
                raise UsageError("points and texts go into one file: --out samples.npz, samples.png or samples.txt")
            path.mkdir(parents=True, exist_ok=True)
            digits = max(5, len(str(len(samples) - 1)))
            names = [f"{number:0{digits}}{ending}" for number in range(len(samples))]
            for name, sample in zip(names, samples, strict=True):
                _write_one(path / name, sample, rate)
            if asked:
                with (path / "metadata.csv").open("w", newline="", encoding="utf-8") as table:
                    csv.writer(table).writerows([("file_name", *asked), *zip(names, *asked.values(), strict=True)])
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt" and samples.dtype == object:
            told = [""] * len(samples)
            if len(rows) > 1:  # the class before a tab, as in labelled data
                told = [f"{', '.join(each)}\t" for each in zip(*asked.values(), strict=True)]
            path.write_text("".join(map("{}{}\n".format, told, samples)), encoding="utf-8")
        elif samples.dtype == object and path.suffix != ".npz":
            raise UsageError(f"--out {out} must end in .txt (one text a line) or .npz (an array)")
        elif path.suffix == ".png":
            several = samples.ndim == 4 and len(rows) > 1
            save_picture(path, image_grid(samples, columns=share) if several else sheet(samples, reference, rate=rate))
        elif path.suffix == ".npz":
            buffer = io.BytesIO()
            arrays: dict[str, Any] = {name: np.array(each) for name, each in asked.items()}
            plain = samples.astype(str) if samples.dtype == object else samples  # objects would be pickled
            np.savez_compressed(buffer, **{**arrays, "samples": plain})
            path.write_bytes(buffer.getvalue())
        else:
            raise UsageError(f"--out {out} must end in .png (a picture), .npz (an array) or / (a folder of files)")
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from error


def write_completions(
    originals: np.ndarray, kept: np.ndarray, completed: np.ndarray, out: str, *, rate: int | None = None
) -> None:
    """Write completions (N, n, …) of `originals` (N, …), of which the places `kept`, bool (N, *places), were given.

    x.png has a row an example: the original, what was kept of it, its completions. Into x.txt go texts, one a line;
    into x.npz the arrays `originals`, `kept` and `samples`; into x/ one file each.

    Raises:
        UsageError: the place cannot be written to, or the kind of file is another or does not suit them.
    """
    if not out.endswith(".png") and not out.endswith(".npz"):
        return write_samples(completed.reshape(-1, *completed.shape[2:]), out, rate=rate)
    try:
        path = Path(out)
        path.parent.mkdir(parents=True, exist_ok=True)
        if out.endswith(".npz"):
            texts = originals.dtype == object
            buffer, plain = io.BytesIO(), (lambda array: array.astype(str) if texts else array)
            np.savez_compressed(buffer, originals=plain(originals), kept=kept, samples=plain(completed))
            path.write_bytes(buffer.getvalue())
            return None
        if originals.dtype == object:
            raise UsageError(f"--out {out} must end in .txt (one text a line) or .npz (an array)")
        cover = COVER if rate is None else 0  # silence
        covered = np.where(kept.reshape(*kept.shape, *[1] * (originals.ndim - kept.ndim)), originals, cover)
        rows = np.concatenate([originals[:, None], covered.astype(originals.dtype)[:, None], completed], 1)
        if originals.ndim == 5:  # a row a video
            return save_picture(path, sheet(rows.reshape(-1, *rows.shape[2:])))
        if rate is not None:
            return save_picture(path, spectrograms(rows.reshape(-1, rows.shape[-1]), rate, columns=rows.shape[1]))
        save_picture(path, image_grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1]))
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from error
    return None


def _ending(samples: np.ndarray, rate: int | None) -> str | None:
    if rate is not None:
        return ".wav"
    return {4: ".png", 5: ".gif"}.get(samples.ndim)


def _write_one(path: Path, sample: np.ndarray, rate: int | None) -> None:
    if rate is not None:
        path.write_bytes(wave_file([sample], rate))
        return
    frames = [
        Image.fromarray(each.squeeze(-1) if each.shape[-1] == 1 else each)
        for each in (sample if sample.ndim == 4 else sample[None])
    ]
    if len(frames) == 1:
        frames[0].save(path)
    else:
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0)
