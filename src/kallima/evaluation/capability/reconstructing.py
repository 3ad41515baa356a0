"""How like the original a system's reconstruction of each image is."""

from collections.abc import Callable

from kallima.evaluation.arrays import Array
from kallima.evaluation.capability.subject import Found, Subject
from kallima.evaluation.score import Measure


def of_reconstructions(compare: Callable[[Array, Array], Measure]) -> Callable[[Subject], Found]:
    """Return the metric that holds the images, uint8 (N, H, W, C), against their reconstructions by `compare`."""

    def measure(subject: Subject) -> Found:
        images, made = subject.seen.images, subject.reconstructions
        found = compare(images, made)
        notes = (*found.notes, "each image against its own reconstruction")
        return Found(found._replace(notes=notes), subject.real, len(images), len(made), "0 … 255")

    return measure
