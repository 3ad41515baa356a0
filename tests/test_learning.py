"""Each recipe learns, in seconds: a bar that an untrained system misses by far.

The bars leave room for other machines' rounding. Over seeds 0, 1 and 2 dcgan reached a FID of 30 to 35 and sngan one of
6 to 8. The bars of the ring were set from three seeds when its latents had 64 dimensions, and gan-minimax failed on one
of them, as that loss is known to: it has not been measured over seeds again with the 16 of today.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

import kallima

QUIET: dict[str, Any] = {"log_every": 10_000, "sample_every": 0, "checkpoint_every": 10_000, "device": "cpu"}


def scores(recipe: str, out: Path, **options: Any) -> dict[str, float]:
    torch.set_num_threads(1)
    run = kallima.train(recipe, **QUIET, **options, out=out)
    metrics = {"ring": ["modes", "high-quality", "energy-distance"], "two-moons": ["energy-distance"]}.get(
        options["data"], ["fid"]
    )
    return {s.metric: s.value for s in kallima.evaluate(run, metrics=metrics, count=1500, device="cpu")}


def before_and_after(recipe: str, tmp_path: Path, **options: Any) -> tuple[dict[str, float], dict[str, float]]:
    return (
        scores(recipe, tmp_path / "before", **{**options, "steps": 0}),
        scores(recipe, tmp_path / "after", **options),
    )


def test_gan_finds_the_modes_of_a_ring(tmp_path: Path):
    before, after = before_and_after("gan", tmp_path, data="ring", steps=2000, batch_size=128, average=0.99)
    assert before["modes"] == 0
    assert before["energy-distance"] > 0.8
    assert after["modes"] >= 6
    assert after["high-quality"] > 0.2
    assert after["energy-distance"] < 0.3


def test_gan_minimax_comes_close_to_a_ring(tmp_path: Path):
    before, after = before_and_after("gan-minimax", tmp_path, data="ring", steps=1500, batch_size=128, average=0.99)
    assert before["energy-distance"] > 0.8
    assert after["energy-distance"] < 0.2
    assert after["modes"] >= 4


@pytest.mark.parametrize(("recipe", "bar"), [("dcgan", 55.0), ("sngan", 20.0)])
def test_images_come_close_to_digits(recipe: str, bar: float, tmp_path: Path):
    before, after = before_and_after(recipe, tmp_path, data="digits", steps=600, batch_size=32, width=16, average=0.99)
    assert before["fid"] > 80
    assert after["fid"] < bar


# recipe: the energy distance that it has to come below; over seeds 0, 1 and 2 none exceeded 0.6 of its bar
BARS = {
    "lsgan": 0.2,
    "geometric-gan": 0.5,
    "f-gan": 0.2,
    "relativistic": 0.2,
    "relativistic-average": 0.2,
    "loss-sensitive": 0.2,
    "bgan": 0.2,
    "dragan": 0.5,
    "gan-r1": 0.05,
    "r3gan": 0.05,
    "feature-matching": 0.1,
    "pacgan": 0.2,
    "minibatch-discrimination": 0.2,
    "wgan": 0.1,
    "wgan-gp": 0.1,
}


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> float:
    out = tmp_path_factory.mktemp("untrained") / "run"
    return scores("gan", out, data="two-moons", steps=0, width=64, average=0.98)["energy-distance"]


@pytest.mark.parametrize("recipe", BARS)
def test_points_come_close_to_two_moons(recipe: str, untrained: float, tmp_path: Path):
    assert untrained > 1.0
    own = {
        "minibatch-discrimination": {"minibatch_discrimination": 4},
        "wgan-gp": {"gradient_penalty": 1.0, "discriminator_steps": 3},
    }
    arguments = {"width": 64, "average": 0.98, **own.get(recipe, {})}
    after = scores(recipe, tmp_path / "run", data="two-moons", steps=1000, batch_size=128, **arguments)
    assert after["energy-distance"] < BARS[recipe]
