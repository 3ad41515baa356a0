"""The birthday paradox test of support (Arora & Zhang 2017, arXiv:1706.08224): how many different images are there?

Among s draws from N equally likely images two are equal with a chance of one half at s ≈ 1.177 √N. The authors look by
eye for duplicates among growing batches; we count all pairs of the generated set that are nearer than a threshold in
feature space. Their share estimates Σ p², the chance that two draws coincide, without bias; its inverse is the support,
and what is given is the effective one: unequal likelihoods make it smaller than the number of images.

The threshold replaces the eye: by default the distance below which one real image in a thousand has another one. So the
real images bound the estimate from above, the notes say at what; collapse far below that bound is what the test sees.
"""

import math

from torch import Tensor

from kallima.evaluation.arrays import Array
from kallima.evaluation.inputs import feature_sets
from kallima.evaluation.nearest import nearest_other, partners
from kallima.evaluation.score import Measure

RARE = 0.001


def birthday(real: Array, generated: Array, *, threshold: float | None = None) -> Measure:
    """Return the estimated number of different images behind features (M, d), duplicates being within a threshold.

    By default it is found from the real features (N, d). Where no two are duplicates, the value is what the support
    exceeds with 95 % confidence, and the notes say so. The error is a jackknife.

    Raises:
        DataError: the sets do not go together, have fewer than three examples, or hold NaN.
    """
    truth, samples = feature_sets({"real": real, "generated": generated}, 3)
    stated = "as given"
    if threshold is None:
        threshold, stated = duplicate_threshold(truth), f"within which {RARE:.1%} of real images have another"
    measure = support(partners(samples, threshold))
    bound = support(partners(truth, threshold))
    notes = (
        f"duplicates are within {threshold:.4g} in feature space, {stated}",
        f"by it {len(truth):,} real images have {bound.value:,.3g}" + (" or more" if bound.spread is None else ""),
    )
    return measure._replace(notes=(*measure.notes, *notes))


def support(duplicates: Tensor) -> Measure:
    """Return the effective support from the number of duplicates that each of M ≥ 3 examples has, (M,)."""
    count = len(duplicates)
    pairs = duplicates.sum().item() / 2
    possible = count * (count - 1) / 2
    if not pairs:
        # no event where 3 are expected has a chance of 5 %
        return Measure(possible / 3, None, None, (f"no duplicates among {count:,}: 95% sure to be more than this",))
    value = possible / pairs
    left = (pairs - duplicates.double()) / ((count - 1) * (count - 2) / 2)
    error = math.sqrt((count - 1) * left.var(correction=0).item())
    batch = half_chance(value)
    note = f"{pairs:,.0f} pairs of duplicates among {count:,}; {batch:,.3g} draws hold one with a chance of one half"
    # of the inverse, to first order
    return Measure(value, value**2 * error, "jackknife of the share of equal pairs", (note,))


def half_chance(images: float) -> float:
    """Return how many draws from equally likely images hold two equal ones with a chance of one half: √(2 N log 2)."""
    return math.sqrt(2 * math.log(2) * images)


def duplicate_threshold(real: Tensor, share: float = RARE) -> float:
    """Return the distance within which this share of real features (N, d), one at least, have another one."""
    distances = nearest_other(real)
    return distances.kthvalue(max(1, int(share * len(real)))).values.item()
