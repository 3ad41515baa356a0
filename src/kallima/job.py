"""A training, resolved: recipe, arguments, data and options, and how to set it up here or set it up again."""

import dataclasses
import json
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kallima import __version__
from kallima.arguments import coerce, from_options
from kallima.choosing import AUTO, choose
from kallima.data.opening import EMBEDDED, open_source
from kallima.data.spec import Audio, Image, Spec
from kallima.errors import RunError, UsageError, did_you_mean
from kallima.options import DataOptions, TrainingOptions
from kallima.recipe import Recipe, get_recipe

if TYPE_CHECKING:
    import torch

    from kallima.data.dataset import Dataset
    from kallima.training.distribution import World
    from kallima.training.run import Run
    from kallima.training.trainer import Trainer


@dataclass(frozen=True)
class Job:
    """What decides a training. Two jobs with equal `identity()` and steps end with equal weights."""

    recipe: Recipe
    arguments: dict[str, Any]
    data: DataOptions
    training: TrainingOptions

    @classmethod
    def resolve(cls, recipe: str, data: str | Path, options: Mapping[str, Any]) -> "Job":
        """Sort options into the data's, the training's and the recipe's own, and fill in the defaults.

        The recipe `auto` is chosen by the data and the machine, which is said on standard error.

        Raises:
            UsageError: an unknown recipe or option, or a value out of range.
            DataError: for `auto`, the data cannot be used.
        """
        if recipe == AUTO:
            recipe, options = _chosen(data, options)
        chosen = get_recipe(recipe)
        about_data = {field.name for field in dataclasses.fields(DataOptions)} - {"data"}
        about_training = {field.name for field in dataclasses.fields(TrainingOptions)}
        own = {parameter.name for parameter in chosen.parameters}
        for name in options:
            if name not in about_data | about_training | own:
                near = did_you_mean(name, about_data | about_training | own)
                raise UsageError(f"neither training nor the recipe '{recipe}' has an option '{name}'{near}")
        hints = {p.name: p.hint for kind in (DataOptions, TrainingOptions) for p in from_options(kind)}
        given = {name: coerce(hints[name], value, name) for name, value in options.items() if name in hints}
        lengths = {"steps": chosen.steps, "batch_size": chosen.batch_size}
        about = {name: value for name, value in given.items() if name in about_data and value is not None}
        training = {name: value for name, value in given.items() if name in about_training and value is not None}
        return cls(
            chosen,
            chosen.resolve({name: value for name, value in options.items() if name in own}),
            DataOptions(str(data), **{**chosen.view, **about}),
            TrainingOptions(**(lengths | training)),
        )

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> "Job":
        """Rebuild the job of a run from its run.json.

        Raises:
            RunError: the recipe is gone, or no longer has an argument of this run.
        """
        try:
            recipe = get_recipe(manifest["recipe"])
            arguments = recipe.resolve(manifest["arguments"])
            source = manifest["source"]
            known = [field.name for field in dataclasses.fields(DataOptions) if field.name != "data"]
            view = {name: source[name] for name in known if name in source}  # older runs know fewer
            data = DataOptions(source["name"], **view)
            return cls(recipe, arguments, data, TrainingOptions(**manifest["training"]))
        except (UsageError, TypeError, KeyError) as error:
            raise RunError(f"this run was made by kallima {manifest['environment']['kallima']}: {error}") from error

    @property
    def steps(self) -> int:
        """How many steps the training takes."""
        assert self.training.steps is not None
        return self.training.steps

    @property
    def batch_size(self) -> int:
        """Examples a step, over all processes."""
        assert self.training.batch_size is not None
        return self.training.batch_size

    def dataset(self, progress: Callable[[int, int], None] | None = None) -> "Dataset":
        """Open and prepare the data, and make sure that the recipe can use it.

        Raises:
            DataError: the data is broken, or lacks what the recipe needs.
        """
        from kallima.data.dataset import prepare
        from kallima.data.view import View

        view = self.data.beside_name()
        key, skip_bad = view.pop("key"), view.pop("skip_bad")
        dataset = prepare(open_source(self.data.data, key=key), View(**view), skip_bad=skip_bad, progress=progress)
        self.recipe.check(dataset.spec)
        return dataset

    def looking_at(self, data: str | Path, spec: Spec) -> "Job":
        """Return the job with other data, seen so that it is as `spec` says: its images, its sounds."""
        image = spec.get("image")
        view: dict[str, Any] = {"key": None}
        if isinstance(image, Image):
            view |= {"size": image.height, "channels": image.channels}
        audio = spec.get("audio")
        if isinstance(audio, Audio) and audio.rate and audio.samples:
            view |= {"rate": audio.rate, "seconds": audio.samples / audio.rate}
        return dataclasses.replace(self, data=dataclasses.replace(self.data, data=str(data), **view))

    def identity(self, dataset: "Dataset") -> dict[str, Any]:
        """Return what must not change between two sittings of a run; the number of steps may."""
        training = dataclasses.asdict(self.training)
        decisive = ("batch_size", "seed", "flip", "precision", "channels_last", "compile", "accumulate")
        return {
            "recipe": self.recipe.name,
            **{f"argument {name}": value for name, value in self.arguments.items()},
            "data fingerprint": dataset.fingerprint,
            **{name: value for name, value in dataclasses.asdict(self.data).items() if name != "data"},
            **{name: training[name] for name in decisive},
        }

    def manifest(self, dataset: "Dataset", device: "torch.device", world: "World") -> dict[str, Any]:
        """Return what run.json says at the start."""
        import torch

        from kallima.training.precision import device_name

        source = dataclasses.asdict(self.data)
        name = source.pop("data")
        if name not in EMBEDDED:
            name = str(Path(name).resolve())  # a run can be resumed from any folder
        about = {"name": name, "split": dataset.split, "fingerprint": dataset.fingerprint, "examples": len(dataset)}
        return {
            "recipe": self.recipe.name,
            "arguments": self.arguments,
            "spec": dataset.spec.to_json(),
            "source": about | source,
            "training": dataclasses.asdict(self.training),
            "environment": {
                "kallima": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "device": str(device),
                "device_name": device_name(device),
                "threads": torch.get_num_threads(),
                "world": world.size,
            },
        }

    def trainer(self, dataset: "Dataset", device: "torch.device", world: "World") -> "Trainer":
        """Build the system and all that moves it. Equal seeds give equal initial weights."""
        import torch

        from kallima.data.stream import Stream
        from kallima.training.trainer import Trainer

        training = self.training
        torch.manual_seed(training.seed)
        system = self.recipe.build(dataset.spec, **self.arguments)
        # only a batch of images has channels to put last
        layout = torch.channels_last if training.channels_last and "image" in dataset.spec else torch.contiguous_format
        system.to(device)
        system.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stub leaves it out
        streams = {
            name: Stream(
                portion.of(dataset),
                batch_size=portion.batch_size or self.batch_size,
                seed=training.seed + place,  # streams of one data set are not to walk side by side
                device=device,
                rank=world.rank,
                world=world.size,
                workers=training.workers,
                flip=training.flip,
                memory_format=layout,
            )
            for place, (name, portion) in enumerate(system.streams.items())
        }
        return Trainer(
            system,
            streams,
            steps=self.steps,
            seed=training.seed,
            precision=training.precision,
            accumulate=training.accumulate,
            compile=training.compile,
            world=world,
        )


def _chosen(data: str | Path, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the recipe that is chosen for this data, and the options with those chosen for it."""
    from kallima.training.precision import choose_device

    gpu = choose_device(str(options.get("device") or "auto")).type != "cpu"
    choice = choose(open_source(data, key=options.get("key")), options, gpu=gpu)
    choice.say(str(data))
    return choice.recipe, {**options, **choice.options}


def default_folder(job: Job) -> Path:
    """Return runs/<recipe>-<data>-<time>, a folder that isn't there yet."""
    data = Path(job.data.data).name.split(".")[0] or "data"
    base = Path("runs") / f"{job.recipe.name}-{data}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, number = base, 2
    while folder.exists():
        folder, number = base.with_name(f"{base.name}-{number}"), number + 1
    return folder


def refuse_other(run: "Run", was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare what decided a run with what would now.

    Raises:
        RunError: the run would not be the same training any more; the first difference is named.
    """
    for name in dict.fromkeys((*was, *now)):
        before, after = was.get(name), json.loads(json.dumps(now.get(name)))
        if before != after:
            shown = (
                "the content of the data has changed"
                if name == "data fingerprint"
                else f"{name} was {before}, is {after}"
            )
            raise RunError(f"{run} cannot be resumed: {shown}")


def say_differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Say what may keep a resumed run from following bit for bit the path it would have taken."""
    changed = [
        f"{n} was {was[n]}, is {now[n]}" for n in ("torch", "device_name", "threads", "world") if was[n] != now[n]
    ]
    if changed:
        print(f"note: resuming under other conditions, so not bit for bit: {'; '.join(changed)}", file=sys.stderr)
