"""How often a system that classifies is wrong, and the baseline that it brings along."""

from typing import Any

from kallima.evaluation.capability.subject import Found, Subject, lacks_labels
from kallima.evaluation.resampling import share_of
from kallima.system import Classifies


def error(subject: Subject) -> Found:
    """Return the share of the real examples whose most probable class is not theirs."""
    return _error(subject, subject.system)


def baseline_error(subject: Subject) -> Found:
    """Return the same of the system's `baseline`: what its network reaches on the labelled examples alone."""
    return _error(subject, subject.system.baseline)


def lacks_baseline(subject: Subject) -> str | None:
    """Say that the system brings no baseline, if so."""
    if isinstance(getattr(subject.system, "baseline", None), Classifies):
        return lacks_labels(subject)
    return f"needs a system that trains a baseline beside it, and {subject.name} does not"


def _error(subject: Subject, classifier: Any) -> Found:
    predicted = subject.ask(classifier.classify, subject.seen, "classifying").argmax(1)
    notes = []
    if subject.is_held_against_known:
        notes.append("of the split that it was trained on: --split test, where there is one, tells what it has learned")
    wrong = (predicted != subject.seen.labels).numpy()
    return Found(share_of(wrong, notes), subject.real, real=len(wrong))
