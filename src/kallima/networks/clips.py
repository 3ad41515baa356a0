"""Networks of whole clips, convolved over time as over height and width (Vondrick et al. 2016, arXiv:1609.02612)."""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from kallima.data.spec import Image, Video
from kallima.layers.glorot import glorot
from kallima.layers.pyramid import pyramid
from kallima.networks.dcgan import DCGANGenerator, initialise
from kallima.networks.discriminator import Discriminator

MOST = 4


class TwoStreamGenerator(nn.Module):
    """Latents (N, latent_dim) to clips (N, T, C, H, W) in [-1, 1]: what moves, before a picture that stands still.

        G(z) = m(z) f(z) + (1 − m(z)) b(z)                                                                       (Eq. 3)

    The foreground f and the mask m, from 0 to 1, change from frame to frame; the background b is one image for all.
    `width` is the number of channels at half the size of a frame. Time is doubled along with height and width until
    there are enough frames.
    """

    def __init__(self, latent_dim: int, video: Video, *, width: int):
        super().__init__()
        self.latent_dim, self.frames = latent_dim, video.frames
        plan = pyramid(video.height, video.width)
        channels = plan.channels(width, MOST)[::-1]
        doublings = time_halvings(video.frames, plan.levels)
        first = -(-video.frames // 2**doublings)  # frames of the smallest level
        self.clip = nn.Sequential(
            nn.Linear(latent_dim, channels[0] * first * plan.area, bias=False),
            nn.Unflatten(1, (channels[0], first, *plan.grid)),
        )
        self.still = nn.Sequential(
            nn.Linear(latent_dim, channels[0] * plan.area, bias=False), nn.Unflatten(1, (channels[0], *plan.grid))
        )
        after = [*channels[1:], video.channels + 1]
        for level, (inputs, outputs) in enumerate(zip(channels, after, strict=True)):
            self.clip += nn.Sequential(nn.BatchNorm3d(inputs), nn.ReLU(), _grow(inputs, outputs, level < doublings))
        for inputs, outputs in zip(channels, [*channels[1:], video.channels], strict=True):
            grow = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)
            self.still += nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), grow)
        self.apply(initialise)
        for layer in self.modules():
            if isinstance(layer, nn.ConvTranspose3d):
                nn.init.normal_(layer.weight, 0.0, 0.02)

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent_dim) to (N, T, C, H, W)."""
        foreground, mask, background = self.streams(latent)
        return mask * foreground + (1 - mask) * background

    def streams(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return foreground (N, T, C, H, W), mask (N, T, 1, H, W) and background (N, 1, C, H, W)."""
        clip = self.clip(latent)[:, :, : self.frames].transpose(1, 2)
        return clip[:, :, :-1].tanh(), clip[:, :, -1:].sigmoid(), self.still(latent).tanh()[:, None]


class TemporalGenerator(nn.Module):
    """Latents (N, latent_dim) to clips (N, T, C, H, W) in [-1, 1]: first a path, then a frame for each of its points.

        z_1, …, z_T = G₀(z₀),   x_t = G₁(z₀, z_t)                      (Saito et al. 2017, arXiv:1611.06624, §3.1)

    G₀ is convolved over time alone; the points of its path, in [−1, 1], have `motion` dimensions. G₁ is DCGAN's
    generator: what all frames have in common it is told by z₀, and what changes by z_t.
    """

    def __init__(self, latent_dim: int, video: Video, *, width: int, motion: int):
        super().__init__()
        self.latent_dim, self.frames = latent_dim, video.frames
        doublings = time_halvings(video.frames, 9)
        first, channels = -(-video.frames // 2**doublings), 2 * width
        self.path = nn.Sequential(nn.Linear(latent_dim, channels * first), nn.Unflatten(1, (channels, first)))
        for _ in range(doublings):
            self.path += nn.Sequential(
                nn.BatchNorm1d(channels), nn.ReLU(), nn.ConvTranspose1d(channels, channels, 4, 2, 1)
            )
        self.path += nn.Sequential(nn.BatchNorm1d(channels), nn.ReLU(), nn.Conv1d(channels, motion, 3, 1, 1), nn.Tanh())
        self.frame = DCGANGenerator(latent_dim + motion, Image(video.channels, video.height, video.width), width=width)

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent_dim) to (N, T, C, H, W)."""
        path = self.path(latent)[..., : self.frames].transpose(1, 2)  # (N, T, motion)
        codes = torch.cat([latent[:, None].expand(-1, self.frames, -1), path], 2)
        return self.frame(codes.flatten(0, 1)).unflatten(0, (len(latent), self.frames))


class ClipDiscriminator(Discriminator):
    """Clips (N, T, C, H, W) to one score each; spectrally normalised, `width` as for the generator."""

    def __init__(self, video: Video, *, width: int):
        plan = pyramid(video.height, video.width)
        channels = [video.channels, *plan.channels(width, MOST)]
        frames, halvings = video.frames, time_halvings(video.frames, plan.levels)
        layers: list[nn.Module] = [_ChannelsFirst()]
        for level, (before, after) in enumerate(itertools.pairwise(channels)):
            # time is halved last: the first layers see each movement as fine as it is
            shrink = level >= plan.levels - halvings
            layers += [spectral_norm(glorot(_shrink(before, after, shrink), math.sqrt(2))), nn.LeakyReLU(0.1)]
            frames = frames // 2 if shrink else frames
        head = spectral_norm(glorot(nn.Linear(channels[-1] * frames * plan.area, 1)))
        super().__init__(nn.Sequential(*layers, nn.Flatten()), head)


class _ChannelsFirst(nn.Module):
    def forward(self, clips: Tensor) -> Tensor:
        return clips.transpose(1, 2)


def time_halvings(frames: int, levels: int) -> int:
    """Return how often the frames are halved while an image is `levels` times: until two or three are left."""
    return min(levels, max(0, int(math.log2(frames / 2)))) if frames > 1 else 0


def _grow(inputs: int, outputs: int, double: bool) -> nn.ConvTranspose3d:
    return nn.ConvTranspose3d(inputs, outputs, (4 if double else 3, 4, 4), (2 if double else 1, 2, 2), 1)


def _shrink(inputs: int, outputs: int, halve: bool) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, (4 if halve else 3, 4, 4), (2 if halve else 1, 2, 2), 1)
