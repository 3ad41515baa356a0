"""The public API: what the command line and the notebooks call. Importing it does not import torch."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kallima.data.spec import Spec
from kallima.errors import RunError, UsageError
from kallima.examination import doctor_of, keep
from kallima.files import write_whole
from kallima.job import Job, default_folder, refuse_other, say_differences
from kallima.judging import judge, judge_run, refuse_for_run, showing, truth_of_run
from kallima.picturing import show_samples
from kallima.training.run import Run

if TYPE_CHECKING:
    import numpy as np

    from kallima.compression.files import Compressed
    from kallima.conditions import Wishes
    from kallima.data.dataset import Dataset
    from kallima.evaluation.score import Score
    from kallima.system import System
    from kallima.training.distribution import World
    from kallima.training.plan import Plan


def train(recipe: str, *, data: str | Path, out: str | Path | None = None, **options: Any) -> Run:
    """Train a recipe on data and return its run.

    Args:
        recipe: a name that `kallima recipes` lists.
        data: an embedded set, a folder or a file; see `DataOptions`.
        out: the run directory; by default runs/<recipe>-<data>-<time>.
        options: any field of `DataOptions` or `TrainingOptions`, or any argument of the recipe.

    Raises:
        UsageError: an unknown recipe or option, or a value out of range.
        DataError: the data is broken, or lacks what the recipe needs.
        TrainingError: a loss or gradient is not finite; a checkpoint from before is kept.
        Interrupted: Ctrl-C or a SIGTERM ended it early, after a checkpoint; a second Ctrl-C ends it at once.
    """
    job = Job.resolve(recipe, data, options)  # before torch, which takes seconds to import

    from kallima.training import distribution
    from kallima.training.precision import choose_device

    with _world() as world:
        device = choose_device(job.training.device, world.local_rank)
        dataset = _dataset(job, world)
        folder = Path(distribution.share(str(out or default_folder(job)), world))
        trainer = job.trainer(dataset, device, world)  # before the directory: what cannot be built leaves none behind
        _refuse_unscored(job, trainer.system)
        if world.leads:
            Run.create(folder, job.manifest(dataset, device, world))
        distribution.barrier(world)
        return _fit(job, dataset, trainer, Run(folder))


def plan(recipe: str, *, data: str | Path, **options: Any) -> "Plan":
    """Resolve everything that `train` would do (shapes, parameters, memory, time) without doing it.

    Takes what `train` takes; a few steps are run on a throwaway copy for the estimates.
    """
    job = Job.resolve(recipe, data, options)

    from kallima.training.distribution import World
    from kallima.training.plan import Plan, measure
    from kallima.training.precision import choose_device, device_name

    device = choose_device(job.training.device)
    dataset = _dataset(job, World())
    trainer = job.trainer(dataset, device, World())
    try:
        memory, seconds = measure(trainer)
    finally:
        for stream in trainer.streams.values():
            stream.close()
    return Plan(
        recipe=job.recipe.name,
        arguments=job.arguments,
        options=dataclasses.asdict(job.data) | dataclasses.asdict(job.training),
        fields=dataset.spec.to_json(),
        examples=len(dataset),
        parameters={player.name: sum(p.numel() for p in player.parameters()) for player in trainer.players},
        device=device_name(device),
        memory=memory,
        seconds_per_step=seconds,
        seconds=seconds * job.steps,
    )


def resume(
    run: str | Path | Run,
    *,
    steps: int | None = None,
    data: str | Path | None = None,
    doctor: Literal["warn", "stop", "rollback", "off"] | None = None,
) -> Run:
    """Go on with a run from its last checkpoint, exactly as if it had never stopped.

    Args:
        run: the run directory.
        steps: a new total, to train longer than first planned.
        data: where the data lies now, if it has moved; its content must be the same.
        doctor: what happens from here on when training goes wrong; by default as the run was told.

    Raises:
        RunError: there is no run or checkpoint, it is in use, or its recipe, arguments or data are not what they were.
        Interrupted: as for `train`.
    """
    import torch

    from kallima.training import checkpoint
    from kallima.training.precision import choose_device

    run = Run(run)
    job = Job.from_manifest(run.manifest)
    if data is not None:
        job = dataclasses.replace(job, data=dataclasses.replace(job.data, data=str(data)))
    if steps is not None:
        job = dataclasses.replace(job, training=dataclasses.replace(job.training, steps=steps))
    if doctor is not None:
        job = dataclasses.replace(job, training=dataclasses.replace(job.training, doctor=doctor))
    last = checkpoint.latest(run.path / "checkpoints")
    if last is None:
        raise RunError(f"{run} has no checkpoint to go on from: train anew")
    if int(last.name) > job.steps:
        raise UsageError(f"{run} is at step {int(last.name)} already: --steps {job.steps} lies behind it")
    with _world() as world:
        device = choose_device(job.training.device, world.local_rank)
        was = run.manifest["environment"]
        if device.type == "cpu":
            torch.set_num_threads(was["threads"])  # the number of threads decides the order of sums
        dataset = _dataset(job, world)
        refuse_other(run, checkpoint.identity(last), job.identity(dataset))
        trainer = job.trainer(dataset, device, world)
        if world.leads:
            manifest = job.manifest(dataset, device, world)
            say_differences(was, manifest["environment"])
            run.update(training=manifest["training"], source=manifest["source"])
        return _fit(job, dataset, trainer, run)


def load(run: str | Path | Run, *, device: str = "auto", change: Sequence[str] = ()) -> "System":
    """Return a trained system, with averaged weights and in evaluation mode: `load(run).sample(64)`.

    Args:
        run: a run directory, or a directory with a shipped model (model.safetensors and config.json).
        device: auto, cpu, cuda, cuda:1 or mps.
        change: arguments of the recipe to be others than in training, such as "evaluations=64": those that change how a
            model is used, and none of its weights.

    Raises:
        RunError: there is no model, or its weights do not fit its recipe.
        UsageError: what is to be changed is no argument of the recipe.
    """
    from safetensors.torch import load_file

    from kallima.recipe import get_recipe
    from kallima.training import checkpoint
    from kallima.training.precision import choose_device

    place = Path(run)
    if (place / "config.json").is_file():
        about = json.loads((place / "config.json").read_text())
        weights = load_file(place / "model.safetensors")
    else:
        about = Run(place).manifest
        last = checkpoint.latest(place / "checkpoints")
        if last is None:
            raise RunError(f"{place} has no checkpoint yet")
        state, _ = checkpoint.load(last)
        weights = state["weights"] | state["averages"]
    recipe = get_recipe(about["recipe"])
    changed = dict(each.partition("=")[::2] for each in change)
    system = recipe.build(Spec.from_json(about["spec"]), **recipe.resolve(about["arguments"] | changed))
    try:
        system.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise RunError(
            f"the weights in {place} do not fit the recipe '{recipe.name}' of this kallima: {first}"
        ) from error
    return system.to(choose_device(device)).eval().requires_grad_(False)


def sample(
    run: str | Path | Run,
    count: int = 64,
    *,
    condition: "str | Wishes | Sequence[Wishes] | None" = None,
    seed: int = 0,
    out: str | Path | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    beams: int = 1,
    change: Sequence[str] = (),
    device: str = "auto",
) -> "np.ndarray":
    """Draw examples in the data's own units: images uint8 (count, H, W, C), points float32 (count, D), texts (count,).

    Args:
        run: the run directory.
        count: how many, of each condition.
        condition: what a conditional system is asked for: "label=G, bold=true"; several, a row of the picture each,
            with semicolons: "label=G; label=Q", or "label=*" for every class. Left out it is as in the data.
        seed: equal seeds give equal samples, and the same latents under every condition.
        out: also write them: a picture (.png), an array `samples` (.npz), texts (.txt), sounds one after the other
            (.wav), videos side by side (.gif), or one file each (a folder, ending in /).
        temperature: of a system that makes examples piece by piece: below 1 it keeps to what is likely, 0 takes the
            likeliest.
        top_k: of such a system: choose among the k likeliest pieces.
        top_p: of such a system: choose among the likeliest pieces that have this much of the probability together.
        beams: of such a system of texts: search for the likeliest whole with so many beginnings in view.
        change: arguments of the recipe to be others than in training, where they change no weight: evaluations=64, of a
            flow, or guidance=3.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    from kallima.decoding import Decoding
    from kallima.reporting.export import ending, write_samples
    from kallima.sampling.drawing import draw_rows, rows_of

    if count < 1:
        raise UsageError(f"-n must be at least 1, not {count}")
    decoding = Decoding(temperature, top_k, top_p, beams)
    system = load(run, device=device, change=change)
    if out is not None:
        ending(str(out), system.spec.medium)  # before the work, not after it
    rows = rows_of(system, condition)
    with _world() as world, showing(world) as show:
        samples = draw_rows(
            *(system, count, rows),
            seed=seed,
            decoding=decoding,
            progress=lambda done, total: show("sampling", done, total),
        )
    if out is not None:
        write_samples(samples, str(out), system.spec.medium, rate=system.spec.rate, rows=rows)
    return samples


def evaluate(
    run: str | Path | Run | None = None,
    *,
    samples: "str | Path | np.ndarray | Sequence[str] | None" = None,
    data: "str | Path | np.ndarray | Sequence[str] | None" = None,
    split: str = "train",
    metrics: Sequence[str] | None = None,
    features: str = "auto",
    count: int | None = None,
    seed: int = 0,
    device: str = "auto",
    samples_key: str | None = None,
    out: str | Path | None = None,
    key: str | None = None,
    size: int | None = None,
    crop: str | None = None,
    channels: int | None = None,
    skip_bad: bool = False,
) -> "list[Score]":
    """Judge a run, or any samples, against real data: scores, each with its receipt.

    From Python, `samples` and `data` may be arrays too: images uint8 (N, H, W, C), points (N, D), or texts (N,).

    Args:
        run: the run directory; or, instead of a run, --samples.
        samples: a folder of images, an .npz, .npy, idx, .tar or .tar.gz file, or a .txt with one text a line, to be
            judged without a run.
        data: what to compare with, of the same kind, or an .npz of reference statistics (mu and sigma); a run by
            default with the data it was trained on.
        split: which part of the data to compare with, where it has several.
        metrics: which of them, such as fid,kid,precision; by default all that apply, but the slowest and those that
            compare pairs (mse, rouge, …). A run is asked besides for what its system can do: error, label-recovery.
        features: what images are compared by: auto, probe, inception, pixels, random, dinov2:FOLDER, clip:FOLDER or
            onnx:FILE.
        count: how many samples; by default 10,000 images or 2,500 points of a run (2,000 asked for by condition), and
            all of --samples.
        seed: decides the samples, and which real examples are used.
        device: auto, cpu, cuda, cuda:1 or mps.
        samples_key: which array of an .npz of samples to read, where its names don't say.
        out: where to write the scores as JSON; by default RUN/scores.json, and those of --samples nowhere.
        key: which array of an .npz of data to read; this and what follows is as in `DataOptions`.
        size: height and width at which the images of `data` are seen, and the samples alike.
        crop: how they become square: centre, random or none.
        channels: 1, 3 or 4.
        skip_bad: go on without the files that cannot be read.

    Raises:
        UsageError: neither a run nor samples, or both; a metric or extractor that is unknown or does not apply.
        DataError: the data or the samples are broken, or do not go together.
    """
    if (run is None) == (samples is None):
        raise UsageError("give what is to be judged: " + ("a run or --samples" if run is None else "not both of them"))
    if samples is not None and data is None:
        raise UsageError("--samples are judged against real data: say which with --data")
    given: dict[str, Any] = {"key": key, "size": size, "crop": crop, "channels": channels, "skip_bad": skip_bad}
    options = {name: value for name, value in given.items() if value is not None and value is not False}
    if run is not None:
        refuse_for_run(data, samples_key, options)
    judged = None if run is None else Run(run)
    job = None if judged is None else Job.from_manifest(judged.manifest)

    from kallima.evaluation.sets import open_samples, open_truth
    from kallima.reporting.neighbours import keep_neighbours
    from kallima.sampling.drawing import draw

    with _world() as world, showing(world) as progress:
        options["progress"] = lambda done, total: progress("preparing the data", done, total)
        how: dict[str, Any] = {"metrics": metrics, "features": features, "seed": seed, "device": device}
        how |= {"world": world, "progress": progress}
        if job is None:
            assert samples is not None
            assert data is not None
            truth = open_truth(data, split=split, metrics=metrics, seed=seed, **options)
            options["key"] = samples_key
            made, notes = open_samples(samples, truth.real, count=count, seed=seed, metrics=metrics, **options)
            scores = judge(made, truth, notes=notes, **how)
        else:
            assert judged is not None
            system = load(judged, device=device)
            truth = truth_of_run(job, system.spec, data, split, metrics, seed, options)
            how["suspects"] = keep_neighbours(judged.path) if out is None and world.leads else None
            scores = judge_run(system, truth, lambda number: draw(system, number, seed=seed), count=count, **how)
        kept: dict[str, Any] = {"scores": [score.to_json() for score in scores]}
        if judged is not None:
            kept = {"step": judged.step, **kept}
            out = judged.path / "scores.json" if out is None else out
        if out is not None and world.leads:
            write_whole(Path(out), json.dumps(kept, indent=2).encode())
    return scores


def compress(run: str | Path | Run, image: str | Path, out: str | Path, *, device: str = "auto") -> "Compressed":
    """Compress an image to a file, by a run of an image codec, and say what it cost.

    What was written is read back and held against what was meant before this returns.

    Args:
        run: the run directory; the same weights are needed to decompress.
        image: an image file, of any size.
        out: the file to write, such as photo.klm.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        UsageError: the run is no codec, or the extra `compression` is not installed.
        DataError: the image cannot be read, is too large, or has colours that the run does not know.
    """
    from kallima.compression.files import compress_file

    return compress_file(load(run, device=device), Path(image), Path(out))


def decompress(
    run: str | Path | Run, file: str | Path, out: str | Path | None = None, *, device: str = "auto"
) -> "np.ndarray":
    """Turn a compressed file into the image again: uint8 (H, W, C).

    Args:
        run: the run directory that the file was made with.
        file: what `compress` wrote.
        out: where to write the image, as .png.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        UsageError: as for `compress`, or `out` does not end in .png.
        DataError: the file is damaged, cut short, or was made with other weights.
    """
    from kallima.compression.files import decompress_file

    return decompress_file(load(run, device=device), Path(file), None if out is None else Path(out))


def report(run: str | Path | Run) -> Path:
    """Write the run's report.html, one file that needs no network, and return its path.

    Args:
        run: the run directory.
    """
    from kallima.reporting.report import write_report

    return write_report(Run(run).path)


def compare(runs: Sequence[str | Path | Run], *, out: str | Path = "compare.html", force: bool = False) -> Path:
    """Write a page that holds runs against one another, ranked metric by metric, and return its path.

    A metric whose scores were not measured alike is not ranked; the page names the field that differs.

    Args:
        runs: two or more run directories.
        out: the page to write.
        force: rank them even so, with a warning.
    """
    from kallima.reporting.compare import write_comparison

    return write_comparison([Run(run).path for run in runs], Path(out), force=force)


@contextmanager
def _world() -> "Iterator[World]":
    from kallima.training import distribution

    try:
        yield distribution.join()
    finally:
        distribution.leave()


def _dataset(job: Job, world: "World") -> "Dataset":
    """Open and prepare a job's data, with a bar on a terminal."""
    with showing(world) as show:
        return job.dataset(lambda done, total: show("preparing the data", done, total))


def _refuse_unscored(job: Job, system: "System") -> None:
    """Refuse --evaluate-every where no score could be taken, before any step is made."""
    from kallima.system import ScoresLikelihood

    if job.training.evaluate_every and not (_scored_by_samples(system) or isinstance(system, ScoresLikelihood)):
        raise UsageError(f"--evaluate-every: there is no score of {job.recipe.name} while it trains: leave it out")


def _scored_by_samples(system: "System") -> bool:
    """Say whether samples of the system are cheap to draw, and judged by a score."""
    from kallima.system import Completes, Samples

    return system.spec.medium in HEADLINE and isinstance(system, Samples) and not isinstance(system, Completes)


def _fit(job: Job, dataset: "Dataset", trainer: Any, run: Run) -> Run:
    """Train, then ship the model and write the report."""
    from kallima.evaluation.sets import Truth
    from kallima.sampling.drawing import draw
    from kallima.system import capabilities
    from kallima.training.loop import Watch, fit
    from kallima.training.shipping import ship

    def picture(system: "System", step: int) -> None:
        show_samples(system, dataset, step, run.path / "samples", seed=job.training.seed)

    def score(system: "System") -> tuple[dict[str, float], bool]:
        truth = Truth(dataset, dataset)
        if _scored_by_samples(system):
            made = draw(system, QUICK, seed=job.training.seed)
            scores = judge(made, truth, metrics=[HEADLINE[dataset.spec.medium]], seed=job.training.seed)
        else:
            how: dict[str, Any] = {"seed": job.training.seed, "device": str(trainer.device), "metrics": ["nll"]}
            scores = judge_run(system, truth, lambda count: draw(system, count, seed=job.training.seed), **how)
        return {score.metric: score.value for score in scores}, scores[0].direction == "lower"

    watch = Watch(picture, score, doctor_of(job, dataset, trainer.device))
    if not trainer.world.leads:
        fit(trainer, run, job.training, {}, watch)
        return run
    with run.locked():
        run.update(capabilities=capabilities(trainer.system))
        fit(trainer, run, job.training, job.identity(dataset), watch)
        if job.training.doctor != "off":
            keep(run)
        if run.status == "finished":
            ship(run, trainer.average.system, job.recipe, job.arguments)
        report(run)
    return run


QUICK = 2_000  # how many samples a score during training rests on
HEADLINE = {"image": "fid", "points": "energy-distance"}  # which score decides what checkpoint is the best
