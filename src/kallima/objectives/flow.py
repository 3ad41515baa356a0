"""Flow matching: the straight path from noise to an example, and the velocity along it.

Time runs from 0, where all is noise, to 1, where all is data (Lipman et al. 2023, arXiv:2210.02747, with σ_min = 0;
Liu et al. 2023, arXiv:2209.03003).
"""

from torch import Tensor


def on_path(noise: Tensor, example: Tensor, time: Tensor) -> Tensor:
    """Return x_t = (1 − t) x₀ + t x₁: noise x₀ and examples x₁ (N, …), times (N,) in [0, 1], to (N, …)."""
    moment = time.reshape(-1, *[1] * (example.dim() - 1))
    return (1 - moment) * noise + moment * example


def path_velocity(noise: Tensor, example: Tensor) -> Tensor:
    """Return d x_t / dt = x₁ − x₀, the same at all times: (N, …) and (N, …) to (N, …)."""
    return example - noise


def velocity_error(velocity: Tensor, noise: Tensor, example: Tensor) -> Tensor:
    """‖v − (x₁ − x₀)‖² by number: the mean over batch and dimensions, all (N, …).

    Its least value is not 0 but the variance of x₁ − x₀ given x_t, and is reached by the mean E[x₁ − x₀ | x_t] (Lipman
    et al. 2023, theorem 2).
    """
    return (velocity - path_velocity(noise, example)).square().mean()


def guided(conditional: Tensor, unconditional: Tensor, guidance: float) -> Tensor:
    """Return v(x) + w (v(x | c) − v(x)): w = 1 is the conditional velocity, 0 the unconditional one.

    Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598, whose w is one less; for flows Zheng et al. 2023,
    arXiv:2311.13443).
    """
    return unconditional + guidance * (conditional - unconditional)
