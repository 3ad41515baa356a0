"""Compression with a scale hyperprior (Ballé et al. 2018): first is said where the latents are large."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kallima.data.spec import Image, Spec
from kallima.layers.factorised_density import FLOOR, FactorisedDensity
from kallima.layers.frequencies import SCALES, Table, normal_tables, scale_of
from kallima.layers.modes import evaluating
from kallima.networks.transform_coding import HyperAnalysis, HyperSynthesis
from kallima.objectives.rate_distortion import normal_bin
from kallima.recipe import recipe
from kallima.system import Phase
from kallima.systems.compression.settings import Transforms
from kallima.systems.compression.transform_coding import TransformCodec, noised
from kallima.systems.descent import Descent, player

FIRST_LEVEL = 18.0  # a deviation of 1


class ScaleHyperprior(TransformCodec):
    """A codec that first says, in few bits, how large its latents are where, and codes them by that.

    Ballé, Minnen, Singh, Hwang & Johnston 2018, "Variational image compression with a scale hyperprior",
    arXiv:1802.01436.

        y = g_a(x),  z = h_a(|y|),  ŷ = round(y),  ẑ = round(z),     x̂ = g_s(ŷ)
        p(ŷ | ẑ) = ∏ N(0, σ_i²) ∗ U(−½, ½),  σ = h_s(ẑ)             (Eq. 8)
        minimised   E −[Σ log2 p(ỹ | z̃) + Σ log2 p(z̃)] / pixels + λ 255² MSE(x, g_s(ỹ))     (Eq. 10)

    Symbols: as of `factorised-prior`; z̃ and ỹ are z and y with uniform noise of ±½, p(z̃) is the factorised density.

    Deviations. h_s gives the level of a scale in a table of 64 deviations, spaced evenly on a logarithmic scale from
    .11 to 256, instead of the deviation; when files are written and read it is computed in whole numbers, after Ballé,
    Johnston & Minnen 2019 ("Integer networks"), so that what one machine has written every other can read.

    What can be done with it: `reconstruct`, and files: `kallima compress`, `kallima decompress`.
    """

    def __init__(self, spec: Spec, transforms: Transforms, *, trade: float, descent: Descent):
        super().__init__(spec, transforms, trade=trade, descent=descent)
        width, channels = transforms.width, transforms.latent_dim
        self.hyper_analysis = HyperAnalysis(channels, width, width=width)
        self.hyper_synthesis = HyperSynthesis(width, channels, width=width, levels=SCALES, first=FIRST_LEVEL)
        self.density = FactorisedDensity(width)

    def game(self) -> list[Phase]:
        """One player."""
        modules = (self.analysis, self.synthesis, self.hyper_analysis, self.hyper_synthesis, self.density)
        return [Phase("codec", player("codec", *modules, descent=self.descent), self.loss)]

    def likelihoods(self, latents: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the latents with noise, and the probabilities of them and of what is said first."""
        first, noisy = noised(self.hyper_analysis(latents)), noised(latents)
        levels = self.hyper_synthesis(first)[:, :, : latents.shape[2], : latents.shape[3]]
        return noisy, [normal_bin(noisy, scale_of(levels)) + FLOOR, self.density(first)]

    def tables(self) -> list[Table]:
        """Return the tables of what is said first, a channel each, then those of the scales."""
        return [*self.density.tables(), *normal_tables()]

    @torch.no_grad()
    def describe(self, image: Tensor) -> list[Tensor]:
        """Return ẑ and ŷ of an image (1, C, H, W): (N, ⌈h/4⌉, ⌈w/4⌉) and (M, h, w)."""
        with evaluating(self):
            latents = self.latents(image.to(self.device))
            return [part.round()[0].long().cpu() for part in (self.hyper_analysis(latents), latents)]

    def expect(self, said: Sequence[Tensor], height: int, width: int) -> Tensor | None:
        """Return the channel of each number of ẑ; then the table of each number's scale in ŷ."""
        rows, columns = self.grid(height, width)
        channels = self.hyper_synthesis.inputs
        if not said:
            return torch.arange(channels)[:, None, None].expand(channels, -(-rows // 4), -(-columns // 4))
        if len(said) > 1:
            return None
        return channels + self.hyper_synthesis.exactly(said[0][None])[0, :, :rows, :columns]


@recipe(
    "scale-hyperprior",
    family="compression",
    paper="Ballé et al. 2018, arXiv:1802.01436",
    needs={"image": Image},
    steps=20_000,
    batch_size=8,
)
def scale_hyperprior(
    spec: Spec,
    *,
    trade: float = 0.01,
    transforms: Transforms = Transforms(),
    descent: Descent = Descent(schedule="cosine", clip=1.0),
) -> ScaleHyperprior:
    """An image codec that says first how large its latents are where, in few bits, and codes them by that.

    minimised   bits a pixel of both + λ 255² MSE

    Args:
        trade: λ, what an error is worth in bits; .0016 is coarse, .05 is fine.
    """
    return ScaleHyperprior(spec, transforms, trade=trade, descent=descent)
