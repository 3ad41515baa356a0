"""Whether a conditional system makes what it is asked for, as a classifier of the real examples sees it.

Each class is asked for equally often, and each attribute as often to be there as not; what is not asked for is drawn
with it as the data has it. Images are judged by a probe, points by the nearest training examples. A system that reads
or hears is given the captions or sounds of real examples, whose own classes and attributes its images are to have.
"""

import math

import numpy as np
import torch

from kallima.data.spec import Attributes, Label
from kallima.errors import DataError
from kallima.evaluation.capability.subject import Found, Subject, in_units
from kallima.evaluation.examples import read_blocks
from kallima.evaluation.features.attributes import AttributeProbe
from kallima.evaluation.features.probe import Probe, unfit
from kallima.evaluation.latent.probes import knn_accuracy
from kallima.evaluation.resampling import share_of
from kallima.evaluation.score import Measure

ASKED = 2_000
"""How many samples are asked for in all, by default."""


def label_recovery(subject: Subject) -> Found:
    """Return the share of samples that are taken for the class that was asked for."""
    known = subject.trained_on
    assert known is not None
    label = known.spec["label"]
    assert isinstance(label, Label)
    if subject.system.conditions.senses:
        return _label_of_what_is_sensed(subject, label)
    each = max(1, math.ceil((subject.count or ASKED) / len(label.classes)))
    made = subject.draw([({"label": name}, each) for name in label.classes])
    asked = torch.arange(len(label.classes)).repeat_interleave(each)
    counts = f"{each:,} of each of {len(label.classes)} classes"
    if "image" not in known.spec:
        seen = subject.known
        blocks = list(read_blocks(known, seen.indices))
        points = in_units(torch.cat([block["points"] for block in blocks]), known.spec["points"])
        found = knn_accuracy(points, seen.labels, made, asked)
        notes = (f"{counts}, told apart by training points", *found.notes)
        return Found(found._replace(notes=notes), known, len(points), len(made), "the data's own units")
    probe = Probe(known, device=subject.device)
    right = probe.logits(made).argmax(1) == asked
    worst = int(right.view(len(label.classes), each).double().mean(1).argmin())
    share = right.view(len(label.classes), each)[worst].double().mean().item()
    notes = (f"{counts}; the least recovered is {label.classes[worst]}, with {share:.1%}",)
    return Found(share_of(right.numpy(), notes), known, 0, len(made), extractor=probe)


def attribute_recovery(subject: Subject) -> Found:
    """Return the mean over attributes of the share of samples that have it, or have it not, as was asked for."""
    known = subject.trained_on
    assert known is not None
    names = _attributes(known.spec)
    if subject.system.conditions.senses:
        return _attributes_of_what_is_sensed(subject, names)
    each = max(1, math.ceil((subject.count or ASKED) / (2 * len(names))))
    made = subject.draw([({name: wanted}, each) for name in names for wanted in ("false", "true")])
    probe = AttributeProbe(known, device=subject.device)
    has = (probe.logits(made) > 0).view(len(names), 2, each, len(names)).numpy()
    # of the samples asked about an attribute, what is seen of that one
    right = np.stack([has[place, :, :, place] == np.array([[False], [True]]) for place in range(len(names))])
    shares = right.mean((1, 2))
    variances = shares * (1 - shares) / (2 * each)
    shown = ", ".join(f"{name} {share:.1%}" for name, share in zip(names, shares, strict=True))
    notes = (f"{each:,} with and {each:,} without each of {len(names)}: {shown}",)
    spread = math.sqrt(float(variances.sum())) / len(names)
    measure = Measure(float(shares.mean()), spread, "binomial standard error", notes)
    return Found(measure, known, 0, len(made), extractor=probe)


def lacks_classes(subject: Subject) -> str | None:
    """Say why there are no classes to ask for, or nothing to tell them apart by."""
    fields, known = subject.system.conditions.fields, subject.trained_on
    if "label" not in fields and (lacking := _lacks_beside(subject, "label")):
        return lacking
    if "label" not in fields and not subject.system.conditions.senses:
        return f"needs a system that is asked for a class, and {subject.name} is asked for {', '.join(fields)}"
    if known is None:
        return "needs the data that the run was trained on"
    if "image" in known.spec and (lacking := unfit(known)):
        return f"needs {lacking}"
    return None


def lacks_attributes(subject: Subject) -> str | None:
    """Say why there are no attributes to ask for, or nothing to tell them apart by."""
    fields, known = subject.system.conditions.fields, subject.trained_on
    if "attributes" not in fields and (lacking := _lacks_beside(subject, "attributes")):
        return lacking
    if "attributes" not in fields and not subject.system.conditions.senses:
        return f"needs a system that is asked for attributes, and {subject.name} is asked for {', '.join(fields)}"
    if known is None or "image" not in known.spec:
        return "needs images that the run was trained on"
    return None


def _lacks_beside(subject: Subject, name: str) -> str | None:
    """Say what is missing to ask a system that reads or hears for what lies beside its captions or sounds."""
    if not subject.system.conditions.senses:
        return None
    for data in (subject.trained_on, subject.real):
        if data is None or name not in data.spec:
            return f"needs real examples with {name} beside what {subject.name} is told"
    return None


def _label_of_what_is_sensed(subject: Subject, label: Label) -> Found:
    known = subject.trained_on
    assert known is not None
    made, real = subject.pictured
    probe = Probe(known, device=subject.device)
    right = (probe.logits(made).argmax(1) == real["label"]).numpy()
    shares = {name: right[(real["label"] == place).numpy()] for place, name in enumerate(label.classes)}
    worst = min((name for name in shares if len(shares[name])), key=lambda name: float(shares[name].mean()))
    what = " and ".join(subject.system.conditions.senses)
    notes = (f"one image of each {what} of {len(made):,} examples; the least recovered is {worst}",)
    return Found(share_of(right, notes), subject.real, len(made), len(made), extractor=probe)


def _attributes_of_what_is_sensed(subject: Subject, names: tuple[str, ...]) -> Found:
    """The mean over attributes of (share of those with it that show it + share of those without that do not) / 2."""
    known = subject.trained_on
    assert known is not None
    made, real = subject.pictured
    probe = AttributeProbe(known, device=subject.device)
    right = ((probe.logits(made) > 0) == (real["attributes"] > 0.5)).double()
    has = (real["attributes"] > 0.5).double()
    shares, variances, shown = [], [], []
    for place, name in enumerate(names):
        parts = [right[has[:, place] == side, place] for side in (0.0, 1.0)]
        if min(map(len, parts)):
            means = [float(part.mean()) for part in parts]
            shares.append(sum(means) / 2)
            variances.append(sum(m * (1 - m) / len(part) for m, part in zip(means, parts, strict=True)) / 4)
            shown.append(f"{name} {shares[-1]:.1%}")
    if not shares:
        raise DataError("every attribute is there always or never in this split: there is nothing to tell apart")
    all_right = float((right.mean(1) == 1).double().mean())
    notes = (f"{len(made):,} captions or sounds, all attributes right in {all_right:.1%}: {', '.join(shown)}",)
    spread = math.sqrt(sum(variances)) / len(shares)
    measure = Measure(sum(shares) / len(shares), spread, "binomial standard error", notes)
    return Found(measure, subject.real, len(made), len(made), extractor=probe)


def _attributes(spec: object) -> tuple[str, ...]:
    field = spec["attributes"]  # type: ignore[index]
    assert isinstance(field, Attributes)
    return field.names
