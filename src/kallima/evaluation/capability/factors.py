"""Whether a system's codes keep apart what varies in the data: label, attributes and values as factors."""

import numpy as np

from kallima.data.spec import Attributes, Label, Spec, Values
from kallima.evaluation.capability.subject import Found, Subject, lacks_examples
from kallima.evaluation.examples import read_blocks
from kallima.evaluation.latent.beta_vae import beta_vae_score
from kallima.evaluation.latent.mig import mig
from kallima.evaluation.score import Measure

LEVELS = 64
"""A value with more different numbers than this is cut into parts, of equal shares of the examples."""

PARTS = 10


def disentanglement(subject: Subject) -> Found:
    """Return the share of groups of pairs whose shared factor a linear classifier names: the β-VAE metric."""
    factors, notes = _factors(subject)
    return _found(subject, beta_vae_score(subject.codes, factors, seed=subject.seed), notes)


def mutual_information_gap(subject: Subject) -> Found:
    """Return how much more one number of the code tells of a factor than the next best, of all there is to tell."""
    factors, notes = _factors(subject)
    return _found(subject, mig(subject.codes, factors, seed=subject.seed), notes)


def lacks_factors(subject: Subject) -> str | None:
    """Say that the data has no two factors, if so."""
    if (lacking := lacks_examples(subject)) or subject.real is None:
        return lacking
    count = len(names_of(subject.real.spec))
    return (
        None if count > 1 else f"needs two or more factors (label, attributes, values); {subject.real.name} has {count}"
    )


def lacks_numbers(subject: Subject) -> str | None:
    """Say that the data has no two factors, or the code no two numbers, if so."""
    parts = getattr(subject.system, "parts", None)
    if parts and max(place.stop for place in parts.values()) < 2:
        return f"needs codes of two or more numbers, and those of {subject.name} have one"
    return lacks_factors(subject)


def names_of(spec: Spec) -> list[str]:
    """Name the factors that data has."""
    names = ["label"] if isinstance(spec.get("label"), Label) else []
    for name, kind in (("attributes", Attributes), ("values", Values)):
        field = spec.get(name)
        names += list(field.names) if isinstance(field, kind) else []
    return names


def _factors(subject: Subject) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the factors of the examples as whole numbers (N, K), and what to know about them."""
    dataset = subject.seen.dataset
    names = [name for name in ("label", "attributes", "values") if name in dataset.spec]
    blocks = list(read_blocks(dataset, subject.seen.indices))
    columns = np.concatenate(
        [np.concatenate([block[name].numpy() for block in blocks]).reshape(len(subject.seen), -1) for name in names], 1
    )
    found, cut = [], []
    for name, column in zip(names_of(dataset.spec), columns.T, strict=True):
        kinds, classes = np.unique(column, return_inverse=True)
        if len(kinds) > LEVELS:
            bounds = np.quantile(column, np.arange(1, PARTS) / PARTS)
            classes = np.searchsorted(bounds, column, side="right")
            cut.append(name)
        found.append(classes)
    notes = [f"factors: {', '.join(names_of(dataset.spec))}"]
    if cut:
        notes.append(f"{', '.join(cut)} cut into {PARTS} parts of equal shares")
    return np.stack(found, 1), tuple(notes)


def _found(subject: Subject, measure: Measure, notes: tuple[str, ...]) -> Found:
    notes = (*notes, f"codes of {subject.codes.shape[1]} numbers, of random ones their means", *measure.notes)
    return Found(measure._replace(notes=notes), subject.real, real=len(subject.seen))
