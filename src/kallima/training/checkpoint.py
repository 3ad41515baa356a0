"""Checkpoints: complete, atomic, without pickle.

checkpoints/00001000/ holds weights.safetensors, averages.safetensors, optimizers.safetensors and state.json. It is
written aside, synced and renamed: a name without a dot in front is a whole checkpoint, and the highest is the latest.
"""

import errno
import json
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from kallima.errors import RunError, TrainingError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Serialise named tensors as safetensors. Tied ones, which the format refuses to share, are written twice."""
    seen: set[int] = set()
    flat = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        flat[name] = plain.clone() if plain.data_ptr() in seen else plain
        seen.add(plain.data_ptr())
    return tensors_to_bytes(flat)


def save(folder: Path, state: Mapping[str, Any], extra: Mapping[str, Any]) -> Path:
    """Write `Trainer.state()` and what else must go with it (plain JSON) as a checkpoint; return its path.

    Raises:
        TrainingError: it cannot be written, as on a full disk; earlier checkpoints are as they were.
    """
    target = folder / f"{state['step']:08d}"
    aside = folder / f".tmp-{target.name}-{os.getpid()}"
    optimizer_tensors, optimizer_values = _split_optimizers(state["optimizers"])
    plain = {"step": state["step"], "positions": state["positions"], "scalers": state["scalers"], **extra}
    plain["optimizers"] = optimizer_values
    try:
        _remove_leftovers(folder)
        aside.mkdir(parents=True)
        _write(aside / "weights.safetensors", to_bytes(state["weights"]))
        _write(aside / "averages.safetensors", to_bytes(state["averages"]))
        _write(aside / "optimizers.safetensors", to_bytes(optimizer_tensors))
        _write(aside / "state.json", json.dumps(plain).encode())
        _sync(aside)
        if target.exists():  # the same step, saved again after a resume
            target.rename(folder / f".tmp-{target.name}-replaced")
        aside.rename(target)
        _sync(folder)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        cause = "the disk is full" if error.errno in DISK_FULL else error.strerror
        kept = latest(folder)
        left = f"the last good checkpoint is {kept}" if kept else "there is no checkpoint yet"
        raise TrainingError(f"cannot write the checkpoint of step {state['step']}: {cause}; {left}") from error
    return target


def load(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a checkpoint: the state (on the CPU) that `Trainer.load` takes, and all plain values written with it.

    Raises:
        RunError: a file is missing or damaged.
    """
    try:
        plain = json.loads((path / "state.json").read_bytes())
        weights, averages, optimizers = (
            tensors_from_bytes((path / f"{part}.safetensors").read_bytes())
            for part in ("weights", "averages", "optimizers")
        )
    except Exception as error:  # safetensors raises a class of its own, which is no OSError
        raise _damaged(path, error) from error
    state = {"weights": weights, "averages": averages, "optimizers": _join_optimizers(optimizers, plain["optimizers"])}
    return state | {name: plain[name] for name in ("step", "positions", "scalers")}, plain


def identity(path: Path) -> dict[str, Any]:
    """Return what the trainer that wrote the checkpoint was told must not change.

    Raises:
        RunError: the checkpoint is damaged.
    """
    try:
        return json.loads((path / "state.json").read_bytes())["identity"]
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def all_of(folder: Path) -> list[Path]:
    """Return the whole checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("[0-9]*") if path.is_dir())


def latest(folder: Path) -> Path | None:
    """Return the newest whole checkpoint, or None."""
    found = all_of(folder)
    return found[-1] if found else None


def retire(folder: Path, keep: int, spared: Collection[int]) -> None:
    """Delete all but the newest `keep` checkpoints and those of the steps `spared`."""
    for path in all_of(folder)[:-keep]:
        if int(path.name) not in spared:
            _delete(path)


def go_back(folder: Path, step: int) -> None:
    """Delete the checkpoints after `step`, the newest first: whenever this ends, what is left is a run cut short."""
    for path in reversed(all_of(folder)):
        if int(path.name) > step:
            _delete(path)


def _delete(path: Path) -> None:
    # renamed first: a crash must not leave half a checkpoint under a good name
    shutil.rmtree(path.rename(path.with_name(f".tmp-{path.name}-retired")))


def _split_optimizers(states: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, values = {}, {}
    for player, state in states.items():
        for index, entries in state.items():
            for key, value in entries.items():
                where = f"{player}.{index}.{key}"
                if isinstance(value, Tensor):
                    tensors[where] = value
                else:
                    values[where] = value
    return tensors, values


def _join_optimizers(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> dict[str, Any]:
    states: dict[str, Any] = _Nested()
    for where, value in (*tensors.items(), *values.items()):
        player, index, key = where.rsplit(".", 2)
        states[player].setdefault(int(index), {})[key] = value
    return states


class _Nested(dict[str, Any]):
    """A player that has not moved yet has no entries, and an empty state."""

    def __missing__(self, key: str) -> dict[int, Any]:
        self[key] = {}
        return self[key]


def _damaged(path: Path, error: Exception) -> RunError:
    return RunError(f"the checkpoint {path} is damaged ({error}): delete it to go on from the one before")


def _remove_leftovers(folder: Path) -> None:
    for path in folder.glob(".tmp-*"):
        shutil.rmtree(path, ignore_errors=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
