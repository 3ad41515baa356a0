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


def sheet(samples: np.ndarray, reference: np.ndarray | None = None) -> Image.Image:
    """Draw samples on one picture: images uint8 (N, H, W, C) as a grid, points (N, D) over those of `reference`."""
    return image_grid(samples) if samples.ndim == 4 else point_plot(samples, reference)


def write_samples(
    samples: np.ndarray,
    out: str,
    reference: np.ndarray | None = None,
    *,
    rows: Sequence[Mapping[str, object]] = ({},),
) -> None:
    """Write samples where `out` says: x.png a picture of them all, x.npz the array `samples`, x/ one image file each.

    `rows` are what equal shares of the samples were asked for: the picture has a row of each, a folder a metadata.csv
    that tells it of each image, so that it is labelled data, and an .npz an array of each name.

    Raises:
        UsageError: the place cannot be written to, or the kind of file is another or does not suit the samples.
    """
    path, share = Path(out), len(samples) // len(rows)
    asked = {name: [str(row.get(name, "")) for row in rows for _ in range(share)] for row in rows for name in row}
    try:
        if out.endswith("/") or path.is_dir():
            if samples.ndim != 4:
                raise UsageError("points go into one file: --out samples.npz or --out samples.png")
            path.mkdir(parents=True, exist_ok=True)
            digits = max(5, len(str(len(samples) - 1)))
            names = [f"{number:0{digits}}.png" for number in range(len(samples))]
            for name, image in zip(names, samples, strict=True):
                Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(path / name)
            if asked:
                with (path / "metadata.csv").open("w", newline="", encoding="utf-8") as table:
                    csv.writer(table).writerows([("file_name", *asked), *zip(names, *asked.values(), strict=True)])
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            several = samples.ndim == 4 and len(rows) > 1
            save_picture(path, image_grid(samples, columns=share) if several else sheet(samples, reference))
        elif path.suffix == ".npz":
            buffer = io.BytesIO()
            arrays: dict[str, Any] = {name: np.array(each) for name, each in asked.items()}
            np.savez_compressed(buffer, **{**arrays, "samples": samples})
            path.write_bytes(buffer.getvalue())
        else:
            raise UsageError(f"--out {out} must end in .png (a picture), .npz (an array) or / (a folder of images)")
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from error
