import math

import pytest

from kallima.errors import UsageError
from kallima.schedules import by_name, constant, cosine, warm_up


def test_cosine_falls_along_half_a_cosine():
    assert [cosine(p) for p in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([1.0, (1 + math.sqrt(0.5)) / 2, 0.5, 0.0])


def test_warm_up_rises_in_a_line_then_stretches_the_rest():
    schedule = warm_up(0.2, cosine)
    assert [schedule(p) for p in (0.0, 0.05, 0.1, 0.2)] == pytest.approx([0.0, 0.25, 0.5, 1.0])
    assert [schedule(p) for p in (0.6, 1.0)] == pytest.approx([0.5, 0.0])
    assert warm_up(0.5)(0.75) == 1.0
    assert warm_up(0.5, lambda progress: 3.0)(0.25) == 1.5  # half the way to where the rest starts


def test_no_warm_up_is_the_schedule_itself():
    assert warm_up(0.0, cosine) is cosine
    assert by_name("constant") is constant
    assert by_name("cosine", 0.5)(0.75) == pytest.approx(0.5)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2.0])
def test_a_warm_up_that_is_no_fraction_is_refused(fraction):
    with pytest.raises(UsageError, match="fraction"):
        warm_up(fraction)


def test_an_unknown_schedule_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'cosine'"):
        by_name("cosin")
