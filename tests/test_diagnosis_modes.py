"""Modes of the data: found where they lie apart, counted among the samples, and told of when they starve."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import nbinom, poisson

from kallima.diagnosis.finding import IN_WORDS
from kallima.diagnosis.modes import BY_CHANCE, find_modes, missing
from kallima.diagnosis.symptoms import mode_collapse, mode_dropping
from kallima.diagnosis.vital_signs import EXPLAINED, Reference
from tests.test_diagnosis import LOOKS, TURN, healthy, record, ring


def modes_of(points: torch.Tensor) -> list[int] | None:
    """Return the sizes of the modes that are found among points, the smallest first."""
    found = find_modes(torch.cdist(points.double(), points.double()))
    return None if found is None else sorted(torch.bincount(found).tolist())


def test_groups_that_lie_apart_are_modes():
    rng = torch.Generator().manual_seed(0)
    apart = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]]).repeat_interleave(torch.tensor([200, 100, 50]), 0)
    points = apart + 0.1 * torch.randn(350, 2, generator=rng)
    assert modes_of(points) == [50, 100, 200]
    shuffled = torch.randperm(350, generator=rng)
    assert modes_of(1000 * points[shuffled]) == [50, 100, 200]  # whatever their unit and order
    assert modes_of(torch.cat([points, torch.tensor([[9.0, 0.0], [9.0, 0.1]])])) == [50, 102, 200]  # outliers
    assert modes_of(torch.arange(4.0).repeat(20)[:, None]) == [20, 20, 20, 20]  # values that repeat
    assert len(modes_of(ring(512, 0))) == 8


def test_data_of_one_piece_has_no_modes():
    rng = torch.Generator().manual_seed(0)
    way = torch.rand(512, 1, generator=rng)
    spiral = way.sqrt() * torch.cat([(4 * math.pi * way.sqrt()).cos(), (4 * math.pi * way.sqrt()).sin()], 1)
    for points in (torch.randn(512, 2, generator=rng), torch.randn(512, 64, generator=rng), way, spiral):
        assert modes_of(points) is None
    assert modes_of(torch.zeros(3, 2)) is None


def counts(*some: int) -> torch.Tensor:
    return torch.tensor(some)


def test_groups_are_missing_below_a_fifth_of_their_share():
    real = counts(*[256] * 8)  # 2,048 examples, of which 256 samples have 32 each
    assert missing(real, counts(*[32] * 8)) == 0
    assert missing(real, counts(6, *[35] * 6, 40)) == 1
    assert missing(real, counts(7, *[35] * 6, 39)) == 0
    assert missing(real, counts(256, *[0] * 7)) == 7
    assert missing(counts(2047, 1), counts(256, 0)) == 0  # a group that nobody can expect
    assert missing(counts(0, 2048), counts(0, 256)) == 0


def test_so_few_are_not_counted_as_chance_leaves_out():
    """By the distributions' own functions: two of 25 groups with 2 of 10 samples are beyond chance, one is not."""
    real, share = 82, 256 / (82 * 25)
    short = nbinom.cdf(math.ceil(0.2 * share * real) - 1, real + 0.5, 1 / (1 + share))
    at_least = [poisson.sf(count - 1, 25 * short) for count in (1, 2)]
    assert at_least[0] > BY_CHANCE > at_least[1]
    for starved in (1, 2):
        rest = 256 - 2 * starved
        made = [rest // (25 - starved)] * (25 - starved)
        made[0] += rest - sum(made)
        assert missing(counts(*[real] * 25), counts(*[2] * starved, *made)) == (0 if starved == 1 else 2)


@pytest.mark.parametrize("groups", [2, 8, 25, 60])
def test_chance_hardly_ever_alarms(groups: int):
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(1000):
        share = rng.dirichlet(np.full(groups, 5.0))
        real, made = (torch.from_numpy(rng.multinomial(count, share)) for count in (512, 256))
        alarms += missing(real, made) > 0
    assert alarms <= 1.5 * BY_CHANCE * 1000


def test_a_mode_with_a_few_samples_is_counted_though_none_of_the_data_is_forgotten():
    seen = Reference(ring(2048, 0))
    few = torch.cat([ring(248, 1, modes=7), ring(200, 2)[ring(200, 2)[:, 1].argsort()][:4]])
    starved = few[(few - torch.tensor([2**0.5, -(2**0.5)])).norm(dim=1) > 0.5]  # the eighth mode, at -45°
    starved = torch.cat([starved, torch.tensor([[2**0.5, -(2**0.5)]]) + 0.02 * torch.randn(3, 2)])
    found = seen.signs(starved)
    assert found["missing_modes"] == 1
    assert found["forgotten"] < mode_dropping.FORGOTTEN
    assert seen.signs(ring(256, 3))["missing_modes"] == 0
    assert "missing_modes" not in Reference(torch.randn(512, 2)).signs(torch.randn(256, 2))
    assert "missing_modes" in EXPLAINED


# what is told of them


def starving(counts: np.ndarray, looks: np.ndarray = LOOKS):
    return mode_dropping.find(
        record(
            samples__diversity=(looks, np.full(len(looks), 0.9)),
            samples__forgotten=(looks, np.full(len(looks), 0.01)),
            samples__stray=(looks, np.full(len(looks), 0.01)),
            samples__missing_modes=(looks, counts),
        )
    )


def test_starved_modes_are_told():
    found = mode_dropping.find(healthy(samples__missing_modes=(LOOKS, np.where(LOOKS < TURN, 0.0, 3.0))))
    assert found is not None
    assert found.since == TURN
    assert 0.5 <= found.confidence < 0.8  # milder than one that is lost
    assert found.evidence["samples/missing_modes"] == 3
    assert "3 of its modes get less than a fifth" in found.evidence[IN_WORDS]
    assert mode_dropping.find(healthy(samples__missing_modes=(LOOKS, np.zeros(len(LOOKS))))) is None


def test_what_was_there_is_missed_sooner_than_what_never_was():
    for looks in range(mode_dropping.WELL + 1, 40):
        lost = np.where(np.arange(looks) < mode_dropping.WELL, 0.0, 2.0)
        told = starving(lost, LOOKS[:looks]) is not None
        assert told == (looks - mode_dropping.WELL >= mode_dropping.LEAST_POINTS)
        told = starving(np.full(looks, 2.0), LOOKS[:looks]) is not None
        assert told == (looks >= mode_dropping.LEAST_POINTS_FROM_START)


def test_modes_that_are_still_being_found_are_not_dropped():
    assert starving(np.linspace(20, 1, len(LOOKS)).round()) is None
    assert starving(np.linspace(20, 16, len(LOOKS)).round()) is not None


def test_a_collapse_from_the_start_is_not_first_told_as_dropping():
    for looks in range(1, 30):
        at = LOOKS[:looks]
        same = np.ones(looks)
        seen = record(
            samples__diversity=(at, 0.05 * same),
            samples__forgotten=(at, 0.8 * same),
            samples__stray=(at, 0 * same),
            samples__missing_modes=(at, 7 * same),
        )
        assert mode_dropping.find(seen) is None
        assert (mode_collapse.find(seen) is not None) == (looks >= mode_collapse.LEAST_POINTS_FROM_START)
