"""`kallima evaluate` on samples of every kind without a run, and `kallima compare`: receipts, refusals, ties."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import kallima
from kallima.cli import main
from kallima.errors import DataError, UsageError
from kallima.evaluation import METRICS, Score
from kallima.evaluation.sets import open_data
from kallima.reporting.compare import comparison_table, ranking, ranking_text

Run = Callable[..., tuple[int, str, str]]

# Of pixels, so that no probe is trained.
PLAIN = ("--features", "pixels", "--metrics", "fid,kid,precision")
RECEIPT = {
    *("metric", "value", "spread", "spread_method", "direction", "metric_version", "extractor", "extractor_hash"),
    *("extractor_accuracy", "resize", "range", "real", "generated", "data", "data_fingerprint", "view", "split"),
    *("seed", "time", "seconds", "kallima", "notes", "held_out", "held_out_fingerprint"),
}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    fields = (dataset := open_data("digits", split="test")).read(np.arange(len(dataset)))
    return fields["image"].numpy(), fields["label"].numpy()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, digits: tuple[np.ndarray, np.ndarray]) -> Path:
    """Sixty digits as files, each class in a folder of its own."""
    place = tmp_path_factory.mktemp("samples")
    for number, (image, label) in enumerate(zip(digits[0][:60], digits[1][:60], strict=True)):
        (place / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(place / str(label) / f"{number}.png")
    return place


@pytest.fixture(scope="module")
def npz(tmp_path_factory: pytest.TempPathFactory, digits: tuple[np.ndarray, np.ndarray]) -> Path:
    place = tmp_path_factory.mktemp("arrays") / "samples.npz"
    np.savez(place, samples=digits[0][:60])
    return place


def values(out: str) -> dict[str, float]:
    return {score["metric"]: score["value"] for score in json.loads(out)["scores"]}


class TestSamples:
    def test_a_folder_an_npz_and_arrays_have_the_same_scores(
        self, run: Run, folder: Path, npz: Path, digits: tuple[np.ndarray, np.ndarray]
    ) -> None:
        found = []
        for samples in (folder, npz):
            code, out, _ = run("evaluate", "--samples", samples, "--data", "digits", *PLAIN, "--json")
            assert code == 0
            found.append(values(out))
        scores = kallima.evaluate(
            samples=digits[0][:60], data="digits", features="pixels", metrics=["fid", "kid", "precision"]
        )
        found.append({score.metric: score.value for score in scores})
        for other in found[1:]:
            assert other == pytest.approx(found[0], rel=1e-4, abs=1e-9)  # the folder has another order

    def test_data_may_be_an_array_too(self, digits: tuple[np.ndarray, np.ndarray]) -> None:
        dataset = open_data("digits")
        real = dataset.read(np.arange(len(dataset)))["image"].numpy()
        (of_array,) = kallima.evaluate(samples=digits[0][:60], data=real, features="pixels", metrics=["kid"])
        (of_source,) = kallima.evaluate(samples=digits[0][:60], data="digits", features="pixels", metrics=["kid"])
        assert of_array.value == pytest.approx(of_source.value, rel=1e-6)
        assert (of_array.data, of_array.split) == ("arrays", "-")

    def test_the_receipt_is_whole(self, run: Run, npz: Path, tmp_path: Path) -> None:
        out = tmp_path / "scores.json"
        words = ("evaluate", "--samples", npz, "--data", "digits", "--split", "test", *PLAIN, "--seed", 3, "--out", out)
        code, printed, _ = run(*words, "--json")
        assert code == 0
        scores = json.loads(printed)["scores"]
        assert json.loads(out.read_text())["scores"] == scores
        for score in scores:
            assert set(score) == RECEIPT
            assert score["data_fingerprint"] == open_data("digits", split="test").fingerprint
            told = [score[name] for name in ("metric_version", "data", "split", "seed", "real", "generated", "view")]
            assert told == [METRICS[score["metric"]].version, "digits", "test", 3, 364, 60, "8×8, 1 channel"]
            assert (score["extractor"], score["kallima"]) == ("pixels", kallima.__version__)
            assert len(score["extractor_hash"]) == 64
            assert score["time"].endswith("+00:00")
            assert (score["spread"] is None) == (score["spread_method"] is None)
            assert Score.from_json(score).to_json() == score

    def test_the_table_tells_errors_data_and_features(self, run: Run, npz: Path) -> None:
        code, out, _ = run("evaluate", "--samples", npz, "--data", "digits", *PLAIN)
        assert code == 0
        assert out.splitlines()[0].split()[:2] == ["metric", "value"]
        assert "data: digits, split train, seed 0" in out
        assert f"data {open_data('digits').fingerprint[:12]}, seen 8×8, 1 channel" in out
        assert "features: pixels" in out
        assert "± error: jackknife" in out

    def test_count_draws_some_with_the_seed(self, run: Run, npz: Path) -> None:
        words = ("evaluate", "--samples", npz, "--data", "digits", *PLAIN, "--json", "--count", 30)
        scores = [json.loads(run(*words, "--seed", seed)[1])["scores"] for seed in (0, 0, 1)]
        assert {score["generated"] for score in scores[0]} == {30}
        assert scores[0][1]["value"] == scores[1][1]["value"] != scores[2][1]["value"]
        code, out, err = run(*words[:-1], 61)
        assert (code, out) == (2, "")
        assert "from 2 to the 60 samples" in err

    def test_points(self, run: Run, tmp_path: Path) -> None:
        ring = open_data("ring")
        stored, field = ring.read(np.arange(1_000))["points"].numpy(), ring.spec["points"]
        points = stored * (field.scale or 1) + (field.offset or 0)  # type: ignore[attr-defined]
        np.savez(tmp_path / "p.npz", samples=points.astype(np.float32))
        metrics = ["modes", "energy-distance"]
        words = ("evaluate", "--samples", tmp_path / "p.npz", "--data", "ring", "--metrics", ",".join(metrics))
        code, out, _ = run(*words, "--json")
        assert code == 0
        found = values(out)
        assert found["modes"] == 8
        assert abs(found["energy-distance"]) < 0.01
        assert json.loads(out)["scores"][0]["data_fingerprint"] == ring.fingerprint
        of_arrays = kallima.evaluate(samples=points.astype(np.float32), data="ring", metrics=metrics)
        assert {s.metric: s.value for s in of_arrays} == pytest.approx(found, rel=1e-4, abs=1e-6)
        (distance,) = kallima.evaluate(samples=points[:100], data=points, metrics=["energy-distance"])
        assert abs(distance.value) < 0.05
        code, _, err = run(*words, "--features", "random")
        assert (code, "--features is for images, and the data is points" in err) == (2, True)

    def test_labels_go_by_the_names_of_the_classes(self, tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]) -> None:
        """Samples of two classes in folders named as those of the data, whose indices are not theirs."""
        some = np.isin(digits[1], (3, 7))
        np.savez(tmp_path / "named.npz", x=digits[0][some], y=digits[1][some])
        np.savez(tmp_path / "strange.npz", x=digits[0][some], y=np.array(["a", "b"])[(digits[1][some] == 7) * 1])
        right = kallima.evaluate(
            samples=tmp_path / "named.npz", data="digits", features="pixels", metrics=["class-fid"]
        )[0]
        assert "by class 3: " in " ".join(right.notes) or "by class 7: " in " ".join(right.notes)
        with pytest.raises(UsageError, match="class-fid needs the labels of the samples"):
            kallima.evaluate(samples=tmp_path / "strange.npz", data="digits", features="pixels", metrics=["class-fid"])
        (score,) = kallima.evaluate(samples=tmp_path / "strange.npz", data="digits", features="pixels", metrics=["fid"])
        assert "the labels of the samples are left out: 'a' is no class of the data" in score.notes

    def test_memorisation_is_held_against_the_test_split(self, digits: tuple[np.ndarray, np.ndarray]) -> None:
        train = open_data("digits")
        copies = train.read(np.arange(0, len(train), 5))["image"].numpy()
        fresh, copied = (
            kallima.evaluate(samples=x, data="digits", features="pixels", metrics=["memorisation"])[0].value
            for x in (digits[0], copies)
        )
        assert fresh < 0.1
        assert copied > 0.99
        with pytest.raises(UsageError, match="memorisation needs held-out images, as data with a test split"):
            kallima.evaluate(samples=copies, data="digits", split="test", features="pixels", metrics=["memorisation"])

    def test_samples_are_seen_as_the_data_and_the_receipt_tells(self, run: Run, npz: Path, tmp_path: Path) -> None:
        large = np.load(npz)["samples"].repeat(2, 1).repeat(2, 2).repeat(3, 3)
        np.savez(tmp_path / "large.npz", samples=large)
        code, out, _ = run("evaluate", "--samples", tmp_path / "large.npz", "--data", "digits", *PLAIN, "--json")
        assert code == 0
        notes = json.loads(out)["scores"][0]["notes"]
        assert "the samples were 16×16 and are resized to 8×8, as the data is seen" in notes
        assert "the samples had 3 channels and are seen with 1, as the data is" in notes
        words = ("evaluate", "--samples", npz, "--data", "digits", *PLAIN, "--size", 16, "--json")
        assert json.loads(run(*words)[1])["scores"][0]["view"] == "16×16, 1 channel"

    def test_the_probe_in_training_is_told(self, run: Run, npz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kallima.evaluation.features.probe._STEPS", 3)
        monkeypatch.setattr("kallima.evaluation.features.probe._LEAST_STEPS", 3)
        monkeypatch.setattr("kallima.evaluation.features.probe.RECIPE", -1)  # not the one in the cache
        code, out, err = run("evaluate", "--samples", npz, "--data", "digits", "--metrics", "kid", "--json")
        assert code == 0
        assert err.startswith("training the probe on the labels of digits")
        assert json.loads(out)["scores"][0]["extractor"] == "probe"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "a run or --samples"),
        (["somewhere", "--samples", "x", "--data", "digits"], 2, "not both of them"),
        (["--samples", "{npz}"], 2, "say which with --data"),
        (["--samples", "{npz}", "--data", "digitz"], 2, "did you mean 'digits'"),
        (["--samples", "nowhere.npz", "--data", "digits"], 1, "no such path"),
        (["--samples", "{npz}", "--data", "ring"], 1, "the samples are images, and the data is points"),
        (["--samples", "{npz}", "--data", "digits", "--metrics", "fdi"], 2, "did you mean 'fid'"),
        (["--samples", "{npz}", "--data", "digits", "--metrics", "modes"], 2, "modes judges points"),
        (["--samples", "{npz}", "--data", "digits", "--metrics", "class-fid"], 2, "needs the labels of the samples"),
        (["--samples", "{npz}", "--data", "digits", "--features", "pixel"], 2, "no features 'pixel'"),
        (["--samples", "{npz}", "--data", "digits", "--split", "tset"], 1, "no split 'tset'"),
        (["--samples", "{npz}", "--data", "digits", "--samples-key", "y"], 2, "y"),
        (["--samples", "{npz}", "--data", "digits", "--sise", "8"], 2, "did you mean '--size'"),
        (["--samples", "{npz}", "--data", "{wide}", *PLAIN], 1, "choose --size and --channels"),
        (["--samples", "{broken}", "--data", "digits"], 1, "NaN"),
        (["nowhere"], 1, "nowhere"),
    ],
)
def test_mistakes_are_one_line(words: list[str], code: int, message: str, run: Run, npz: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "wide.npz", x=np.random.default_rng(0).integers(256, size=(20, 8, 12), dtype=np.uint8))
    np.savez(tmp_path / "broken.npz", samples=np.full((9, 8, 8), math.nan, np.float32))
    places = {"npz": npz, "wide": tmp_path / "wide.npz", "broken": tmp_path / "broken.npz"}
    found, out, err = run("evaluate", *(word.format(**places) for word in words))
    assert (found, out) == (code, "")
    assert err.startswith("error: ")
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"samples": [1, 2]}, DataError, "are a list"),
        ({"samples": np.zeros((9, 8, 8, 1))}, DataError, "need to be uint8"),
        ({"samples": np.zeros((9, 8, 8, 1), np.uint8), "samples_key": "x"}, UsageError, "the samples are an array"),
        ({"samples": np.zeros((9, 8, 8, 1), np.uint8), "crop": "round"}, UsageError, "--crop must be"),
        ({"samples": np.zeros((9, 9, 8, 1), np.uint8)}, DataError, "choose --size"),
        ({"samples": np.full((9, 2), math.nan), "data": "ring"}, DataError, "NaN"),
        ({"samples": np.zeros((9, 3)), "data": "ring"}, DataError, r"need \(N, 2\)"),
        ({"samples": np.zeros((9, 2)), "data": np.zeros((9, 2)), "size": 8}, UsageError, "this is an array"),
        ({"run": "x", "size": 8}, UsageError, "--size goes with --samples"),
        ({"run": "x", "key": "x"}, UsageError, "--key goes with --data"),
    ],
)
def test_mistakes_from_python(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    given = arguments if "run" in arguments else {"data": "digits"} | arguments
    with pytest.raises(error, match=message):
        kallima.evaluate(**given)


# Comparing


def score(metric: str = "fid", value: float = 10.0, **changes: Any) -> dict[str, Any]:
    receipt = {
        "metric": metric,
        "value": value,
        "spread": 0.5,
        "spread_method": "jackknife",
        "direction": "lower",
        "extractor": "probe",
        "extractor_hash": "0f" * 32,
        "extractor_accuracy": 0.97,
        "resize": "none",
        "range": "[-1, 1]",
        "real": 1000,
        "generated": 1000,
        "data": "glyphs",
        "split": "train",
        "seed": 0,
        "kallima": "0.1.0",
        "seconds": 1.5,
        "notes": [],
        "metric_version": 1,
        "data_fingerprint": "ab" * 32,
        "view": "32×32, 1 channel",
        "time": "2026-01-01T00:00:00+00:00",
        "held_out": 500,
        "held_out_fingerprint": "ef" * 32,
    }
    return receipt | changes


def made(path: Path, *scores: dict[str, Any]) -> Path:
    path.mkdir(parents=True)
    (path / "run.json").write_text(json.dumps({"format": 1, "recipe": "dcgan", "status": "finished", "step": 1}))
    (path / "scores.json").write_text(json.dumps({"step": 1, "scores": scores}))
    return path


def places(runs: list[Path], **options: Any) -> dict[str, tuple[int | None, list[str]]]:
    (metric,) = ranking(comparison_table(runs, **options), **options)
    return {told["label"]: (told["rank"], told["tied"]) for told in metric["runs"]}


class TestSuspects:
    def test_a_run_keeps_their_picture_beside_its_scores(self, tmp_path: Path, run: Run) -> None:
        trained = kallima.train("gan", data="digits", steps=2, batch_size=8, width=8, depth=1, out=tmp_path / "run")
        picture = trained.path / "neighbours.png"
        words = ("evaluate", trained.path, "--features", "pixels", "--count", 40)
        code, out, _ = run(*words, "--metrics", "memorisation", "--json")
        assert code == 0
        (found,) = json.loads(out)["scores"]
        assert found["held_out"] == len(test := open_data("digits", split="test"))
        assert found["held_out_fingerprint"] == test.fingerprint
        # 12 in groups of 1 + 3
        samples, truth = kallima.sample(trained, 40).astype(float), open_data("digits").read(np.arange(1433))["image"]
        gaps = np.square(samples.reshape(40, 1, -1) - truth.numpy().reshape(1, 1433, -1)).sum(2)
        first = samples[gaps.min(1).argmin()][..., 0]
        with Image.open(picture) as image:
            drawn = np.asarray(image)
        scale = 8
        assert np.array_equal(drawn[: 8 * scale : scale, : 8 * scale : scale], first)
        assert "Nearest training images" in kallima.report(trained).read_text("utf-8")
        elsewhere = tmp_path / "kid.json"
        assert run(*words, "--metrics", "kid", "--out", elsewhere)[0] == 0
        assert picture.exists()  # it belongs to the run's own scores
        assert run(*words, "--metrics", "kid")[0] == 0
        assert not picture.exists()


class TestRanking:
    def test_runs_are_ranked_and_those_within_their_errors_are_tied(self, tmp_path: Path) -> None:
        # |a − b| against 1.96 √(0.5² + 0.5²) = 1.386
        runs = [made(tmp_path / name, score(value=v)) for name, v in {"c": 12.5, "a": 10.0, "b": 11.3, "d": 20}.items()]
        assert places(runs) == {"a": (1, ["b"]), "b": (1, ["c", "a"]), "c": (2, ["b"]), "d": (4, [])}
        assert list(places(runs)) == ["a", "b", "c", "d"]
        assert places([runs[1], runs[3]]) == {"a": (1, []), "d": (2, [])}

    def test_the_bound_of_a_tie_is_the_interval_of_the_difference(self, tmp_path: Path) -> None:
        reach = 1.96 * math.hypot(0.3, 0.4)
        for name, gap, tied in (("near", 0.999 * reach, True), ("far", 1.001 * reach, False)):
            one = made(tmp_path / name / "one", score("recall", 0.5, direction="higher", spread=0.3))
            two = made(tmp_path / name / "two", score("recall", 0.5 + gap, direction="higher", spread=0.4))
            found = places([one, two])
            assert found["two"] == (1, ["one"] if tied else [])
            assert found["one"] == ((1, ["two"]) if tied else (2, []))

    def test_without_errors_only_equal_values_are_tied(self, tmp_path: Path) -> None:
        runs = [
            made(tmp_path / name, score(value=v, spread=None)) for name, v in {"a": 1.0, "b": 1.0, "c": 1.1}.items()
        ]
        assert places(runs) == {"a": (1, ["b"]), "b": (1, ["a"]), "c": (3, [])}

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            *(("metric_version", 2), ("extractor_hash", "ff"), ("resize", "bilinear"), ("range", "0 … 255")),
            *(("real", 500), ("generated", 500), ("split", "test"), ("data_fingerprint", "cd" * 32)),
            *(("view", "64×64, 1 channel"), ("direction", "higher")),
            *(("held_out", 400), ("held_out_fingerprint", "01" * 32), ("held_out", None)),
        ],
    )
    def test_receipts_that_differ_are_refused_and_named(self, field: str, value: Any, tmp_path: Path, run: Run) -> None:
        runs = [made(tmp_path / "a", score()), made(tmp_path / "b", score(value=1.0, **{field: value}))]
        page = tmp_path / "x.html"
        code, out, err = run("compare", *runs, "--out", page)
        assert code == 1
        assert f"not ranked: the receipts of fid differ in {field.replace('_', ' ')} (a: " in out
        assert "--force" in err
        assert 'class="best"' not in page.read_text("utf-8")
        assert f"not ranked: differs in {field.replace('_', ' ')}" in page.read_text("utf-8")
        code, out, _ = run("compare", *runs, "--out", page, "--force", "--json")
        assert code == 0
        told = json.loads(out)
        assert told["forced"]
        assert told["warnings"] == [told["ranking"][0]["warning"]]
        assert told["warnings"][0].startswith(
            f"ranked by force: the receipts of fid differ in {field.replace('_', ' ')}"
        )
        assert [each["field"] for each in told["ranking"][0]["differs"]] == [field]
        ranks = {each["label"]: each["rank"] for each in told["ranking"][0]["runs"]}
        assert ranks == ({"a": None, "b": None} if field == "direction" else {"b": 1, "a": 2})
        assert "ranked by force" in page.read_text("utf-8")

    @pytest.mark.parametrize(("field", "value"), [("seed", 1), ("kallima", "9"), ("seconds", 9.0), ("data", "moved")])
    def test_what_does_not_matter_is_not_refused(self, field: str, value: Any, tmp_path: Path) -> None:
        runs = [made(tmp_path / "a", score()), made(tmp_path / "b", score(value=1.0, **{field: value}))]
        assert places(runs) == {"b": (1, []), "a": (2, [])}

    def test_two_extractors_do_not_meet_unless_forced(self, tmp_path: Path) -> None:
        other = score(value=1.0, extractor="inception", extractor_hash="ff")
        runs = [made(tmp_path / "a", score()), made(tmp_path / "b", other)]
        (metric,) = ranking(comparison_table(runs))
        assert (metric["extractor"], metric["refused"]) == ("probe, inception", True)
        both = made(tmp_path / "both", score(value=9.0, spread=0.1), other)
        of_probe, of_inception = ranking(comparison_table([runs[0], both]))
        assert (of_probe["refused"], [told["label"] for told in of_probe["runs"]]) == (False, ["both", "a"])
        assert [told["label"] for told in of_inception["runs"]] == ["both"]

    def test_one_metric_may_be_refused_and_another_ranked(self, tmp_path: Path, run: Run) -> None:
        runs = [
            made(tmp_path / "a", score(), score("recall", 0.5, direction="higher", spread=0.01)),
            made(tmp_path / "b", score(split="test"), score("recall", 0.6, direction="higher", spread=0.01)),
        ]
        code, out, err = run("compare", *runs, "--out", tmp_path / "x.html")
        assert code == 0
        assert err.startswith("fid cannot be compared")
        lines = out.splitlines()
        assert lines[0] == "fid (probe), lower is better"
        assert lines[4] == "recall (probe), higher is better"
        assert lines[5].split()[:5] == ["1.", "b", "0.600", "±", "0.010"]
        assert "0.580–0.620" in lines[5]
        assert lines[6].split()[:2] == ["2.", "a"]

    def test_a_tie_is_said(self, tmp_path: Path, run: Run) -> None:
        runs = [made(tmp_path / "a", score()), made(tmp_path / "b", score(value=9.9))]
        page = tmp_path / "x.html"
        code, out, _ = run("compare", *runs, "--out", page)
        assert code == 0
        assert [line.split()[0] for line in out.splitlines()[1:3]] == ["1.", "1."]
        assert "tied with a" in out
        assert "tied with b" in out
        assert page.read_text("utf-8").count("tied with") == 2
        assert 'class="best"' not in page.read_text("utf-8")

    def test_old_scores_still_load(self, tmp_path: Path, run: Run) -> None:
        new = {"metric_version", "data_fingerprint", "view", "time", "held_out", "held_out_fingerprint"}
        old = {name: value for name, value in score().items() if name not in new}
        assert Score.from_json(old).metric_version is None
        runs = [made(tmp_path / "a", old), made(tmp_path / "b", old | {"value": 1.0}), made(tmp_path / "c", score())]
        assert run("report", runs[0])[0] == 0
        assert places(runs[:2]) == {"b": (1, []), "a": (2, [])}
        (metric,) = ranking(comparison_table(runs[1:]))
        assert metric["refused"]  # of the old one it is not known
        assert "metric version (b: not recorded, c: 1)" in metric["warning"]
        other = made(tmp_path / "d", old | {"data": "digits"})
        (metric,) = ranking(comparison_table([runs[0], other]))
        assert [each["field"] for each in metric["differs"]] == ["data"]

    def test_values_that_are_not_numbers_have_no_rank(self, tmp_path: Path) -> None:
        runs = [made(tmp_path / name, score(value=v)) for name, v in {"a": math.nan, "b": 1.0, "c": 9.0}.items()]
        assert places(runs) == {"b": (1, []), "c": (2, []), "a": (None, [])}
        assert "not finite" not in ranking_text(ranking(comparison_table(runs)))
