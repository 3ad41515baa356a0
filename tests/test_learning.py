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


# The energy distance that a recipe has to come below. At 800 steps over seeds 0, 1 and 2 (wgan-gp: 0 and 1) the worst
# were dragan with 0.45 and geometric-gan with 0.27; all others came to half of their bar or less.
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


# With each switch the plain game still learns: to a tenth of an untrained system's distance.
SWITCHES: list[dict[str, Any]] = [
    {"label_smoothing": 0.1},
    {"instance_noise": 0.3},
    {"spectral_norm": True, "r1": 0.1},
    {"r1": 1.0, "r2": 1.0, "lazy": 8},
    {"historical_averaging": 0.01},
    {"consensus": 0.1, "steps": 500},
    {"optimizer": "optimistic-adam"},
    {"simultaneous": True, "r1": 0.1},
    {"pack": 2, "minibatch_discrimination": 4},
]


@pytest.mark.parametrize("switches", SWITCHES, ids=" ".join)
def test_points_come_close_to_two_moons_with(switches: dict[str, Any], untrained: float, tmp_path: Path):
    options = {"steps": 1000, "batch_size": 128, "width": 64, "average": 0.98, "beta1": 0.0, **switches}
    assert scores("gan", tmp_path / "run", data="two-moons", **options)["energy-distance"] < untrained / 10


@pytest.mark.parametrize("switches", [{"virtual_batch_norm": True}, {"augment": "diffaugment"}, {"augment": "ada"}])
def test_images_come_close_to_digits_with(switches: dict[str, Any], tmp_path: Path):
    options = {"data": "digits", "batch_size": 32, "width": 16, "average": 0.99, **switches}
    before = scores("dcgan", tmp_path / "before", steps=0, **options)["fid"]
    assert scores("dcgan", tmp_path / "after", steps=600, **options)["fid"] < before / 2
