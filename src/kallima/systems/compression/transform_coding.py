"""What the codecs share: an image to latents and back, the noise of training, and the price of bits and errors."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from kallima.data.spec import Image, Spec
from kallima.errors import UsageError
from kallima.layers.modes import evaluating
from kallima.layers.reflection import reflect_to
from kallima.networks.transform_coding import Analysis, Synthesis
from kallima.objectives.rate_distortion import bits_per_pixel, traded_error
from kallima.system import Batch, System, Terms
from kallima.systems.compression.settings import Transforms
from kallima.systems.descent import Descent


class TransformCodec(System):
    """Images through rounded latents, whose number of bits is learned with them.

    A codec says which likelihoods it gives latents (`likelihoods`), and how it codes them (`Compresses`).
    """

    def __init__(self, spec: Spec, transforms: Transforms, *, trade: float, descent: Descent):
        super().__init__()
        image = spec["image"]
        assert isinstance(image, Image)
        if trade <= 0:
            raise UsageError(f"--trade is above 0, not {trade:g}")
        colours, height, columns = image.shape
        levels = transforms.levels or (3 if min(height, columns) < 64 else 4)
        self.spec, self.trade, self.descent, self.stride = spec, trade, descent, 2**levels
        width, channels = transforms.width, transforms.latent_dim
        self.analysis = Analysis(colours, channels, width=width, levels=levels)
        self.synthesis = Synthesis(channels, colours, width=width, levels=levels)

    @abstractmethod
    def likelihoods(self, latents: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return latents (N, M, h, w) with the noise of training, and the probability of every number to be coded."""

    def loss(self, batch: Batch) -> Terms:
        """The bits a pixel of the batch's images, and their error."""
        images = batch["image"]
        noisy, likelihoods = self.likelihoods(self.latents(images))
        pixels = images.shape[2] * images.shape[3]
        rate = torch.stack([bits_per_pixel(each, pixels) for each in likelihoods]).sum()
        return {"rate": rate, "distortion": traded_error(self.images(noisy, images), images, self.trade)}

    def latents(self, images: Tensor) -> Tensor:
        """Return the latents (N, M, h, w) of images of any size, which are mirrored up to whole steps."""
        height, width = (steps * self.stride for steps in self.grid(*images.shape[2:]))
        return self.analysis(reflect_to(images, height, width))

    def images(self, latents: Tensor, like: Tensor) -> Tensor:
        """Return the images of latents, of the size of `like`."""
        return self.synthesis(latents)[:, :, : like.shape[2], : like.shape[3]]

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the size h, w of the latents of an image."""
        return -(-height // self.stride), -(-width // self.stride)

    @torch.no_grad()
    def reconstruct(self, examples: Tensor) -> Tensor:
        """Return what the rounded latents of images (N, C, H, W) of any size keep of them: likewise."""
        with evaluating(self):
            return self.images(self.latents(examples).round(), examples).clamp(-1, 1)

    @torch.no_grad()
    def depict(self, said: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Return the image (1, C, H, W) of the parts, the last of which are its latents."""
        with evaluating(self):
            latents = said[-1][None].to(self.device, torch.float32)
            return self.synthesis(latents)[:, :, :height, :width].clamp(-1, 1)


def noised(latents: Tensor) -> Tensor:
    """Return latents with uniform noise of ±½, which has the density that rounding gives (arXiv:1611.01704, Eq. 8)."""
    return latents + (torch.rand_like(latents) - 0.5)
