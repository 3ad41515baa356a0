"""Generative adversarial networks (Goodfellow et al. 2014): the game under any objective, and its two first recipes."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call

from kallima.conditions import Conditions
from kallima.data.spec import Image, Points, Spec
from kallima.errors import UsageError
from kallima.layers.adaptive_augmentation import AdaptiveAugmentation
from kallima.layers.diffaugment import DiffAugment
from kallima.layers.historical_average import HistoricalAverage
from kallima.layers.modes import evaluating
from kallima.networks.discriminator import Discriminator
from kallima.objectives.adversarial import AdversarialObjective, minimax, non_saturating
from kallima.objectives.consensus import Weights, half_squared_gradients
from kallima.objectives.penalties import dragan_penalty, interpolated_gradient_penalty, zero_centred_penalty
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.conflicts import refuse_conflicts
from kallima.systems.adversarial.game import Turn, TwoPlayerGame, sum_of
from kallima.systems.adversarial.pair import has_batch_norm, pair
from kallima.systems.adversarial.settings import Networks, Play, Stabilisers


class GAN(TwoPlayerGame):
    """A generator that forges examples against a discriminator that tells them from real ones.

    Goodfellow et al. 2014, "Generative adversarial nets", arXiv:1406.2661.

        min_G max_D V(D, G),   V = E_x~p [log D(x)] + E_z~N(0,I) [log(1 − D(G(z)))]

    Under any objective the two players take turns at minimising their losses

        discriminator   L_D(s(x), s(G(z))) + stabilisers       generator   L_G(s(x), s(G(z)))

    which the recipe's own text gives. Symbols: x an example, p the data, z the latent, G(z) a fake, s the
    discriminator's score, D = sigmoid(s) where scores are logits. For a fixed generator the best discriminator of the
    original game is D*(x) = p(x) / (p(x) + p_G(x)), and V(D*, G) = 2 JS(p, p_G) − log 4.

    Stabilisers. Each can be added to any objective; what contradicts itself is refused:

        --r1, --r2                (γ/2) E‖∇s(x)‖² on real examples, on fakes
        --gradient-penalty λ      λ E(‖∇s‖ − 1)², --penalty-form says where
        --instance-noise σ        s sees x + σ(1 − t)₊ ε and G(z) + σ(1 − t)₊ ε, ε ~ N(0, I), t = progress / noise-until
        --label-smoothing α       the discriminator is asked for 1 − α on real examples
        --historical-averaging λ  λ‖θ − mean of θ so far‖² for either player
        --consensus γ             (γ/2)(‖∇_D L_D‖² + ‖∇_G L_G‖²) for both players
        --pack m                  s judges m examples at once;  --minibatch-discrimination lets them see one another

    What to watch: with the cross-entropy losses the two terms of the discriminator, "real" and "fake", sum to
    log 4 = 1.386 where it cannot tell the two apart (hinge: 2); near 0 it has won and the minimax generator learns no
    more. "accuracy" is the share of pairs of which it scores the real one higher, 0.5 where it cannot tell: it means
    the same under every objective. Losses say little about quality: look at the samples, and at `kallima diagnose`.

    Where we deviate: latents are normal, not uniform. Sampling uses an exponential moving average of the generator's
    weights (Yazıcı et al. 2019, arXiv:1806.04498) unless `average` is 0. A discriminator in which examples of a batch
    meet (batch normalisation, minibatch discrimination) sees real and fake ones in separate batches, as in DCGAN; any
    other sees them in one, which gives the same terms in less time and iterates a spectral norm once a step.
    """

    discriminator: Discriminator

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        discriminator: Discriminator,
        *,
        objective: AdversarialObjective,
        play: Play,
        stabilisers: Stabilisers = Stabilisers(),
        conditions: Conditions | None = None,
    ):
        super().__init__(spec, generator, discriminator, play=play, conditions=conditions)
        refuse_conflicts(spec, generator, discriminator, objective, stabilisers)
        if play.simultaneous and stabilisers.alone and stabilisers.lazy > 1:
            raise UsageError("lazy penalties take turns of their own: leave out --simultaneous or --lazy")
        if stabilisers.label_smoothing:
            assert objective.smoothed is not None
            objective = objective.smoothed(stabilisers.label_smoothing)
        self.objective, self.stabilisers = objective, stabilisers
        self.separate = has_batch_norm(discriminator) or stabilisers.minibatch_discrimination > 0
        augmentations = {"none": nn.Identity, "diffaugment": DiffAugment, "ada": AdaptiveAugmentation}
        self.augmentation = augmentations[stabilisers.augment]()
        self.histories = nn.ModuleDict()
        if stabilisers.historical_averaging:
            self.histories["discriminator"] = HistoricalAverage(discriminator.parameters())
            self.histories["generator"] = HistoricalAverage(generator.parameters())

    def game(self) -> list[Phase]:
        """The discriminator's steps, then the generator's; lazy penalties have a phase of their own."""
        play, lazy = self.play, self.stabilisers.lazy if self.stabilisers.alone else 1
        histories = {name: [history] for name, history in self.histories.items()}
        discriminator = self.player(
            "discriminator",
            self.discriminator,
            self.augmentation,
            *([self.conditions] if self.conditional else []),
            *histories.get("discriminator", []),
            rate=play.discriminator_learning_rate,
            constraint=self.constrain_discriminator,
            lazy=lazy,
        )
        generator = self.player(
            "generator",
            self.generator,
            *histories.get("generator", []),
            average=play.average,
            constraint=partial(self.remember, "generator", self.generator),
        )
        steps = play.discriminator_steps
        phases = [Phase("discriminator", discriminator, self.discriminator_loss, repeats=steps, after=self.learn)]
        if lazy > 1:
            phases.append(Phase("penalty", discriminator, self.penalty_loss, every=lazy))
        return [*phases, Phase("generator", generator, self.generator_loss, repeats=play.generator_steps)]

    def discriminator_loss(self, batch: Batch) -> Turn:
        """Tell the batch from as many fakes, through which no gradient reaches the generator."""
        condition = self.condition_of(batch)
        real, fake = self.meet(batch, condition)
        real_scores, fake_scores = self.score(real, fake, condition)
        distance = self.objective.distance
        pairs = () if distance is None else (distance(real, fake),)
        terms = dict(self.objective.discriminator(real_scores, fake_scores, *pairs))
        if self.stabilisers.lazy == 1:
            terms |= self.penalties(real, fake, condition)
        terms |= self.regularisers("discriminator", self.discriminator, batch)
        notes = {"accuracy": (real_scores > fake_scores).to(torch.float32).mean()}
        if isinstance(self.augmentation, AdaptiveAugmentation):
            notes |= {"real_signs": real_scores.sign(), "augmentation": self.augmentation.probability}
        if condition is not None:
            notes["condition"] = condition
        return terms, notes

    def generator_loss(self, batch: Batch) -> Terms:
        """Forge as many examples as the batch has; of the batch itself only relativistic objectives read more."""
        condition = self.condition_of(batch)
        judge = self.discriminator.features if self.objective.on_features else self.critic(condition)
        real = None
        if self.objective.relative:
            with torch.no_grad():
                real = judge(self.seen(batch[self.field]))
        terms = dict(self.objective.generator(real, judge(self.seen(self.forge(len(batch), condition)))))
        return terms | self.regularisers("generator", self.generator, batch)

    def penalty_loss(self, batch: Batch) -> Terms:
        """The penalties alone, as many times over as the steps between two of them."""
        condition = self.condition_of(batch)
        terms = self.penalties(*self.meet(batch, condition), condition)
        return {name: self.stabilisers.lazy * term for name, term in terms.items()}

    def critic(self, condition: Tensor | None) -> Callable[[Tensor], Tensor]:
        """Return the discriminator as one function of examples (N, …) of this condition."""
        if condition is None:
            return self.discriminator
        return lambda examples: self.discriminator(examples, condition)

    def learn(self, notes: Mapping[str, Tensor]) -> None:
        """After the discriminator's step: what is learned without gradients."""
        if isinstance(self.augmentation, AdaptiveAugmentation):
            self.augmentation.adapt(notes)
        super().learn(notes)

    def meet(self, batch: Batch, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the batch and as many fakes, detached, both as the discriminator sees them."""
        with torch.no_grad():
            fake = self.forge(len(batch), condition)
        return self.seen(batch[self.field]), self.seen(fake)

    @torch.no_grad()
    def judge(self, examples: Tensor) -> Tensor:
        """Return the score of each of the examples (N, …), as it is in a pack or a batch of its likes: (N,).

        Under conditions it is that of the example with conditions as the data has them, whichever it is of.
        """
        if self.conditional:
            rng = torch.Generator().manual_seed(0)
            with evaluating(self):
                return self.discriminator(examples, self.conditions.draw(len(examples), rng))
        pack = self.stabilisers.pack
        with evaluating(self):
            return torch.func.vmap(lambda example: self.discriminator(torch.stack([example] * pack))[0])(examples)

    def seen(self, examples: Tensor) -> Tensor:
        """Augment the examples and add the instance noise of this moment."""
        examples = self.augmentation(examples)
        if deviation := self.stabilisers.instance_noise:
            left = (1 - self.progress / self.stabilisers.noise_until).clamp_min(0)
            examples = examples + deviation * left * torch.randn_like(examples)
        return examples

    def score(self, real: Tensor, fake: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the scores of both, in one batch unless examples of a batch meet in the discriminator."""
        if self.separate:
            critic = self.critic(condition)
            return critic(real), critic(fake)
        twice = None if condition is None else torch.cat([condition, condition])
        real_scores, fake_scores = self.critic(twice)(torch.cat([real, fake])).chunk(2)
        return real_scores, fake_scores

    def penalties(self, real: Tensor, fake: Tensor, condition: Tensor | None) -> Terms:
        """Return the gradient penalties that are switched on, weighed."""
        switches, critic = self.stabilisers, self.critic(condition)
        terms = {}
        if weight := switches.gradient_penalty:
            if switches.penalty_form == "dragan":
                terms["gradient_penalty"] = weight * dragan_penalty(critic, real)
            else:
                one_sided = switches.penalty_form == "one-sided"
                penalty = interpolated_gradient_penalty(critic, real, fake, one_sided=one_sided)
                terms["gradient_penalty"] = weight * penalty
        if switches.r1:
            terms["r1"] = switches.r1 * zero_centred_penalty(critic, real)
        if switches.r2:
            terms["r2"] = switches.r2 * zero_centred_penalty(critic, fake)
        return terms

    def regularisers(self, name: str, network: nn.Module, batch: Batch) -> Terms:
        """Return what is switched on for both players, weighed."""
        terms = {}
        if weight := self.stabilisers.historical_averaging:
            history = self.histories[name]
            assert isinstance(history, HistoricalAverage)
            terms["history"] = weight * history.penalty(network.parameters())
        if weight := self.stabilisers.consensus:
            terms["consensus"] = weight * self.consensus(batch)
        return terms

    def consensus(self, batch: Batch) -> Tensor:
        """½(‖∇_D L_D‖² + ‖∇_G L_G‖²), differentiable in the weights of whoever moves."""
        real, latent = self.seen(batch[self.field]), self.prior.draw(len(batch), self.device)

        def losses(discriminator: Weights, generator: Weights) -> tuple[Tensor, Tensor]:
            fake = self.seen(functional_call(self.generator, dict(generator), latent))
            scores = functional_call(self.discriminator, dict(discriminator), torch.cat([real, fake])).chunk(2)
            return sum_of(self.objective.discriminator(*scores)), sum_of(self.objective.generator(*scores))

        weights = dict(self.discriminator.named_parameters()), dict(self.generator.named_parameters())
        return half_squared_gradients(losses, *weights)

    def constrain_discriminator(self) -> None:
        """After its step: bring its weights back into their bounds, and remember them."""
        if bound := self.stabilisers.weight_clip:
            for weight in self.discriminator.parameters():
                weight.clamp_(-bound, bound)
        self.remember("discriminator", self.discriminator)

    def remember(self, name: str, network: nn.Module) -> None:
        """Take a network's weights into their mean so far, where that is wanted."""
        if name in self.histories:
            history = self.histories[name]
            assert isinstance(history, HistoricalAverage)
            history.update(network.parameters())


@recipe(
    "gan",
    family="adversarial",
    paper="Goodfellow et al. 2014, arXiv:1406.2661",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def gan(
    spec: Spec,
    *,
    networks: Networks = Networks(generator="mlp"),
    play: Play = Play(learning_rate=1e-3),
    stabilisers: Stabilisers = Stabilisers(),
) -> GAN:
    """The original game with dense networks and the non-saturating loss, for points and small images.

    discriminator   minimises  −E log D(x) − E log(1 − D(G(z)))
    generator       minimises  −E log D(G(z))
    """
    return GAN(spec, *pair(spec, networks, stabilisers), objective=non_saturating, play=play, stabilisers=stabilisers)


@recipe(
    "gan-minimax",
    family="adversarial",
    paper="Goodfellow et al. 2014, arXiv:1406.2661",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def gan_minimax(
    spec: Spec,
    *,
    networks: Networks = Networks(generator="mlp"),
    play: Play = Play(learning_rate=1e-3),
    stabilisers: Stabilisers = Stabilisers(),
) -> GAN:
    """The original game with the minimax (saturating) loss: the theory's own, and the harder one to train.

        discriminator   minimises  −E log D(x) − E log(1 − D(G(z)))
        generator       minimises   E log(1 − D(G(z)))

    The generator's gradient vanishes where the discriminator is sure of itself. It is here for comparison; `gan` is
    the one that works.
    """
    return GAN(spec, *pair(spec, networks, stabilisers), objective=minimax, play=play, stabilisers=stabilisers)
