"""Ten minutes of one recipe on 32 × 32 pixels: score against time, images a second, share of the machine's matrix rate.

    python benchmarks/speedrun.py                                   # flow-matching, ten minutes of a GPU
    python benchmarks/speedrun.py --recipe r3gan --minutes 10 --set batch_size=512
    python benchmarks/speedrun.py --seconds 20                      # a trial on a processor

First every way of running a step is timed: number format, layout of the images, compiled phases, CUDA graphs. The
fastest then trains, from fresh weights, for as many steps as fit in the time; the clock stands still while samples are
scored, but runs while a phase is compiled. The matrix rate is that of one large product in the same number format on
the same device; operations of a step are counted by torch (matrix products and convolutions, forwards and backwards).
The data is what lies beside the checkout of CIFAR-10, 10,000 JPEG images, or on a processor 2,000 lossless ones; give
the whole set with --data. Results of a GPU go to benchmarks/results/speedrun.jsonl.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import kallima
from kallima.job import Job
from kallima.sampling.drawing import draw
from kallima.training.distribution import World
from kallima.training.precision import choose_device, device_name
from kallima.training.trainer import Trainer

sys.path.insert(0, str(Path(__file__).parent / "reproduce"))
import places

RESULTS = Path(__file__).parent / "results" / "speedrun.jsonl"
# What a recipe is told on a GPU unless it is told otherwise; its defaults are for processors.
ON_GPU: dict[str, dict[str, Any]] = {
    "flow-matching": {"width": 128, "full_size": True, "batch_size": 256},
    "dcgan": {"batch_size": 256},
    "r3gan": {"batch_size": 256},
}
TRIAL = 5.0  # seconds that a way of running is timed
MARKS = (0.1, 0.25, 0.5, 1.0)  # shares of the time at which samples are scored
SIDE = {"cuda": 8192, "cpu": 1024}  # of the product that gives the matrix rate


@dataclass(frozen=True)
class Way:
    """How a step is run."""

    precision: str = "32"
    channels_last: bool = False
    compile: bool = False
    graphs: bool = False


WAYS = {
    "32 bits": Way(),
    "32 bits, channels last": Way(channels_last=True),
    "bf16": Way("bf16"),
    "bf16, channels last": Way("bf16", channels_last=True),
    "bf16, channels last, compiled": Way("bf16", channels_last=True, compile=True),
    "bf16, channels last, compiled, CUDA graphs": Way("bf16", channels_last=True, compile=True, graphs=True),
}
ON_A_PROCESSOR = ("32 bits", "32 bits, channels last")


def build(recipe: str, data: Path, told: dict[str, Any], way: Way, steps: int, device: torch.device) -> Trainer:
    """Return the trainer of a fresh system, as `kallima train` has it."""
    how = {"precision": way.precision, "channels_last": way.channels_last, "compile": way.compile}
    job = Job.resolve(recipe, data, {**told, **how, "steps": steps})
    return job.trainer(job.dataset(), device, World())


@contextmanager
def graphs(wanted: bool) -> Iterator[None]:
    """Have compiled phases replayed as CUDA graphs meanwhile: the trainer has no switch of its own for it."""
    from torch._inductor import config

    before, config.triton.cudagraphs = config.triton.cudagraphs, wanted
    try:
        yield
    finally:
        config.triton.cudagraphs = before


def wait(device: torch.device) -> None:
    """Let the device finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(precision: str, device: torch.device) -> float:
    """Return the operations a second of the best of several large matrix products."""
    side = SIDE.get(device.type, 1024)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    one, other = torch.randn(2, side, side, device=device, dtype=dtype).unbind()
    times = []
    for _ in range(12):
        wait(device)
        start = time.perf_counter()
        one @ other
        wait(device)
        times.append(time.perf_counter() - start)
    return 2 * side**3 / min(times)


def seconds_of_a_step(trainer: Trainer) -> float:
    """Return the median time of a step, once it is warm."""
    device, times = trainer.device, []
    for _ in range(3):
        trainer.play()
    wait(device)
    end = time.perf_counter() + TRIAL
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(10 if device.type == "cuda" else 1):
            trainer.play()
        wait(device)
        times.append((time.perf_counter() - start) / (10 if device.type == "cuda" else 1))
    return statistics.median(times)


def compare_ways(
    names: list[str], recipe: str, data: Path, told: dict[str, Any], device: torch.device
) -> dict[str, dict[str, float]]:
    """Time each way; those that fail are told, and left out."""
    trainer = build(recipe, data, told, Way(), 10**9, device)
    batch_size = trainer.streams["data"].batch_size
    with FlopCounterMode(display=False) as counter:
        trainer.play()
    operations = counter.get_total_flops()
    print(f"{operations / 1e9:,.1f} G operations a step of {batch_size} images\n")
    print("| how a step is run | images/s | operations/s | matrix rate | share |\n|---|---|---|---|---|")
    found = {}
    for name in names:
        way = WAYS[name]
        try:
            with graphs(way.graphs):
                seconds = seconds_of_a_step(build(recipe, data, told, way, 10**9, device))
        except Exception as error:  # a way that this machine cannot go is a line of the table
            print(f"| {name} | {type(error).__name__}: {str(error).splitlines()[0][:80]} | | | |", flush=True)
            continue
        finally:
            torch._dynamo.reset()
        rate, peak = operations / seconds, matrix_rate(way.precision, device)
        found[name] = {"seconds": seconds, "images_per_second": batch_size / seconds, "share": rate / peak}
        cells = [name, f"{batch_size / seconds:,.0f}", f"{rate / 1e12:.3g} T", f"{peak / 1e12:.3g} T"]
        print(f"| {' | '.join(cells)} | {rate / peak:.1%} |", flush=True)
    return found


def race(trainer: Trainer, data: Path, *, count: int, features: str, told: dict[str, Any]) -> list[dict[str, float]]:
    """Train to the end; return the score and the seconds of training at each mark."""
    spent, found = 0.0, []
    print("\n| seconds | steps | FID |\n|---|---|---|")
    view = {name: told[name] for name in ("key", "size", "crop", "channels") if name in told}
    for mark in MARKS:
        start = time.perf_counter()
        while trainer.step < round(mark * trainer.steps):
            trainer.play()
        wait(trainer.device)
        spent += time.perf_counter() - start
        samples = draw(trainer.average.system, count, seed=0)
        (score,) = kallima.evaluate(samples=samples, data=data, metrics=["fid"], features=features, **view)
        found.append({"seconds": round(spent, 1), "steps": trainer.step, "fid": score.value})
        print(f"| {spent:,.0f} | {trainer.step:,} | {score.value:.2f} |", flush=True)
    print(f"\n{score.extractor}; {count:,} samples")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="flow-matching")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="of training; ten on a GPU")
    length.add_argument("--seconds", type=float, help="of training; twenty on a processor")
    parser.add_argument("--data", type=Path, help="images; by default of CIFAR-10, where the reproductions find it")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="options as for kallima train")
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="by default all on a GPU, those of 32 bits elsewhere")
    parser.add_argument("--count", type=int, help="samples to score; by default 10,000 on a GPU, 500 elsewhere")
    parser.add_argument("--features", help="what images are compared by; by default auto on a GPU, random elsewhere")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    try:
        run(given)
    except kallima.KallimaError as error:
        raise SystemExit(str(error)) from None


def run(given: argparse.Namespace) -> None:
    """Do all of it."""
    device = choose_device(given.device)
    on_gpu = device.type == "cuda"
    print(f"{device_name(device)}, {platform.machine()}, torch {torch.__version__}, kallima {kallima.__version__}")
    if not on_gpu:
        threads = torch.get_num_threads()
        print(f"there is no GPU here: {threads} threads of a processor, whose figures say nothing of one")
    data = given.data or places.folder() / "cifar10" / ("cifar10_jpeg.tar.gz" if on_gpu else "cifar10_lossless.npz")
    if not data.exists():
        raise SystemExit(f"there is no {data}: say where the images lie with --data")
    told: dict[str, Any] = {"size": 32} | (ON_GPU.get(given.recipe, {}) if on_gpu else {})
    told |= dict(pair.split("=", 1) for pair in given.set)
    budget = given.seconds or (given.minutes or (10 if on_gpu else 1 / 3)) * 60
    ways = compare_ways(given.ways or list(WAYS if on_gpu else ON_A_PROCESSOR), given.recipe, data, told, device)
    if not ways:
        raise SystemExit("no way of running a step worked")
    fastest = min(ways, key=lambda name: ways[name]["seconds"])
    steps = max(len(MARKS), round(budget / ways[fastest]["seconds"]))
    print(f"\n{given.recipe}, {fastest}: {steps:,} steps in {budget:,.0f} seconds")
    with graphs(WAYS[fastest].graphs):
        trainer = build(given.recipe, data, told, WAYS[fastest], steps, device)
        curve = race(
            trainer,
            data,
            count=given.count or (10_000 if on_gpu else 500),
            features=given.features or ("auto" if on_gpu else "random"),
            told=told,
        )
    if on_gpu:
        row = {"recipe": given.recipe, "options": told, "way": fastest, "ways": ways, "curve": curve}
        where = {"kallima": kallima.__version__, "torch": torch.__version__, "device": device_name(device)}
        with RESULTS.open("a") as file:
            file.write(json.dumps(row | where, default=str) + "\n")


if __name__ == "__main__":
    main()
