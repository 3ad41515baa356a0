"""The ground of models of images: their components, and the way through the pixels, row by row."""

from abc import abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn

from kallima.conditions import Conditions
from kallima.data.spec import Image, Spec
from kallima.decoding import PLAIN, Decoding
from kallima.errors import DataError, UsageError
from kallima.layers.causal_convolution import groups
from kallima.system import Batch
from kallima.systems.autoregressive.alphabets import Palette, alphabet
from kallima.systems.autoregressive.ground import Autoregressive, Progress, Walk
from kallima.systems.descent import Descent


class ImageModel(Autoregressive):
    """log p(x) = Σ log p(xᵢ | x₁, …, xᵢ₋₁) over the pixels of an image row by row, within each over red, green, blue.

    The `alphabet` says what a component is.
    """

    def __init__(self, spec: Spec, *, levels: int | None, descent: Descent, conditions: Conditions | None = None):
        image = spec["image"]
        assert isinstance(image, Image)
        _, self.rows, self.columns = image.shape
        letters = alphabet(image, levels)
        count = self.rows * self.columns * letters.parts
        super().__init__(spec, count=count, parts=letters.parts, descent=descent, conditions=conditions)
        self.alphabet = letters

    def components_of(self, examples: Tensor) -> Tensor:
        """Return the components (N, T) of images (N, C, H, W), a pixel's channels one after another."""
        return self.alphabet.read(examples).flatten(1)

    def examples_of(self, components: Tensor) -> Tensor:
        """Return the images (N, C, H, W) in [-1, 1] of components (N, T)."""
        return self.alphabet.write(components.view(-1, self.rows, self.columns, self.parts))

    @torch.no_grad()
    def log_weights_of(self, batch: Batch, draws: int) -> Tensor:
        """Return log p(x | c) of the batch's images, exactly: (1, N), nats.

        Raises:
            DataError: they have a colour that is not in the palette.
        """
        self._check(self.alphabet.strange(batch["image"]))
        return super().log_weights_of(batch, draws)

    def complete(
        self,
        examples: Tensor,
        known: Tensor,
        *,
        condition: Tensor | None = None,
        rng: torch.Generator | None = None,
        decoding: Decoding = PLAIN,
        progress: Progress | None = None,
    ) -> Tensor:
        """Return images (N, C, H, W) with those of their pixels drawn anew that are not `known`, bool (N, H, W).

        Raises:
            DataError: a known pixel has a colour that is not in the palette.
        """
        self._check(self.alphabet.strange(examples).flatten(1) & known.flatten(1))
        return super().complete(examples, known, condition=condition, rng=rng, decoding=decoding, progress=progress)

    @property
    def likelihood_notes(self) -> tuple[str, ...]:
        """What the nats are of."""
        return ("exact", self.alphabet.note)

    def _check(self, strange: Tensor) -> None:
        if share := strange.float().mean().item():
            raise DataError(
                f"{share:.1%} of the pixels have a colour that is none of the {self.alphabet.choices} that the model "
                "knows: give images of the palette that it was trained on, or train on these with --levels 256"
            )


class Stepper(Protocol):
    """A network on its way through the pixels, that keeps of each what later ones will need."""

    def look(self, pixel: Tensor) -> Tensor:
        """Return what the network says of the next pixel, (N, numbers).

        `pixel` (N, planes) is what is known of it: the parts that are made already, anything in place of the others.
        """
        ...

    def step(self, pixel: Tensor) -> None:
        """Go on, past a pixel that is now known (N, planes) and has been looked at with all but its last part known."""
        ...


class PixelModel(ImageModel):
    """A network that sees an image as maps: it `says` of all pixels at once, and a `stepper` goes through them.

    `planes` is the size of the learned vector that stands for a colour of a palette; levels are seen as numbers.
    """

    def __init__(
        self, spec: Spec, *, levels: int | None, planes: int, descent: Descent, conditions: Conditions | None = None
    ):
        super().__init__(spec, levels=levels, descent=descent, conditions=conditions)
        few = isinstance(self.alphabet, Palette)
        self.planes = planes if few else self.parts
        self.vectors = nn.Embedding(self.alphabet.choices, planes) if few else None

    def groups(self, channels: int) -> Tensor:
        """Say which part of a pixel each channel of a map belongs to, as masks need it: int64 (channels,).

        Raises:
            UsageError: there are fewer channels than parts.
        """
        if channels < self.parts:
            raise UsageError(
                f"--width must be at least {self.parts}, a channel for each part of a pixel, not {channels}"
            )
        return groups(channels, self.parts)

    @abstractmethod
    def says(self, planes: Tensor, condition: Tensor | None) -> Tensor:
        """Return what is said of each pixel: planes (N, P, H, W) -> (N, numbers, H, W)."""

    @abstractmethod
    def stepper(self, count: int, condition: Tensor | None) -> Stepper:
        """Start through the pixels of `count` images."""

    def shown(self, components: Tensor) -> Tensor:
        """Return what the network sees of the components of pixels, (..., parts): (..., P)."""
        if self.vectors is not None:
            return self.vectors(components[..., 0])
        return components * (2 / (self.alphabet.choices - 1)) - 1

    def planes_of(self, components: Tensor) -> Tensor:
        """Return what the network sees of components (N, T): (N, P, H, W)."""
        return self.shown(components.view(-1, self.rows, self.columns, self.parts)).movedim(-1, 1)

    def distributions(self, said: Tensor, pixels: Tensor) -> Tensor:
        """Return the distributions of a pixel's parts (..., parts, K), by what is said of it (..., numbers).

        `pixels` (..., P) is what is seen of the pixel itself, of which each part may depend on those before it.
        """
        return said.unflatten(-1, (self.parts, -1))

    def parameters_at(self, planes: Tensor, condition: Tensor | None) -> Tensor:
        """Return the distribution of every component: planes (N, P, H, W) -> (N, T, K)."""
        said = self.says(planes, condition)
        return self.distributions(said.movedim(1, -1), planes.movedim(1, -1)).reshape(len(said), self.count, -1)

    def parameters_of(self, components: Tensor, condition: Tensor | None) -> Tensor:
        """Return the distribution of every component given those before it: (N, T, K)."""
        return self.parameters_at(self.planes_of(components), condition)

    def walk(self, count: int, condition: Tensor | None) -> Walk:
        """Start a way through the components of `count` images."""
        return PixelWalk(self, self.stepper(count, condition), count)


class PixelWalk:
    """The way through the pixels row by row, and through the parts of each pixel: a `Walk` by a `Stepper`."""

    def __init__(self, model: "PixelModel", stepper: Stepper, count: int):
        self.model, self.stepper, self.part = model, stepper, 0
        self.pixel = torch.zeros(count, model.parts, dtype=torch.int64, device=model.device)

    def parameters(self) -> Tensor:
        """Return the distribution of the next part (N, K)."""
        pixel = self.model.shown(self.pixel)
        return self.model.distributions(self.stepper.look(pixel), pixel)[:, self.part]

    def take(self, components: Tensor) -> None:
        """Go on by one part (N,)."""
        self.pixel[:, self.part] = components
        self.part += 1
        if self.part == self.model.parts:
            self.stepper.step(self.model.shown(self.pixel))
            self.part = 0
            self.pixel.zero_()
