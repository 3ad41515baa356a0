"""Virtual batch normalisation (Salimans et al. 2016, arXiv:1606.03498, section 3.4)."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class VirtualBatchNorm(nn.Module):
    """Normalises each example by a fixed reference batch and itself, and by no other example.

    The first `reference` rows R of every batch are the reference; they are normalised by their own statistics. Those of
    any other example combine the reference's moments and its own with the weights R/(R + 1) and 1/(R + 1). Takes over
    `norm`'s scale, shift and ε; there are no running statistics, and training and evaluation do the same.
    """

    def __init__(self, norm: _BatchNorm, reference: int):
        super().__init__()
        self.weight, self.bias, self.eps, self.reference = norm.weight, norm.bias, norm.eps, reference

    def forward(self, x: Tensor) -> Tensor:
        """(R + N, C, …) to the same shape."""
        places = tuple(range(2, x.dim()))
        reference, others = x[: self.reference], x[self.reference :]
        variance, mean = torch.var_mean(reference, (0, *places), correction=0, keepdim=True)  # (1, C, …)
        own = others.mean(places, keepdim=True) if places else others  # (N, C, …)
        own_variance = (others - own).square().mean(places, keepdim=True) if places else torch.zeros_like(own)
        share = 1 / (self.reference + 1)
        means = mean + share * (own - mean)
        variances = (1 - share) * (variance + (mean - means).square()) + share * (own_variance + (own - means).square())
        normal = torch.cat(
            [
                (reference - mean) * (variance + self.eps).rsqrt(),
                (others - means) * (variances + self.eps).rsqrt(),
            ]
        )
        if self.weight is None:
            return normal
        shape = (1, -1, *[1] * len(places))
        return normal * self.weight.view(shape) + self.bias.view(shape)


class VirtuallyNormalised(nn.Module):
    """A generator whose batch normalisation is virtual: what it makes of a latent depends on that latent alone.

    Its batch norms are replaced, in place, by virtual ones with the same weights; `reference_latents` (R, D), at least
    two, go in front of every batch and are taken off again.
    """

    reference_latents: Tensor

    def __init__(self, generator: nn.Module, reference_latents: Tensor):
        super().__init__()
        self.latent_dim = reference_latents.shape[1]
        self.register_buffer("reference_latents", reference_latents)
        self.generator = generator
        for parent in list(generator.modules()):
            for name, child in parent.named_children():
                if isinstance(child, _BatchNorm):
                    setattr(parent, name, VirtualBatchNorm(child, len(reference_latents)))

    def forward(self, latent: Tensor) -> Tensor:
        """(N, D) to N examples."""
        reference = self.reference_latents.to(latent.dtype)
        return self.generator(torch.cat([reference, latent]))[len(reference) :]
