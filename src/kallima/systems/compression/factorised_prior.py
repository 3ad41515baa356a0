"""End-to-end optimised compression with a factorised prior (Ballé, Laparra & Simoncelli 2017; Ballé et al. 2018)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kallima.data.spec import Image, Spec
from kallima.layers.factorised_density import FactorisedDensity
from kallima.layers.frequencies import Table
from kallima.layers.modes import evaluating
from kallima.recipe import recipe
from kallima.system import Phase
from kallima.systems.compression.settings import Transforms
from kallima.systems.compression.transform_coding import TransformCodec, noised
from kallima.systems.descent import Descent, player


class FactorisedPrior(TransformCodec):
    """A codec whose latents are coded by a learned histogram for each channel.

    Ballé, Laparra & Simoncelli 2017, "End-to-end optimized image compression", arXiv:1611.01704; the density is that
    of Ballé et al. 2018, arXiv:1802.01436, appendix 6.1.

        y = g_a(x),     ŷ = round(y),     x̂ = g_s(ŷ)
        minimised   E −Σ log2 p(ỹ) / pixels + λ 255² MSE(x, g_s(ỹ)),     ỹ = y + u,  u uniform in ±½

    Symbols: x an image with pixels in [0, 1] where errors are measured, g_a strided convolutions with divisive
    normalisation between them (GDN), g_s their mirror image, λ (`--trade`) what an error is worth in bits: .0016 to .05
    spans from coarse to fine. In training the noise u stands for rounding, so that bits have a gradient; p(ỹ) is the
    learned density of the channel under that noise, which at whole numbers is the probability of ŷ.

    The terms: "rate" is in bits a pixel, "distortion" λ times the error in grey levels squared: rate 0.5 and
    distortion 0.5 at λ .01 is an error of 50, 31 dB.

    What can be done with it: `reconstruct`, and files: `kallima compress`, `kallima decompress`.
    """

    def __init__(self, spec: Spec, transforms: Transforms, *, trade: float, descent: Descent):
        super().__init__(spec, transforms, trade=trade, descent=descent)
        self.density = FactorisedDensity(transforms.latent_dim)

    def game(self) -> list[Phase]:
        """One player."""
        both = player("codec", self.analysis, self.synthesis, self.density, descent=self.descent)
        return [Phase("codec", both, self.loss)]

    def likelihoods(self, latents: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the latents with noise, and their probabilities."""
        noisy = noised(latents)
        return noisy, [self.density(noisy)]

    def tables(self) -> list[Table]:
        """Return the table of each channel of the latents."""
        return self.density.tables()

    @torch.no_grad()
    def describe(self, image: Tensor) -> list[Tensor]:
        """Return the rounded latents (M, h, w) of an image (1, C, H, W)."""
        with evaluating(self):
            return [self.latents(image.to(self.device)).round()[0].long().cpu()]

    def expect(self, said: Sequence[Tensor], height: int, width: int) -> Tensor | None:
        """Return the channel of each of the latents."""
        if said:
            return None
        channels = self.synthesis.inputs
        return torch.arange(channels)[:, None, None].expand(channels, *self.grid(height, width))


@recipe(
    "factorised-prior",
    family="compression",
    paper="Ballé et al. 2017, arXiv:1611.01704; Ballé et al. 2018, arXiv:1802.01436",
    needs={"image": Image},
    steps=20_000,
    batch_size=8,
)
def factorised_prior(
    spec: Spec,
    *,
    trade: float = 0.01,
    transforms: Transforms = Transforms(),
    descent: Descent = Descent(schedule="cosine", clip=1.0),
) -> FactorisedPrior:
    """An image codec: transforms and, for each channel of rounded latents, a histogram by which they are coded.

    minimised   bits a pixel + λ 255² MSE

    Args:
        trade: λ, what an error is worth in bits; .0016 is coarse, .05 is fine.
    """
    return FactorisedPrior(spec, transforms, trade=trade, descent=descent)
