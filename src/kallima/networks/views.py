"""Networks that show a picture from elsewhere: by painting it anew, or by saying where each pixel comes from."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.spec import Image
from kallima.networks.coders import ConvolutionalDecoder, ConvolutionalEncoder


class Painter(nn.Module):
    """A picture (N, C, H, W) and a condition (N, K) to `channels` planes (N, channels, H, W), through a code.

    The encoder sees the picture alone; two dense layers of `code` units each then turn its code as the condition says.
    """

    def __init__(self, image: Image, channels: int, *, condition_size: int, width: int, code: int):
        super().__init__()
        self.see = ConvolutionalEncoder(image, code, width=width)
        self.turn = nn.Sequential(
            nn.ReLU(), nn.Linear(code + condition_size, code), nn.ReLU(), nn.Linear(code, code), nn.ReLU()
        )
        self.paint = ConvolutionalDecoder(Image(channels, image.height, image.width), code, width=width)

    def forward(self, picture: Tensor, condition: Tensor) -> Tensor:
        """(N, C, H, W) and (N, K) to (N, channels, H, W)."""
        return self.paint(self.turn(torch.cat([self.see(picture), condition], 1)))


class DirectView(nn.Module):
    """The view is painted pixel by pixel, without a bound: behind a tanh all of it fell into blackness and stayed."""

    def __init__(self, image: Image, *, condition_size: int, width: int, code: int):
        super().__init__()
        self.painter = Painter(image, image.channels, condition_size=condition_size, width=width, code=code)

    def forward(self, picture: Tensor, condition: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] and (N, K) to (N, C, H, W)."""
        return self.painter(picture, condition) - 1  # black where nothing is painted


class FlowView(nn.Module):
    """The view is copied: what is painted is where in the picture each of its pixels is looked up."""

    def __init__(self, image: Image, *, condition_size: int, width: int, code: int):
        super().__init__()
        self.painter = Painter(image, 2, condition_size=condition_size, width=width, code=code)

    def forward(self, picture: Tensor, condition: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] and (N, K) to (N, C, H, W) in [-1, 1]."""
        return warped(picture, self.flow(picture, condition))

    def flow(self, picture: Tensor, condition: Tensor) -> Tensor:
        """Return how far from each pixel it is looked up: (N, 2, H, W), rightwards and downwards, in pixels."""
        halves = picture.new_tensor([picture.shape[3] / 2, picture.shape[2] / 2])[:, None, None]
        return halves * self.painter(picture, condition)


def warped(pictures: Tensor, flow: Tensor) -> Tensor:
    """Return pictures (N, C, H, W) with each pixel looked up at a place `flow` (N, 2, H, W) away, in pixels.

    Between pixels they are bilinear, beyond the border the last pixel goes on.
    """
    height, width = pictures.shape[2:]
    x = torch.arange(width, device=flow.device) + flow[:, 0]  # (N, H, W)
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    places = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    return F.grid_sample(pictures, places, mode="bilinear", padding_mode="border", align_corners=False)
