"""How long the heavy parts of evaluation take, and how much memory: a markdown table on stdout.

    python benchmarks/evaluation.py                        # a few minutes on two cores
    python benchmarks/evaluation.py --cap 30 --width 512   # quicker, and smaller

`--cap` bounds each competitor: what is not done by then is stopped and shown as a bound. Precision and recall at full
size run in a process of their own whose memory is watched; past the cap the rest of the time is estimated from the
share of blocks that are done.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from kallima.evaluation.fid import frechet_distance, frechet_distance_of_few, frechet_distance_to_few
from kallima.evaluation.moments import FoldedMoments, Moments
from kallima.evaluation.prdc import neighbourhoods

MEASURES = ("precision", "recall", "density", "coverage")

Result = tuple[float, float | None]
"""Seconds, and the value where it was reached."""


def features(count: int, width: int, seed: int, part: int = 0) -> Tensor:
    """Draw features (N, d) whose spectrum falls like that of real ones."""
    rng = torch.Generator().manual_seed(1000 * seed + part)
    decay = torch.arange(1, width + 1).float() ** -0.75
    mix = rotation(width)
    return (torch.randn(count, width, generator=rng) * decay * (1 + 0.2 * seed)) @ mix + 0.05 * seed


@cache
def rotation(width: int) -> Tensor:
    return torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(99))).Q


def by_square_root(first: Moments, second: Moments) -> float:
    """The textbook way: a matrix square root of the product."""
    a, b = (moments.covariance.numpy() for moments in (first, second))
    gap = (first.mean - second.mean).square().sum().item()
    return gap + np.trace(a) + np.trace(b) - 2 * np.trace(scipy.linalg.sqrtm(a @ b)).real


def by_eigenvalues(first: Moments, second: Moments) -> float:
    """Another way: the eigenvalues of the product, which is not symmetric."""
    a, b = first.covariance, second.covariance
    cross = torch.linalg.eigvals(a @ b).real.clamp(min=0).sqrt().sum()
    gap = (first.mean - second.mean).square().sum()
    return (gap + a.trace() + b.trace() - 2 * cross).item()


def timed(work: Callable[..., float], *given: object) -> Result:
    start = time.perf_counter()
    value = work(*given)
    return time.perf_counter() - start, value


def send_timed(pipe: Connection, work: Callable[..., float], given: tuple[object, ...], threads: int) -> None:
    torch.set_num_threads(threads)
    pipe.send("ready")
    pipe.send(timed(work, *given))


def capped(work: Callable[..., float], given: tuple[object, ...], cap: float) -> Result:
    """Run in a process of its own, stopped at the cap."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=send_timed, args=(theirs, work, given, torch.get_num_threads()))
    process.start()
    mine.recv()  # it has its data and begins
    if mine.poll(cap):
        result: Result = mine.recv()
        process.join()
        return result
    process.kill()
    process.join()
    return cap, None


def row(what: str, result: Result, base: Result) -> str:
    seconds, value = result
    bound = "" if value is not None else "> "
    difference = "" if value is None or base[1] is None else f"{abs(value - base[1]) / abs(base[1]):.1e}"
    return f"| {what} | {bound}{seconds:.2f} s | {bound}{seconds / base[0]:.2g} | {difference} |"


def traces(width: int, count: int, cap: float) -> None:
    print(f"\nThe FID of two sets of {count:,} features of {width:,}\n")
    print("| way | time | ratio | relative difference |\n|---|---|---|---|")
    x, y = features(count, width, 0), features(count, width, 1)
    start = time.perf_counter()
    first, second = Moments.of(x), Moments.of(y)
    moments = time.perf_counter() - start
    square_root = capped(by_square_root, (first, second), cap)
    eigenvalues = timed(by_eigenvalues, first, second)
    ours = timed(frechet_distance, first, second)
    print(row("Cholesky and symmetric eigenvalues (ours)", ours, ours))
    print(row("torch.linalg.eigvals of the product", eigenvalues, ours))
    print(row("scipy.linalg.sqrtm of the product", square_root, ours))
    print(f"\nThe moments of both sets took {moments:.1f} s.")

    few = min(500, width // 4)
    print(f"\nThe same with {few:,} features on one side, or on both\n")
    print("| way | time | ratio | relative difference |\n|---|---|---|---|")
    a, b = x[:few], y[:few]
    whole = timed(frechet_distance, Moments.of(a), Moments.of(b))
    print(row("few and few by d × d matrices", whole, whole))
    print(row("few and few by the nuclear norm (ours)", timed(frechet_distance_of_few, a, b), whole))
    half = timed(frechet_distance, first, Moments.of(b))
    print(row("many and few by d × d matrices", half, half))
    print(row("many and few by an n × n matrix (ours)", timed(frechet_distance_to_few, first, b), half))


def streaming(width: int) -> None:
    gathered, start, count = FoldedMoments(width), time.perf_counter(), 0
    block = features(1000, width, 0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while time.perf_counter() - start < 10:
        gathered.add(block, torch.arange(count, count + len(block)))
        count += len(block)
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"\nMoments by folds, streaming, d = {width:,}: {count / seconds:,.0f} features a second; "
        f"memory grew by {grown:,.0f} MB over {count:,} features."
    )


class Enough(Exception):  # noqa: N818 -- no error
    """The time is up."""


def near(count: int, width: int, cap: float, device: str, threads: int) -> None:
    """Judge precision and recall in this fresh process, and print what it took."""
    torch.set_num_threads(threads)
    x, y = torch.empty(count, width), torch.empty(count, width)
    for i, (real, generated) in enumerate(zip(x.split(1000), y.split(1000), strict=True)):
        real.copy_(features(len(real), width, 0, part=i))
        generated.copy_(0.98 * features(len(generated), width, 0, part=500 + i))  # a little too close to the mean
    x, y = x.to(device), y.to(device)
    start, share = time.perf_counter(), 0.0

    def progress(what: str, done: int, total: int) -> None:
        nonlocal share
        if int(100 * done / total) > int(100 * share):
            print(f"{what} {done:,}/{total:,}", end="\r", file=sys.stderr, flush=True)
        share = done / total
        if time.perf_counter() - start > cap:
            raise Enough

    values = "values not reached"
    with suppress(Enough):
        found = neighbourhoods(x, y, progress=progress)
        values = ", ".join(f"{name} {getattr(found, name).value:.5f}" for name in MEASURES)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(
        f"\nPrecision, recall, density and coverage of {count:,} × {count:,}, d = {width:,}, on {device} with "
        f"{torch.get_num_threads()} thread(s): "
        f"{share:.0%} of the blocks in {seconds:.0f} s (all: {seconds / share:.0f} s), "
        f"peak resident memory {peak:.2f} GiB, of which features {2 * x.nbytes / 1024**3:.2f}; {values}"
    )
    few = min(count, 1500)
    found, expected = neighbourhoods(x[:few], y[:few]), by_brute_force(x[:few].cpu().numpy(), y[:few].cpu().numpy())
    print(f"\nThe first {few:,} of each, against all differences of float64, one by one:\n")
    print("| | in blocks | by brute force |\n|---|---|---|")
    for name in MEASURES:
        print(f"| {name} | {getattr(found, name).value:.8f} | {expected[name]:.8f} |")


def by_brute_force(real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """The definitions, without a product of matrices: every difference is taken, squared and summed."""

    def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.stack([np.square(row - y.astype(np.float64)).sum(1) for row in x.astype(np.float64)])

    def radii(x: np.ndarray, k: int) -> np.ndarray:
        return np.sort(distances(x, x), 1)[:, k]  # the first is itself

    across = distances(real, generated)
    far = across <= radii(real, 5)[:, None]
    return {
        "precision": (across <= radii(real, 3)[:, None]).any(0).mean(),
        "recall": (across <= radii(generated, 3)).any(1).mean(),
        "density": far.sum(0).mean() / 5,
        "coverage": far.any(1).mean(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=2048, help="features, d")
    parser.add_argument("--count", type=int, default=50_000, help="examples on each side of precision and recall")
    parser.add_argument("--cap", type=float, default=55, help="seconds that each competitor may take")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", choices=("traces", "streaming", "near"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.only in (None, "near"):
        # first, and alone in a process: its peak is not to be hidden by what came before
        context = multiprocessing.get_context("spawn")
        given = options.count, options.width, options.cap, options.device, options.threads
        process = context.Process(target=near, args=given)
        process.start()
        process.join()
    if options.only in (None, "traces"):
        traces(options.width, 3 * options.width, options.cap)
    if options.only in (None, "streaming"):
        streaming(options.width)


if __name__ == "__main__":
    main()
