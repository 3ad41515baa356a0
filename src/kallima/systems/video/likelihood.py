"""The ground of models of videos with exact likelihoods: frame after frame, by what is remembered of those before."""

from abc import abstractmethod

import torch
from torch import Tensor

from kallima.data.spec import Image, Spec, Video
from kallima.layers.convlstm import FrameMemory
from kallima.systems.autoregressive.alphabets import alphabet
from kallima.systems.autoregressive.ground import Autoregressive, Walk
from kallima.systems.autoregressive.pixels import Stepper
from kallima.systems.descent import Descent


class VideoModel(Autoregressive):
    """log p(x) = Σ log p(xᵢ | x₁, …, xᵢ₋₁) over frames, over the pixels of each row by row, over a pixel's channels.

    A memory is shown each frame and tells of the next, pixel by pixel; a model says what it makes of that: of all
    frames at once (`says`), and pixel by pixel (`stepper`).
    """

    def __init__(self, spec: Spec, *, levels: int | None, width: int, layers: int, patch: int, descent: Descent):
        video = spec["video"]
        assert isinstance(video, Video)
        frame = Image(video.channels, video.height, video.width)
        count = video.frames * video.height * video.width * video.channels
        super().__init__(spec, count=count, parts=video.channels, descent=descent)
        self.alphabet = alphabet(frame, levels)
        self.frames, self.rows, self.columns = video.frames, video.height, video.width
        self.memory = FrameMemory(video.channels, self.rows, self.columns, width=width, depth=layers, patch=patch)

    @abstractmethod
    def says(self, planes: Tensor, context: Tensor) -> Tensor:
        """Return the logits (N, parts · K, H, W) of frames (N, P, H, W), given their earlier pixels and the context."""

    @abstractmethod
    def stepper(self, context: Tensor) -> Stepper:
        """Start through the pixels of a frame of this context (N, width, H, W)."""

    def components_of(self, examples: Tensor) -> Tensor:
        """Return the components (N, T) of videos (N, frames, C, H, W), a pixel's channels one after another."""
        return self.alphabet.read(examples.flatten(0, 1)).view(len(examples), self.count)

    def examples_of(self, components: Tensor) -> Tensor:
        """Return the videos (N, frames, C, H, W) in [-1, 1] of components (N, T)."""
        images = self.alphabet.write(components.view(-1, self.rows, self.columns, self.parts))
        return images.unflatten(0, (len(components), self.frames))

    def shown(self, components: Tensor) -> Tensor:
        """Return components as the networks see them."""
        return components * (2 / (self.alphabet.choices - 1)) - 1

    def parameters_of(self, components: Tensor, condition: Tensor | None) -> Tensor:
        """Return the logits of every component given those before it: (N, T, K)."""
        planes = self.shown(components.view(-1, self.frames, self.rows, self.columns, self.parts)).movedim(-1, 2)
        # strides of a single channel are read either way, by what compiles a convolution and by what runs it
        planes = planes.clone(memory_format=torch.contiguous_format)
        said = self.says(planes.flatten(0, 1), self.memory(planes).flatten(0, 1))
        each = said.movedim(1, -1).unflatten(-1, (self.parts, self.alphabet.choices))
        return each.reshape(len(components), self.count, self.alphabet.choices)

    def walk(self, count: int, condition: Tensor | None) -> Walk:
        """Start a way through the components of `count` videos."""
        return VideoWalk(self, count)

    @property
    def likelihood_notes(self) -> tuple[str, ...]:
        """What the nats are of."""
        return ("exact", self.alphabet.note, f"a video of {self.frames} frames")


class VideoWalk:
    """The way through a video: within a frame a `Stepper`, and with each frame that is whole a step of the memory."""

    def __init__(self, model: VideoModel, count: int):
        self.model, self.place = model, 0
        self.frame = torch.zeros(
            count, model.rows, model.columns, model.parts, dtype=torch.int64, device=model.device
        ).flatten(1)
        self.pixel = torch.zeros(count, model.parts, dtype=torch.int64, device=model.device)
        self.state = model.memory.start(count)
        self.stepper = model.stepper(model.memory.context(self.state))

    def parameters(self) -> Tensor:
        """Return the logits of the next component (N, K)."""
        said = self.stepper.look(self.model.shown(self.pixel))
        return said.unflatten(1, (self.model.parts, -1))[:, self.place % self.model.parts]

    def take(self, components: Tensor) -> None:
        """Go on by one component (N,)."""
        model, part = self.model, self.place % self.model.parts
        self.pixel[:, part] = self.frame[:, self.place % self.frame.shape[1]] = components
        self.place += 1
        if part + 1 < model.parts:
            return
        self.stepper.step(model.shown(self.pixel))
        if self.place % self.frame.shape[1] == 0 and self.place < model.count:
            planes = self.frame.view(-1, model.rows, model.columns, model.parts).movedim(-1, 1)
            self.state = model.memory.step(model.shown(planes), self.state)
            self.stepper = model.stepper(model.memory.context(self.state))
