"""FID of each class on its own: sees a class that is missing, mixed up or collapsed where the whole hides it."""

import math

from kallima.errors import DataError
from kallima.evaluation.arrays import Array
from kallima.evaluation.fid import fid
from kallima.evaluation.inputs import by_class, class_labels, feature_sets, listed
from kallima.evaluation.score import Measure

_SHOWN = 10


def class_fids(
    real: Array, generated: Array, real_labels: Array, generated_labels: Array
) -> tuple[dict[int, Measure], tuple[int, ...]]:
    """Return the Fréchet distance of each class, and the classes left out with fewer than two examples in a set.

    Features are (N, d) and (M, d), labels (N,) and (M,): those of the generated are what they were asked to be, or what
    a classifier takes them for.

    Raises:
        DataError: features or labels do not go together, or hold NaN.
    """
    truth, samples = feature_sets({"real": real, "generated": generated}, 1)
    real_classes = class_labels(real_labels, len(truth), "real").to(truth.device)
    generated_classes = class_labels(generated_labels, len(samples), "generated").to(samples.device)
    found, left_out = {}, []
    for c, (r, g) in by_class(real=real_classes, generated=generated_classes).items():
        if min(len(r), len(g)) < 2:
            left_out.append(c)
        else:
            found[c] = fid(truth[r], samples[g])
    return found, tuple(left_out)


def class_fid(real: Array, generated: Array, real_labels: Array, generated_labels: Array) -> Measure:
    """Return the mean over classes of the Fréchet distance within them; arguments as for `class_fids`.

    The notes name the worst classes, and those left out because a set has fewer than two examples of them.

    Raises:
        DataError: as for `class_fids`, or no class is in both sets.
    """
    found, left_out = class_fids(real, generated, real_labels, generated_labels)
    if not found:
        raise DataError("no class has two real and two generated examples: there is no FID of a class")
    worst = sorted(found, key=lambda c: -found[c].value)
    shown = "worst classes" if len(found) > _SHOWN else "by class"
    notes = [f"{shown} " + ", ".join(f"{c}: {found[c].value:.3g}" for c in worst[:_SHOWN])]
    if left_out:
        notes.append(
            "left out, with fewer than two real or generated examples: classes " + listed([str(c) for c in left_out])
        )
    biased = [str(c) for c in sorted(found) if found[c].notes]
    if biased:
        notes.append(f"no more examples than features in classes {listed(biased)}: their FID is biased up")
    variances = [math.nan if measure.spread is None else measure.spread**2 for measure in found.values()]
    error = math.sqrt(sum(variances)) / len(found)
    value = sum(measure.value for measure in found.values()) / len(found)
    if math.isnan(error):
        return Measure(value, None, None, tuple(notes))
    return Measure(value, error, "jackknife over folds of each class", tuple(notes))
