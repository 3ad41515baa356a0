"""What is in new images, by a run that tells it: `kallima label`. Importing it does not import torch."""

from pathlib import Path
from typing import TYPE_CHECKING

from kallima.api import load
from kallima.job import Job
from kallima.judging import showing
from kallima.training.run import Run

if TYPE_CHECKING:
    from kallima.labelling.images import Labelled


def label(
    run: str | Path | Run,
    given: str | Path,
    *,
    out: str | Path | None = None,
    split: str = "train",
    key: str | None = None,
    device: str = "auto",
) -> "Labelled":
    """Tell what is in images: their labels, all that are there, or their class, as the run has learned it.

    Args:
        run: the run directory of a system that tells labels, or classes.
        given: an image, or images as --data takes them: a folder, an archive, an .npz or an embedded set.
        out: also write the probability of each label and image: a table (.csv).
        split: which part of the images, where they come in several.
        key: the array to read in an .npz.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        UsageError: the run tells neither labels nor classes of images, or `out` is no .csv.
        DataError: there are no images, or not one can be read.
    """
    from kallima.labelling.images import label_images
    from kallima.training.distribution import World

    crop = Job.from_manifest(Run(run).manifest).data.crop
    with showing(World()) as show:
        system = load(run, device=device)
        return label_images(system, given, out=out, split=split, key=key, crop=crop, progress=show)
