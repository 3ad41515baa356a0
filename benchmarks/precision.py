"""Training steps a second with `--precision bf16` and without, of systems as their recipes build them.

Two trainers of the same system, that start from the same weights, take turns within one process on batches that lie in
memory. On the CPU what counts is processor time of one thread.

    python benchmarks/precision.py                   # the table of docs/performance.md
    python benchmarks/precision.py --only pixel-cnn vae --rounds 40
"""

import argparse
import platform
import statistics
import time

import torch
from torch import Tensor

from kallima.data.spec import Image, Label, Spec
from kallima.recipe import get_recipe
from kallima.training.precision import choose_device, device_name
from kallima.training.trainer import Trainer
from turns import OneBatch, take_turns, times_as_fast

DIGITS, PHOTOGRAPHS = Image(1, 28, 28), Image(3, 32, 32)
SYSTEMS = {
    "dcgan": PHOTOGRAPHS,
    "sngan": PHOTOGRAPHS,
    "stylegan2": PHOTOGRAPHS,
    "vae": DIGITS,
    "vq-vae": PHOTOGRAPHS,
    "m2": DIGITS,
    "gmvae": DIGITS,
    "autoencoder": DIGITS,
    "pixel-cnn": DIGITS,
    "gated-pixel-cnn": DIGITS,
    "pixel-cnn-pp": PHOTOGRAPHS,
    "pixel-transformer": Image(1, 14, 14),
    "flow-matching": PHOTOGRAPHS,
}


def batch(image: Image, count: int, device: torch.device) -> dict[str, Tensor]:
    """Return images of nothing, (count, C, H, W) in [-1, 1], and labels."""
    return {
        "image": torch.rand(count, *image.shape, device=device).mul(2).sub(1),
        "label": torch.arange(count, device=device) % 10,
    }


def measure(name: str, rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Return the seconds of a system's steps in full precision and in "bf16"."""
    recipe, image = get_recipe(name), SYSTEMS[name]
    trainers = {}
    for precision in ("32", "bf16"):
        torch.manual_seed(0)
        system = recipe.build(Spec({"image": image, "label": Label(tuple("0123456789"))})).to(device)
        stream = OneBatch(**batch(image, recipe.batch_size, device))
        streams = dict.fromkeys({name for phase in system.game() for name in phase.reads}, stream)
        trainers[precision] = Trainer(system, streams, steps=10**9, precision=precision).play
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    return take_turns(trainers, rounds=rounds, warm_up=2, device=device, clock=clock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), metavar="RECIPE")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    device = choose_device(given.device)
    torch.set_num_threads(1)
    print(f"{device_name(device)}, torch {torch.__version__}, {platform.machine()}, {given.rounds} rounds")
    print("| recipe | image | a step | with bf16 | times as fast (quartiles) |\n|---|---|---|---|---|")
    for name in given.only:
        seconds = measure(name, given.rounds, device)
        full, half = (1000 * statistics.median(times) for times in seconds.values())
        size = "×".join(map(str, SYSTEMS[name].shape))
        print(
            f"| {name} | {size} | {full:.0f} ms | {half:.0f} ms | {times_as_fast(seconds['bf16'], seconds['32'])} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
