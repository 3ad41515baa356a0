"""`kallima explore` map, reconstructions and planes: where codes lie and what is kept, on systems known exactly."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor

import kallima
from kallima.cli import main
from kallima.data.digits import Digits
from kallima.data.spec import Spec
from kallima.errors import DataError, UsageError
from kallima.exploring.subject import data_of
from kallima.reporting.scatter import LISTED, colours_of, draw_scatter
from kallima.system import System
from tests.test_learning import QUIET

SPLITS = {
    split: [np.stack([each[name] for each in Digits(split).examples()]) for name in ("image", "label")]
    for split in ("train", "test")
}
UNSEEN, LABELS = SPLITS["test"]


class Linear(System):
    """The first principal components of the training digits."""

    def __init__(self, size: int):
        super().__init__()
        self.spec = Spec(Digits.fields)
        pixels = torch.tensor(SPLITS["train"][0]).reshape(-1, 64).double() / 127.5 - 1
        self.middle = pixels.mean(0).float()
        self.axes = torch.linalg.svd(pixels - pixels.mean(0), full_matrices=False)[2][:size].float()
        self.parts = {"z": slice(0, size)}

    def game(self) -> list[Any]:
        return []

    def encode(self, examples: Tensor) -> Tensor:
        return (examples.flatten(1) - self.middle) @ self.axes.T

    def decode(self, latents: Tensor) -> Tensor:
        return (self.middle + latents @ self.axes).view(-1, 1, 8, 8)

    def reconstruct(self, examples: Tensor) -> Tensor:
        return self.decode(self.encode(examples))

    def latents(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
        """Draw codes around 2 in the first place, and around 0 in the others."""
        return torch.randn(count, len(self.axes), generator=rng) + 2 * torch.eye(len(self.axes))[0]


class Sorter(Linear):
    """Its code says the class, five numbers each time, and a little of the image."""

    def encode(self, examples: Tensor) -> Tensor:
        known = torch.tensor(UNSEEN).reshape(-1, 64).float() / 127.5 - 1
        labels = torch.tensor(LABELS)[torch.cdist(examples.flatten(1), known).argmin(1)]
        places = 20 * torch.randn(10, 5, generator=torch.Generator().manual_seed(0))
        return places[labels] + 0.1 * examples.flatten(1)[:, 20:25]


CODES = Linear(2).encode(torch.tensor(UNSEEN).permute(0, 3, 1, 2).float() / 127.5 - 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained run, in whose place stand systems of the tests' own."""
    place = tmp_path_factory.mktemp("codes") / "run"
    kallima.train(
        "autoencoder", data="digits", units=(8,), latent_dim=2, steps=1, batch_size=8, doctor="off", out=place, **QUIET
    )
    return place


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a system in the place of a run's own."""

    def put(system: System) -> None:
        for place in ("kallima.api.load", "kallima.exploring.subject.load"):
            monkeypatch.setattr(place, lambda run, device: system)

    return put


class TestMap:
    def test_two_numbers_are_places(self, run: Path, stand: Any):
        stand(Linear(2))
        found = kallima.explore(run, "map", device="cpu")
        assert [row.name for row in found.rows] == list("0123456789")
        for label, row in enumerate(found.rows):
            assert np.allclose(row.examples, CODES[label == LABELS].numpy(), atol=1e-5)
        assert found.notes[0] == "364 examples of digits (test), as they are"

    def test_agreement_is_that_of_the_nearest_other(self, run: Path, stand: Any):
        stand(Linear(2))
        apart = torch.cdist(CODES.double(), CODES.double()).fill_diagonal_(np.inf)
        alike = float((LABELS[apart.argmin(1).numpy()] == LABELS).mean())
        found = kallima.explore(run, "map", device="cpu")
        assert found.scores == {"agreement": alike, "agreement-of-codes": alike}
        assert 0.4 < alike < 0.8  # of two numbers no more

    def test_twins_are_neighbours(self, run: Path, stand: Any, monkeypatch: pytest.MonkeyPatch):
        class Two(Linear):
            def encode(self, examples: Tensor) -> Tensor:
                side = torch.tensor(LABELS)[: len(examples)] % 2
                return torch.stack([side, side], 1).float()

        stand(Two(2))
        found = kallima.explore(run, "map", device="cpu", count=100)
        assert found.rows[0].examples.shape[1] == 2  # even where all lie in two places
        assert 0 <= found.scores["agreement"] < 1

    def test_many_numbers_by_their_principal_components(self, run: Path, stand: Any):
        stand(Linear(10))
        found = kallima.explore(run, "map", by="pca", device="cpu")
        codes = Linear(10).encode(torch.tensor(UNSEEN).permute(0, 3, 1, 2).float() / 127.5 - 1).double()
        centred = codes - codes.mean(0)
        exact = (centred @ torch.linalg.svd(centred, full_matrices=False)[2][:2].T).numpy()
        for label, row in enumerate(found.rows):
            assert np.allclose(np.abs(row.examples), np.abs(exact[label == LABELS]), atol=1e-4)
        assert found.scores["agreement"] < found.scores["agreement-of-codes"]
        assert "by their principal components" in found.notes[0]

    def test_tsne_keeps_classes_together_that_codes_keep_apart(self, run: Path, stand: Any):
        stand(Sorter(5))
        found = kallima.explore(run, "map", device="cpu", count=150)
        assert "by t-SNE, perplexity 30" in found.notes[0]
        assert found.scores["agreement"] > 0.97
        assert found.scores["agreement-of-codes"] == 1
        again = kallima.explore(run, "map", device="cpu", count=150)
        assert all(np.array_equal(a.examples, b.examples) for a, b in zip(found.rows, again.rows, strict=True))
        assert np.array_equal(np.asarray(found.picture), np.asarray(again.picture))

    def test_colours_are_of_what_is_asked_for(self, tmp_path: Path, stand: Any):
        rng = np.random.default_rng(0)
        images, label = rng.integers(256, size=(40, 8, 8), dtype=np.uint8), np.arange(40) % 4
        bold, size = rng.integers(2, size=(40, 1)), rng.normal(size=(40, 1))
        np.savez(tmp_path / "x.npz", x_train=images, y_train=label, attributes_train=bold, values_train=size)
        kallima.train(
            "autoencoder", data=tmp_path / "x.npz", units=(8,), latent_dim=2, steps=1, batch_size=8, doctor="off",
            out=tmp_path / "run", **QUIET,
        )  # fmt: skip
        by_label = kallima.explore(tmp_path / "run", "map", device="cpu")
        assert [len(row.examples) for row in by_label.rows] == [10] * 4
        assert "(train)" in by_label.notes[0]  # there is no other split
        data = data_of(tmp_path / "run")
        attribute, value = data.spec["attributes"].names[0], data.spec["values"].names[0]  # type: ignore[attr-defined]
        by_attribute = kallima.explore(tmp_path / "run", "map", colour=attribute, device="cpu")
        assert {row.name: len(row.examples) for row in by_attribute.rows} == {
            f"not {attribute}": int((bold == 0).sum()),
            attribute: int(bold.sum()),
        }
        by_value = kallima.explore(tmp_path / "run", "map", colour=value, device="cpu")
        assert [len(row.examples) for row in by_value.rows] == [40]
        assert not by_value.scores
        pictures = [np.asarray(found.picture) for found in (by_label, by_attribute, by_value)]
        assert len({picture.tobytes() for picture in pictures}) == 3
        with pytest.raises(UsageError, match="nothing called 'lable' to colour by; did you mean 'label'"):
            kallima.explore(tmp_path / "run", "map", colour="lable", device="cpu")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"count": 3}, "--count must be from 10 to 10,000"),
            ({"count": 10_001}, "--count must be from 10 to 10,000"),
            ({"by": "code"}, "--by code draws codes of two numbers, and these have 10: use --by pca"),
            ({"split": "valid"}, "digits has no split 'valid'"),
        ],
    )
    def test_mistakes_are_told(self, options: dict[str, Any], message: str, run: Path, stand: Any):
        stand(Linear(10))
        with pytest.raises((UsageError, DataError), match=message):
            kallima.explore(run, "map", device="cpu", **options)

    def test_a_line_is_no_map(self, run: Path, stand: Any):
        stand(Linear(1))
        with pytest.raises(UsageError, match="map needs codes of two numbers or more"):
            kallima.explore(run, "map", device="cpu")


class TestReconstructions:
    def test_a_linear_system_stands_beside_itself(self, run: Path, stand: Any):
        stand(Linear(6))
        found = kallima.explore(run, "reconstructions", count=5, device="cpu")
        assert [row.name.split(" (")[0] for row in found.rows] == ["image", "rebuilt", "6 components"]
        assert [row.examples.shape for row in found.rows] == [(5, 8, 8, 1)] * 3
        assert found.scores["error"] == pytest.approx(found.scores["pca-error"], rel=1e-4)
        assert np.abs(found.rows[1].examples.astype(int) - found.rows[2].examples).max() <= 1
        pixels = torch.tensor(UNSEEN).permute(0, 3, 1, 2).float() / 127.5 - 1
        by_hand = (0.5 * (Linear(6).reconstruct(pixels) - pixels)).square().sum((1, 2, 3)).mean().item()
        assert found.scores["error"] == pytest.approx(by_hand, rel=1e-5)
        trained = kallima.explore(run, "reconstructions", count=5, split="train", device="cpu")
        assert "1,000 images of digits (train)" in trained.notes[0]
        known = {image.tobytes() for image in SPLITS["train"][0]}
        assert all(image.tobytes() in known for image in trained.rows[0].examples)
        assert not any(image.tobytes() in known for image in found.rows[0].examples)

    def test_what_mends_is_shown_noise(self, tmp_path: Path):
        """A learning test: an untrained one gives back grey, and loses."""
        gains = {}
        for steps in (1, 300):
            place = tmp_path / str(steps)
            kallima.train(
                "denoising-autoencoder", data="digits", units=(256,), latent_dim=64, steps=steps, batch_size=200,
                learning_rate=5e-3, doctor="off", out=place, **QUIET,
            )  # fmt: skip
            found = kallima.explore(place, "reconstructions", device="cpu")
            names = [row.name.split(" (")[0] for row in found.rows]
            assert names == ["image", "noise σ = 0.3", "mended", "64 components"]
            image, noisy, mended, _ = (row.examples.astype(float) for row in found.rows)
            gains[steps] = found.scores["psnr-gain"]
            after, before = found.scores["psnr-after"], found.scores["psnr-before"]
            assert gains[steps] == pytest.approx(after - before)
            assert 12 < before < 14
        assert gains[1] < 0
        assert gains[300] > 3.5  # 4.6 of the seed
        assert np.square(mended - image).mean() < np.square(noisy - image).mean()
        (judged,) = kallima.evaluate(place, metrics=["denoising-gain"], split="test", device="cpu")
        assert judged.value == pytest.approx(gains[300], abs=4 * (judged.spread or 0))

    def test_what_rebuilds_nothing_is_refused(self, tmp_path: Path):
        kallima.train("gan", data="digits", width=8, steps=1, batch_size=8, doctor="off", out=tmp_path / "gan", **QUIET)
        with pytest.raises(UsageError, match="reconstructions needs a system that reconstructs, and GAN does not"):
            kallima.explore(tmp_path / "gan", "reconstructions", device="cpu")
        with pytest.raises(UsageError, match="map needs a system that encodes, and GAN does not"):
            kallima.explore(tmp_path / "gan", "map", device="cpu")


class TestPlane:
    def test_a_plane_around_the_mean_holds_the_mean_of_all_else(self, run: Path, stand: Any):
        system = Linear(4)
        stand(system)
        options: dict[str, Any] = {"along": "1,3", "side": 3, "span": 2.0, "device": "cpu"}
        found = kallima.explore(run, "grid", around="mean", **options)
        latents = torch.tensor([[2.0, x, 0, y] for y in (2, 0, -2) for x in (-2, 0, 2)])
        expected = ((system.decode(latents).numpy()[:, 0] + 1) * 127.5).clip(0, 255)
        shown = np.concatenate([row.examples for row in found.rows])[..., 0]
        assert np.abs(shown - expected).max() < 3  # the mean of many draws, not the mean itself
        drawn = kallima.explore(run, "grid", **options)
        assert np.abs(np.concatenate([row.examples for row in drawn.rows])[..., 0] - expected).max() > 20

    def test_two_numbers_go_through_equal_shares_of_the_prior(self, run: Path, stand: Any):
        system = Linear(2)
        stand(system)
        found = kallima.explore(run, "grid", side=3, device="cpu")
        reach = 0.967422  # of a normal number: 1/6, 1/2 and 5/6 lie below −0.967, 0 and 0.967
        latents = torch.tensor([[2 + x, y] for y in (reach, 0, -reach) for x in (-reach, 0, reach)])
        expected = ((system.decode(latents).numpy()[:, 0] + 1) * 127.5).clip(0, 255)
        assert np.abs(np.concatenate([row.examples for row in found.rows])[..., 0] - expected).max() < 3


class TestScatter:
    def test_colours_can_be_told_apart(self):
        for count in (3, 10, 12, LISTED):
            colours = np.array([[int(each[i : i + 2], 16) for i in (1, 3, 5)] for each in colours_of(count)], float)
            apart = np.linalg.norm(colours[:, None] - colours[None], axis=2)[~np.eye(count, dtype=bool)]
            assert apart.min() > (60 if count <= 12 else 20), count
            assert (255 * np.sqrt(3) - np.linalg.norm(colours, axis=1)).min() > 60  # and from paper
        assert len(set(colours_of(68))) == 68

    @pytest.mark.parametrize("count", [0, 1, 10, 68])
    def test_any_number_of_classes_is_drawn(self, count: int):
        points = np.random.default_rng(0).normal(size=(300, 2))
        classes = np.arange(300) % count if count else None
        picture = draw_scatter(points, "x", classes=classes, names=tuple(f"c{i}" for i in range(count)))
        assert min(picture.size) > 400
        flat = np.asarray(picture).reshape(-1, 3)
        assert (flat > 250).all(1).mean() > 0.5  # light paper


def test_the_command_draws_and_prints(run: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["explore", str(run), "map", "--device", "cpu", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["scores"]) == {"agreement", "agreement-of-codes"}
    with Pillow.open(run / "explored" / "map.png") as picture:
        assert picture.mode == "RGB"
    assert main(["explore", str(run), "reconstructions", "-n", "3", "--device", "cpu"]) == 0
    told = capsys.readouterr()
    assert "pca-error: " in told.out
    assert "(test)" in told.err
    with Pillow.open(run / "explored" / "reconstructions.png") as picture:
        assert picture.width > picture.height
