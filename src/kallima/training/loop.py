"""The whole of a training: steps, records, pictures, scores, checkpoints, and a clean end however it comes."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from kallima.data.spec import MEDIA
from kallima.errors import Interrupted, KallimaError, TrainingError
from kallima.options import TrainingOptions
from kallima.system import System
from kallima.training import checkpoint, distribution
from kallima.training.attendance import Attendant, Way
from kallima.training.events import NotFiniteError, Progress, Recorder
from kallima.training.precision import emulated
from kallima.training.run import Run
from kallima.training.trainer import Trainer


@dataclass(frozen=True)
class Watch:
    """What is done with the averaged system while it trains; both may take their time, neither may change it.

    `picture(system, step)` draws a sample grid. `score(system)` returns scores by metric, of which the first decides
    what is best, and whether lower is better. The `doctor` says what goes wrong.
    """

    picture: Callable[[System, int], None]
    score: Callable[[System], tuple[Mapping[str, float], bool]] | None = None
    doctor: Attendant | None = None


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

    `identity` goes into every checkpoint. Only the leading process writes.

    Raises:
        TrainingError: a loss or gradient is not finite, or a file cannot be written; run.json then says "failed".
        Interrupted: a signal ended the sitting early; run.json then says "interrupted".
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
    if sitting.interrupted:
        raise sitting.interrupted


class _Sitting:
    """One process's work on a run, from start or resumption to the end."""

    def __init__(self, trainer: Trainer, run: Run, options: TrainingOptions, identity: Mapping[str, Any], watch: Watch):
        self.trainer, self.run, self.options, self.watch = trainer, run, options, watch
        self.identity = dict(identity)
        self.leads = trainer.world.leads
        self.best: dict[str, Any] | None = None
        self.interrupted: Interrupted | None = None
        self.doctor = None if options.doctor == "off" else watch.doctor
        self.way = Way(trainer.players, options.rollback_factor)
        self.folder = run.path / "checkpoints"
        recorded: Mapping[str, Any] = {"events": 0, "pending": {}}
        last = checkpoint.latest(self.folder)
        if last is not None:
            state, recorded = checkpoint.load(last)
            trainer.load(state)
            self.best = recorded["best"]
            self.way.load(recorded.get("way", self.way.state()))
        self.recorder = None
        if self.leads:
            self.recorder = Recorder(
                run.path,
                tensorboard=options.tensorboard,
                overflow_allowed=options.precision == "fp16",
                listener=self.doctor.note if self.doctor else None,
            )
            self.recorder.load(recorded)
            if self.doctor:
                self.doctor.recall(run.path / "events.jsonl")
        assert options.batch_size is not None
        self.batch_size = options.batch_size
        unit = MEDIA[trainer.system.spec.medium]
        self.progress = Progress(trainer.steps, trainer.step, batch_size=self.batch_size, unit=unit, visible=self.leads)

    def play(self, interruption: Interruption) -> None:
        trainer, options = self.trainer, self.options
        if self.recorder:
            self.run.update(status="running", message=None, step=trainer.step)
            self.recorder.start(trainer.step)
            if emulated(options.precision, trainer.device):
                self.progress.say(
                    f"{options.precision} is only imitated on this processor: --precision 32 is likely faster"
                )
            if checkpoint.latest(self.folder) is None:
                self.save()  # so that there is one to go back to, whatever happens
        while trainer.step < trainer.steps:
            try:
                if self.turn(interruption):
                    return
            except NotFiniteError as error:
                back = self.way.back_from(trainer.step, self.best) if options.doctor == "rollback" else None
                if back is None or trainer.world.size > 1:  # the other ranks don't know of it
                    raise
                self.go_back(back, str(error))
        if self.recorder:
            # after the checkpoint: a run that is resumed to go further takes these lines back
            self.log()
            if self.doctor:
                if trainer.step % self.doctor.every:
                    self.measure()
                self.doctor.examine()
                quiet = "nothing looks wrong" if trainer.step >= 5 * self.doctor.every else "too short to judge"
                told = list(map(str, self.doctor.findings)) or [quiet]
                self.progress.say("\n".join(f"doctor: {sentence}" for sentence in told))
            self.run.update(status="finished", step=trainer.step, message=None)

    def turn(self, interruption: Interruption) -> bool:
        """Make one step and all that is due after it; say whether the sitting is over."""
        trainer, options = self.trainer, self.options
        scalars = trainer.play()
        step, last = trainer.step, trainer.step == trainer.steps
        self.progress.advance()
        if self.recorder:
            self.recorder.add(step, scalars)
        if step % options.log_every == 0:
            self.log()
        if self.doctor and step % self.doctor.every == 0 and (order := self.attend()):
            reason, back = order
            if back is not None:
                self.go_back(back, reason)
                return False
            self.stop(reason)
            return True
        if (options.sample_every and step % options.sample_every == 0) or last:
            self.picture()
        best = bool(options.evaluate_every) and step % options.evaluate_every == 0 and self.judge()
        stopped = distribution.any_rank(interruption.received is not None, trainer.world)
        if step % options.checkpoint_every == 0 or best or last or stopped:
            self.save()
        if stopped and not last:
            # of several processes only one may have had it
            self.interrupted = Interrupted(self.run.path, step, interruption.received or signal.SIGINT)
            if self.leads:
                self.run.update(status="interrupted", step=step, message=f"stopped by a signal at step {step}")
                self.progress.say(str(self.interrupted))
            return True
        return False

    def measure(self) -> None:
        """Record the vital signs of the samples."""
        assert self.recorder
        assert self.doctor
        for name, value in self.doctor.measure(self.trainer.average.system).items():
            self.recorder.write(self.trainer.step, f"samples/{name}", value)

    def attend(self) -> tuple[str, int | None] | None:
        """Let the doctor look and speak; return on every rank why to stop or to go back, and to which step."""
        assert self.doctor
        mode, order = self.options.doctor, None
        if self.recorder:
            self.measure()
            self.speak()
            if mode != "warn" and (complaint := self.doctor.fatal()):
                back = self.way.back_from(complaint.since, self.best) if mode == "rollback" else None
                order = (str(complaint), back)
        return None if mode == "warn" else distribution.share(order, self.trainer.world)

    def speak(self) -> None:
        """Let the doctor judge, and say what is new."""
        assert self.doctor
        for finding in self.doctor.examine():
            self.progress.say(f"doctor: {finding}")

    def stop(self, reason: str) -> None:
        """End the run here, with a checkpoint."""
        self.save()
        if self.leads:
            self.run.update(status="stopped", step=self.trainer.step, message=f"stopped by the doctor: {reason}")
            anyway = f"go on all the same with: kallima resume {self.run} --doctor warn"
            self.progress.say(f"stopped by the doctor at step {self.trainer.step}; {anyway}")

    def go_back(self, step: int, reason: str) -> None:
        """Take up the checkpoint of an earlier step again, with smaller steps from there on."""
        trainer, at, times = self.trainer, self.trainer.step, self.way.rollbacks + 1
        state, recorded = checkpoint.load(self.folder / f"{step:08d}")
        distribution.barrier(trainer.world)  # before it is written again
        trainer.load(state)
        gone = self.best is not None and self.best != recorded["best"]
        # an earlier best may have been retired for a later one
        self.best = {**recorded["best"], "kept": False} if gone and recorded["best"] else recorded["best"]
        self.way.load(recorded.get("way", self.way.state()))
        self.way.gone_back(step, times)
        if self.recorder:
            checkpoint.go_back(self.folder, step)
            self.recorder.load(recorded)
            self.recorder.start(step)
            if self.doctor:
                self.doctor.recall(self.run.path / "events.jsonl")
            self.recorder.write(step, "doctor/rollbacks", times)
            self.save()
            self.progress.back_to(step)
            rates = f"learning rates times {self.options.rollback_factor**times:g}"
            self.progress.say(f"doctor: back from step {at:,} to step {step:,}, {rates}: {reason}")

    def log(self) -> None:
        if not self.recorder:
            return
        try:
            means = self.recorder.flush(self.trainer.step, self.batch_size)
        except NotFiniteError as error:
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
        except NotFiniteError as error:
            raise self.steadier(error) from error
        step = self.trainer.step
        if self.doctor and self.options.doctor == "rollback" and step % self.options.checkpoint_every == 0:
            self.speak()
            if self.doctor.fatal() is None:
                self.way.healthy(step)
        extra = {"identity": self.identity, "best": self.best, "way": self.way.state(), **events}
        checkpoint.save(self.folder, self.trainer.state(), extra)
        best = [self.best["step"]] if self.best else []
        checkpoint.retire(self.folder, self.options.keep, [*best, *self.way.spared])
        self.run.update(step=step)

    def with_way_back(self, error: TrainingError) -> TrainingError:
        last = checkpoint.latest(self.folder)
        return type(error)(f"{error}; " + (f"the last good checkpoint is {last}" if last else "there is no checkpoint"))

    def steadier(self, error: TrainingError) -> TrainingError:
        return type(error)(f"{self.with_way_back(error)}; a lower learning rate or gradient clipping usually helps")

    def close(self) -> None:
        if self.recorder:
            with suppress(OSError):  # a full disk has been reported already
                self.recorder.close()
        self.progress.close()
        for stream in self.trainer.streams.values():
            stream.close()
