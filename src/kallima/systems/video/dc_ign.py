"""DC-IGN (Kulkarni et al. 2015): a code with a number for each thing that changes, from clips in which one changes."""

from collections.abc import Mapping

import torch
from torch import Tensor

from kallima.conditions import Conditions
from kallima.data.spec import Image, Label, Spec, Video
from kallima.errors import DataError, UsageError
from kallima.layers.modes import evaluating
from kallima.objectives.gaussian import reparameterised
from kallima.objectives.likelihood import Bernoulli
from kallima.recipe import recipe
from kallima.system import Batch, Phase, System, Terms
from kallima.systems.autoencoders.coding import coders
from kallima.systems.autoencoders.settings import Coders
from kallima.systems.descent import Descent, player

SWEEP = 1.5
"""Standard deviations to either side of the mean that a number of the code goes through in a sample."""


class DCIGN(System):
    """A variational autoencoder of frames whose code is told apart by what its clips have in common.

    Kulkarni, Whitney, Kohli & Tenenbaum 2015, "Deep convolutional inverse graphics network", arXiv:1503.03167
    (Algorithm of §3.1 and Figure 2).

        z_t = μ(x_t) + σ(x_t) ε,   z̄ = (1/T) Σ_t z_t                 of the T frames of a clip in which factor k changes
        ẑ_t,i = z_t,i  where i belongs to k,   z̄_i  elsewhere
        minimised   E Σ_t [−log p(x_t | ẑ_t) + β KL(q(z | x_t) ‖ N(0, I))],
        but for i that do not belong to k the gradient of the first term at z_t,i is replaced by λ (z_t,i − z̄_i)

    Symbols: x_t a frame, q the encoder's Gaussian, β the weight of its divergence. Each class of the clips' label but
    the last has one number of the code, which alone may tell the frames of such a clip apart: so it comes to hold what
    changes there. The last class is of clips in which the thing itself changes and the rest stays; to it belong all
    other numbers. The replaced gradient draws what should stay towards its mean over the clip: invariance is trained
    too, at the weight λ.

    Samples are clips: a code from the prior, of which the number of one class goes from −1.5 to 1.5 and the rest stays;
    of the last class the others go from one draw to another. What to watch: "invariance", the mean squared distance of
    what should stay from its mean; it must not be bought by codes that say nothing ("reconstruction" tells).

    Where we deviate: a Bernoulli likelihood of pixels drawn by their brightness, and in each step clips of several
    kinds, of which each is a minibatch of its own.
    """

    def __init__(self, spec: Spec, networks: Coders, *, beta: float, invariance: float, descent: Descent):
        super().__init__()
        video, label = spec["video"], spec["label"]
        assert isinstance(video, Video)
        assert isinstance(label, Label)
        self.spec, self.descent, self.beta, self.invariance = spec, descent, beta, invariance
        self.frames, self.factors, self.size = video.frames, len(label.classes) - 1, networks.latent_dim
        if self.factors < 1 or video.frames < 2:
            raise DataError("clips of one frame, or all of one class, do not tell what changes: see turned-glyphs")
        if self.size <= self.factors:
            raise UsageError(f"--latent-dim must be above {self.factors}, one for each class of label but the last")
        self.likelihood = Bernoulli()
        picture = Spec({"image": Image(video.channels, video.height, video.width)})
        self.encoder, self.decoder = coders(picture, networks, outputs=2 * self.size, inputs=self.size)
        self.conditions = Conditions(spec, ("label",))

    def game(self) -> list[Phase]:
        """One player."""
        both = player("autoencoder", self.encoder, self.decoder, self.conditions, descent=self.descent)
        return [Phase("autoencoder", both, self.loss, after=self.learn)]

    def learn(self, notes: Mapping[str, Tensor]) -> None:
        """Remember what changes in the clips of the data."""
        self.conditions.remember(notes["condition"])

    def belongs(self, label: Tensor) -> Tensor:
        """Say which numbers of the code belong to classes (N,): bool (N, d)."""
        place = torch.arange(self.size, device=label.device).clamp_max(self.factors)
        return place == label[:, None]

    def loss(self, batch: Batch) -> tuple[Terms, dict[str, Tensor]]:
        """Rebuild each frame from what its clip has in common and what changes in it; nats a frame."""
        videos, own = batch["video"], self.belongs(batch["label"])[:, None]
        images = self.likelihood.target(videos.flatten(0, 1))
        mean, log_variance = self.encoder(images).chunk(2, 1)
        codes = reparameterised(mean, log_variance, torch.randn_like(mean)).unflatten(0, videos.shape[:2])
        middle = codes.mean(1, keepdim=True).detach()
        clamped = torch.where(own, codes, middle)
        error = -self.likelihood.log_probability(self.decoder(clamped.flatten(0, 1)), images).mean()
        away = torch.where(own, 0.0, codes - middle).square().sum(2).mean()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        terms = {
            "reconstruction": error,
            "divergence": self.beta * divergence,
            "invariance": 0.5 * self.invariance * away,
        }
        return terms, {"condition": self.conditions.vectors(batch)}

    @torch.no_grad()
    def codes_of(self, images: Tensor) -> Tensor:
        """Return the mean codes (N, d) of single frames (N, C, H, W)."""
        with evaluating(self):
            return self.encoder(images).chunk(2, 1)[0]

    @torch.no_grad()
    def pictures_of(self, codes: Tensor) -> Tensor:
        """Return the frames (N, C, H, W) of codes (N, d)."""
        with evaluating(self):
            return self.likelihood.mean(self.decoder(codes))

    def reconstruct(self, examples: Tensor) -> Tensor:
        """Return videos (N, T, C, H, W) with each frame rebuilt from its own mean code."""
        made = self.pictures_of(self.codes_of(examples.flatten(0, 1)))
        return made.unflatten(0, examples.shape[:2])

    @torch.no_grad()
    def sample(self, count: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Return `count` clips (count, T, C, H, W), in each of which one thing changes: that of `condition` (count, K),
        by default as often as in the data. `rng` is a generator on the CPU."""
        rng = rng or torch.default_generator
        start, end = torch.randn(count, 2, 1, self.size, generator=rng).to(self.device).unbind(1)
        if condition is None:
            condition = self.conditions.draw(count, rng)
        label = condition.to(self.device).argmax(1)
        share = torch.linspace(0, 1, self.frames, device=self.device)[:, None]
        alone = (label < self.factors)[:, None, None]
        ends = (torch.where(alone, -SWEEP, start), torch.where(alone, SWEEP, end))
        codes = torch.where(self.belongs(label)[:, None], ends[0] + share * (ends[1] - ends[0]), start)
        return self.pictures_of(codes.flatten(0, 1)).unflatten(0, (count, self.frames))


@recipe(
    "dc-ign",
    family="video",
    paper="Kulkarni et al. 2015, arXiv:1503.03167",
    needs={"video": Video, "label": Label},
    steps=6_000,
    batch_size=16,
)
def dc_ign(
    spec: Spec,
    *,
    networks: Coders = Coders(latent_dim=16),
    beta: float = 0.3,
    invariance: float = 2.0,
    descent: Descent = Descent(schedule="cosine"),
) -> DCIGN:
    """A code with one number for each thing that changes, learned from clips in which one thing changes at a time.

    minimised   E Σ_t [−log p(x_t | ẑ_t) + β KL(q(z | x_t) ‖ N(0, I))],     ẑ_t = z_t where k changes, z̄ elsewhere

    Args:
        beta: β, the weight of the divergence of the codes from the prior.
        invariance: λ, how much numbers that should stay are drawn to their mean over the clip.
    """
    return DCIGN(spec, networks, beta=beta, invariance=invariance, descent=descent)
