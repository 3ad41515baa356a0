"""Modes of a ring and of a grid of Gaussians, under every objective and stabiliser, with nothing else changed.

Ring: 8 Gaussians, radius 2, σ 0.02. Grid: 25 at {-4, -2, 0, 2, 4}², σ 0.05. Both players have three layers of 128 ReLU
and take Adam steps (learning rate 1e-3, β₁ 0.5, batch 256); 20,000 of them are the discriminator's. A sample is of high
quality within 3σ of the nearest mode, and a mode is found where it has one such sample, of 2,500.
"""

import itertools
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import results

DISCRIMINATOR_STEPS, BATCH, SAMPLES = 20_000, 256, 2_500
COMMON: dict[str, Any] = {
    "width": 128,
    "depth": 3,
    "learning_rate": 1e-3,
    "beta1": 0.5,
    "beta2": 0.999,
    "optimizer": "adam",
}
QUIET: dict[str, Any] = {
    "log_every": 1_000,
    "sample_every": 0,
    "checkpoint_every": 10**6,
    "doctor": "off",
    "device": "cpu",
}


@dataclass(frozen=True)
class Row:
    """A recipe and what it is told beyond the common settings; `published` is (modes, HQ %, reverse KL) on the set."""

    recipe: str
    arguments: dict[str, Any] = field(default_factory=dict)
    published: dict[str, str] = field(default_factory=dict)


DIVERGENCES = (
    *("kl", "reverse-kl", "pearson", "neyman", "squared-hellinger", "jeffrey", "jensen-shannon", "gan"),
    "total-variation",
)
ROWS: dict[str, Row] = {
    "gan": Row("gan", {}, {"ring": "6.3 / 98.2 / .45", "grid": "17.3 / 94.8 / .70"}),
    "gan-minimax": Row("gan-minimax"),
    "lsgan": Row("lsgan"),
    "geometric-gan": Row("geometric-gan"),
    "wgan": Row("wgan"),
    "wgan-gp, λ 10": Row("wgan-gp"),
    "wgan-gp, λ 0.1": Row("wgan-gp", {"gradient_penalty": 0.1}),
    "wgan-gp, λ 0.1, one-sided": Row("wgan-gp", {"gradient_penalty": 0.1, "penalty_form": "one-sided"}),
    **{f"f-gan, {name}": Row("f-gan", {"divergence": name}) for name in DIVERGENCES},
    "relativistic": Row("relativistic"),
    "relativistic-average": Row("relativistic-average"),
    "loss-sensitive": Row("loss-sensitive"),
    "bgan": Row("bgan"),
    "dragan": Row("dragan"),
    "gan-r1": Row("gan-r1"),
    "r3gan": Row("r3gan"),
    "feature-matching": Row("feature-matching"),
    "pacgan, 2": Row("pacgan", {"pack": 2}, {"ring": "7.9 / 95.6 / .07", "grid": "23.8 / 91.3 / .13"}),
    "minibatch-discrimination, 4": Row("minibatch-discrimination", {"minibatch_discrimination": 4}),
    "unrolled, 5": Row("unrolled"),
    "ebgan": Row("ebgan"),
    "magan": Row("magan"),
    "began": Row("began"),
    "gogan": Row("gogan"),
    "gradient-reversal": Row("gradient-reversal"),
    "ot-gan": Row("ot-gan"),
    "sinkhorn": Row("sinkhorn"),
    "gan + label smoothing 0.1": Row("gan", {"label_smoothing": 0.1}),
    "gan + instance noise 0.5": Row("gan", {"instance_noise": 0.5}),
    "gan + spectral norm": Row("gan", {"spectral_norm": True}),
    "gan + historical averaging 1e-3": Row("gan", {"historical_averaging": 1e-3}),
    "gan + consensus 0.1": Row("gan", {"consensus": 0.1}),
    "gan + optimistic Adam": Row("gan", {"optimizer": "optimistic-adam"}),
    "gan + 5 discriminator steps": Row("gan", {"discriminator_steps": 5}),
}


def options_of(row: Row) -> dict[str, Any]:
    """Return the recipe's arguments: the common ones that it knows, and the row's own."""
    from kallima.recipe import get_recipe

    known = {parameter.name for parameter in get_recipe(row.recipe).parameters}
    return {name: value for name, value in COMMON.items() if name in known} | row.arguments


def train_and_judge(data: str, name: str, seed: int) -> dict[str, Any]:
    """Train one row with one seed; return its scores and the time that it took."""
    import torch

    import kallima
    from kallima.recipe import get_recipe

    torch.set_num_threads(1)
    row = ROWS[name]
    arguments = options_of(row)
    recipe = get_recipe(row.recipe)
    turns = recipe.resolve(arguments).get("discriminator_steps", 1)
    steps = DISCRIMINATOR_STEPS // turns
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        try:
            run = kallima.train(
                row.recipe, data=data, steps=steps, batch_size=BATCH, seed=seed, out=out, **QUIET, **arguments
            )
        except kallima.errors.TrainingError as error:
            return {"row": name, "seed": seed, "failed": str(error), "seconds": round(time.monotonic() - start, 1)}
        scores = kallima.evaluate(run, metrics=["modes", "high-quality", "reverse-kl"], count=SAMPLES, device="cpu")
    found = {score.metric: score.value for score in scores}
    return {"row": name, "seed": seed, **found, "seconds": round(time.monotonic() - start, 1)}


def run(data: str, names: Sequence[str], seeds: int, jobs: int) -> None:
    """Run what is not there yet, `jobs` at a time."""
    done = {(result["row"], result["seed"]) for result in results.load(data)}
    wanted = [(data, name, seed) for seed, name in itertools.product(range(seeds), names) if (name, seed) not in done]
    results.work_through(data, train_and_judge, wanted, jobs)


class OneBatch:
    """A stream that always gives the same batch."""

    position = 0

    def __init__(self, batch: Any):
        self.batch = batch

    def next(self) -> Any:
        return self.batch


def measure_cost(names: Sequence[str], rounds: int = 100) -> None:
    """Time a step of each row beside one of the plain game; keep what the whole training costs, relative to that."""
    import torch

    from kallima.data.batch import Batch
    from kallima.data.spec import Points, Spec
    from kallima.recipe import get_recipe
    from kallima.training.trainer import Trainer

    torch.set_num_threads(1)
    spec, batch = Spec({"points": Points(2)}), Batch({"points": torch.randn(BATCH, 2)})

    def trainer(name: str) -> tuple[Trainer, int]:
        recipe, arguments = get_recipe(ROWS[name].recipe), options_of(ROWS[name])
        turns = recipe.resolve(arguments).get("discriminator_steps", 1)
        return Trainer(recipe.build(spec, **arguments), {"data": OneBatch(batch)}, steps=10**6), turns

    def seconds(one: Trainer) -> float:
        start = time.perf_counter()
        one.play()
        return time.perf_counter() - start

    plain, _ = trainer("gan")
    known = {result["row"] for result in results.load("cost")}
    for name in (name for name in names if name not in known):
        other, turns = trainer(name)
        ratios = []
        for number in range(rounds):
            pair = [seconds(one) for one in ((plain, other) if number % 2 else (other, plain))]
            ratios.append(pair[1] / pair[0] if number % 2 else pair[0] / pair[1])
        ratio = statistics.median(ratios[rounds // 10 :]) / turns
        results.keep("cost", {"row": name, "ratio": round(ratio, 3)})
        print(f"{name}: {ratio:.2f}", flush=True)


def tables() -> str:
    """Return both tables in Markdown."""
    cost = {result["row"]: result["ratio"] for result in results.load("cost")}
    return "\n\n".join(_table(data, cost) for data in ("ring", "grid") if results.load(data))


def _table(data: str, cost: dict[str, float]) -> str:
    modes = {"ring": 8, "grid": 25}[data]
    found = results.load(data)
    lines = [
        f"**{data.capitalize()}**, {modes} modes\n",
        "| game | seeds | modes | high quality, % | reverse KL | time | published: modes / HQ / KL |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in ROWS.items():
        own = [result for result in found if result["row"] == name]
        good = [result for result in own if "failed" not in result]
        if not own:
            continue
        cells = [name, str(len(own)) + (f", {len(own) - len(good)} not finite" if len(good) < len(own) else "")]
        for metric, scale, places in (("modes", 1, 1), ("high-quality", 100, 1), ("reverse-kl", 1, 3)):
            values = [result[metric] * scale for result in good]
            spread = f" ± {statistics.stdev(values):.{places}f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.{places}f}{spread}" if values else "—")
        cells += [f"{cost[name]:.2f}×" if name in cost else "", row.published.get(data, "")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
