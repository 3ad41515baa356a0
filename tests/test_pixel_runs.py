"""From a run of a pixel model to its figures and completions, as a user has them."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import kallima
from kallima.data.batch import Batch
from kallima.data.spec import Image, Points, Spec
from kallima.errors import DataError, UsageError
from kallima.evaluation.capability.dimensions import CountsComponents, bits_per_dimension
from kallima.evaluation.capability.subject import Subject
from kallima.evaluation.systems import divide
from kallima.recipe import get_recipe
from tests.test_learning import QUIET
from tests.test_system_metrics import Data, Made


class Coins(Made):
    """Finds each image of 3 numbers as likely as `nats` says."""

    count, likelihood_notes = 3, ("of coins",)

    def __init__(self, spec: dict[str, Image], nats: float):
        super().__init__(spec)
        self.nats = nats

    def log_weights_of(self, batch: Batch, draws: int) -> torch.Tensor:
        return torch.full((1, len(batch)), self.nats)


def subject(nats: float) -> Subject:
    spec = {"image": Image(1, 1, 3)}
    return Subject(Coins(spec, nats), Data(spec, {"image": np.zeros((7, 1, 3, 1), np.uint8)}))


def test_bits_per_dimension_are_those_of_each_number():
    found = bits_per_dimension(subject(-3 * math.log(2)))
    assert found.measure.value == pytest.approx(1)
    assert found.real == 7
    assert {"of coins", "3 numbers an image"} <= set(found.measure.notes)
    with pytest.raises(DataError, match="Coins holds some of the images for impossible"):
        bits_per_dimension(subject(-math.inf))


def test_systems_that_give_no_numbers_a_probability_are_refused():
    spec = Spec({"image": Image(1, 8, 8)})
    vae = get_recipe("vae").build(spec, width=8, latent_dim=2)
    assert not isinstance(vae, CountsComponents)
    images = Data({"image": Image(1, 8, 8)}, {"image": np.zeros((4, 8, 8, 1), np.uint8)})
    with pytest.raises(UsageError, match="needs a system that makes images component by component, and VAE does not"):
        divide(["bits-per-dimension"], Subject(vae, images))
    points = Data({"points": Points(2)}, {"points": np.zeros((4, 2), np.float32)})
    coins = Coins({"image": Image(1, 1, 3)}, -1.0)
    with pytest.raises(UsageError, match="compares images, and by hand has none"):
        divide(["bits-per-dimension"], Subject(coins, points))


def test_a_run_is_scored_and_completes(tmp_path: Path):
    torch.set_num_threads(1)
    options = {"steps": 30, "batch_size": 16, "width": 8, "depth": 1, "levels": 4}
    run = kallima.train("pixel-cnn", data="digits", out=tmp_path / "run", **QUIET, **options)
    scores = {s.metric: s for s in kallima.evaluate(run, metrics=["nll", "bits-per-dimension"], device="cpu")}
    bits, nll = scores["bits-per-dimension"], scores["nll"]
    assert bits.value == pytest.approx(nll.value / 64 / math.log(2), rel=1e-4)
    assert 0.3 < bits.value < 2  # 2 bits are those of four levels by chance
    assert "of the 4 levels of each pixel" in bits.notes
    assert "64 numbers an image" in bits.notes
    made = kallima.complete(run, "digits", keep=0.5, count=3, examples=2, device="cpu", out=str(tmp_path / "x.png"))
    assert made.shape == (2, 3, 8, 8, 1)
    assert (made[:, 0, :4] == made[:, 1, :4]).all()
    assert not (made[:, 0, 4:] == made[:, 1, 4:]).all()
    assert set(np.unique(made)) <= {0, 85, 170, 255}
    assert (tmp_path / "x.png").exists()
