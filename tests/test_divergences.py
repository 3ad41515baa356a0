import decimal
import math
from decimal import Decimal

import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from kallima.objectives.adversarial import minimax
from kallima.objectives.divergences import DIVERGENCES, f_gan

INFINITE = math.inf
DOMAIN = {
    "kl": (-INFINITE, INFINITE),
    "reverse-kl": (-INFINITE, 0.0),
    "pearson": (-INFINITE, INFINITE),
    "neyman": (-INFINITE, 1.0),
    "squared-hellinger": (-INFINITE, 1.0),
    "jeffrey": (-INFINITE, INFINITE),
    "jensen-shannon": (-INFINITE, math.log(2)),
    "gan": (-INFINITE, 0.0),
    "total-variation": (-0.5, 0.5),
}


def jensen_shannon(x):
    p, q = norm.pdf(x), norm.pdf(x, 1)
    return p * math.log(2 * p / (p + q)) + q * math.log(2 * q / (p + q))


# D_f(N(0, 1) ‖ N(1, 1)): in closed form, or where there is none by quadrature of the definition (0.2228)
JENSEN_SHANNON = quad(jensen_shannon, -15, 16, epsabs=1e-12)[0]
TRUTH = {
    "kl": 0.5,
    "reverse-kl": 0.5,
    "pearson": math.e - 1,
    "neyman": math.e - 1,
    "squared-hellinger": 2 - 2 * math.exp(-1 / 8),
    "jeffrey": 1.0,
    "jensen-shannon": JENSEN_SHANNON,
    "gan": JENSEN_SHANNON - math.log(4),
    "total-variation": math.erf(0.5 / math.sqrt(2)),
}
# the score whose T = g_f(v) is f'(u), as a function of log u
BEST_SCORE = {
    "kl": lambda r: 1 + r,
    "reverse-kl": lambda r: r,
    "pearson": lambda r: 2 * torch.expm1(r),
    "neyman": lambda r: 2 * r,
    "squared-hellinger": lambda r: r / 2,
    "jeffrey": lambda r: 1 + r - torch.exp(-r),
    "jensen-shannon": lambda r: r,
    "gan": lambda r: r,
    "total-variation": lambda r: 1e4 * r.sign(),
}

every = pytest.mark.parametrize("divergence", DIVERGENCES.values(), ids=lambda divergence: divergence.name)


def double(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def test_all_of_the_paper_are_here():
    assert set(DIVERGENCES) == set(DOMAIN)


@every
def test_f_is_convex_and_zero_between_equals(divergence):
    assert float(divergence.f(double(1.0))) == pytest.approx(-math.log(4) if divergence.name == "gan" else 0.0)
    u = torch.linspace(0.01, 5, 500, dtype=torch.float64)
    assert (divergence.f(u).diff().diff() > -1e-12).all()


@every
def test_the_conjugate_is_the_supremum(divergence):
    for t in divergence.activation(double(-3.0, -1.0, -0.2, 0.0, 0.5, 1.0, 2.0)).tolist():

        def below(u, t=t):
            return float(divergence.f(double(u))) - u * t

        if divergence.name == "pearson":
            found = minimize_scalar(below, bounds=(-20, 20), method="bounded", options={"xatol": 1e-9})
        else:
            found = minimize_scalar(
                lambda log_u, below=below: below(math.exp(log_u)),
                bounds=(-12, 12),
                method="bounded",
                options={"xatol": 1e-9},
            )
        assert float(divergence.conjugate(double(t))) == pytest.approx(-found.fun, abs=1e-6)


@every
def test_the_activation_rises_over_the_whole_domain(divergence):
    low, high = DOMAIN[divergence.name]
    near = divergence.activation(torch.linspace(-15, 15, 3001, dtype=torch.float64))
    assert (near.diff() > 0).all()
    assert ((near > low) & (near < high)).all()
    far = divergence.activation(torch.linspace(-1e4, 1e4, 2001, dtype=torch.float64))
    assert ((far >= low) & (far <= high)).all()
    for end, reached in ((low, far[0]), (high, far[-1])):
        assert reached.abs() > 9999 if math.isinf(end) else reached == pytest.approx(end)


EXACT = {  # activation and conjugate, to be evaluated with hundreds of digits
    "kl": (lambda v: v, lambda t: (t - 1).exp()),
    "reverse-kl": (lambda v: -(-v).exp(), lambda t: -1 - (-t).ln()),
    "pearson": (lambda v: v, lambda t: t * t / 4 + t),
    "neyman": (lambda v: 1 - (-v).exp(), lambda t: 2 - 2 * (1 - t).sqrt()),
    "squared-hellinger": (lambda v: 1 - (-v).exp(), lambda t: t / (1 - t)),
    "jensen-shannon": (lambda v: Decimal(2).ln() - (1 + (-v).exp()).ln(), lambda t: -(2 - t.exp()).ln()),
    "gan": (lambda v: -(1 + (-v).exp()).ln(), lambda t: -(1 - t.exp()).ln()),
    "total-variation": (lambda v: (v.exp() - (-v).exp()) / (v.exp() + (-v).exp()) / 2, lambda t: t),
}


@pytest.mark.parametrize("name", EXACT)
def test_no_step_overflows_or_cancels(name):
    divergence, (activation, conjugate) = DIVERGENCES[name], EXACT[name]
    scores = [-700.0, -100.0, -21.0, -3.0, -0.5, 0.0, 0.5, 3.0, 21.0, 100.0, 700.0]
    with decimal.localcontext() as context:
        context.prec = 640  # tanh(700) needs 608 digits
        turned = [activation(Decimal(score)) for score in scores]
        exact = [[float(t) for t in turned], [float(conjugate(t)) for t in turned]]
    for function, expected in zip((divergence.activation, divergence.composed), exact, strict=True):
        v = double(*scores).requires_grad_()
        found = function(v)
        assert found.tolist() == pytest.approx(expected, rel=1e-8, abs=1e-12)
        assert torch.autograd.grad(found.sum(), v)[0].isfinite().all()


LOG_2 = math.log(2)
# g_f(v) and f*(g_f(v)) at v = -10,000 and 10,000: infinite only where the number has thousands of digits
FAR = {
    "kl": ([-1e4, 1e4], [0.0, INFINITE]),
    "reverse-kl": ([-INFINITE, 0.0], [-10001.0, 9999.0]),
    "pearson": ([-1e4, 1e4], [2.5e7 - 1e4, 2.5e7 + 1e4]),
    "neyman": ([-INFINITE, 1.0], [-INFINITE, 2.0]),
    "squared-hellinger": ([-INFINITE, 1.0], [-1.0, INFINITE]),
    "jeffrey": ([-1e4, 1e4], [-10.209419000739688, INFINITE]),  # W by bisection with 40 digits
    "jensen-shannon": ([LOG_2 - 1e4, LOG_2], [-LOG_2, 1e4 - LOG_2]),
    "gan": ([-1e4, 0.0], [0.0, 1e4]),
    "total-variation": ([-0.5, 0.5], [-0.5, 0.5]),
}


@every
@pytest.mark.parametrize("precision", [torch.float64, torch.float32], ids=str)
def test_far_scores_give_what_the_mathematics_gives(divergence, precision):
    for function, expected in zip((divergence.activation, divergence.composed), FAR[divergence.name], strict=True):
        v = torch.tensor([-1e4, 1e4], dtype=precision, requires_grad=True)
        found = function(v)
        assert found.tolist() == pytest.approx(expected, rel=1e-9 if precision == torch.float64 else 1e-6)
        slopes = torch.autograd.grad(found.sum(), v)[0]
        assert slopes[found.isfinite()].isfinite().all()


def test_jeffreys_conjugate_through_its_inverse():
    # f*(f'(u)) = u f'(u) - f(u) = u - 1 + log u, for f'(u) = log u + 1 - 1/u: no Lambert W in it
    log_u = torch.linspace(-9.2, 30, 2001, dtype=torch.float64)
    u, t = log_u.exp(), (log_u + 1 - (-log_u).exp()).requires_grad_()
    found = DIVERGENCES["jeffrey"].conjugate(t)
    torch.testing.assert_close(found, u - 1 + log_u, rtol=1e-10, atol=1e-11)
    slope = torch.autograd.grad(found.sum(), t, create_graph=True)[0]
    torch.testing.assert_close(slope, u, rtol=1e-10, atol=0)  # f*' is the inverse of f'
    bend = torch.autograd.grad(slope.sum(), t)[0]
    torch.testing.assert_close(bend, 1 / (1 / u + 1 / u**2), rtol=1e-8, atol=0)  # f*'' = 1 / f''
    few = double(-9.0, -2.0, 0.0, 0.3, 4.0).requires_grad_()
    assert torch.autograd.gradgradcheck(DIVERGENCES["jeffrey"].conjugate, few)


def test_float32_scores_in_training_range():
    v = torch.linspace(-80, 80, 321)
    for divergence in DIVERGENCES.values():
        for function in (divergence.activation, divergence.composed):
            exact = function(v.double())
            torch.testing.assert_close(function(v).double(), exact, rtol=2e-5, atol=2e-6)


@every
def test_the_game_by_hand(divergence):
    real, fake = double(0.4, -1.0, 2.0), double(-0.3, 0.9)
    bound = f_gan(divergence)
    terms = bound.discriminator(real, fake)
    assert float(terms["real"]) == pytest.approx(-float(divergence.activation(real).mean()))
    on_fakes = float(divergence.conjugate(divergence.activation(fake)).mean())
    assert float(terms["fake"]) == pytest.approx(on_fakes)
    assert float(bound.generator(None, fake)["adversarial"]) == pytest.approx(-on_fakes)
    trick = f_gan(divergence, minimax=False)
    assert float(trick.generator(None, fake)["adversarial"]) == pytest.approx(
        -float(divergence.activation(fake).mean())
    )
    assert trick.discriminator(real, fake) == terms


def test_the_gan_divergence_is_the_gan():
    real, fake = double(0.4, -1.0, 2.0), double(-0.3, 0.9)
    objective = f_gan(DIVERGENCES["gan"])
    assert objective.discriminator(real, fake) == minimax.discriminator(real, fake)
    assert objective.generator(None, fake) == minimax.generator(None, fake)


def bound(divergence, score, points):
    """E_p T - E_q f*(T) by quadrature over evenly spaced `points`, p = N(0, 1) and q = N(1, 1)."""
    v = score(points)
    terms = torch.func.vmap(f_gan(divergence).discriminator)(v[:, None], v[:, None])
    p, q = (torch.exp(-((points - mean) ** 2) / 2) / math.sqrt(2 * math.pi) for mean in (0, 1))
    return -((p * terms["real"] + q * terms["fake"]).sum() * (points[1] - points[0]))


@every
def test_the_best_score_gives_the_divergence(divergence):
    points = torch.linspace(-12, 13, 5001, dtype=torch.float64)
    exact = bound(divergence, lambda x: BEST_SCORE[divergence.name](0.5 - x), points)
    assert float(exact) == pytest.approx(TRUTH[divergence.name], abs=1e-5)


@every
def test_a_learned_score_bounds_the_divergence_from_below(divergence):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Softplus(), torch.nn.Linear(16, 1)).double()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    points = torch.linspace(-7, 8, 301, dtype=torch.float64)

    def score(x):
        return network(x[:, None])[:, 0]

    bounds = []
    for _ in range(500):
        loss = -bound(divergence, score, points)
        bounds.append(-loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    truth, nothing = TRUTH[divergence.name], -f_gan(divergence).undecided
    assert max(bounds) <= truth + 1e-4  # the quadrature's error at the kink of the total variation
    assert bounds[0] - nothing < 0.5 * (truth - nothing)
    assert bounds[-1] - nothing >= 0.97 * (truth - nothing)
