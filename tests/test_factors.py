"""Metrics of codes and reconstructions on systems made by hand: factors apart, errors beside PCA's, noise undone."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kallima.data.digits import Digits
from kallima.data.spec import Attributes, Field, Image, Label, Points, Values
from kallima.data.sprites import Sprites
from kallima.errors import UsageError
from kallima.evaluation.latent.beta_vae import beta_vae_score
from kallima.evaluation.latent.mig import mig
from kallima.evaluation.principal import principal_components
from kallima.evaluation.systems import Subject, divide
from tests.test_system_metrics import Data, Made, score

FACTORS = {"label": Label(("a", "b", "c")), "values": Values(("size", "place"), (1.5, 3.5), (0.5, 2.0))}


class Codes(Made):
    """Its code of a point is the point, turned by a matrix."""

    def __init__(self, spec: Mapping[str, Field], turn: Any = None):
        super().__init__(spec)
        self.turn = None if turn is None else torch.tensor(turn, dtype=torch.float32)

    def encode(self, examples: Tensor) -> Tensor:
        return examples if self.turn is None else examples @ self.turn


def told(count: int = 2_000) -> tuple[Data, np.ndarray]:
    """Return points that are their own three factors, and these as whole numbers (N, 3)."""
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(3, size=count), rng.integers(2, size=count), rng.integers(8, size=count)], 1)
    spec = {"points": Points(3), **FACTORS}
    values = np.stack([(factors[:, 1] + 1 - 1.5) / 0.5, (factors[:, 2] - 3.5) / 2.0], 1).astype(np.float32)
    return Data(spec, {"points": factors.astype(np.float32), "label": factors[:, 0], "values": values}), factors


class TestFactors:
    def test_codes_that_are_the_factors_have_the_best_scores(self) -> None:
        data, _ = told()
        best = score("disentanglement", Codes(data.spec), data)
        assert best.value == 1.0
        assert best.notes[:2] == ("factors: label, size, place", "codes of 3 numbers, of random ones their means")
        assert score("mig", Codes(data.spec), data).value > 0.98

    def test_they_are_the_measures_of_the_library(self) -> None:
        data, factors = told()
        turn = np.random.default_rng(1).normal(size=(3, 4))
        system = Codes(data.spec, turn)
        codes = system.encode(data.columns["points"])
        assert score("disentanglement", system, data).value == beta_vae_score(codes, factors).value
        assert score("mig", system, data).value == mig(codes, factors).value

    def test_mixed_codes_share_what_they_know(self) -> None:
        data, _ = told()
        same = np.array([[1.0, 1.0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]])  # each factor twice
        assert score("disentanglement", Codes(data.spec, same), data).value == 1.0
        assert score("mig", Codes(data.spec, same), data).value == pytest.approx(0, abs=1e-9)

    def test_codes_of_nothing_are_at_chance(self) -> None:
        data, _ = told()

        class Noise(Codes):
            def encode(self, examples: Tensor) -> Tensor:
                return torch.randn(len(examples), 3, generator=torch.Generator().manual_seed(0))

        assert score("disentanglement", Noise(data.spec), data).value == pytest.approx(1 / 3, abs=0.06)
        assert score("mig", Noise(data.spec), data).value < 0.02

    def test_many_numbers_are_cut_and_attributes_count(self) -> None:
        rng = np.random.default_rng(0)
        age, flags = rng.normal(size=(1_000, 1)), rng.integers(2, size=(1_000, 2))
        spec = {
            "points": Points(3),
            "attributes": Attributes(("bold", "italic")),
            "values": Values(("age",), (0,), (1,)),
        }
        columns = {"points": np.concatenate([age, flags], 1), "attributes": flags, "values": age}
        data = Data(spec, {name: each.astype(np.float32) for name, each in columns.items()})
        found = score("disentanglement", Codes(data.spec), data)
        assert found.value > 0.99
        assert found.notes[:2] == ("factors: bold, italic, age", "age cut into 10 parts of equal shares")
        parts = np.argsort(np.argsort(age[:, 0])) * 10 // 1_000
        truth = np.stack([*flags.T, parts], 1)
        assert score("mig", Codes(data.spec), data).value == pytest.approx(
            mig(columns["points"], truth).value, abs=1e-3
        )

    def test_what_has_no_factors_is_refused(self) -> None:
        spec = {"points": Points(1), "label": Label(("a", "b"))}
        data = Data(spec, {"points": np.zeros((20, 1), np.float32), "label": [0, 1] * 10})
        with pytest.raises(UsageError, match=r"disentanglement needs two or more factors .*; by hand has 1"):
            score("disentanglement", Codes(spec), data)
        system = Codes(spec)
        system.parts = {"z": slice(0, 1)}  # type: ignore[attr-defined]
        with pytest.raises(UsageError, match="mig needs codes of two or more numbers, and those of Codes have one"):
            score("mig", system, data)
        with pytest.raises(UsageError, match="disentanglement needs a system that encodes, and Made does not"):
            score("disentanglement", Made(spec), data)

    def test_what_measures_sprites_tells_their_factors(self) -> None:
        """A code of where the ink lies, how much there is and how it leans, against pixels thrown together."""
        source = Sprites("test")
        examples = [source.read(index) for index in range(1_500)]
        columns = {name: np.stack([each[name] for each in examples]) for name in ("image", "label", "values")}
        data = Data(source.fields, columns)

        class Measured(Made):
            def encode(self, examples: Tensor) -> Tensor:
                ink = (examples[:, 0] + 1) / 2
                total = ink.sum((1, 2))
                up, right = (torch.arange(32.0)[:, None], torch.arange(32.0)[None])
                x, y = ((ink * where).sum((1, 2)) / total for where in (right, up))
                dx, dy = right - x[:, None, None], up - y[:, None, None]
                lean = ((ink * dx * dy).sum((1, 2)), (ink * (dx.square() - dy.square())).sum((1, 2)))
                turn = torch.atan2(2 * lean[0], lean[1])
                return torch.stack([x, y, total.sqrt(), turn], 1)

        class Thrown(Made):
            def encode(self, examples: Tensor) -> Tensor:
                weights = torch.randn(1024, 4, generator=torch.Generator().manual_seed(0))
                return examples.flatten(1) @ weights

        best, worst = (score("disentanglement", kind(data.spec), data).value for kind in (Measured, Thrown))
        assert best > 0.9 > 0.6 > worst
        best, worst = (score("mig", kind(data.spec), data).value for kind in (Measured, Thrown))
        assert best > 0.25 > 0.05 > worst


DIGITS = {split: Digits(split) for split in ("train", "test")}


def digits(split: str) -> Data:
    examples = list(DIGITS[split].examples())
    columns = {name: np.stack([each[name] for each in examples]) for name in ("image", "label")}
    return Data(DIGITS[split].fields, columns, split=split)


class Linear(Made):
    """The principal components of the training digits, found by singular values: what PCA keeps, it keeps."""

    def __init__(self, size: int, spoil: float = 0.0):
        super().__init__(DIGITS["train"].fields)
        pixels = torch.tensor(np.stack([e["image"] for e in DIGITS["train"].examples()])).reshape(-1, 64) / 127.5 - 1
        self.middle, self.spoil = pixels.mean(0), spoil
        self.axes = torch.linalg.svd((pixels - self.middle).double(), full_matrices=False)[2][:size].float()

    def encode(self, examples: Tensor) -> Tensor:
        return (examples.flatten(1) - self.middle) @ self.axes.T

    def reconstruct(self, examples: Tensor) -> Tensor:
        return (self.middle + self.encode(examples) @ self.axes + 2 * self.spoil).view_as(examples)


class TestErrors:
    def test_a_linear_system_has_the_error_of_its_components(self) -> None:
        known, unseen = digits("train"), digits("test")
        for size in (3, 20):
            own = score("squared-error", Linear(size), unseen, known)
            linear = score("pca-error", Linear(size), unseen, known)
            assert own.value == pytest.approx(linear.value, rel=1e-5)
            assert own.spread == pytest.approx(linear.spread, rel=1e-4)
            assert f"{size} components of 1,433 images of by hand (train)" in linear.notes
        pixels = unseen.columns["image"].reshape(-1, 64).double().numpy() / 255
        train = known.columns["image"].reshape(-1, 64).double().numpy() / 255
        mean = train.mean(0)
        axes = np.linalg.svd(train - mean, full_matrices=False)[2][:20]
        by_hand = np.square((pixels - mean) @ (np.eye(64) - axes.T @ axes)).sum(1).mean()
        assert linear.value == pytest.approx(by_hand, rel=1e-6)

    def test_what_is_off_by_a_tenth_errs_by_a_hundredth_a_pixel(self) -> None:
        known, unseen = digits("train"), digits("test")
        exact = score("squared-error", Linear(64), unseen, known).value
        assert exact == pytest.approx(0, abs=1e-8)
        assert score("squared-error", Linear(64, 0.1), unseen, known).value == pytest.approx(0.64, rel=1e-5)
        assert score("pca-error", Linear(64), unseen, known).value == pytest.approx(0, abs=1e-8)

    def test_components_need_what_was_learned_from(self) -> None:
        data = digits("test")
        with pytest.raises(UsageError, match="pca-error needs the data that the run was trained on"):
            divide(["pca-error"], Subject(Linear(3), data, None))  # type: ignore[arg-type]


class TestComponents:
    def test_large_images_by_iteration_are_those_by_singular_values(self) -> None:
        """1,500 values an image with a slowly falling spectrum, in blocks of any length."""
        rng = torch.Generator().manual_seed(0)
        loud = torch.arange(1, 201, dtype=torch.float64).pow(-0.7)
        basis = torch.linalg.qr(torch.randn(1500, 200, generator=rng, dtype=torch.float64))[0]
        values = (torch.randn(400, 200, generator=rng, dtype=torch.float64) * loud) @ basis.T + 3
        found = principal_components(lambda: iter(values.split(150)), 12)
        centred = values - values.mean(0)
        exact = torch.linalg.svd(centred, full_matrices=False)[2][:12].T
        errors = [(centred - centred @ axes @ axes.T).square().sum() for axes in (found.axes, exact)]
        assert errors[0].item() == pytest.approx(errors[1].item(), rel=2e-4)
        torch.testing.assert_close(found.mean, values.mean(0))
        torch.testing.assert_close(found.axes.T @ found.axes, torch.eye(12, dtype=torch.float64))
        again = principal_components(lambda: iter(values.split(97)), 12)
        torch.testing.assert_close(found.rebuilt(values), again.rebuilt(values))
        fewer = principal_components(lambda: iter(values.split(150)), 12, passes=0)
        assert (centred - centred @ fewer.axes @ fewer.axes.T).square().sum() > 1.1 * errors[1]

    def test_small_ones_are_exact_and_the_largest_come_first(self) -> None:
        values = torch.randn(300, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5, 2, 4, 3])
        found = principal_components(lambda: iter([values]), 9)
        assert found.axes.shape == (5, 5)
        assert found.axes.abs().argmax(0).tolist() == [1, 3, 4, 2, 0]
        torch.testing.assert_close(found.rebuilt(values), values.double())


class Mender(Made):
    """Is shown grey images with noise, and makes of them what `mend` says."""

    def __init__(self, mend: Any, noise: float = 0.05, masking: float = 0.0):
        super().__init__({"image": Image(1, 8, 8)})
        self.mend, self.noise, self.masking = mend, noise, masking

    def corrupted(self, values: Tensor) -> Tensor:
        assert 0 <= values.min() <= values.max() <= 1
        return (values + self.noise * torch.randn_like(values)) * (torch.rand_like(values) >= self.masking)

    def reconstruct(self, examples: Tensor) -> Tensor:
        return self.mend(examples)


GREY = Data({"image": Image(1, 8, 8)}, {"image": np.full((2_000, 8, 8, 1), 128, np.uint8)})


class TestDenoising:
    def test_the_mean_of_a_flat_image_gains_what_theory_says(self) -> None:
        """E ln of χ²₆₄ / 64 before, of χ²₁ / 64 after: ψ(n / 2) + ln 2 each."""
        found = score("denoising-gain", Mender(lambda x: x.mean((1, 2, 3), keepdim=True).expand_as(x)), GREY)
        logs = [math.log(2) + float(torch.digamma(torch.tensor(n / 2))) for n in (64.0, 1.0)]
        assert found.spread is not None
        assert found.value == pytest.approx(10 / math.log(10) * (logs[0] - logs[1]), abs=4 * found.spread)
        assert found.spread == pytest.approx(10 / math.log(10) * math.pi / math.sqrt(2) / math.sqrt(2_000), rel=0.1)
        before = 10 / math.log(10) * -(logs[0] - math.log(64)) - 20 * math.log10(0.05)
        assert float(found.notes[0].removeprefix("noise σ = 0.05: ").split()[0]) == pytest.approx(before, abs=0.05)

    def test_to_leave_an_image_alone_gains_nothing_and_neither_does_cutting_it(self) -> None:
        for mend in (lambda x: x, lambda x: x.clamp(-1, 1)):
            found = score("denoising-gain", Mender(mend, noise=0.6, masking=0.2), GREY)
            assert found.value == 0
            assert found.notes[0].startswith("noise σ = 0.6 and 20% masked")

    def test_draws_are_the_seeds(self) -> None:
        system = Mender(lambda x: 0.5 * x)
        torch.manual_seed(5)
        first = score("denoising-gain", system, GREY).value
        kept = torch.rand(1)
        torch.manual_seed(5)
        assert torch.equal(torch.rand(1), kept)  # others' draws are as they would have been
        assert score("denoising-gain", system, GREY).value == first
        assert score("denoising-gain", system, GREY, seed=1).value != first

    def test_what_saw_no_noise_is_refused(self) -> None:
        with pytest.raises(
            UsageError, match="denoising-gain needs a system that was trained on spoilt images, and this"
        ):
            score("denoising-gain", Mender(lambda x: x, noise=0.0), GREY)
        with pytest.raises(UsageError, match="needs a system that was trained to mend images, and Codes does not"):
            score("denoising-gain", Codes(GREY.spec), GREY)
