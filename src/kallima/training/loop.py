"""The whole of a training: steps, records, pictures, scores, checkpoints, and a clean end however it comes."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from kallima.errors import KallimaError, TrainingError
from kallima.options import TrainingOptions
from kallima.system import System
from kallima.training import checkpoint, distribution
from kallima.training.events import Progress, Recorder
from kallima.training.run import Run
from kallima.training.trainer import Trainer


@dataclass(frozen=True)
class Watch:
    """What is done with the averaged system while it trains; both may take their time, neither may change it.

    `picture(system, step)` draws a sample grid. `score(system)` returns scores by metric, of which the first decides
    what is best, and whether lower is better.
    """

    picture: Callable[[System, int], None]
    score: Callable[[System], tuple[Mapping[str, float], bool]] | None = None


class Interruption:
    """Remembers the first SIGINT or SIGTERM, so that the step in hand is finished; a second SIGINT stops at once."""

    received: int | None = None

    def _note(self, number: int, frame: Any) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number

    @contextmanager
    def watched(self) -> Iterator["Interruption"]:
        """Watch for signals; in a thread other than the main one there are none to watch for."""
        try:
            before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:
            before = {}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def fit(trainer: Trainer, run: Run, options: TrainingOptions, identity: Mapping[str, Any], watch: Watch) -> None:
    """Train until `trainer.steps`, from the run's last checkpoint where there is one.

    `identity` goes into every checkpoint. Sets `run.signal` when a signal ended the sitting early. Only the leading
    process writes.

    Raises:
        TrainingError: a loss or gradient is not finite, or a file cannot be written; run.json then says "failed".
    """
    sitting = _Sitting(trainer, run, options, identity, watch)
    with Interruption().watched() as interruption:
        try:
            sitting.play(interruption)
        except BaseException as error:
            if isinstance(error, OSError):
                full = "the disk is full" if error.errno in checkpoint.DISK_FULL else str(error)
                error = sitting.with_way_back(TrainingError(f"cannot write to {run}: {full}"))
            message = str(error) if isinstance(error, KallimaError) else f"{type(error).__name__}: {error}"
            if trainer.world.leads:
                with suppress(KallimaError):  # the disk may be full
                    run.update(status="failed", step=trainer.step, message=message)
            raise error
        finally:
            sitting.close()


class _Sitting:
    """One process's work on a run, from start or resumption to the end."""

    def __init__(self, trainer: Trainer, run: Run, options: TrainingOptions, identity: Mapping[str, Any], watch: Watch):
        self.trainer, self.run, self.options, self.watch = trainer, run, options, watch
        self.identity = dict(identity)
        self.leads = trainer.world.leads
        self.best: dict[str, Any] | None = None
        self.folder = run.path / "checkpoints"
        recorded: Mapping[str, Any] = {"events": 0, "pending": {}}
        last = checkpoint.latest(self.folder)
        if last is not None:
            state, recorded = checkpoint.load(last)
            trainer.load(state)
            self.best = recorded["best"]
        self.recorder = None
        if self.leads:
            self.recorder = Recorder(
                run.path, tensorboard=options.tensorboard, overflow_allowed=options.precision == "fp16"
            )
            self.recorder.load(recorded)
        assert options.batch_size is not None
        self.batch_size = options.batch_size
        unit = "points" if "points" in trainer.system.spec else "images"
        self.progress = Progress(trainer.steps, trainer.step, batch_size=self.batch_size, unit=unit, visible=self.leads)

    def play(self, interruption: Interruption) -> None:
        trainer, options = self.trainer, self.options
        if self.recorder:
            self.run.update(status="running", message=None, step=trainer.step)
            self.recorder.start(trainer.step)
            if checkpoint.latest(self.folder) is None:
                self.save()  # so that there is one to go back to, whatever happens
        while trainer.step < trainer.steps:
            scalars = trainer.play()
            step, last = trainer.step, trainer.step == trainer.steps
            self.progress.advance()
            if self.recorder:
                self.recorder.add(step, scalars)
            if step % options.log_every == 0:
                self.log()
            if (options.sample_every and step % options.sample_every == 0) or last:
                self.picture()
            best = bool(options.evaluate_every) and step % options.evaluate_every == 0 and self.judge()
            stopped = distribution.any_rank(interruption.received is not None, trainer.world)
            if step % options.checkpoint_every == 0 or best or last or stopped:
                self.save()
            if stopped and not last:
                self.run.signal = interruption.received
                if self.leads:
                    self.run.update(status="interrupted", step=step, message=f"stopped by a signal at step {step}")
                    self.progress.say(f"stopped at step {step}; go on with: kallima resume {self.run}")
                return
        if self.recorder:
            # after the checkpoint: a run that is resumed to go further takes these lines back
            self.log()
            self.run.update(status="finished", step=trainer.step, message=None)

    def log(self) -> None:
        if not self.recorder:
            return
        try:
            means = self.recorder.flush(self.trainer.step, self.batch_size)
        except TrainingError as error:
            raise self.steadier(error) from error
        if means:
            self.progress.show(self.trainer.step, means)

    def picture(self) -> None:
        if self.leads:
            self.watch.picture(self.trainer.average.system, self.trainer.step)

    def judge(self) -> bool:
        """Record scores; say whether they are the best so far."""
        better = False
        if self.recorder and self.watch.score:
            scores, lower = self.watch.score(self.trainer.average.system)
            for metric, value in scores.items():
                self.recorder.write(self.trainer.step, f"score/{metric}", value)
            metric, value = next(iter(scores.items()))
            self.progress.say(f"step {self.trainer.step}  {metric} {value:.4g}")
            better = self.best is None or (value < self.best["value"] if lower else value > self.best["value"])
            if better:
                self.best = {"step": self.trainer.step, "metric": metric, "value": value}
        distribution.barrier(self.trainer.world)
        return better

    def save(self) -> None:
        if not self.recorder:
            return
        try:
            events = self.recorder.state()
        except TrainingError as error:
            raise self.steadier(error) from error
        extra = {"identity": self.identity, "best": self.best, **events}
        checkpoint.save(self.folder, self.trainer.state(), extra)
        checkpoint.retire(self.folder, self.options.keep, self.best["step"] if self.best else None)
        self.run.update(step=self.trainer.step)

    def with_way_back(self, error: TrainingError) -> TrainingError:
        last = checkpoint.latest(self.folder)
        return TrainingError(
            f"{error}; " + (f"the last good checkpoint is {last}" if last else "there is no checkpoint")
        )

    def steadier(self, error: TrainingError) -> TrainingError:
        return TrainingError(f"{self.with_way_back(error)}; a lower learning rate or gradient clipping usually helps")

    def close(self) -> None:
        if self.recorder:
            with suppress(OSError):  # a full disk has been reported already
                self.recorder.close()
        self.progress.close()
        for stream in self.trainer.streams.values():
            stream.close()
