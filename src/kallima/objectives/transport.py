"""Entropic optimal transport between two batches of equal weights, and what generators learn from it.

Every loss here takes its gradient through the cost with the transport plan held fixed, as in OT-GAN (Salimans et al.
2018, arXiv:1803.05573, section 3): the plan minimises, so by the envelope theorem its own change counts for nothing.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kallima.full_precision import in_full_precision


@torch.no_grad()
def sinkhorn(cost: Tensor, epsilon: float, iterations: int = 100) -> Tensor:
    """Return the plan P (…, N, M) that minimises <P, C> + ε KL(P ‖ 1/NM), rows summing to 1/N and columns to 1/M.

    Sinkhorn's iterations in the log domain (Cuturi 2013, arXiv:1306.0895), on costs C (…, N, M); ε is in units of the
    cost. The entropy sets out large and is halved each time down to ε, which saves most iterations where ε is small.
    The columns are met to rounding, the rows as far as the iterations have come.
    """
    rows, columns = cost.shape[-2:]
    g = torch.zeros_like(cost[..., :1, :])
    widest = cost.amax((-2, -1), keepdim=True)
    for k in range(iterations):
        temperature = (widest * 0.5**k).clamp_min(epsilon)
        f = temperature * (math.log(columns) - torch.logsumexp((g - cost) / temperature, -1, keepdim=True))
        g = temperature * (math.log(rows) - torch.logsumexp((f - cost) / temperature, -2, keepdim=True))
    return ((f + g - cost) / temperature).exp() / (rows * columns)


def transport_cost(cost: Tensor, epsilon: float, iterations: int = 100) -> Tensor:
    """<P, C> under Sinkhorn's plan: costs (…, N, M) to (…). It tends to optimal transport as ε falls to 0."""
    return (sinkhorn(cost, epsilon, iterations) * cost).sum((-2, -1))


@in_full_precision
def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """‖xᵢ − yⱼ‖²: (N, …) and (M, …) to (N, M)."""
    x, y = x.flatten(1), y.flatten(1)
    centre = x.detach().mean(0)  # far from the origin the squares would drown the differences
    x, y = x - centre, y - centre
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T).clamp_min(0)


@in_full_precision
def cosine_distances(x: Tensor, y: Tensor) -> Tensor:
    """1 − cos(xᵢ, yⱼ), in [0, 2]: (N, F) and (M, F) to (N, M) (Salimans et al. 2018, Eq. 7)."""
    return 1 - F.normalize(x, dim=1) @ F.normalize(y, dim=1).T


def sinkhorn_divergence(x: Tensor, y: Tensor, epsilon: float, iterations: int = 100) -> Tensor:
    """W(x, y) − ½ W(x, x) − ½ W(y, y) for the squared Euclidean cost: (N, …) and (M, …) to a scalar.

    Half the Sinkhorn loss of Genevay et al. 2018 (arXiv:1706.00292, section 2), so that it tends to optimal transport
    as ε falls to 0. W = min <P, C> + ε KL(P ‖ 1/NM) keeps the entropy that they leave out of the value: only so is the
    gradient through the fixed plan the gradient of the value, which is then never below 0, and 0 for x = y alone (Feydy
    et al. 2019, arXiv:1810.08278, theorem 1). ε is in units of the cost.
    """

    def entropic(cost: Tensor) -> Tensor:
        plan = sinkhorn(cost, epsilon, iterations)
        divergence = torch.xlogy(plan, plan * plan.numel()).sum()
        return (plan * cost).sum() + epsilon * divergence

    across = entropic(squared_distances(x, y))
    return across - 0.5 * (entropic(squared_distances(x, x)) + entropic(squared_distances(y, y)))


def minibatch_energy_distance(
    real: Tensor, real_again: Tensor, fake: Tensor, fake_again: Tensor, epsilon: float, iterations: int = 100
) -> Tensor:
    """The loss of OT-GAN's generator, which its critic maximises, on four batches of embeddings (N, F); a scalar.

        W(X, Y) + W(X, Y') + W(X', Y) + W(X', Y') − 2 W(X, X') − 2 W(Y, Y')

    (Salimans et al. 2018, arXiv:1803.05573, algorithm 1), W = <P, C> for the cosine distance of the embeddings. Each
    term compares two independent batches, so the gradient is unbiased, and the expectation is 0 for one distribution
    against itself. Plans here sum to 1, not to N. ε is in units of the cosine distance.
    """
    pairs = [(real, fake), (real, fake_again), (real_again, fake), (real_again, fake_again)]
    pairs += [(real, real_again), (fake, fake_again)]
    costs = torch.stack([cosine_distances(x, y) for x, y in pairs])  # (6, N, N)
    weights = costs.new_tensor([1.0, 1.0, 1.0, 1.0, -2.0, -2.0])
    return weights @ transport_cost(costs, epsilon, iterations)
