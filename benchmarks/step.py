"""Images a second of a DCGAN-64 training step: kallima's trainer beside a plain hand-written loop.

Both sides hold the same networks, initial weights, losses and optimiser settings, and take the same batch from memory.
Steps of the two alternate within one process, so that a noisy machine disturbs both alike; what is reported is the
median of the ratios of neighbouring steps, and its quartiles.

    python benchmarks/step.py                     # the table of docs/performance.md
    python benchmarks/step.py --variants eager --pairs 30
"""

import argparse
import copy
import platform
import statistics
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kallima.data.spec import Image, Spec
from kallima.recipe import get_recipe
from kallima.training.precision import choose_device, device_name
from kallima.training.trainer import Trainer
from turns import OneBatch, Step, take_turns, times_as_fast

SIZE, LATENT = 64, 100


@dataclass(frozen=True)
class Variant:
    """One row of the table: what both sides switch on."""

    channels_last: bool = False
    fused: bool = False
    compile: bool = False


VARIANTS = {
    "eager": Variant(),
    "fused": Variant(fused=True),
    "channels_last": Variant(channels_last=True),
    "channels_last+fused": Variant(channels_last=True, fused=True),
    "channels_last+fused+compile": Variant(channels_last=True, fused=True, compile=True),
}


def plain_step(system, image: Tensor, variant: Variant) -> Step:
    """The loop as it is usually written, over copies of the system's networks."""
    generator, discriminator = copy.deepcopy(system.generator), copy.deepcopy(system.discriminator)
    options = {"lr": 2e-4, "betas": (0.5, 0.999), **({"fused": True} if variant.fused else {})}
    generator_optimizer = torch.optim.Adam(generator.parameters(), **options)
    discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), **options)
    forge, judge = (
        (torch.compile(generator), torch.compile(discriminator)) if variant.compile else (generator, discriminator)
    )

    def step() -> None:
        fake = forge(torch.randn(len(image), LATENT, device=image.device))
        discriminator_optimizer.zero_grad()
        real_logits, fake_logits = judge(image), judge(fake.detach())
        loss = F.binary_cross_entropy_with_logits(real_logits, torch.ones_like(real_logits))
        loss = loss + F.binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))
        loss.backward()
        discriminator_optimizer.step()
        generator_optimizer.zero_grad()
        fake = forge(torch.randn(len(image), LATENT, device=image.device))
        logits = judge(fake)
        F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits)).backward()
        generator_optimizer.step()

    return step


def measure(
    variant: Variant, *, batch_size: int, width: int, pairs: int, device: torch.device
) -> dict[str, list[float]]:
    """Return the seconds of the steps of "kallima" and of the "plain" loop."""
    layout = torch.channels_last if variant.channels_last else torch.contiguous_format
    torch.manual_seed(0)
    spec = Spec({"image": Image(3, SIZE, SIZE)})
    system = get_recipe("dcgan").build(spec, width=width, latent_dim=LATENT, average=0.0)
    system.to(device)
    system.to(memory_format=layout)
    image = torch.rand(batch_size, 3, SIZE, SIZE, device=device).mul(2).sub(1).contiguous(memory_format=layout)
    plain = plain_step(system, image, variant)
    streams = {"data": OneBatch(image=image)}
    trainer = Trainer(system, streams, steps=10**9, fused=variant.fused, compile=variant.compile)
    sides = {"kallima": trainer.play, "plain": plain}
    return take_turns(sides, rounds=pairs, warm_up=3, device=device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    device = choose_device(given.device)
    print(f"{device_name(device)}, {torch.get_num_threads()} threads, torch {torch.__version__}, {platform.machine()}")
    print(f"DCGAN-64, width {given.width}, batch {given.batch_size}, {given.pairs} pairs of steps")
    print(f"{'both sides with':<30}{'kallima':>12}{'plain loop':>12}{'ratio (quartiles)':>20}{'to eager plain':>16}")
    baseline = None
    for name in given.variants:
        seconds = measure(
            VARIANTS[name], batch_size=given.batch_size, width=given.width, pairs=given.pairs, device=device
        )
        ours, plain = (given.batch_size / statistics.median(times) for times in seconds.values())
        baseline = baseline or plain
        ratio = times_as_fast(seconds["kallima"], seconds["plain"])
        print(f"{name:<30}{ours:>10.1f}/s{plain:>10.1f}/s{ratio:>20}{ours / baseline:>16.2f}", flush=True)


if __name__ == "__main__":
    main()
