"""The ground of variational autoencoders with a class: everything that depends on it is summed over all classes."""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from kallima.data.spec import Spec
from kallima.layers.modes import evaluating
from kallima.objectives.gaussian import divergence
from kallima.objectives.likelihood import Likelihood
from kallima.system import Batch, System, Terms
from kallima.systems.autoencoders.coding import coders, encoder
from kallima.systems.autoencoders.settings import Coders
from kallima.systems.descent import Descent


class ClassVAE(System):
    """q(y | x) a softmax over K classes, q(z | x, y) = N(μ, diag σ²), p(y) = 1/K; p(z | y) is the model's own.

    The free energy of an image, an upper bound on −log p(x) with no draw of y in it:

        U(x) = Σ_y q(y | x) [−log p(x | z_y, y) + KL(q(z | x, y) ‖ p(z | y)) + log K] − H(q(y | x)),   z_y ~ q(z | x, y)

    A latent is the noise ε that z = mean(y) + deviation(y) ε is made of, then the class, one-hot.
    """

    def __init__(
        self, spec: Spec, networks: Coders, likelihood: Likelihood, classes: int, *, told: bool, descent: Descent
    ):
        super().__init__()
        self.spec, self.likelihood, self.classes, self.told, self.descent = spec, likelihood, classes, told, descent
        self.latent_dim = networks.latent_dim
        self.sorter = encoder(spec, networks, classes)
        self.encoder, self.decoder = coders(
            spec,
            networks,
            outputs=2 * networks.latent_dim,
            inputs=networks.latent_dim + (classes if told else 0),
            numbers=likelihood.numbers,
            condition_size=classes,
        )
        noise = networks.latent_dim
        self.parts = {"z": slice(0, noise), "category": slice(noise, noise + classes)}

    @abstractmethod
    def prior_moments(self, category: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance (N, d) of p(z | y) for classes (N, K), one-hot."""

    def energies(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log q(y | x), −log p(x | z_y, y) and KL(q(z | x, y) ‖ p(z | y)) of images (N, …): (N, K) each.

        Images are as they are modelled.
        """
        count, classes = len(images), self.classes
        log_q = self.sorter(images).log_softmax(1)
        category = torch.eye(classes, device=images.device).repeat_interleave(count, 0)  # every class of all images
        error, cost = self.energy(images.repeat(classes, *[1] * (images.dim() - 1)), category)
        return log_q, error.view(classes, count).T, cost.view(classes, count).T

    def energy(self, images: Tensor, category: Tensor) -> tuple[Tensor, Tensor]:
        """Return −log p(x | z, y) of one draw z and KL(q(z | x, y) ‖ p(z | y)), (N,) each, of classes (N, K)."""
        mean, log_variance = self.encoder(images, category).chunk(2, 1)
        codes = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        error = -self.likelihood.log_probability(self.parameters_of(codes, category), images)
        return error, divergence(mean, log_variance, *self.prior_moments(category))

    def free_energy(self, images: Tensor) -> tuple[Terms, Tensor]:
        """Return the terms of E U(x), whose sum it is, and log q(y | x) (N, K), of images as they are modelled."""
        log_q, error, cost = self.energies(images)
        q = log_q.exp()
        terms = {
            "reconstruction": (q * error).sum(1).mean(),
            "divergence": (q * cost).sum(1).mean(),
            "category": (q * (log_q + torch.log(torch.tensor(float(self.classes))))).sum(1).mean(),
        }
        return terms, log_q

    def parameters_of(self, codes: Tensor, category: Tensor) -> Tensor:
        """Return what the decoder says of codes z (N, d), and of their classes where it is told them."""
        return self.decoder(torch.cat([codes, category], 1) if self.told else codes)

    @torch.no_grad()
    def log_weights_of(self, batch: Batch, draws: int) -> Tensor:
        """Return log Σ_y p(y) p(x, z_y | y) / q(z_y | x, y) of the batch's images, of fresh draws z_y: (draws, N).

        All classes are summed, so one draw bounds log p(x) more tightly than −U(x) does.
        """
        rows = []
        with evaluating(self):
            images = self.likelihood.target(batch["image"])
            count, classes = len(images), self.classes
            category = torch.eye(classes, device=images.device).repeat_interleave(count, 0)
            repeated = images.repeat(classes, *[1] * (images.dim() - 1))
            mean, log_variance = self.encoder(repeated, category).chunk(2, 1)
            prior_mean, prior_log_variance = self.prior_moments(category)
            for _ in range(draws):
                noise = torch.randn_like(mean)
                codes = mean + (0.5 * log_variance).exp() * noise
                log_p_x = self.likelihood.log_probability(self.parameters_of(codes, category), repeated)
                away = (codes - prior_mean).square() * (-prior_log_variance).exp()
                log_ratio = 0.5 * (noise.square() + log_variance - away - prior_log_variance).sum(1)
                rows.append((log_p_x + log_ratio).view(classes, count).logsumexp(0))
        return torch.stack(rows) - torch.log(torch.tensor(float(self.classes)))

    @property
    def likelihood_notes(self) -> tuple[str, ...]:
        """What the nats are of."""
        return (self.likelihood.note, "summed over all classes")

    @torch.no_grad()
    def log_classes(self, examples: Tensor) -> Tensor:
        """Return log q(y | x) of images (N, C, H, W): (N, K)."""
        with evaluating(self):
            return self.sorter(examples).log_softmax(1)

    @torch.no_grad()
    def latents(self, count: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Draw `count` latents (count, d + K): noise, and each class as often, or those asked for (count, K)."""
        rng = rng or torch.default_generator
        noise = torch.randn(count, self.latent_dim, generator=rng)
        if condition is None:
            condition = F.one_hot(torch.randint(self.classes, (count,), generator=rng), self.classes)
        return torch.cat([noise.to(self.device), condition.to(self.device, noise.dtype)], 1)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return E[x | z, y] of latents (N, d + K): (N, C, H, W) in [-1, 1]."""
        noise, category = latents[:, : self.latent_dim], latents[:, self.latent_dim :]
        mean, log_variance = self.prior_moments(category)
        with evaluating(self):
            return self.likelihood.mean(self.parameters_of(mean + (0.5 * log_variance).exp() * noise, category))

    @torch.no_grad()
    def sample(self, count: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Return E[x | z, y] of `count` fresh latents: (count, C, H, W) in [-1, 1]; arguments as for `latents`."""
        return self.decode(self.latents(count, condition=condition, rng=rng))

    @torch.no_grad()
    def encode(self, examples: Tensor) -> Tensor:
        """Return the latents (N, d + K) of images (N, C, H, W): the likeliest class, and the noise of the mean code."""
        with evaluating(self):
            category = F.one_hot(self.sorter(examples).argmax(1), self.classes).to(examples)
            mean = self.encoder(examples, category)[:, : self.latent_dim]
            prior_mean, prior_log_variance = self.prior_moments(category)
            return torch.cat([(mean - prior_mean) * (-0.5 * prior_log_variance).exp(), category], 1)

    def reconstruct(self, examples: Tensor) -> Tensor:
        """Return what the decoder makes of the codes of images (N, C, H, W): likewise."""
        return self.decode(self.encode(examples))
