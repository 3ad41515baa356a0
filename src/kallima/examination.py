"""Who the doctor sees: a run, the log of any other program, a training in progress; and what they are held against."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kallima.errors import DataError, UsageError
from kallima.files import write_whole
from kallima.job import Job
from kallima.training.run import Run

if TYPE_CHECKING:
    import numpy as np
    import torch

    from kallima.data.dataset import Dataset
    from kallima.diagnosis.doctor import Doctor
    from kallima.diagnosis.finding import Finding
    from kallima.diagnosis.record import Record
    from kallima.diagnosis.vital_signs import Reference

UNSEEN_LIMIT = 100_000
"""Examples of a data set up to which its test split is opened as well, to tell overfitting by."""


def diagnose(
    run_or_events: "str | Path | Run | Mapping[str, Sequence[tuple[float, float]]]",
    samples: "str | Path | np.ndarray | None" = None,
    data: "str | Path | np.ndarray | None" = None,
    columns: Sequence[str] | None = None,
) -> "list[Finding]":
    """Say what is wrong with a training, the surest first: symptom, since when, how sure, on what evidence, what helps.

    Args:
        run_or_events: a run directory; a log of any program, JSON lines or a table; or, from Python, (step, value)
            pairs by name. Series are known by their names: d_loss, g_loss, accuracy, gradient norms, and scores that
            are named like a metric, such as fid.
        samples: samples of the training as it is now, to be held against the data.
        data: what to hold them against; a run has its own.
        columns: the names of a table's columns from left to right, such as step,d_loss,g_loss,fid.

    Raises:
        UsageError: the columns don't go with the log, or samples have no data to be held against.
        DataError: the log, the samples or the data cannot be read.
        RunError: the run is damaged.
    """
    from kallima.diagnosis.doctor import diagnose as examine
    from kallima.diagnosis.reading import read_log
    from kallima.diagnosis.record import record_of

    run = None
    if isinstance(run_or_events, (str, PathLike)):
        path = Path(run_or_events)
        if path.is_dir():
            run = Run(path)
            if columns is not None:
                raise UsageError("--columns goes with --events: a run's log names its values itself")
            path = path / "events.jsonl"
        known = run is not None and not (path.is_file() and path.stat().st_size)  # a run may just have begun
        record = record_of(()) if known else read_log(path, columns)
    else:
        record = record_of(_in_order(run_or_events))
    if samples is not None:
        job = None if run is None else Job.from_manifest(run.manifest)
        _look_at(record, samples, job.data.data if job is not None and data is None else data, job)
    elif data is not None:
        raise UsageError("data is what samples are held against: give samples too")
    return examine(record)


def keep(run: Run) -> "list[Finding]":
    """Diagnose a run, write its diagnosis.json and return the findings."""
    found = diagnose(run)
    content = {"step": run.step, "findings": [finding.to_json() for finding in found]}
    write_whole(run.path / "diagnosis.json", json.dumps(content, indent=2).encode())
    return found


def doctor_of(job: Job, dataset: "Dataset", device: "torch.device") -> "Doctor":
    """Return the doctor who watches a training; the data is read when the first samples are."""
    from kallima.diagnosis.doctor import Doctor

    return Doctor(lambda: reference(dataset, device, job), job.training.seed)


def reference(dataset: Any, device: "torch.device", job: Job | None = None) -> "Reference":
    """Make what samples are held against of a data set, and of its test split where it is at hand."""
    import numpy as np

    from kallima.data.batch import as_batch
    from kallima.diagnosis.vital_signs import REAL, SAMPLES, TRAINED_ON, Reference

    count = min(len(dataset), TRAINED_ON)
    chosen = np.random.default_rng(0).choice(len(dataset), count, replace=False)
    examples, fields = _examples(dataset, chosen)
    labels = fields.get("label")
    unseen = None
    splits = getattr(dataset.source, "splits", ())
    if job is not None and dataset.split == "train" and "test" in splits and len(dataset) <= UNSEEN_LIMIT:
        from kallima.evaluation.sets import open_data

        own = job.data.beside_name()
        with suppress(DataError):  # it is not what is trained on: broken files there stop nothing
            apart = open_data(job.data.data, split="test", **own)
            # whole batches: a discriminator may judge its examples in packs
            whole = min(len(apart), len(dataset), max(SAMPLES, job.batch_size)) // job.batch_size * job.batch_size
            if 0 < whole <= REAL:
                some = np.random.default_rng(0).choice(len(apart), whole, replace=False)
                unseen = _examples(apart, some)[0].to(device)
    return Reference(
        examples.to(device),
        held_out=unseen,
        labels=None if labels is None else labels.to(device),
        told=as_batch({name: value[:SAMPLES].to(device) for name, value in fields.items()}) if fields else None,
        complete=count == len(dataset),
    )


def _examples(opened: Any, indices: "np.ndarray") -> "tuple[torch.Tensor, dict[str, torch.Tensor]]":
    """Return examples as a system sees them, and what else the data says of them, as it is stored."""
    from kallima.data.batch import from_storage

    fields = dict(opened.read(indices))
    examples = fields.pop("points") if "points" in fields else from_storage(fields.pop("image"))
    return examples, fields


def _look_at(record: "Record", samples: Any, data: Any, job: Job | None) -> None:
    """Add the vital signs of samples to a record, as of its last step."""
    import numpy as np
    import torch

    from kallima.data.spec import Points
    from kallima.evaluation.sets import open_samples, open_truth

    if data is None:
        raise UsageError("samples are held against real data: say which")
    own = {} if job is None else {name: getattr(job.data, name) for name in ("key", "size", "crop", "channels")}
    real = open_truth(data, metrics=[], **own).real
    made, _ = open_samples(samples, real)
    if "points" in real.spec:
        field = real.spec["points"]
        assert isinstance(field, Points)
        x = torch.from_numpy((np.asarray(made) - (field.offset or 0)) / (field.scale or 1)).float()
    else:
        x = _examples(made, np.arange(len(made)))[0]
    for name, value in reference(real, torch.device("cpu")).signs(x).items():
        record.add(record.last_step, f"samples/{name}", value)


def _in_order(series: Mapping[str, Sequence[tuple[float, float]]]) -> Iterable[tuple[float, str, float]]:
    events = [(float(step), name, float(value)) for name, pairs in series.items() for step, value in pairs]
    return sorted(events, key=lambda event: event[0])
