"""The ground of every game between a generator and a discriminator: networks, latents, turns, samples."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from kallima import schedules
from kallima.conditions import Conditions
from kallima.data.spec import Spec
from kallima.layers.latent import NormalPrior, Prior
from kallima.layers.modes import evaluating
from kallima.networks.reading import Reading
from kallima.optimizers import adam, optimistic_adam, rmsprop, sgd
from kallima.system import Batch, OptimizerFactory, Phase, Player, System, Terms
from kallima.systems.adversarial.pair import data_field
from kallima.systems.adversarial.settings import Play

Turn = Terms | tuple[Terms, Mapping[str, Tensor]]
"""What a loss returns: named terms, and notes where there are any."""


class TwoPlayerGame(System):
    """A generator against a discriminator, which take their turns as `play` says.

    A game is a class below this one that tells what each minimises: `discriminator_loss` and `generator_loss`. Under
    `conditions` latents are noise and condition, one after the other, and the generator takes both; where a `reading`
    is given, what the generator's player makes of a condition stands in its place.
    """

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        play: Play,
        conditions: Conditions | None = None,
        reading: Reading | None = None,
    ):
        super().__init__()
        self.spec, self.field = spec, data_field(spec)
        self.generator, self.discriminator = generator, discriminator
        self.prior: Prior = NormalPrior(cast(int, generator.latent_dim))
        self.play, self.simultaneous = play, play.simultaneous
        noise = self.prior.dimensions
        self.parts = {"z": slice(0, noise)}
        self.conditional = conditions is not None
        if conditions is not None:
            self.conditions, self.reading = conditions, reading
            own = {part.name: part.place for part in conditions.parts.values()}
            places = own if reading is None else reading.places
            self.parts |= {name: slice(noise + place.start, noise + place.stop) for name, place in places.items()}

    @abstractmethod
    def discriminator_loss(self, batch: Batch) -> Turn:
        """Return the terms that the discriminator minimises on a batch of data."""

    @abstractmethod
    def generator_loss(self, batch: Batch) -> Turn:
        """Return the terms that the generator minimises."""

    def game(self) -> list[Phase]:
        """The discriminator's steps, then the generator's."""
        play = self.play
        discriminator = self.player("discriminator", self.discriminator, rate=play.discriminator_learning_rate)
        generator = self.player("generator", self.generator, average=play.average)
        return [
            Phase("discriminator", discriminator, self.discriminator_loss, repeats=play.discriminator_steps),
            Phase("generator", generator, self.generator_loss, repeats=play.generator_steps),
        ]

    def player(
        self,
        name: str,
        *modules: nn.Module,
        rate: float | None = None,
        average: float = 0.0,
        constraint: Callable[[], None] | None = None,
        lazy: int = 1,
    ) -> Player:
        """Make a player that steps as `play` says.

        Adam's rate and decays are those of a player who takes an extra step every `lazy` steps (Karras et al. 2020,
        arXiv:1912.04958, appendix B).
        """
        play, rate = self.play, rate or self.play.learning_rate
        share = 1.0 if lazy == 1 else lazy / (lazy + 1)
        betas = (play.beta1**share, play.beta2**share)
        optimizers: dict[str, Callable[[], OptimizerFactory]] = {
            "adam": lambda: adam(rate * share, betas=betas),
            "optimistic-adam": lambda: optimistic_adam(rate * share, betas=betas),
            "rmsprop": lambda: rmsprop(rate * share),
            "sgd": lambda: sgd(rate * share),
        }
        return Player(
            name,
            *modules,
            optimizer=optimizers[play.optimizer](),
            schedule=schedules.by_name(play.schedule, play.warm_up),
            constraint=constraint,
            clip=play.clip,
            average=average,
        )

    def forge(self, count: int, condition: Tensor | None = None) -> Tensor:
        """Return `count` fakes of fresh latents: (count, C, H, W) or (count, D), of a condition (count, K) if given."""
        latent = self.prior.draw(count, self.device)
        return self.generator(latent if condition is None else torch.cat([latent, condition], 1))

    def condition_of(self, batch: Batch) -> Tensor | None:
        """Return what the batch's examples are, for those who are told (N, K): fakes are asked for the same."""
        return self.conditions.vectors(batch) if self.conditional else None

    def learn(self, notes: Mapping[str, Tensor]) -> None:
        """After a discriminator's step: remember the conditions (N, K) that it has met."""
        if self.conditional:
            self.conditions.remember(notes["condition"])

    def told(self, condition: Tensor) -> Tensor:
        """Return conditions (N, K) as they lie in a latent."""
        return condition if self.reading is None else self.reading(condition)

    @torch.no_grad()
    def sample(self, count: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Return `count` new examples on the system's device: images (count, C, H, W) in [-1, 1], points (count, D).

        `condition` (count, K) is what a conditional system is asked for, by default what the data asks for; `rng` is a
        generator on the CPU, None torch's default one.
        """
        return self.decode(self.latents(count, condition=condition, rng=rng))

    @torch.no_grad()
    def latents(self, count: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Draw `count` latents (count, d) from the prior, as `parts` says; arguments as for `sample`."""
        rng = rng or torch.default_generator
        latent = self.prior.draw(count, self.device, rng)
        if not self.conditional:
            return latent
        if condition is None:
            condition = self.conditions.draw(count, rng)
        with evaluating(self):
            return torch.cat([latent, self.told(condition.to(latent))], 1)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return the examples of latents (N, d), as `sample` does."""
        with evaluating(self):
            return self.generator(latents)


def sum_of(terms: Terms) -> Tensor:
    """Add up the terms of a loss, as the trainer does."""
    return torch.stack(list(terms.values())).sum()
