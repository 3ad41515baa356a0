"""Boundary-seeking GAN for discrete data (Hjelm et al. 2017): a policy gradient weighed by the discriminator."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.spec import Image, Spec
from kallima.errors import UsageError
from kallima.layers.modes import evaluating
from kallima.networks.discriminator import Discriminator
from kallima.objectives.adversarial import cross_entropy_discriminator
from kallima.recipe import recipe
from kallima.system import Batch, Terms
from kallima.systems.adversarial.game import TwoPlayerGame
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play


class DiscreteBoundarySeekingGAN(TwoPlayerGame):
    """Binary images, through whose pixels no gradient passes: samples are weighed by how real they look.

    Hjelm et al. 2017, "Boundary-seeking generative adversarial networks", arXiv:1702.08431 (Eqs. 7 to 10, algorithm 1).

        x⁽ᵐ⁾ ~ g(x | z) = ∏ Bernoulli(pixel; sigmoid(l(z))),   m = 1 … M
        w⁽ᵐ⁾ = D(x⁽ᵐ⁾) / (1 − D(x⁽ᵐ⁾)) = exp s(x⁽ᵐ⁾),   w̃⁽ᵐ⁾ = w⁽ᵐ⁾ / ∑ₘ w⁽ᵐ⁾
        discriminator   minimises  −E log D(x) − E log(1 − D(x⁽ᵐ⁾))
        generator       minimises  −E_z ∑ₘ w̃⁽ᵐ⁾ log g(x⁽ᵐ⁾ | z),   w̃ held fixed

    Symbols: x an example, z the latent, l(z) the generator's logits, g the distribution of images that they stand for,
    D = sigmoid(s) of the score s, M the samples drawn for each latent. For the best discriminator w = p / p_G, and
    w̃ g is, for each z, an estimate of the data's density as far as z's images reach; the generator moves g(x | z)
    towards it. Its fixed point is D = ½, the decision boundary, where all weights are equal.

    What to watch: "real" and "fake" sum to log 4 = 1.386 where the discriminator cannot tell. The generator's loss is
    a cross-entropy in nats an image and falls with the entropy of its pixels, not with quality. The note "effective"
    is 1 / ∑ w̃², the number of samples that count, between 1 and M: near 1 the gradient is one sample's, and noisy.

    Where we deviate: pixels above the middle grey count as 1, the others as 0, and samples are images of −1 and 1. The
    discriminator sees one image of each latent. With `average` samples come from averaged weights.
    """

    discriminator: Discriminator

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        discriminator: Discriminator,
        *,
        samples: int,
        play: Play,
    ):
        super().__init__(spec, with_logits(generator), discriminator, play=play)
        if samples < 2:
            raise UsageError(f"weights are relative to other samples: --samples is 2 or more, not {samples}")
        self.samples = samples

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Tell the binarised batch from as many binary fakes."""
        with torch.no_grad():
            fake = drawn(torch.sigmoid(self.forge(len(batch))))
        real = 2 * (batch[self.field] > 0).to(fake.dtype) - 1
        return cross_entropy_discriminator(self.discriminator(real), self.discriminator(fake))

    def generator_loss(self, batch: Batch) -> tuple[Terms, dict[str, Tensor]]:
        """Make those of a latent's images likelier that look more real than its others."""
        logits = self.forge(len(batch))  # (N, C, H, W)
        logits = logits.expand(self.samples, *logits.shape)  # (M, N, C, H, W)
        with torch.no_grad():
            images = drawn(torch.sigmoid(logits))
            weights = self.discriminator(images.flatten(0, 1)).view(self.samples, -1).softmax(0)  # (M, N)
        loss = (weights * negative_log_likelihood(logits, images)).sum(0).mean()
        return {"adversarial": loss}, {"effective": (1 / weights.square().sum(0)).mean()}

    @torch.no_grad()
    def sample(self, count: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Return `count` new binary images on the system's device: (count, C, H, W) of -1 and 1.

        There are no conditions; `rng` is a generator on the CPU, None torch's default one.
        """
        rng = rng or torch.default_generator
        with evaluating(self):
            chances = torch.sigmoid(self.generator(self.prior.draw(count, self.device, rng)))
        return 2 * (torch.rand(chances.shape, generator=rng).to(self.device) < chances).to(chances.dtype) - 1


def with_logits(generator: nn.Module) -> nn.Module:
    """Take the tanh away at a generator's end, in place: what is left are logits (N, C, H, W); return it."""
    ends = [
        (part, name)
        for part in generator.modules()
        for name, child in part.named_children()
        if isinstance(child, nn.Tanh)
    ]
    for part, name in ends:
        setattr(part, name, nn.Identity())
    return generator


def drawn(chances: Tensor) -> Tensor:
    """Draw images of -1 and 1 of any shape, 1 with the chances given."""
    return 2 * torch.bernoulli(chances) - 1


def negative_log_likelihood(logits: Tensor, images: Tensor) -> Tensor:
    """−log g(x | z) in nats, of images of −1 and 1 under the logits of their pixels: (M, N, …) twice to (M, N)."""
    return F.softplus(-images * logits).flatten(2).sum(2)


@recipe(
    "bgan-discrete",
    family="adversarial",
    paper="Hjelm et al. 2017, arXiv:1702.08431",
    needs={"image": Image},
    steps=10_000,
    batch_size=64,
)
def boundary_seeking_discrete(
    spec: Spec,
    *,
    samples: int = 20,
    networks: Networks = Networks(),
    play: Play = Play(learning_rate=1e-3),
) -> DiscreteBoundarySeekingGAN:
    """Binary images by a policy gradient: of each latent's images those count most that look most real.

        discriminator   minimises  −E log D(x) − E log(1 − D(x⁽ᵐ⁾)),  x⁽ᵐ⁾ ~ g(x | z)
        generator       minimises  −E ∑ₘ w̃⁽ᵐ⁾ log g(x⁽ᵐ⁾ | z),  w̃ ∝ D / (1 − D), adding up to 1 over m

    Pixels above the middle grey count as 1, the others as 0.

    Args:
        samples: M, images drawn for each latent
    """
    generator, discriminator = pair(spec, networks)
    return DiscreteBoundarySeekingGAN(spec, generator, discriminator, samples=samples, play=play)
