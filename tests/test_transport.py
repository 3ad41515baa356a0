import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment, linprog

from kallima.objectives.transport import (
    cosine_distances,
    minibatch_energy_distance,
    sinkhorn,
    sinkhorn_divergence,
    squared_distances,
    transport_cost,
)


def cloud(count, dimensions=3, seed=0, shift=0.0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, dtype=torch.float64, generator=rng) + shift


def assignment(cost):
    return cost.numpy()[linear_sum_assignment(cost)].mean()


def linear_programme(cost):
    rows, columns = cost.shape
    of_rows = np.kron(np.eye(rows), np.ones((1, columns)))
    of_columns = np.kron(np.ones((1, rows)), np.eye(columns))
    sums = np.vstack([of_rows, of_columns])
    marginals = np.concatenate([np.full(rows, 1 / rows), np.full(columns, 1 / columns)])
    return linprog(cost.numpy().ravel(), A_eq=sums, b_eq=marginals).fun


@pytest.mark.parametrize("distances", [squared_distances, cosine_distances])
def test_64_points_cost_what_the_linear_programme_says(distances):
    cost = distances(cloud(64), cloud(64, seed=1, shift=1.0))
    exact = assignment(cost)
    assert linear_programme(cost) == pytest.approx(exact)
    found = float(transport_cost(cost, 0.01 * float(cost.mean()), 300))
    assert exact <= found + 1e-9
    assert found == pytest.approx(exact, rel=0.02)


def test_batches_of_different_sizes():
    cost = squared_distances(cloud(20), cloud(32, seed=1, shift=0.5))
    found = float(transport_cost(cost, 0.01 * float(cost.mean()), 500))
    assert found == pytest.approx(linear_programme(cost), rel=0.02)


def test_plans_have_the_marginals_and_are_batched():
    costs = torch.stack([squared_distances(cloud(24, seed=k), cloud(40, seed=k + 10)) for k in range(3)])
    plans = sinkhorn(costs, 0.5, 200)
    assert plans.min() >= 0
    assert torch.allclose(plans.sum(1), torch.full((3, 40), 1 / 40, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(plans.sum(2), torch.full((3, 24), 1 / 24, dtype=torch.float64), atol=1e-8)
    assert torch.allclose(plans[1], sinkhorn(costs[1], 0.5, 200), atol=1e-12)


def test_two_points_by_hand():
    # P = [[a, b], [b, a]] with a + b = 1/2 minimises 2b + ε(2a log 4a + 2b log 4b): a/b = e^(1/ε)
    epsilon = 0.7
    plan = sinkhorn(torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64), epsilon, 200)
    b = 0.5 / (1 + np.exp(1 / epsilon))
    assert torch.allclose(plan, torch.tensor([[0.5 - b, b], [b, 0.5 - b]], dtype=torch.float64), atol=1e-9)


def test_neither_tiny_nor_huge_entropy_overflows():
    cost = 1e4 * squared_distances(cloud(8), cloud(8, seed=1)).float()
    assert torch.isfinite(sinkhorn(cost, 1e-3, 50)).all()
    flat = sinkhorn(cost, 1e9, 5)  # all entropy: independence
    assert torch.allclose(flat, torch.full((8, 8), 1 / 64), atol=1e-6)
    assert torch.allclose(sinkhorn(torch.zeros(4, 4), 0.1, 5), torch.full((4, 4), 1 / 16))


def test_distances():
    x, y = cloud(5), cloud(7, seed=1)
    assert torch.allclose(squared_distances(x, y), torch.cdist(x, y).square())
    far = 1e4 + x.float()
    exact = torch.cdist(far.double(), far.double()).square()
    assert torch.allclose(squared_distances(far, far).double(), exact, atol=1e-4)
    expected = 1 - torch.cosine_similarity(x[:, None], y, dim=2)
    assert torch.allclose(cosine_distances(x, y), expected)


def test_the_divergence_is_0_on_itself_positive_else_and_symmetric():
    x, y = cloud(32), cloud(32, seed=1)
    assert float(sinkhorn_divergence(x, x, 0.5)) == 0
    there, back = (float(sinkhorn_divergence(*pair, 2.0, 500)) for pair in ((x, y), (y, x)))
    assert there == pytest.approx(back, rel=1e-6)
    for epsilon in (0.1, 1.0, 10.0):
        assert float(sinkhorn_divergence(x, y, epsilon, 300)) > 0
    # where the order of a batch means nothing, only what is in it counts
    assert float(sinkhorn_divergence(x, x.flip(0), 0.5, 300)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("epsilon", [1.0, 10.0, 1000.0])
def test_a_translation_costs_its_squared_length(epsilon):
    x, move = cloud(32), torch.tensor([3.0, 0.0, -4.0], dtype=torch.float64)
    # ‖xᵢ − xⱼ − t‖² differs from ‖xᵢ − xⱼ‖² by a row, a column and ‖t‖², so the plans are the same
    assert float(sinkhorn_divergence(x, x + move, epsilon, 500)) == pytest.approx(25, rel=1e-6)


def test_it_goes_from_optimal_transport_to_half_the_energy_distance():
    x, y = cloud(16), cloud(16, seed=1, shift=2.0)
    assert float(sinkhorn_divergence(x, y, 0.01, 1000)) == pytest.approx(assignment(squared_distances(x, y)), rel=0.02)
    means = (x.mean(0) - y.mean(0)).square().sum()  # for the squared cost: E‖x−y‖² − ½E‖x−x'‖² − ½E‖y−y'‖²
    assert float(sinkhorn_divergence(x, y, 1e5)) == pytest.approx(float(means), rel=1e-3)


def test_the_gradient_through_the_fixed_plan_is_that_of_the_divergence():
    x, y = cloud(6).requires_grad_(), cloud(6, seed=1, shift=1.0)
    (gradient,) = torch.autograd.grad(sinkhorn_divergence(x, y, 1.0, 500), x)
    with torch.no_grad():
        for place in ((0, 0), (2, 1), (5, 2)):
            step = torch.zeros_like(x)
            step[place] = 1e-5
            up, down = (float(sinkhorn_divergence(x + sign * step, y, 1.0, 500)) for sign in (1, -1))
            assert (up - down) / 2e-5 == pytest.approx(float(gradient[place]), rel=1e-5)


def test_descent_moves_points_onto_others():
    x, y = cloud(24, 2).requires_grad_(), cloud(24, 2, seed=1, shift=3.0)
    for _ in range(60):
        (gradient,) = torch.autograd.grad(sinkhorn_divergence(x, y, 0.05, 50), x)
        with torch.no_grad():
            x -= 0.5 * 24 * gradient * 0.5
    assert assignment(squared_distances(x.detach(), y)) < 0.05


def test_the_energy_distance_adds_up_as_told():
    batches = [cloud(12, 5, seed=k, shift=0.3 * (k > 1)) for k in range(4)]
    x, x2, y, y2 = batches

    def w(one, other):
        return float(transport_cost(cosine_distances(one, other), 0.2, 500))

    by_hand = w(x, y) + w(x, y2) + w(x2, y) + w(x2, y2) - 2 * w(x, x2) - 2 * w(y, y2)
    assert float(minibatch_energy_distance(*batches, 0.2, 500)) == pytest.approx(by_hand)
    assert float(minibatch_energy_distance(y, y2, x, x2, 0.2, 500)) == pytest.approx(by_hand, rel=1e-6)


def test_the_energy_distance_is_0_in_expectation_for_one_distribution_and_positive_for_two():
    def draws(shift):
        return [
            float(
                minibatch_energy_distance(
                    *(cloud(16, 4, seed=100 * k + j, shift=1 + shift * (j > 1)) for j in range(4)), 0.02
                )
            )
            for k in range(60)
        ]

    same, other = np.array(draws(0.0)), np.array(draws(-1.0))
    assert abs(same.mean()) < 4 * same.std() / np.sqrt(60)
    assert other.mean() > 4 * other.std() / np.sqrt(60)


def test_gradients_reach_all_four_batches_and_ignore_the_plan():
    batches = [cloud(8, 5, seed=k).requires_grad_() for k in range(4)]
    gradients = torch.autograd.grad(minibatch_energy_distance(*batches, 0.1), batches)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    cost = cloud(6, 6).abs().requires_grad_()
    (gradient,) = torch.autograd.grad(transport_cost(cost, 0.1), cost)
    assert torch.equal(gradient, sinkhorn(cost.detach(), 0.1))


def test_transport_compiles_in_one_piece():
    batches = [cloud(8, 5, seed=k) for k in range(4)]

    def loss(x, x2, y, y2):
        return minibatch_energy_distance(x, x2, y, y2, 0.1, 4) + sinkhorn_divergence(x, y, 0.5, 4)

    whole = torch.compile(loss, fullgraph=True, backend="aot_eager")
    assert torch.allclose(whole(*batches), loss(*batches))
    torch._dynamo.reset()
