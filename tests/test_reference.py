"""Reference statistics: extracted once, exchanged in the published form, refused where they are of something else."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kallima.errors import DataError, UsageError
from kallima.evaluation import evaluate_images
from kallima.evaluation.features import Pixels, RandomFeatures
from kallima.evaluation.reference import read_reference, reference_statistics
from tests.test_features import Memory


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(count, 6, 6, 1), dtype=np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KALLIMA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Counting(Pixels):
    """Pixels at 4×4 that count what they were shown."""

    def __init__(self, data: Memory) -> None:
        super().__init__(data.spec["image"], size=4)
        self.seen = 0

    def features(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return super().features(images)


def fid_of(real: Any, extractor: Any, **options: Any) -> Any:
    (score,) = evaluate_images(images(80), real, metrics=["fid"], features=extractor, **options)
    return score


class TestCache:
    @pytest.mark.parametrize("count", [15, 300])
    def test_the_second_score_extracts_nothing_real(self, count: int, cache: Path) -> None:
        data = Memory(images(count, 1), None)
        extractor = Counting(data)
        first = fid_of(data, extractor)
        assert extractor.seen == count + 80
        second = fid_of(data, extractor)
        assert extractor.seen == count + 160
        assert (second.value, second.spread) == pytest.approx((first.value, first.spread), rel=1e-9)
        assert second.real == first.real == count
        assert [path.suffix for path in (cache / "references").iterdir()] == [".safetensors"]
        in_memory = fid_of(images(count, 1), extractor)
        assert second.value == pytest.approx(in_memory.value, rel=1e-12)

    def test_what_is_extracted_anew(self) -> None:
        data = Memory(images(300, 1), None)
        extractor = Counting(data)
        fid_of(data, extractor)
        others: list[tuple[Memory, dict[str, Any]]] = [
            (Memory(images(300, 2), None, fingerprint="1"), {}),
            (data, {"real_limit": 200}),
            (data, {"real_limit": 200, "seed": 1}),
        ]
        for other, options in others:
            extractor.seen = 0
            score = fid_of(other, extractor, **options)
            assert extractor.seen == score.real + 80
        extractor.seen, extractor.version = 0, "f" * 64
        fid_of(data, extractor)
        assert extractor.seen == 380
        extractor.seen, extractor.version = 0, "no hash"  # it may be anything tomorrow
        fid_of(data, extractor)
        fid_of(data, extractor)
        assert extractor.seen == 760

    def test_metrics_of_features_extract_all(self) -> None:
        data = Memory(images(300, 1), None)
        extractor = Counting(data)
        fid_of(data, extractor)
        extractor.seen = 0
        evaluate_images(images(80), data, metrics=["fid", "kid"], features=extractor)
        assert extractor.seen == 380

    @pytest.mark.parametrize("harm", ["cut", "flipped", "emptied"])
    def test_a_damaged_file_is_made_again(self, cache: Path, harm: str) -> None:
        data = Memory(images(300, 1), None)
        extractor = Counting(data)
        whole = fid_of(data, extractor)
        (path,) = (cache / "references").iterdir()
        content = bytearray(path.read_bytes())
        content[-9] ^= 64
        path.write_bytes({"cut": content[:700], "flipped": content, "emptied": b""}[harm])
        extractor.seen = 0
        assert fid_of(data, extractor).value == pytest.approx(whole.value, rel=1e-12)
        assert extractor.seen == 380
        fid_of(data, extractor)
        assert extractor.seen == 460

    def test_a_cache_that_cannot_be_written_is_no_obstacle(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("KALLIMA_CACHE", str(tmp_path / "file"))
        data = Memory(images(300, 1), None)
        assert fid_of(data, Counting(data)).real == 300


class TestExchange:
    def test_what_is_written_is_what_others_read(self, tmp_path: Path) -> None:
        data = Memory(images(300, 1), None)
        extractor = Counting(data)
        reference = reference_statistics(data, extractor)
        reference.write(tmp_path / "plain.npz", receipt=False)
        reference.write(tmp_path / "told.npz")
        features = extractor.features(torch.from_numpy(images(300, 1))).double().numpy()
        for name, keys in (("plain", {"mu", "sigma"}), ("told", {"mu", "sigma", "kallima"})):
            with np.load(tmp_path / f"{name}.npz", allow_pickle=False) as file:
                assert set(file) == keys
                assert file["mu"].dtype == file["sigma"].dtype == np.float64
                assert np.allclose(file["mu"], features.mean(0), rtol=1e-12)
                assert np.allclose(file["sigma"], np.cov(features, rowvar=False), rtol=1e-10, atol=1e-14)

    def test_both_ways_with_the_receipt(self, tmp_path: Path) -> None:
        data = Memory(images(300, 1), None)
        extractor = Counting(data)
        reference_statistics(data, extractor).write(tmp_path / "told.npz")
        reference = read_reference(tmp_path / "told.npz")
        direct, through = fid_of(data, extractor), fid_of(reference, extractor)
        assert through.value == pytest.approx(direct.value, rel=1e-9)
        assert (through.real, through.data, through.split) == (300, "memory", "train")
        assert through.spread_method == "jackknife over 10 folds of the generated examples, the others given"
        assert 0 < through.spread < 2 * direct.spread
        with pytest.raises(DataError, match="of other features: the extractor was pixels, is random"):
            fid_of(reference, "random")
        extractor.resize = "nearest"
        with pytest.raises(DataError, match="the resize was bilinear, antialiased, 4×4, is nearest"):
            fid_of(reference, extractor)
        with pytest.raises(UsageError, match="kid needs the real images themselves"):
            evaluate_images(images(80), reference, metrics=["kid"], features=extractor)

    def test_published_forms(self, tmp_path: Path) -> None:
        """TTUR, pytorch-fid, clean-fid and EDM: mu and sigma; guided-diffusion: spatial moments and images besides."""
        data = Memory(images(300, 1), None)
        extractor = Counting(data)
        features = extractor.features(torch.from_numpy(images(300, 1))).double().numpy()
        mean, covariance = features.mean(0), np.cov(features, rowvar=False)
        np.savez(tmp_path / "plain.npz", mu=mean, sigma=covariance)
        np.savez_compressed(
            tmp_path / "guided.npz",
            arr_0=images(3),
            mu=mean.astype(np.float32),
            sigma=covariance.astype(np.float32),
            mu_s=np.zeros(5),
            sigma_s=np.eye(5),
        )
        direct = fid_of(data, extractor)
        for name, precision in (("plain", 1e-9), ("guided", 1e-4)):
            score = fid_of(read_reference(tmp_path / f"{name}.npz"), extractor)
            assert score.value == pytest.approx(direct.value, rel=precision)
            assert (score.real, score.data) == (0, f"{name}.npz")
            assert (
                f"{name}.npz does not say of how many images, by which extractor and resize, its statistics are"
                in " ".join(score.notes)
            )
        with pytest.raises(DataError, match="have 128 numbers each, the others 16"):
            fid_of(read_reference(tmp_path / "plain.npz"), RandomFeatures(data.spec["image"]))

    def test_files_that_are_refused(self, tmp_path: Path) -> None:
        good = {"mu": np.zeros(3), "sigma": np.eye(3)}
        receipt = dict.fromkeys(("name", "split", "fingerprint", "extractor", "extractor_hash", "resize"))
        wrong: dict[str, tuple[dict[str, Any], str]] = {
            "names": ({"mean": np.zeros(3)}, "holds mean: reference statistics are called mu and sigma"),
            "shapes": ({**good, "sigma": np.eye(4)}, r"they need to be numbers \(d,\) and \(d, d\)"),
            "types": ({**good, "mu": np.zeros(3, int)}, r"they need to be numbers"),
            "objects": ({**good, "mu": np.array([None] * 3)}, "objects"),
            "nan": ({**good, "mu": np.array([0, 1, np.nan])}, "holds NaN or infinity"),
            "skew": ({**good, "sigma": np.triu(np.ones((3, 3)))}, "is no covariance"),
            "negative": ({**good, "sigma": -np.eye(3)}, "is no covariance"),
            "receipt": ({**good, "kallima": np.array(["{"])}, "receipt in .* is damaged"),
            "count": ({**good, "kallima": np.array([json.dumps({**receipt, "range": None, "count": -1})])}, "damaged"),
            "text": ({**good, "kallima": np.array([json.dumps({**receipt, "range": 3, "count": 9})])}, "damaged"),
        }
        for name, (arrays, message) in wrong.items():
            np.savez(tmp_path / f"{name}.npz", **arrays)
            with pytest.raises(DataError, match=message) as caught:
                read_reference(tmp_path / f"{name}.npz")
            assert "\n" not in str(caught.value)
        (tmp_path / "stylegan.pkl").write_bytes(pickle.dumps(good))
        with pytest.raises(DataError, match="a pickle, which is a program"):
            read_reference(tmp_path / "stylegan.pkl")
        (tmp_path / "renamed.npz").write_bytes(pickle.dumps(good))
        with pytest.raises(DataError, match=r"neither \.npz nor \.npy"):
            read_reference(tmp_path / "renamed.npz")
        with pytest.raises(DataError, match="no such file"):
            read_reference(tmp_path / "absent.npz")
