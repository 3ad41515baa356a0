"""The ground of variational autoencoders: a Gaussian posterior over codes, a likelihood over pixels, their bound."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kallima.conditions import Conditions
from kallima.data.spec import Spec
from kallima.layers.latent import NormalPrior
from kallima.layers.modes import evaluating
from kallima.objectives.gaussian import reparameterised
from kallima.objectives.likelihood import Likelihood
from kallima.system import Batch, System, Terms
from kallima.systems.autoencoders.coding import coders
from kallima.systems.autoencoders.settings import Charge, Coders
from kallima.systems.descent import Descent

ACTIVE = 0.01
"""Nats above which a dimension of the code says something of the image."""


class VariationalAutoencoder(System):
    """q(z | x) = N(μ(x), diag σ²(x)), p(z) = N(0, I), p(x | z) as `likelihood` says; under conditions all given c.

    A model is a class below this one that tells what is minimised: its `game`.
    """

    def __init__(
        self,
        spec: Spec,
        networks: Coders,
        likelihood: Likelihood,
        *,
        descent: Descent,
        conditions: Conditions | None = None,
    ):
        super().__init__()
        self.spec, self.likelihood, self.descent = spec, likelihood, descent
        self.conditional = conditions is not None
        size, latent_dim = 0, networks.latent_dim
        self.parts = {"z": slice(0, latent_dim)}
        if conditions is not None:
            self.conditions, size = conditions, conditions.size
            places = {part.name: part.place for part in conditions.parts.values()}
            self.parts |= {name: slice(latent_dim + p.start, latent_dim + p.stop) for name, p in places.items()}
        self.prior = NormalPrior(latent_dim)
        self.encoder, self.decoder = coders(
            spec,
            networks,
            outputs=2 * latent_dim,
            inputs=latent_dim + size,
            numbers=likelihood.numbers,
            condition_size=size,
        )

    def learn(self, notes: Mapping[str, Tensor]) -> None:
        """Remember the conditions of the data."""
        self.conditions.remember(notes["condition"])

    def modules_that_move(self) -> list[nn.Module]:
        """Return all that the one player moves."""
        return [self.encoder, self.decoder, *([self.conditions] if self.conditional else [])]

    def condition_of(self, batch: Batch) -> Tensor | None:
        """Return what the batch's examples are, for a model that is told (N, K)."""
        return self.conditions.vectors(batch) if self.conditional else None

    def moments(self, images: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return mean and log variance (N, d) of the codes of images (N, C, H, W)."""
        told = () if condition is None else (condition,)
        mean, log_variance = self.encoder(images, *told).chunk(2, 1)
        return mean, log_variance

    def parameters_of(self, codes: Tensor, condition: Tensor | None) -> Tensor:
        """Return what the decoder says of codes (N, d): the likelihood's parameters."""
        return self.decoder(codes if condition is None else torch.cat([codes, condition], 1))

    def log_weights(self, images: Tensor, count: int, condition: Tensor | None) -> Tensor:
        """Return log p(x, zᵢ) − log q(zᵢ | x) for `count` draws of images (N, …): (count, N), in nats."""
        mean, log_variance = self.moments(images, condition)
        noise = torch.randn(count, *mean.shape, dtype=mean.dtype, device=mean.device)
        codes = mean + (0.5 * log_variance).exp() * noise
        told = None if condition is None else condition.repeat(count, 1)
        parameters = self.parameters_of(codes.flatten(0, 1), told)
        repeated = images.repeat(count, *[1] * (images.dim() - 1))
        log_p_x = self.likelihood.log_probability(parameters, repeated).unflatten(0, (count, -1))
        # log N(z; 0, I) − log N(z; μ, σ²): the constants cancel
        log_ratio = 0.5 * (noise.square() + log_variance - codes.square()).sum(2)
        return log_p_x + log_ratio

    def charged_bound(self, batch: Batch, charge: Charge) -> tuple[Terms, dict[str, Tensor]]:
        """Return −log p(x | z) of one draw z an image and the divergence, weighed as `charge` says; and notes.

        Both are in nats an image. The notes are the bound itself and the number of dimensions that say something; of a
        conditional model also the batch's conditions (N, K).
        """
        condition = self.condition_of(batch)
        images = self.likelihood.target(batch["image"])
        mean, log_variance = self.moments(images, condition)
        codes = reparameterised(mean, log_variance, torch.randn_like(mean))
        error = -self.likelihood.log_probability(self.parameters_of(codes, condition), images).mean()
        each = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(0)  # (d,)
        weight = charge.beta * (self.progress / charge.warm_up).clamp_max(1) if charge.warm_up else charge.beta
        notes = {"elbo": -error - each.sum(), "active": (each > ACTIVE).to(torch.float32).sum()}
        if condition is not None:
            notes["condition"] = condition
        return {"reconstruction": error, "divergence": weight * each.clamp_min(charge.free_bits).sum()}, notes

    @torch.no_grad()
    def log_weights_of(self, batch: Batch, draws: int) -> Tensor:
        """Return log p(x, zᵢ) − log q(zᵢ | x) of the batch's images, (draws, N): one draw is the bound itself.

        Draws, of binarised pixels too, come from the default generators.
        """
        with evaluating(self):
            return self.log_weights(self.likelihood.target(batch["image"]), draws, self.condition_of(batch))

    @property
    def likelihood_notes(self) -> tuple[str, ...]:
        """What the nats are of."""
        return (self.likelihood.note,)

    @torch.no_grad()
    def sample(self, count: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Return the means p(x | z) of `count` fresh codes: (count, C, H, W) in [-1, 1].

        `condition` (count, K) is what a conditional model is asked for, by default what the data asks for; `rng` is a
        generator on the CPU, None torch's default one.
        """
        return self.decode(self.latents(count, condition=condition, rng=rng))

    @torch.no_grad()
    def latents(self, count: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Draw `count` codes (count, d) from the prior, as `parts` says; arguments as for `sample`."""
        rng = rng or torch.default_generator
        codes = self.prior.draw(count, self.device, rng)
        if not self.conditional:
            return codes
        if condition is None:
            condition = self.conditions.draw(count, rng)
        return torch.cat([codes, condition.to(codes)], 1)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return E[x | z] of latents (N, d): (N, C, H, W) in [-1, 1]."""
        with evaluating(self):
            return self.likelihood.mean(self.decoder(latents))


class EncodingAutoencoder(VariationalAutoencoder):
    """One that needs nothing but an image to find its code."""

    @torch.no_grad()
    def encode(self, examples: Tensor) -> Tensor:
        """Return the mean codes (N, d) of images (N, C, H, W)."""
        with evaluating(self):
            return self.moments(examples, None)[0]

    def reconstruct(self, examples: Tensor) -> Tensor:
        """Return E[x | z] at the mean code of images (N, C, H, W): (N, C, H, W) in [-1, 1]."""
        return self.decode(self.encode(examples))
