"""StyleGAN2's generator (Karras et al. 2020, arXiv:1912.04958), for images of 8 to 256 pixels."""

import itertools

import torch
from torch import Tensor, nn

from kallima.data.spec import Image
from kallima.layers.equalised import EqualisedLinear, leaky
from kallima.layers.laplacian import up
from kallima.layers.modulated_convolution import ModulatedConv2d
from kallima.layers.pyramid import Pyramid, pyramid
from kallima.layers.sphere import polar

MOST = 4
MAPPING_RATE = 0.01
"""How fast the mapping network learns, next to all else."""


def style_channels(plan: Pyramid, width: int) -> list[int]:
    """Return the channels of level 0 (the image) to the grid: `width` at half the image's size, half as many at all."""
    return [max(1, width // 2), *plan.channels(width, MOST)]


class Mapping(nn.Module):
    """Latents (N, d), and conditions (N, K), to styles (N, d): dense layers that learn slowly."""

    def __init__(self, latent_dim: int, depth: int, condition_size: int = 0):
        super().__init__()
        self.latent_dim = latent_dim
        self.embed = EqualisedLinear(condition_size, latent_dim) if condition_size else None
        inputs = [latent_dim * (2 if condition_size else 1), *[latent_dim] * (depth - 1)]
        self.layers = nn.ModuleList(EqualisedLinear(each, latent_dim, rate=MAPPING_RATE) for each in inputs)

    def forward(self, latent: Tensor, condition: Tensor) -> Tensor:
        """Return the styles; only the direction of a latent counts."""
        style = polar(latent)[0]
        if self.embed is not None:
            style = torch.cat([style, polar(self.embed(condition))[0]], 1)
        for layer in self.layers:
            style = leaky(layer(style))
        return style


class StyledLayer(nn.Module):
    """A modulated convolution, noise times a learned strength, bias, √2 · LeakyReLU.

    Noise is fresh in training, one picture an example, and fixed in evaluation: the buffer, the same for all examples,
    so that there a latent decides the image.
    """

    noise: Tensor

    def __init__(self, before: int, after: int, size: tuple[int, int], style_dim: int, *, up: bool):
        super().__init__()
        self.convolution = ModulatedConv2d(before, after, 3, style_dim, up=up)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(after))
        self.register_buffer("noise", torch.randn(1, 1, *size))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, before, H, W) under styles (N, D) to (N, after, H, W), or twice the size."""
        x = self.convolution(x, style)
        noise = torch.randn_like(x[:, :1]) if self.training else self.noise
        return leaky(x + self.strength * noise + self.bias[:, None, None])


class ToImage(nn.Module):
    """Features to colours: a 1 x 1 convolution, modulated and not demodulated, so that a style decides contrast."""

    def __init__(self, channels: int, colours: int, style_dim: int):
        super().__init__()
        self.convolution = ModulatedConv2d(channels, colours, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(colours))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, channels, H, W) under styles (N, D) to (N, colours, H, W)."""
        return self.convolution(x, style) + self.bias[:, None, None]


class Synthesis(nn.Module):
    """Styles to images by skips (the paper's figure 7b): the image is a sum of those of all levels, each doubled.

    It starts from a constant that is learned. `layers` is the number of styles that it takes, one for each styled
    layer and one for the last level's colours; other levels share that of the layer after them.
    """

    def __init__(self, style_dim: int, image: Image, width: int):
        super().__init__()
        colours, height, columns = image.shape
        plan = pyramid(height, columns)
        channels = style_channels(plan, width)[::-1]
        self.constant = nn.Parameter(torch.randn(1, channels[0], *plan.grid))
        self.styled = nn.ModuleList([StyledLayer(channels[0], channels[0], plan.grid, style_dim, up=False)])
        for level, (before, after) in enumerate(itertools.pairwise(channels), 1):
            size = plan.grid[0] << level, plan.grid[1] << level
            self.styled.append(StyledLayer(before, after, size, style_dim, up=True))
            self.styled.append(StyledLayer(after, after, size, style_dim, up=False))
        self.colours = nn.ModuleList(ToImage(each, colours, style_dim) for each in channels)
        self.layers = len(self.styled) + 1

    def forward(self, styles: Tensor) -> Tensor:
        """(N, layers, D) to (N, C, H, W), of any range."""
        x = self.constant.expand(len(styles), -1, -1, -1)
        image = None
        for place, layer in enumerate(self.styled):
            x = layer(x, styles[:, place])
            if place % 2 == 0:  # the last of its level
                painted = self.colours[place // 2](x, styles[:, place + 1])
                image = painted if image is None else up(image) + painted
        assert image is not None
        return image


class StyleGenerator(nn.Module):
    """Latents (N, latent_dim) to images in [-1, 1]; `width` is the number of channels at half the image's size.

    With a `condition_size` K it takes (N, latent_dim + K), the condition last. A latent's direction decides its style,
    its length how far that is from the mean: a root mean square of ψ gives w̄ + ψ (w − w̄) (Karras et al. 2019,
    arXiv:1812.04948, appendix B). Those of the prior have ψ = 1, which leaves w as it is.
    """

    mean_style: Tensor

    def __init__(self, latent_dim: int, image: Image, *, width: int = 64, depth: int = 4, condition_size: int = 0):
        super().__init__()
        self.latent_dim = latent_dim
        self.mapping = Mapping(latent_dim, depth, condition_size)
        self.synthesis = Synthesis(latent_dim, image, width)
        self.register_buffer("mean_style", torch.zeros(latent_dim))

    @property
    def layers(self) -> int:
        """How many styles an image is made of."""
        return self.synthesis.layers

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent_dim) to (N, C, H, W)."""
        length = polar(latent[:, : self.latent_dim])[1]
        style = self.mean_style.lerp(self.styles(latent), length)
        return self.synthesis(style[:, None].expand(-1, self.layers, -1)).clamp(-1, 1)

    def styles(self, latent: Tensor) -> Tensor:
        """(N, latent_dim) to w (N, latent_dim), not truncated."""
        return self.mapping(latent[:, : self.latent_dim], latent[:, self.latent_dim :])


def crossed(first: Tensor, second: Tensor, crossover: Tensor, layers: int) -> Tensor:
    """Return styles (N, layers, D): `first` (N, D) up to the layer `crossover` (N,), counted from 0, then `second`.

    Style mixing (Karras et al. 2019, section 3.1).
    """
    after = torch.arange(layers, device=first.device) >= crossover[:, None]  # (N, layers)
    return torch.where(after[:, :, None], second[:, None], first[:, None])
