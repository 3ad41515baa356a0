"""Samples as files: a picture of them all, an array, or one file each."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from kallima.errors import UsageError
from kallima.reporting.grid import image_grid, point_plot, save_picture


def sheet(samples: np.ndarray, reference: np.ndarray | None = None) -> Image.Image:
    """Draw samples on one picture: images uint8 (N, H, W, C) as a grid, points (N, D) over those of `reference`."""
    return image_grid(samples) if samples.ndim == 4 else point_plot(samples, reference)


def write_samples(samples: np.ndarray, out: str, reference: np.ndarray | None = None) -> None:
    """Write samples where `out` says: x.png a picture of them all, x.npz the array `samples`, x/ one image file each.

    Raises:
        UsageError: the place cannot be written to, or the kind of file is another or does not suit the samples.
    """
    path = Path(out)
    try:
        if out.endswith("/") or path.is_dir():
            if samples.ndim != 4:
                raise UsageError("points go into one file: --out samples.npz or --out samples.png")
            path.mkdir(parents=True, exist_ok=True)
            digits = max(5, len(str(len(samples) - 1)))
            for number, image in enumerate(samples):
                Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(
                    path / f"{number:0{digits}}.png"
                )
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            save_picture(path, sheet(samples, reference))
        elif path.suffix == ".npz":
            buffer = io.BytesIO()
            np.savez_compressed(buffer, samples=samples)
            path.write_bytes(buffer.getvalue())
        else:
            raise UsageError(f"--out {out} must end in .png (a picture), .npz (an array) or / (a folder of images)")
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from error
