"""The doctor: looks for every symptom in a record, once or all through a training."""

from collections.abc import Callable
from pathlib import Path

from kallima.diagnosis.finding import Finding
from kallima.diagnosis.reading import read_log
from kallima.diagnosis.record import Record
from kallima.diagnosis.symptoms import (
    checkerboard,
    dead_units,
    discriminator_overfitting,
    discriminator_wins,
    divergence,
    exploding_gradients,
    generator_wins,
    latent_ignored,
    learning_stopped,
    mode_collapse,
    mode_dropping,
    non_finite,
    oscillation,
    vanishing_gradients,
)
from kallima.diagnosis.vital_signs import Reference
from kallima.system import Completes, Samples, System

SYMPTOMS = (
    non_finite,
    discriminator_wins,
    generator_wins,
    mode_collapse,
    latent_ignored,
    mode_dropping,
    oscillation,
    divergence,
    discriminator_overfitting,
    exploding_gradients,
    vanishing_gradients,
    dead_units,
    learning_stopped,
    checkerboard,
)

SEEN = ("image", "points")
"""The media whose samples are looked at."""
REPORTED = 0.5
"""Confidence from which on a finding is told."""
ACTED_ON = 0.8
"""Confidence from which on a training is stopped or rolled back for it."""
FATAL = tuple(
    symptom.SYMPTOM
    for symptom in (non_finite, discriminator_wins, generator_wins, mode_collapse, divergence, exploding_gradients)
)
"""The symptoms that a training does not recover from by itself."""


def diagnose(record: Record) -> list[Finding]:
    """Return what is wrong, the surest first."""
    found = [finding for symptom in SYMPTOMS if (finding := symptom.find(record)) is not None]
    told = [finding for finding in found if finding.confidence >= REPORTED]
    return sorted(told, key=lambda finding: -finding.confidence)


class Doctor:
    """Watches one training: all that it knows is in the events, so a resumed one is judged as if it had never stopped.

    `reference` makes the data that samples are held against when it is first needed, `seed` decides the latents.
    """

    every = 100
    """Steps between examinations."""

    def __init__(self, reference: Callable[[], Reference], seed: int):
        self._make_reference, self._seed = reference, seed
        self._reference: Reference | None = None
        self._record = Record()
        self._told: set[str] = set()
        self.findings: list[Finding] = []

    def measure(self, system: System) -> dict[str, float]:
        """Return the vital signs of a system's samples; none where it does not sample, or does so piece by piece.

        Those are slow to draw, and what they are made by cannot collapse: it is held to every training example.
        """
        if not isinstance(system, Samples) or isinstance(system, Completes) or system.spec.medium not in SEEN:
            return {}
        if self._reference is None:
            self._reference = self._make_reference()
        return self._reference.examine(system, self._seed)

    def note(self, step: int, name: str, value: float) -> None:
        """Take note of an event."""
        self._record.add(step, name, value)

    def recall(self, events: Path) -> None:
        """Know again what events.jsonl says, and nothing else; what it shows already has been told."""
        self._record = read_log(events) if events.is_file() and events.stat().st_size else Record()
        self.findings = diagnose(self._record)
        self._told = {finding.symptom for finding in self.findings}

    def examine(self) -> list[Finding]:
        """Look at what is known; return the findings that are new."""
        self.findings = diagnose(self._record)
        new = [finding for finding in self.findings if finding.symptom not in self._told]
        self._told |= {finding.symptom for finding in new}
        return new

    def fatal(self) -> Finding | None:
        """Return the surest of the last findings that a training should not go on with."""
        grave = (f for f in self.findings if f.symptom in FATAL and f.confidence >= ACTED_ON)
        return next(grave, None)
