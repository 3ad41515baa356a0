"""Images a second of a VAE's training step: kallima's trainer beside a plain hand-written loop, and beside pythae's.

All hold the same network (784, 512, 512, 64 and back, ReLU), the same initial weights, the same loss (pixels drawn
black or white, Bernoulli, in nats, summed) and Adam at 1e-3, and take the same batch of 100 from memory. Of the same
draws all give the same loss, or the benchmark stops. Their steps take turns within one process, so that a noisy machine
disturbs all alike; what is reported is the median of the ratios of neighbouring steps, and its quartiles. On the CPU
that is processor time of one thread, which counts no waiting for others. What each does:

  kallima      the trainer's step with its defaults (Adam fused, on the CPU too): noise seeded, the gradient's norm
               taken, terms and notes kept
  plain        forward, loss, zero_grad, backward, step, and nothing else; Adam as torch.optim.Adam(…, lr) gives it
  plain fused  the same with torch.optim.Adam(…, fused=True)
  pythae       VAE(x) with the loss "bce", backward, step, loss.item(): the body of its BaseTrainer's loop, Adam as it
               makes it (where it is installed)

    python benchmarks/vae_step.py
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.batch import Batch
from kallima.data.spec import Image, Spec
from kallima.recipe import get_recipe
from kallima.system import System
from kallima.training.precision import choose_device, device_name
from kallima.training.trainer import Trainer
from turns import OneBatch, Step, take_turns, times_as_fast

SIDE, WIDTH, LATENT, BATCH = 28, 512, 64, 100


class Plain(nn.Module):
    """The network as anybody would write it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *(nn.Flatten(), nn.Linear(SIDE * SIDE, WIDTH), nn.ReLU()),
            *(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2 * LATENT)),
        )
        self.decoder = nn.Sequential(
            *(nn.Linear(LATENT, WIDTH), nn.ReLU()),
            *(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, SIDE * SIDE)),
        )

    def loss(self, image: Tensor) -> Tensor:
        """Return the negative bound on log p of images in [-1, 1], nats an image."""
        pixels = binarised(image).flatten(1)
        mean, log_variance = self.encoder(pixels).chunk(2, 1)
        code = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        error = F.binary_cross_entropy_with_logits(self.decoder(code), pixels, reduction="sum")
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        return (error + divergence) / len(image)


def binarised(image: Tensor) -> Tensor:
    """Draw pixels black (0) or white (1) by their brightness, for images in [-1, 1]."""
    return (torch.rand_like(image) < 0.5 * (image + 1)).to(image.dtype)


def load(model: Any, system: Any) -> None:
    """Give a model the weights of the system's encoder and decoder, in the order in which they stand.

    Raises:
        RuntimeError: their shapes differ.
    """
    for network, like in ((model.encoder, system.encoder), (model.decoder, system.decoder)):
        own, theirs = list(network.parameters()), list(like.parameters())
        if [p.shape for p in own] != [p.shape for p in theirs]:
            raise RuntimeError("the networks that are compared are not the same")
        with torch.no_grad():
            for one, other in zip(own, theirs, strict=True):
                one.copy_(other)


def check(loss: Callable[[], Tensor], image: Tensor, system: System) -> None:
    """Demand that a loss is the system's, of the same draws.

    Raises:
        RuntimeError: it is not.
    """
    torch.manual_seed(1)
    found = loss()
    torch.manual_seed(1)
    wanted = sum(system.loss(Batch({"image": image}))[0].values())
    if not torch.isclose(found, wanted, rtol=1e-5):
        raise RuntimeError(f"the losses that are compared are not the same: {found:.4f} and {wanted:.4f} nats")


def ours(image: Tensor) -> tuple[System, Step]:
    """Return the system and the trainer's step."""
    system = get_recipe("vae").build(Spec({"image": Image(1, SIDE, SIDE)}), width=WIDTH, latent_dim=LATENT)
    system.to(image.device)
    trainer = Trainer(system, {"data": OneBatch(image=image)}, steps=10**9, fused=True)
    return system, trainer.play


def plain(image: Tensor, fused: bool, like: System) -> Step:
    """Return the step of the loop as it is usually written."""
    model = Plain().to(image.device)
    load(model, like)
    check(lambda: model.loss(image), image, like)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=fused)

    def step() -> None:
        optimizer.zero_grad()
        model.loss(image).backward()
        optimizer.step()

    return step


def pythaes(image: Tensor, like: System) -> Step | None:
    """Return pythae's step over the same network; None where pythae is not installed."""
    try:
        from pythae.data.datasets import DatasetOutput
        from pythae.models import VAE, VAEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder
    except ImportError as error:
        print(f"pythae is left out: {error}")
        return None

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.body = Plain().encoder

        def forward(self, x: Tensor) -> ModelOutput:
            mean, log_variance = self.body(x).chunk(2, 1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.body = Plain().decoder

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.body(z).sigmoid().view(-1, 1, SIDE, SIDE))

    settings = VAEConfig(input_dim=(1, SIDE, SIDE), latent_dim=LATENT, reconstruction_loss="bce")
    model = VAE(settings, encoder=Encoder(), decoder=Decoder()).to(image.device)
    load(model, like)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def loss() -> Any:
        return model(DatasetOutput(data=binarised(image)), epoch=1, dataset_size=60_000, uses_ddp=False)

    check(lambda: loss().loss, image, like)

    def step() -> None:
        # as BaseTrainer.train_step has it, without what it does between steps (a bar, callbacks, moving the batch)
        output = loss()
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        output.loss.item()

    return step


def measure(rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Return the seconds of each side's steps, by its name, of rounds in which each has one turn."""
    torch.manual_seed(0)
    image = torch.rand(BATCH, 1, SIDE, SIDE, device=device).mul(2).sub(1)
    system, own = ours(image)
    sides = {"kallima": own, "plain": plain(image, False, system), "plain fused": plain(image, True, system)}
    if (other := pythaes(image, system)) is not None:
        sides["pythae"] = other
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    return take_turns(sides, rounds=rounds, warm_up=20, device=device, clock=clock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=600)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    device = choose_device(given.device)
    torch.set_num_threads(1)
    print(f"{device_name(device)}, {torch.get_num_threads()} threads, torch {torch.__version__}, {platform.machine()}")
    print(f"VAE {SIDE * SIDE}-{WIDTH}-{WIDTH}-{LATENT}, batch {BATCH}, {given.rounds} rounds")
    seconds = measure(given.rounds, device)
    for side, theirs in seconds.items():
        rate = BATCH / statistics.median(theirs)
        told = "" if side == "kallima" else f"   kallima is {times_as_fast(seconds['kallima'], theirs)} times as fast"
        print(f"{side:<12}{rate:>8,.0f} images/s{told}")


if __name__ == "__main__":
    main()
