"""The doctor at the bedside: what a training needs of whoever watches it, and how it goes back when it is told to.

Training knows no diagnosis: `Attendant` is all that it asks for.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from kallima.system import Player, Schedule, System

MOST_ROLLBACKS = 3
"""How often a training goes back before it is given up."""


class Complaint(Protocol):
    """What is wrong; as text it is one plain sentence."""

    @property
    def since(self) -> int:
        """The step at which it began."""
        ...


class Attendant(Protocol):
    """Watches a training by its events, of which alone its judgement is a function."""

    every: int

    @property
    def findings(self) -> Sequence[Complaint]:
        """What is wrong, as last judged."""
        ...

    def measure(self, system: System) -> Mapping[str, float]:
        """Return signs of how the system's samples are; neither it nor the default generators may be touched."""
        ...

    def note(self, step: int, name: str, value: float) -> None:
        """Take note of an event."""
        ...

    def recall(self, events: Path) -> None:
        """Know what the file of events says, and nothing else."""
        ...

    def examine(self) -> Sequence[Complaint]:
        """Judge; return what is found for the first time."""
        ...

    def fatal(self) -> Complaint | None:
        """Return what the training should not go on with, as last judged."""
        ...


class Way:
    """The way back: the checkpoints that were healthy, and how often the training has gone back to one.

    Each return multiplies all learning rates by `factor`, once more each time.
    """

    def __init__(self, players: Sequence[Player], factor: float):
        self._factor, self.rollbacks = factor, 0
        self._healthy: list[int] = []
        self._schedules = {player: player.schedule for player in players}

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint has to keep."""
        return {"rollbacks": self.rollbacks, "healthy": self._healthy}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        self._healthy = list(state["healthy"])
        self._slow(state["rollbacks"])

    @property
    def spared(self) -> list[int]:
        """The steps of the checkpoints that must be kept."""
        return self._healthy

    def healthy(self, step: int) -> None:
        """Remember a checkpoint: what is wrong shows late, so the one before is remembered too."""
        if step not in self._healthy:
            self._healthy = [*self._healthy, step][-2:]

    def back_from(self, since: int, best: Mapping[str, Any] | None) -> int | None:
        """Return the step to go back to from what began at `since`: the best's, or else the last healthy one."""
        if self.rollbacks == MOST_ROLLBACKS:
            return None
        if best is not None and best.get("kept", True) and best["step"] <= since:
            return best["step"]
        before = [step for step in self._healthy if step <= since]
        return max(before) if before else min(self._healthy, default=None)

    def gone_back(self, step: int, times: int) -> None:
        """Go on from `step` with smaller steps, after so many returns in all."""
        self._healthy = [step]
        self._slow(times)

    def _slow(self, times: int) -> None:
        self.rollbacks = times
        for player, schedule in self._schedules.items():
            player.schedule = _scaled(schedule, self._factor**times) if times else schedule


def _scaled(schedule: Schedule | None, factor: float) -> Schedule:
    return lambda progress: factor * (schedule(progress) if schedule else 1.0)
