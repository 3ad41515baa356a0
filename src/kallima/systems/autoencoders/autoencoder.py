"""Autoencoders (Hinton & Salakhutdinov 2006), and what else a code is asked for: to undo noise, to be sparse, calm."""

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from kallima.data.spec import Image, Spec
from kallima.errors import UsageError
from kallima.layers.memory import Memory
from kallima.layers.modes import evaluating
from kallima.networks.stacked import StackedAutoencoder
from kallima.objectives.coding import contraction, sparsity
from kallima.recipe import recipe
from kallima.system import Batch, Phase, System, Terms
from kallima.systems.autoencoders.settings import Stack
from kallima.systems.descent import Descent, player

REMEMBERED = 2048


class Autoencoder(System):
    """A network that has to give back what it was shown, through a code too small to keep all of it.

    Hinton & Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks", Science 313; denoising:
    Vincent et al. 2010, JMLR 11; sparse: Ng 2011, CS294A; contractive: Rifai et al. 2011, ICML.

        minimised   E ‖x − G(E(x̃))‖² + λ_s Σⱼ KL(ρ ‖ ρ̂ⱼ) + λ_c E ‖∂E(x)/∂x‖²_F

    Symbols: x an image with pixels in [0, 1], x̃ the same with noise (`--noise` σ, or `--masking` a share of pixels put
    to 0), E the encoder, G the decoder, whose pixels are sigmoids, ρ̂ⱼ how busy unit j of the code is on average, ρ how
    busy it should be. With `--error cross-entropy` the first term is −Σ x log x̂ + (1 − x) log(1 − x̂), as in the paper.
    Errors are summed over pixels and averaged over images, so they compare with PCA's: on digits a code of 30 numbers
    costs PCA 13.9 and the paper's network 3.0.

    `--pretraining` s gives the first share s of the training to the layers one after another, from the pixels up, each
    to rebuild what lies below it while those below stand still: the paper's answer, with restricted Boltzmann machines
    in the place of our shallow autoencoders, to gradients that vanished; with ReLU and Adam it is there to be compared.
    `--tied` gives the decoder the encoder's matrices, transposed.

    What can be done with it: `encode`, `reconstruct`, `decode`. It knows no distribution of codes, so it draws no new
    images; its latents are codes of images that it has seen, for maps and sweeps of the code.
    """

    def __init__(
        self,
        spec: Spec,
        stack: Stack,
        *,
        descent: Descent,
        noise: float = 0.0,
        masking: float = 0.0,
        sparse: float = 0.0,
        activity: float = 0.05,
        contractive: float = 0.0,
    ):
        super().__init__()
        image = spec["image"]
        assert isinstance(image, Image)
        if not 0 <= masking < 1:
            raise UsageError(f"--masking is a share of the pixels from 0 to below 1, not {masking:g}")
        if not 0 < activity < 1:
            raise UsageError(f"--activity lies between 0 and 1, not {activity:g}")
        self.spec, self.stack, self.descent = spec, stack, descent
        self.noise, self.masking, self.sparse, self.activity = noise, masking, sparse, activity
        self.contractive = contractive
        self.network = StackedAutoencoder(
            image, stack.units, stack.latent_dim, activation=stack.activation, tied=stack.tied, bounded=sparse > 0
        )
        self.parts = {"z": slice(0, stack.latent_dim)}
        self.memory = Memory(torch.randn(REMEMBERED, stack.latent_dim))

    def game(self) -> list[Phase]:
        """The layers one by one, where that is asked for, then all of them."""
        share, phases = self.stack.pretraining, []
        whole = player("autoencoder", self.network, self.memory, descent=self.descent)
        levels = len(self.network.levels)
        for level in range(levels if share else 0):
            span = (share * level / levels, share * (level + 1) / levels)
            one = player(f"layer {level + 1}", self.network.levels[level], descent=self.descent)
            phases.append(Phase(one.name, one, partial(self.layer_loss, level=level), during=span))
        return [*phases, Phase("autoencoder", whole, self.loss, during=(share, 1.0), after=self.remember)]

    def loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """The error of the batch's images, from their noisy selves, and what the code is charged for."""
        images = 0.5 * (batch["image"] + 1)
        codes = self.network.encode(self.corrupted(images))
        terms = {"reconstruction": self.error(self.network.decode(codes), images)}
        if self.sparse:
            terms["sparsity"] = self.sparse * sparsity(codes, self.activity)
        if self.contractive:
            terms["contraction"] = self.contractive * contraction(self.network.encode, images)
        return terms, {"codes": codes.detach()}

    def layer_loss(self, batch: Batch, level: int) -> Terms:
        """The error of one layer, of what those below it make of the batch's images."""
        with torch.no_grad():
            below = 0.5 * (batch["image"] + 1).flatten(1)
            for lower in range(level):
                below = self.network.ascend(below, lower)
        rebuilt = self.network.descend(self.network.ascend(self.corrupted(below), level), level)
        if level == 0:
            return {"reconstruction": self.error(rebuilt, below)}
        return {"reconstruction": (rebuilt - below).square().sum(1).mean()}

    def error(self, logits: Tensor, images: Tensor) -> Tensor:
        """Return the error of logits of pixels against images in [0, 1], both (N, …): summed, then averaged."""
        if self.stack.error == "cross-entropy":
            each = F.binary_cross_entropy_with_logits(logits, images, reduction="none")
        else:
            each = (torch.sigmoid(logits) - images).square()
        return each.flatten(1).sum(1).mean()

    def corrupted(self, values: Tensor) -> Tensor:
        """Return values (N, …) with noise, and with some of them put to 0."""
        if self.noise:
            values = values + self.noise * torch.randn_like(values)
        if self.masking:
            values = values * (torch.rand_like(values) >= self.masking)
        return values

    def remember(self, notes: Mapping[str, Tensor]) -> None:
        """Keep the latest codes, to draw latents from."""
        self.memory.remember(notes["codes"])

    @torch.no_grad()
    def encode(self, examples: Tensor) -> Tensor:
        """Return the codes (N, d) of images (N, C, H, W) in [-1, 1]."""
        with evaluating(self):
            return self.network.encode(0.5 * (examples + 1))

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of codes (N, d): (N, C, H, W) in [-1, 1]."""
        with evaluating(self):
            return 2 * torch.sigmoid(self.network.decode(latents)) - 1

    def reconstruct(self, examples: Tensor) -> Tensor:
        """Return what the decoder makes of the codes of images (N, C, H, W)."""
        return self.decode(self.encode(examples))

    @torch.no_grad()
    def latents(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
        """Draw `count` of the codes (count, d) of images seen lately in training."""
        return self.memory.draw(count, rng)


@recipe(
    "autoencoder",
    family="autoencoders",
    paper="Hinton & Salakhutdinov 2006, doi:10.1126/science.1127647",
    needs={"image": Image},
    steps=30_000,
    batch_size=100,
)
def autoencoder(spec: Spec, *, stack: Stack = Stack(), descent: Descent = Descent(schedule="cosine")) -> Autoencoder:
    """The deep autoencoder: an image through ever smaller layers to a code of 30 numbers, and back.

    minimised   E ‖x − G(E(x))‖²,     pixels in [0, 1], summed
    """
    return Autoencoder(spec, stack, descent=descent)


@recipe(
    "denoising-autoencoder",
    family="autoencoders",
    paper="Vincent et al. 2010, JMLR 11, doi:10.5555/1756006.1953039",
    needs={"image": Image},
    steps=12_000,
    batch_size=100,
)
def denoising_autoencoder(
    spec: Spec,
    *,
    noise: float = 0.3,
    masking: float = 0.0,
    stack: Stack = Stack(units=(1000, 500), latent_dim=128),
    descent: Descent = Descent(schedule="cosine"),
) -> Autoencoder:
    """An autoencoder that is shown noisy images and has to give the clean ones back.

    minimised   E ‖x − G(E(x̃))‖²,     x̃ = x + σ ε, or x with some of its pixels put to 0

    Args:
        noise: standard deviation σ of the noise, where pixels go from 0 to 1.
        masking: share of the pixels that are put to 0.
    """
    return Autoencoder(spec, stack, descent=descent, noise=noise, masking=masking)


@recipe(
    "sparse-autoencoder",
    family="autoencoders",
    paper="Ng 2011, CS294A lecture notes; Makhzani & Frey 2014, arXiv:1312.5663",
    needs={"image": Image},
    steps=12_000,
    batch_size=100,
)
def sparse_autoencoder(
    spec: Spec,
    *,
    sparse: float = 0.1,
    activity: float = 0.05,
    stack: Stack = Stack(units=(), latent_dim=256),
    descent: Descent = Descent(schedule="cosine"),
) -> Autoencoder:
    """An autoencoder with a large code of which little is busy at a time: each unit comes to stand for a stroke.

    minimised   E ‖x − G(E(x))‖² + λ Σⱼ KL(ρ ‖ ρ̂ⱼ),     codes are sigmoids, ρ̂ⱼ the mean of the j-th over the batch

    Args:
        sparse: weight λ of the divergence.
        activity: how busy ρ a unit should be on average.
    """
    if sparse <= 0:
        raise UsageError(f"--sparse is above 0, not {sparse:g}: without it there is autoencoder")
    return Autoencoder(spec, stack, descent=descent, sparse=sparse, activity=activity)


@recipe(
    "contractive-autoencoder",
    family="autoencoders",
    paper="Rifai et al. 2011, ICML 28, doi:10.5555/3104482.3104587",
    needs={"image": Image},
    steps=6_000,
    batch_size=100,
)
def contractive_autoencoder(
    spec: Spec,
    *,
    contractive: float = 0.1,
    stack: Stack = Stack(units=(256,), latent_dim=30, activation="sigmoid"),
    descent: Descent = Descent(schedule="cosine"),
) -> Autoencoder:
    """An autoencoder whose code hardly moves with its image, but along the directions in which images differ.

    minimised   E ‖x − G(E(x))‖² + λ E ‖∂E(x)/∂x‖²_F

    Args:
        contractive: weight λ of the squared Jacobian.
    """
    return Autoencoder(spec, stack, descent=descent, contractive=contractive)
