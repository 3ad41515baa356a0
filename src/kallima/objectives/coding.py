"""What an autoencoder's code is charged for besides the error: being busy, and moving when the example does."""

from collections.abc import Callable

import torch
from torch import Tensor


def sparsity(activity: Tensor, target: float) -> Tensor:
    """Σⱼ KL(ρ ‖ ρ̂ⱼ), ρ̂ⱼ the mean of unit j in (0, 1) over the batch: (N, d) to a scalar, 0 where each is busy ρ.

    Ng 2011, "Sparse autoencoder" (CS294A notes), section 3.
    """
    mean = activity.mean(0).clamp(1e-6, 1 - 1e-6)
    rho = torch.as_tensor(target, dtype=mean.dtype, device=mean.device)
    return (rho * (rho / mean).log() + (1 - rho) * ((1 - rho) / (1 - mean)).log()).sum()


def contraction(encode: Callable[[Tensor], Tensor], examples: Tensor) -> Tensor:
    """E ‖∂h/∂x‖²_F, how far codes (N, d) move with examples (N, …): the mean over the batch, differentiable.

    Rifai et al. 2011, "Contractive auto-encoders", Eq. 4; by one backward pass for each of the d numbers of a code, so
    for any encoder in which examples do not meet.
    """

    def code(example: Tensor) -> Tensor:
        return encode(example[None])[0]

    jacobian = torch.func.vmap(torch.func.jacrev(code))(examples)  # (N, d, …)
    return jacobian.square().flatten(1).sum(1).mean()
