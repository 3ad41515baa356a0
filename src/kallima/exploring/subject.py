"""The run that is explored: its system, its data, and latents as somebody wishes them."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kallima.api import load
from kallima.conditions import Wishes
from kallima.data.batch import from_storage
from kallima.data.dataset import Dataset, prepare
from kallima.data.opening import open_source
from kallima.data.spec import Image, Points
from kallima.data.view import View
from kallima.errors import UsageError
from kallima.evaluation.examples import check_alike, image_field
from kallima.evaluation.sets import open_data
from kallima.job import Job
from kallima.judging import showing
from kallima.sampling.drawing import GROUP, rows_of, to_units
from kallima.system import Conditional, Decodes
from kallima.training.distribution import World
from kallima.training.run import Run

CHUNK = 256
"""How many latents are decoded, or examples encoded, at once."""

SHOWN = 2_500
"""How many points of the data stand behind those of a model."""


class Subject:
    """A run with a system that decodes latents; `what` is how the exploration is called.

    Raises:
        UsageError: the system decodes no latents, or the exploration is not for what it makes.
    """

    system: Decodes

    def __init__(self, run: str | Path | Run, what: str, *, device: str, images_only: bool = False):
        self.place, self.what = run, what
        system = load(run, device=device)
        self.spec, self.device, self.name = system.spec, system.device, type(system).__name__
        if not isinstance(system, Decodes):
            raise UsageError(f"{what} needs a system that decodes latents, and {self.name} does not")
        self.system = system
        self.pictures = "image" in self.spec
        if not self.pictures:
            field = self.spec.get("points")
            if images_only or not isinstance(field, Points):
                raise UsageError(f"{what} is for images, and this run makes {', '.join(self.spec)}")
            if field.dimensions != 2:
                raise UsageError(f"{what} draws points of 2 dimensions, and this run's have {field.dimensions}")

    @cached_property
    def job(self) -> Job:
        """How the run was trained."""
        return Job.from_manifest(Run(self.place).manifest)

    @cached_property
    def data(self) -> Dataset:
        """What the run was trained on."""
        with showing(World()) as show:
            return self.job.dataset(lambda done, total: show("preparing the data", done, total))

    def wishes(self, condition: str | None) -> list[Wishes]:
        """Return the rows of wishes that a condition stands for; one row of none without a condition."""
        return rows_of(self.system, condition)  # type: ignore[arg-type]  # a system that decodes is a System

    def latents(self, count: int, *, wishes: Wishes | None = None, seed: int) -> Tensor:
        """Draw `count` latents (count, d) that meet the wishes; the noise is the same whatever is wished for."""
        rng = torch.Generator().manual_seed(seed)
        latents = self.system.latents(-(-count // GROUP) * GROUP, rng=rng)[:count]
        if not isinstance(self.system, Conditional):
            return latents
        drawn = self.system.conditions.meet(wishes or {}, count, torch.Generator().manual_seed(seed))
        return self.under(latents, drawn)

    def under(self, latents: Tensor, conditions: Tensor, only: Sequence[str] | None = None) -> Tensor:
        """Return latents (N, d) with these conditions (N, K) in their place, or `only` those of some names."""
        assert isinstance(self.system, Conditional)
        found = latents.clone()
        places = {name: part.place for name, part in self.system.conditions.parts.items()}
        reading = getattr(self.system, "reading", None)
        if reading is not None:  # what it has read or heard stands in its latents
            with torch.no_grad():
                conditions, places = reading(conditions.to(latents.device)), reading.places
        for name, place in places.items():
            if only is None or name in only:
                found[:, self.system.parts[name]] = conditions[:, place].to(found)
        return found

    def show(self, latents: Tensor) -> np.ndarray:
        """Return the examples of latents (…, d) in the data's units: (…, H, W, C) uint8 or (…, 2)."""
        flat = latents.reshape(-1, latents.shape[-1])
        made = np.concatenate([to_units(self.system.decode(some), self.spec) for some in flat.split(CHUNK)])
        return made.reshape(*latents.shape[:-1], *made.shape[1:])

    def images(self, place: str) -> Dataset:
        """Open other images, seen as those that the run was trained on.

        Raises:
            DataError: they cannot be read, or have another size.
        """
        view = self.job.looking_at(place, self.spec).data
        source = open_source(place, medium="image")
        with showing(World()) as show:
            data = prepare(
                source,
                View(view.size, view.crop, view.channels),
                skip_bad=view.skip_bad,
                progress=lambda done, total: show("preparing the images", done, total),
            )
        check_alike(image_field(data), self.image(), "the images")
        return data

    def read(self, indices: np.ndarray, data: Dataset) -> tuple[Tensor, Tensor]:
        """Return images of a data set: as stored, uint8 (N, H, W, C), and as a system takes them."""
        stored = data.read(np.asarray(indices))["image"]
        return stored, from_storage(stored).to(self.device)

    def points(self) -> np.ndarray:
        """Return some of the data's points (N, 2), in its units."""
        indices = np.arange(min(len(self.data), SHOWN))
        return to_units(self.data.read(indices)["points"], self.spec)

    def image(self) -> Image:
        """Return what its images are like."""
        field = self.spec["image"]
        assert isinstance(field, Image)
        return field


def data_of(run: str | Path | Run, split: str | None = None) -> Dataset:
    """Return a split of the data that a run was trained on, seen alike; by default test, else what it was trained on.

    Raises:
        DataError: the data has no such split.
    """
    job = Job.from_manifest(Run(run).manifest)
    with showing(World()) as show:

        def progress(done: int, total: int) -> None:
            show("preparing the data", done, total)

        trained_on = job.dataset(progress)
        wanted = split or ("test" if "test" in trained_on.source.splits else trained_on.split)
        if wanted == trained_on.split:
            return trained_on
        return open_data(job.data.data, split=wanted, progress=progress, **job.data.beside_name())
