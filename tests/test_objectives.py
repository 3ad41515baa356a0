"""What every adversarial objective keeps, and the values of those that have no file of their own."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from kallima.objectives.adversarial import (
    boundary_seeking,
    hinge,
    least_squares,
    least_squares_game,
    minimax,
    non_saturating,
    wasserstein,
)
from kallima.objectives.divergences import DIVERGENCES, f_gan
from kallima.objectives.feature_matching import feature_matching
from kallima.objectives.margins import loss_sensitive
from kallima.objectives.relativistic import (
    relativistic_average,
    relativistic_hinge,
    relativistic_least_squares,
    relativistic_paired,
)

CROSS_ENTROPY = [minimax, non_saturating, boundary_seeking]
OF_SCORES = [
    *CROSS_ENTROPY,
    *(hinge, least_squares, wasserstein, loss_sensitive(weight=0.5)),
    *(relativistic_paired, relativistic_average, relativistic_hinge, relativistic_least_squares),
]
EVERY = [*OF_SCORES, feature_matching, *(f_gan(divergence) for divergence in DIVERGENCES.values())]
REAL = torch.tensor([2.0, -1.0, 0.0])
FAKE = torch.tensor([-0.5, 3.0])

each = pytest.mark.parametrize("objective", EVERY, ids=lambda objective: objective.name)


def values(terms):
    return {name: float(term) for name, term in terms.items()}


def total(terms):
    return sum(float(term) for term in terms.values())


def both_losses(objective, real, fake):
    """Return all terms of both players on scores (N,), with features (N, 1) and distances where they are asked for."""
    apart = [torch.linspace(0.2, 3.0, len(real), dtype=real.dtype)] if objective.distance else []
    seen = [(scores[:, None] if objective.on_features else scores) for scores in (real, fake)]
    generator = objective.generator(seen[0] if objective.relative else None, seen[1])
    return tuple({**objective.discriminator(real, fake, *apart), **generator}.values())


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_cross_entropy_by_hand():
    real = -sum(math.log(sigmoid(x)) for x in (2.0, -1.0, 0.0)) / 3
    fake = -sum(math.log(1 - sigmoid(x)) for x in (-0.5, 3.0)) / 2
    for objective in (*CROSS_ENTROPY, feature_matching):
        assert values(objective.discriminator(REAL, FAKE)) == pytest.approx({"real": real, "fake": fake})
    assert values(minimax.generator(None, FAKE)) == pytest.approx({"adversarial": -fake})
    non_saturated = -sum(math.log(sigmoid(x)) for x in (-0.5, 3.0)) / 2
    assert values(non_saturating.generator(None, FAKE)) == pytest.approx({"adversarial": non_saturated})
    to_the_boundary = sum((math.log(sigmoid(x)) - math.log(1 - sigmoid(x))) ** 2 for x in (-0.5, 3.0)) / 4
    assert values(boundary_seeking.generator(None, FAKE)) == pytest.approx({"adversarial": to_the_boundary})


def test_smoothed_cross_entropy_by_hand():
    objective = non_saturating.smoothed(0.1)
    real = -sum(0.9 * math.log(sigmoid(x)) + 0.1 * math.log(1 - sigmoid(x)) for x in (2.0, -1.0, 0.0)) / 3
    assert float(objective.discriminator(REAL, FAKE)["real"]) == pytest.approx(real)


def test_hinge_and_wasserstein_by_hand():
    assert values(hinge.discriminator(REAL, FAKE)) == pytest.approx({"real": (0 + 2 + 1) / 3, "fake": (0.5 + 4) / 2})
    assert values(wasserstein.discriminator(REAL, FAKE)) == pytest.approx({"real": -1 / 3, "fake": 1.25})
    for objective in (hinge, wasserstein):
        assert values(objective.generator(None, FAKE)) == {"adversarial": -1.25}


def test_least_squares_by_hand():
    assert values(least_squares.discriminator(REAL, FAKE)) == pytest.approx(
        {"real": (1 + 4 + 1) / 6, "fake": (0.25 + 9) / 4}
    )
    assert values(least_squares.generator(None, FAKE)) == pytest.approx({"adversarial": (2.25 + 4) / 4})
    pearson = least_squares_game(a=-1.0, b=1.0, c=0.0)
    assert values(pearson.discriminator(REAL, FAKE)) == pytest.approx(
        {"real": (1 + 4 + 1) / 6, "fake": (0.25 + 16) / 4}
    )
    assert values(pearson.generator(None, FAKE)) == pytest.approx({"adversarial": (0.25 + 9) / 4})


@each
def test_gradients_match_finite_differences(objective):
    rng = torch.Generator().manual_seed(0)
    scores = [(2 * torch.randn(6, dtype=torch.float64, generator=rng)).requires_grad_() for _ in range(2)]
    assert torch.autograd.gradcheck(lambda real, fake: both_losses(objective, real, fake), scores)


@pytest.mark.parametrize(
    "objective",
    [objective for objective in EVERY if objective.undecided is not None]
    + [minimax.smoothed(0.2), least_squares.smoothed(0.2), least_squares_game(-1.0, 1.0, 0.0)],
    ids=lambda objective: objective.name,
)
def test_the_undecided_level_is_the_best_on_equal_distributions(objective):
    constants = torch.linspace(-2, 2, 401)[:, None].expand(-1, 4).double()
    levels = [total(objective.discriminator(scores, scores)) for scores in constants]
    assert min(levels) == pytest.approx(objective.undecided, abs=1e-5)
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        scores = torch.randn(50, generator=rng, dtype=torch.float64)
        shuffled = scores[torch.randperm(50, generator=rng)]
        assert total(objective.discriminator(scores, shuffled)) >= objective.undecided - 1e-12


def test_undecided_levels_by_hand():
    levels = {objective.name: objective.undecided for objective in EVERY}
    assert levels["minimax"] == levels["feature-matching"] == pytest.approx(math.log(4))
    assert levels["hinge"] == 2.0
    assert levels["least-squares"] == 0.25
    assert levels["relativistic-paired"] == pytest.approx(math.log(2))
    assert levels["f-gan-gan"] == pytest.approx(math.log(4))
    assert levels["wasserstein"] == levels["f-gan-kl"] == 0.0
    assert levels["loss-sensitive"] is None
    # E max(0, 1 - s) + E max(0, 1 + s) on one distribution of scores is 2 for every |s| <= 1, and more outside
    assert total(hinge.discriminator(torch.full((3,), 0.7), torch.full((3,), 0.7))) == pytest.approx(2.0)
    assert total(hinge.discriminator(torch.full((3,), 1.5), torch.full((3,), 1.5))) > 2.0


@pytest.mark.parametrize(
    "objective",
    [*CROSS_ENTROPY, feature_matching, least_squares, least_squares_game(-1.0, 1.0, 0.0)],
    ids=lambda objective: objective.name,
)
def test_smoothing_touches_the_real_side_of_the_discriminator_only(objective):
    smoothed = objective.smoothed(0.1)
    assert (smoothed.name, smoothed.relative, smoothed.on_features) == (
        objective.name,
        objective.relative,
        objective.on_features,
    )
    plain, soft = values(objective.discriminator(REAL, FAKE)), values(smoothed.discriminator(REAL, FAKE))
    assert soft["fake"] == plain["fake"]
    assert soft["real"] != plain["real"]
    seen = (REAL[:, None], FAKE[:, None]) if objective.on_features else (None, FAKE)
    assert values(smoothed.generator(*seen)) == values(objective.generator(*seen))
    assert values(objective.smoothed(0.0).discriminator(REAL, FAKE)) == plain
    # a sure discriminator is pulled back from above its label, not from below
    scores = torch.full((1,), 20.0, requires_grad=True)
    smoothed.discriminator(scores, FAKE)["real"].backward()
    assert float(scores.grad) > 0.09


def best_score(objective, p, q):
    """Find by brute force the score at a point where the data has density p and the generator q."""
    scores = torch.linspace(-4, 4, 8001, dtype=torch.float64)
    losses = torch.func.vmap(objective.discriminator)(scores[:, None], scores[:, None])
    return float(scores[(p * losses["real"] + q * losses["fake"]).argmin()])


@pytest.mark.parametrize(("p", "q"), [(0.3, 0.3), (0.9, 0.2), (0.1, 0.4)])
def test_the_best_score_at_a_point(p, q):
    assert best_score(minimax, p, q) == pytest.approx(math.log(p / q), abs=1e-3)
    assert sigmoid(best_score(minimax.smoothed(0.1), p, q)) == pytest.approx(0.9 * p / (p + q), abs=1e-3)
    for a, b in ((0.0, 1.0), (-1.0, 1.0), (1.0, -0.5)):
        objective = least_squares_game(a, b, c=0.3)
        assert best_score(objective, p, q) == pytest.approx((b * p + a * q) / (p + q), abs=1e-3)
        softer = 0.9 * b + 0.1 * a
        assert best_score(objective.smoothed(0.1), p, q) == pytest.approx((softer * p + a * q) / (p + q), abs=1e-3)


def test_only_the_saturating_gradient_vanishes_where_the_discriminator_wins():
    slopes = {}
    for objective in (*CROSS_ENTROPY, hinge, least_squares, wasserstein):
        scores = torch.full((1,), -20.0, requires_grad=True)
        objective.generator(None, scores)["adversarial"].backward()
        slopes[objective.name] = float(scores.grad)
    assert -1e-8 < slopes.pop("minimax") < 0.0
    assert slopes == pytest.approx(
        {
            "non-saturating": -1.0,
            "boundary-seeking": -20.0,
            "hinge": -1.0,
            "least-squares": -21.0,
            "wasserstein": -1.0,
        }
    )


@pytest.mark.parametrize("objective", [*OF_SCORES, feature_matching], ids=lambda objective: objective.name)
def test_no_score_overflows(objective):
    real, fake = (torch.tensor(ends, requires_grad=True) for ends in ([-1e4, 1e4], [1e4, -1e4]))
    terms = both_losses(objective, real, fake)
    sum(terms).backward()
    assert all(term.isfinite() for term in terms)
    assert all(scores.grad is None or scores.grad.isfinite().all() for scores in (real, fake))


@each
def test_it_compiles_in_one_graph(objective):
    torch.compiler.reset()
    rng = torch.Generator().manual_seed(0)
    scores = [torch.randn(5, generator=rng).requires_grad_() for _ in range(2)]

    def loss(real, fake):
        return sum(both_losses(objective, real, fake))

    compiled = torch.compile(loss, fullgraph=True, dynamic=False, backend="aot_eager")
    expected = torch.autograd.grad(loss(*scores), scores)
    torch.testing.assert_close(torch.autograd.grad(compiled(*scores), scores), expected)


def test_the_best_lipschitz_critic_finds_the_wasserstein_distance():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=40), rng.normal(1.5, 2.0, size=40)
    points = np.sort(np.concatenate([real, fake]))
    # Kantorovich's potential on the line climbs where the fakes' distribution function lies above the data's
    cumulative = [np.searchsorted(np.sort(sample), points[:-1], side="right") for sample in (real, fake)]
    steps = np.sign(cumulative[1] - cumulative[0]) * np.diff(points)
    potential = np.concatenate([[0.0], np.cumsum(steps)])
    scores = [torch.from_numpy(potential[np.searchsorted(points, sample)]) for sample in (real, fake)]
    assert total(wasserstein.discriminator(*scores)) == pytest.approx(-wasserstein_distance(real, fake), rel=1e-12)
    for slopes in rng.uniform(-1, 1, size=(50, len(points) - 1)):  # no other critic as flat does better
        other = np.concatenate([[0.0], np.cumsum(slopes * np.diff(points))])
        scores = [torch.from_numpy(other[np.searchsorted(points, sample)]) for sample in (real, fake)]
        assert total(wasserstein.discriminator(*scores)) >= -wasserstein_distance(real, fake)


def best_discriminator(objective, mean):
    """Train a small network alone on N(0, 1) (real) against N(mean, 1) (fake), in float64."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).double()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    quantiles = (torch.arange(4096, dtype=torch.float64) + 0.5) / 4096
    real = torch.special.ndtri(quantiles)[:, None]  # a stratified sample: no noise of drawing in the bars
    for _ in range(400):
        loss = sum(objective.discriminator(network(real), network(real + mean)).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network, loss.item()


def share_of_the_data(x):
    """Return p / (p + q) for p = N(0, 1), q = N(1, 1)."""
    return torch.sigmoid(0.5 - x)


def test_the_best_discriminator_is_p_over_p_plus_q():
    network, loss = best_discriminator(minimax, 1.0)
    assert loss == pytest.approx(1.1635, abs=0.01)
    x = torch.linspace(-2, 3, 101, dtype=torch.float64)[:, None]
    assert (network(x).sigmoid() - share_of_the_data(x)).abs().max() < 0.03


def test_the_best_least_squares_score_lies_between_its_labels():
    a, b = -0.5, 1.0
    network, _ = best_discriminator(least_squares_game(a, b, c=0.0), 1.0)
    x = torch.linspace(-2, 3, 101, dtype=torch.float64)[:, None]
    share = share_of_the_data(x)
    assert (network(x) - (b * share + a * (1 - share))).abs().max() < 0.03 * (b - a)


@pytest.mark.parametrize("objective", [minimax, least_squares], ids=lambda objective: objective.name)
def test_equal_distributions_leave_the_best_discriminator_undecided(objective):
    _, loss = best_discriminator(objective, 0.0)
    assert loss == pytest.approx(objective.undecided, abs=1e-3)
