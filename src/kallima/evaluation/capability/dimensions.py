"""How well a system foresees the numbers that images are made of."""

from typing import Protocol, runtime_checkable

import torch

from kallima.errors import DataError
from kallima.evaluation.capability import likelihood
from kallima.evaluation.capability.subject import Found, Subject, lacks_images
from kallima.evaluation.likelihood.bits import bits_per_dim
from kallima.system import ScoresLikelihood


@runtime_checkable
class CountsComponents(ScoresLikelihood, Protocol):
    """Gives whole numbers a probability: log p(x) exactly, of examples of `count` numbers each."""

    count: int


def bits_per_dimension(subject: Subject) -> Found:
    """Return −log₂ p(x) by the number of the components of x: levels of channels, or places in a palette.

    Raises:
        DataError: the system answers NaN, or holds an image for impossible.
    """
    system = subject.system
    assert isinstance(system, CountsComponents)
    found = []
    with torch.no_grad():
        for batch in subject.seen.records(system.device):  # type: ignore[attr-defined]  # every system has one
            found.append(system.log_weights_of(batch, 1)[0].double().cpu())
    nats = torch.cat(found)
    if not nats.isfinite().all():
        raise DataError(f"{subject.name} holds some of the images for impossible, or answers NaN: it has diverged")
    measure = bits_per_dim(nats, system.count, dequantisation="none")
    notes = [*measure.notes, *system.likelihood_notes, f"{system.count:,} numbers an image"]
    if subject.is_held_against_known:
        notes.append("of the split that it was trained on: --split test, where there is one, tells what it has learned")
    return Found(measure._replace(notes=tuple(notes)), subject.real, real=len(nats))


def lacks(subject: Subject) -> str | None:
    """Say what is missing: images, and what a conditional model of images has to be told of each."""
    medium = subject.system.spec.medium
    if medium != "image":
        return f"judges models of images, and {subject.name} is of {medium}"
    return lacks_images(subject) or likelihood.lacks(subject)
