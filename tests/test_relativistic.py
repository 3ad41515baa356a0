import math

import pytest
import torch

from kallima.objectives.relativistic import (
    relativistic_average,
    relativistic_hinge,
    relativistic_least_squares,
    relativistic_paired,
)

EVERY = [relativistic_paired, relativistic_average, relativistic_hinge, relativistic_least_squares]
REAL, FAKE = [2.0, -1.0], [0.5, 1.5]
APART = [
    (r - 1.0, 0.5 - f) for r, f in zip(REAL, FAKE, strict=True)
]  # from the average fake, 1, and the average real, ½


def softplus(x):
    return math.log1p(math.exp(x))


def losses(objective, real=REAL, fake=FAKE):
    real, fake = torch.tensor(real, dtype=torch.float64), torch.tensor(fake, dtype=torch.float64)
    judge = float(sum(objective.discriminator(real, fake).values()))
    return judge, float(objective.generator(real, fake)["adversarial"])


def test_paired_by_hand():
    judge = (softplus(-1.5) + softplus(2.5)) / 2
    forger = (softplus(1.5) + softplus(-2.5)) / 2
    assert losses(relativistic_paired) == pytest.approx((judge, forger))


def test_average_by_hand():
    judge = sum(softplus(-r) + softplus(-f) for r, f in APART) / 2
    forger = sum(softplus(r) + softplus(f) for r, f in APART) / 2
    assert losses(relativistic_average) == pytest.approx((judge, forger))


def test_average_hinge_by_hand():
    judge = sum(max(0, 1 - r) + max(0, 1 - f) for r, f in APART) / 2
    forger = sum(max(0, 1 + r) + max(0, 1 + f) for r, f in APART) / 2
    assert losses(relativistic_hinge) == pytest.approx((judge, forger))


def test_average_least_squares_by_hand():
    judge = sum((r - 1) ** 2 + (f - 1) ** 2 for r, f in APART) / 4
    forger = sum((r + 1) ** 2 + (f + 1) ** 2 for r, f in APART) / 4
    assert losses(relativistic_least_squares) == pytest.approx((judge, forger))


@pytest.mark.parametrize("objective", EVERY, ids=lambda objective: objective.name)
def test_only_differences_of_scores_count(objective):
    shifted = losses(objective, [score + 7.25 for score in REAL], [score + 7.25 for score in FAKE])
    assert shifted == pytest.approx(losses(objective), rel=1e-12)
    apart = losses(objective, [score + 0.25 for score in REAL], FAKE)
    assert apart[0] < losses(objective)[0]
    assert apart[1] > losses(objective)[1]


@pytest.mark.parametrize("objective", EVERY, ids=lambda objective: objective.name)
def test_the_players_exchange_real_and_fake(objective):
    judge, forger = losses(objective)
    assert losses(objective, FAKE, REAL) == pytest.approx((forger, judge))


@pytest.mark.parametrize("objective", EVERY, ids=lambda objective: objective.name)
def test_the_generator_also_wants_real_examples_to_score_lower(objective):
    assert objective.relative
    real, fake = (torch.tensor(scores, requires_grad=True) for scores in ([1.0, 1.2], [-1.0, -0.8]))
    objective.generator(real, fake)["adversarial"].backward()
    assert (real.grad > 0).all()
    assert (fake.grad < 0).all()
