"""What is recorded while a run trains: events.jsonl, timing.jsonl, a progress bar, and TensorBoard where asked for."""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor
from tqdm import tqdm

from kallima.errors import TrainingError, import_extra


class NotFiniteError(TrainingError):
    """A loss or a gradient is not finite."""


class Recorder:
    """Gathers scalars on the device and reads them once an interval.

    events.jsonl holds only what follows from seed and data, so that a resumed run writes the same bytes; what a clock
    says goes to timing.jsonl. `overflow_allowed`: gradients may be infinite, as in fp16, whose scaler skips the step.
    `listener` is told of every event that is written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tensorboard: bool = False,
        overflow_allowed: bool = False,
        listener: Callable[[int, str, float], None] | None = None,
    ):
        self._folder = folder
        self._listener = listener
        self._events = (folder / "events.jsonl").open("ab")
        self._timing = (folder / "timing.jsonl").open("ab")
        self._pending: dict[str, list[tuple[int, Tensor]]] = {}  # still on the device
        self._read: dict[str, list[tuple[int, float]]] = {}
        self._overflow_allowed = overflow_allowed
        self._board = None
        if tensorboard:
            import_extra("tensorboard", "tensorboard")
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"))
        self._start = self._last_time = time.monotonic()
        self._last_step = 0

    def add(self, step: int, scalars: Mapping[str, Tensor]) -> None:
        """Note the scalars of a step; nothing is read from the device yet."""
        for name, value in scalars.items():
            self._pending.setdefault(name, []).append((step, value))

    def check(self) -> dict[str, list[tuple[int, float]]]:
        """Read what is pending, one transfer a name, and return all values since the last flush.

        Raises:
            NotFiniteError: one is not finite; the message names phase, term and step.
        """
        for name, noted in self._pending.items():
            values = torch.stack([value for _, value in noted]).tolist()
            self._read.setdefault(name, []).extend(zip((step for step, _ in noted), values, strict=True))
        self._pending.clear()
        broken = [
            (step, name, value)
            for name, series in self._read.items()
            for step, value in series
            if not math.isfinite(value) and not (self._overflow_allowed and name.endswith("/gradient_norm"))
        ]
        if broken:
            # of one step's terms the first in the game's order is the cause, the rest follow from it
            step, name, value = min(broken, key=lambda entry: entry[0])
            self.write(step, name, value)  # the last thing that is known of this training
            self._events.flush()
            phase, term = name.split("/", 1)
            what = "gradient" if term == "gradient_norm" else f"loss '{term}'"
            raise NotFiniteError(f"the {what} of phase '{phase}' is {value} at step {step}")
        return self._read

    def flush(self, step: int, examples_per_step: int) -> dict[str, float]:
        """Write the mean of each scalar since the last flush; return them."""
        means = {name: math.fsum(v for _, v in series) / len(series) for name, series in self.check().items()}
        self._read.clear()
        for name, value in means.items():
            self.write(step, name, value)
        clock = time.monotonic()
        if step > self._last_step:
            rate = (step - self._last_step) * examples_per_step / (clock - self._last_time)
            line = {"step": step, "seconds": round(clock - self._start, 3), "images_per_second": round(rate, 2)}
            self._timing.write(json.dumps(line).encode() + b"\n")
            self._timing.flush()
        self._last_time, self._last_step = clock, step
        return means

    def start(self, step: int) -> None:
        """Start the clock."""
        self._start = self._last_time = time.monotonic()
        self._last_step = step

    def write(self, step: int, name: str, value: float) -> None:
        """Append one event; what is not finite is null, as JSON has it."""
        told = value if math.isfinite(value) else None
        self._events.write(json.dumps({"step": step, "name": name, "value": told}).encode() + b"\n")
        if self._board is not None:
            self._board.add_scalar(name, value, step)
        if self._listener is not None:
            self._listener(step, name, value)

    def state(self) -> dict[str, Any]:
        """Make the events durable and return what a checkpoint has to keep.

        Raises:
            NotFiniteError: a pending value is not finite, so that the weights are not worth keeping.
        """
        pending = self.check()
        self._events.flush()
        os.fsync(self._events.fileno())
        return {"events": self._events.tell(), "pending": pending}

    def load(self, state: Mapping[str, Any]) -> None:
        """Cut events.jsonl back to where the checkpoint was made, and take over what was pending."""
        self._events.truncate(state["events"])
        self._events.seek(0, os.SEEK_END)
        self._pending.clear()
        self._read = {name: [(step, value) for step, value in series] for name, series in state["pending"].items()}

    def close(self) -> None:
        """Flush and close the files."""
        self._events.close()
        self._timing.close()
        if self._board is not None:
            self._board.close()


class Progress:
    """A bar on a terminal, plain lines elsewhere; both on standard error. Silent on all ranks but the first."""

    def __init__(self, steps: int, done: int, *, batch_size: int, unit: str, visible: bool):
        self._stream: TextIO = sys.stderr
        self._steps, self._batch_size, self._unit, self._visible = steps, batch_size, unit, visible
        self._start, self._done = time.monotonic(), done
        terminal = visible and self._stream.isatty()
        self._bar = None
        if terminal:
            self._bar = tqdm(total=steps, initial=done, unit="step", dynamic_ncols=True, file=self._stream)

    def advance(self) -> None:
        """Count a step."""
        if self._bar is not None:
            self._bar.update()

    def show(self, step: int, means: Mapping[str, float]) -> None:
        """Show each phase's loss, the rate and the time left."""
        if not self._visible:
            return
        losses: dict[str, float] = {}
        for name, value in means.items():
            phase, term = name.split("/", 1)
            if term != "gradient_norm" and phase != "notes":
                losses[phase] = losses.get(phase, 0.0) + value
        shown = "  ".join(f"{phase} {value:.3f}" for phase, value in losses.items())
        elapsed = max(time.monotonic() - self._start, 1e-9)
        rate = (step - self._done) / elapsed
        if self._bar is not None:
            self._bar.set_postfix_str(f"{rate * self._batch_size:.0f} {self._unit}/s  {shown}")
        else:
            left = (self._steps - step) / rate if rate else 0.0
            line = (
                f"step {step}/{self._steps}  {shown}  {rate * self._batch_size:.0f} {self._unit}/s  {_clock(left)} left"
            )
            print(line, file=self._stream, flush=True)

    def back_to(self, step: int) -> None:
        """Go on counting from an earlier step."""
        self._start, self._done = time.monotonic(), step
        if self._bar is not None:
            self._bar.n = step
            self._bar.refresh()

    def say(self, message: str) -> None:
        """Print a line without breaking the bar."""
        if self._visible:
            tqdm.write(message, file=self._stream) if self._bar is not None else print(
                message, file=self._stream, flush=True
            )

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
