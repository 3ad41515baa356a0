"""How well a system that tells several labels of an example finds those that are there."""

import torch

from kallima.data.spec import Attributes, Spec
from kallima.evaluation.capability.subject import Found, Subject, lacks_images
from kallima.evaluation.examples import read_blocks
from kallima.evaluation.multilabel import MultilabelF1, multilabel_f1

THRESHOLD = 0.5
"""A label is told where its probability is above this."""


def micro_f1(subject: Subject) -> Found:
    """Return F1 = 2 TP / (2 TP + FP + FN) of all decisions together."""
    return _found(subject, MultilabelF1._fields.index("micro"))


def macro_f1(subject: Subject) -> Found:
    """Return the mean over labels of each one's F1."""
    return _found(subject, MultilabelF1._fields.index("macro"))


def lacks_attributes(subject: Subject) -> str | None:
    """Say what the data lacks where a system's answers are held against its attributes."""
    if (lacking := lacks_images(subject)) or subject.real is None:
        return lacking
    own, known = _names(subject.real.spec), _names(subject.system.spec)
    if not own:
        return f"needs attributes, and {subject.real.name} has none"
    strange = next((name for name in own if name not in known), None)
    return None if strange is None else f"needs data of the run's own attributes, and '{strange}' is none of them"


def _found(subject: Subject, which: int) -> Found:
    seen = subject.seen
    own, known = _names(seen.dataset.spec), _names(subject.system.spec)
    told = subject.ask(subject.system.tag, seen, "telling labels")[:, [known.index(name) for name in own]]
    true = torch.cat([block["attributes"] for block in read_blocks(seen.dataset, seen.indices)])
    measure = multilabel_f1(told > THRESHOLD, true > 0.5)[which]
    notes = [f"{len(own)} labels, told where their probability is above {THRESHOLD:g}"]
    if len(own) < len(known):
        notes.append(f"the data says nothing of {len(known) - len(own)} others")
    if subject.is_held_against_known:
        notes.append("of the split that it was trained on: --split test, where there is one, tells what it has learned")
    return Found(measure._replace(notes=(*notes, *measure.notes)), subject.real, real=len(true))


def _names(spec: Spec) -> tuple[str, ...]:
    field = spec.get("attributes")
    return field.names if isinstance(field, Attributes) else ()
