"""Diagonal Gaussians N(μ, diag σ²) over codes, given by their means and the logarithms of their variances."""

from torch import Tensor


def standard_normal_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, diag σ²) ‖ N(0, I)) = ½ ∑ (μ² + σ² − 1 − log σ²), in nats: (N, d) and (N, d) to (N,).

    Kingma & Welling 2014, arXiv:1312.6114, appendix B. Summed over dimensions: a mean over them would weigh it by 1/d.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


def reparameterised(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """μ + σ ε: for ε ~ N(0, I) a draw that passes gradients on to μ and σ (section 2.4); all of one shape."""
    return mean + (0.5 * log_variance).exp() * noise


def divergence(mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor) -> Tensor:
    """KL(N(μ₁, diag σ₁²) ‖ N(μ₂, diag σ₂²)) in nats, summed over the last dimension: all (…, d) to (…)."""
    ratio = log_variance - other_log_variance
    distance = (mean - other_mean).square() * (-other_log_variance).exp()
    return 0.5 * (ratio.exp() + distance - 1 - ratio).sum(-1)
