"""`kallima evaluate` on texts, pairs, statistics and latents: values by hand, receipts, refusals in one line."""

import json
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import kallima
from kallima.cli import main
from kallima.errors import DataError, UsageError
from kallima.evaluation import METRICS, Score, Subject, evaluate_system, evaluate_texts
from kallima.evaluation.features.pixels import Pixels
from kallima.evaluation.image_metrics import PAIRED
from kallima.evaluation.likelihood.parzen import parzen_apart
from kallima.evaluation.sets import open_data
from kallima.evaluation.systems import divide
from kallima.evaluation.text.corpus import Texts, open_texts
from kallima.evaluation.text.language_model import LanguageModel

Run = Callable[..., tuple[int, str, str]]

REAL = ["a b c d e", "a b c", "d e f a", "b b a c d"]
MADE = ["a b c d", "b c a b", "e f a a", "a b c d"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Texts in files of every form that is read."""
    places = {name: tmp_path / name for name in ("made.txt", "real.txt", "made.npz", "made.npy", "few.txt")}
    places["made.txt"].write_text("\n".join(MADE) + "\n")
    places["real.txt"].write_text("\n".join(REAL))  # the last line may end or not
    places["few.txt"].write_text("\n".join(MADE[:2]))
    np.savez(places["made.npz"], samples=np.array(MADE))
    np.save(places["made.npy"], np.array(MADE))
    return places


def values(scores: Iterable[dict[str, Any]]) -> dict[str, float]:
    return {score["metric"]: score["value"] for score in scores}


class TestTexts:
    def test_values_by_hand_and_of_the_library(self, run: Run, files: dict[str, Path]) -> None:
        bleu = pytest.importorskip("sacrebleu", reason="needs the extra 'text'").metrics.BLEU
        code, out, err = run("evaluate", "--samples", files["made.txt"], "--data", files["real.txt"], "--json")
        assert (code, err) == (0, "")
        scores = json.loads(out)["scores"]
        assert [score["metric"] for score in scores] == ["bleu", "self-bleu", "distinct-1", "distinct-2", "perplexity"]
        found = values(scores)
        assert found["distinct-1"] == 6 / 16  # a b c d e f
        assert found["distinct-2"] == 7 / 12  # ab bc cd ca ef fa aa
        streams = [[reference] * len(MADE) for reference in REAL]
        assert found["bleu"] == pytest.approx(bleu().corpus_score(MADE, streams).score, rel=1e-9)
        others = [
            bleu(effective_order=True).sentence_score(text, [*MADE[:i], *MADE[i + 1 :]]).score
            for i, text in enumerate(MADE)
        ]
        assert found["self-bleu"] == pytest.approx(np.mean(others), rel=1e-9)
        assert {score["metric"]: score["real"] for score in scores} == {
            "bleu": 4,
            "self-bleu": 0,
            "distinct-1": 0,
            "distinct-2": 0,
            "perplexity": 4,
        }
        for score in scores:
            assert score["direction"] == METRICS[score["metric"]].direction
            told = [score[name] for name in ("generated", "data", "split", "seed", "kallima", "metric_version")]
            assert told == [4, str(files["real.txt"]), "train", 0, kallima.__version__, 1]
            assert score["data_fingerprint"] == Texts(REAL).fingerprint
            assert Score.from_json(score).to_json() == score

    def test_pairs_by_hand_and_only_when_named(self, run: Run, files: dict[str, Path]) -> None:
        words = ("evaluate", "--samples", files["made.txt"], "--data", files["real.txt"], "--json")
        code, out, _ = run(*words, "--metrics", "wer,rouge,rouge-1,cer,paired-bleu")
        assert code == 0
        scores = json.loads(out)["scores"]
        found = values(scores)
        # missed e; b→a wrong way round: "b c a b" for "a b c" is 1 missed and 2 added; …
        assert found["wer"] == pytest.approx(errors(MADE, REAL, str.split) / sum(len(text.split()) for text in REAL))
        assert found["cer"] == pytest.approx(errors(MADE, REAL, list) / sum(map(len, REAL)))
        # shared words: 4 of 4 and 5, 3 of 4 and 3, 3 of 4 and 4, 4 of 4 and 5 without one b
        shared = [2 * 4 / 9, 2 * 3 / 7, 2 * 3 / 8, 2 * 4 / 9]
        assert found["rouge-1"] == pytest.approx(np.mean(shared))
        # subsequences: a b c d; b c; e f a; b a c d has a c d or b c d
        assert found["rouge"] == pytest.approx(np.mean([2 * 4 / 9, 2 * 2 / 7, 2 * 3 / 8, 2 * 3 / 9]))
        assert all("text i against real text i, in their order" in score["notes"] for score in scores)
        assert run(*words, "--metrics", "wer")[0] == 0
        backwards = evaluate_texts(MADE[::-1], Texts(REAL[::-1]), metrics=["wer", "rouge"])
        assert {s.metric: s.value for s in backwards} == pytest.approx({name: found[name] for name in ("wer", "rouge")})

    def test_every_form_has_the_same_scores(self, run: Run, files: dict[str, Path]) -> None:
        found = []
        for name in ("made.txt", "made.npz", "made.npy"):
            code, out, _ = run("evaluate", "--samples", files[name], "--data", files["real.txt"], "--json")
            assert code == 0
            found.append(values(json.loads(out)["scores"]))
        for samples, data in ((MADE, REAL), (np.array(MADE), np.array(REAL, object)), (MADE, files["real.txt"])):
            found.append({s.metric: s.value for s in kallima.evaluate(samples=samples, data=data)})
        assert all(other == found[0] for other in found[1:])
        key = ("--samples-key", "samples", "--metrics", "distinct-1")
        assert run("evaluate", "--samples", files["made.npz"], "--data", files["real.txt"], *key)[0] == 0

    def test_lines_are_lines(self, tmp_path: Path) -> None:
        place = tmp_path / "x.txt"
        place.write_bytes("\ufeffone\u2028still one\r\n\r\nthrée\x0bstill three\n".encode())
        assert open_texts(place).texts == ["one\u2028still one", "", "thrée\x0bstill three"]

    def test_count_draws_some_with_the_seed(self, tmp_path: Path) -> None:
        made = [f"w{i} w{i % 7}" for i in range(100)]
        first, again, other = (
            kallima.evaluate(samples=made, data=REAL, metrics=["distinct-2", "perplexity"], count=50, seed=seed)
            for seed in (0, 0, 1)
        )
        assert first[0].generated == 50
        assert [s.value for s in first] == [s.value for s in again] != [s.value for s in other]

    def test_what_cannot_judge_is_left_out_unless_it_is_named(self, caplog: pytest.LogCaptureFixture) -> None:
        made = ["a b", "", "c"]
        with caplog.at_level("WARNING", "kallima.evaluation"):
            scores = kallima.evaluate(samples=made, data=REAL)
        assert [score.metric for score in scores] == ["bleu", "perplexity"]
        assert "self-bleu is left out: generated texts[1] is empty" in caplog.text
        with pytest.raises(DataError, match="is empty"):
            kallima.evaluate(samples=made, data=REAL, metrics=["self-bleu"])

    def test_a_missing_library_says_what_to_install(
        self, run: Run, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module, metric, extra in (
            ("sacrebleu.metrics", "bleu", "text"),
            ("rouge_score.rouge_scorer", "rouge", "text"),
            ("jiwer", "wer", "speech"),
        ):
            monkeypatch.setitem(sys.modules, module, None)
            words = ("--samples", files["made.txt"], "--data", files["real.txt"], "--metrics", metric)
            code, out, err = run("evaluate", *words)
            assert (code, out, len(err.splitlines())) == (2, "", 1)
            assert f"pip install 'kallima[{extra}]'" in err


def errors(made: list[str], real: list[str], split: Callable[[str], list[str]]) -> int:
    """Count the edits from one to the other by the recursion that defines them."""

    def distance(x: tuple[str, ...], y: tuple[str, ...], known: dict[tuple[int, int], int]) -> int:
        if not x or not y:
            return len(x) + len(y)
        place = (len(x), len(y))
        if place not in known:
            known[place] = min(
                distance(x[1:], y, known) + 1,
                distance(x, y[1:], known) + 1,
                distance(x[1:], y[1:], known) + (x[0] != y[0]),
            )
        return known[place]

    return sum(distance(tuple(split(x)), tuple(split(y)), {}) for x, y in zip(made, real, strict=True))


class TestLanguageModel:
    def test_probabilities_sum_to_one(self) -> None:
        model = LanguageModel(REAL)
        for history in ((), ("a",), ("a", "b"), ("b", "b"), ("f", "f"), ("\n<", "\n<"), ("never", "seen")):
            assert sum(model.probability(word, history) for word in model.vocabulary) == pytest.approx(1)

    def test_by_hand(self) -> None:
        # words a a b, end: four tokens, three kinds; the vocabulary has a word for all unseen ones besides
        model = LanguageModel(["a a b"], order=2)
        single = {"a": (2 + 3 / 4) / 7, "b": (1 + 3 / 4) / 7, "unseen": (0 + 3 / 4) / 7}
        assert model.probability("a", ()) == pytest.approx(single["a"])
        assert model.probability("b", ("a",)) == pytest.approx((1 + 2 * single["b"]) / 4)  # a is followed by a and b
        expected = [(1 + single["a"]) / 2, 2 * single["unseen"] / 4]
        assert np.exp(model.log_probabilities("a x")[:2]) == pytest.approx(expected)
        assert len(model.log_probabilities("a x")) == 3

    def test_it_tells_order_from_disorder(self) -> None:
        rng = np.random.default_rng(0)
        cycle = list("abcdefgh")
        real = [" ".join(cycle[(start + i) % 8] for i in range(12)) for start in rng.integers(8, size=60)]
        mixed = [" ".join(rng.permutation(text.split())) for text in real]
        same, other = (kallima.evaluate(samples=x, data=real, metrics=["perplexity"])[0] for x in (real, mixed))
        assert same.value < 2 < 8 < other.value


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Originals, reconstructions that are 5 brighter, and folders that do not fit them."""
    place = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    originals = rng.integers(0, 250, (24, 16, 16, 1)).astype(np.uint8)
    sets = {"real": originals, "made": originals + 5, "few": originals[:20], "small": originals[:, :8, :8]}
    sets["colour"] = originals.repeat(3, 3)
    for name, images in sets.items():
        (place / name).mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image.squeeze()).save(place / name / f"{number:02}.png")
    np.savez(place / "array.npz", samples=originals + 5)
    return {name: place / name for name in (*sets, "array.npz")}


class TestPairs:
    NAMED = "mse,psnr,ssim,reconstruction-ms-ssim"

    @pytest.mark.parametrize("samples", ["made", "array.npz"])
    def test_values_by_hand(self, samples: str, run: Run, pictures: dict[str, Path]) -> None:
        words = ("--samples", pictures[samples], "--data", pictures["real"], "--metrics", self.NAMED)
        code, out, _ = run("evaluate", *words, "--json")
        assert code == 0
        scores = json.loads(out)["scores"]
        found = values(scores)
        assert found["mse"] == 25
        assert found["psnr"] == pytest.approx(10 * math.log10(255**2 / 25))
        assert 0.99 < found["ssim"] < 1
        for score in scores:
            assert (score["real"], score["generated"], score["range"]) == (24, 24, "0 … 255")
            assert "sample i against real image i, in their order" in score["notes"]

    def test_they_are_named_only_and_go_beside_others(self, pictures: dict[str, Path]) -> None:
        given: dict[str, Any] = {"samples": pictures["made"], "data": pictures["real"], "features": "pixels"}
        assert not {score.metric for score in kallima.evaluate(**given)} & PAIRED
        scores = kallima.evaluate(**given, metrics=["mse", "fid"])
        assert [score.metric for score in scores] == ["mse", "fid"]

    def test_arrays_and_order(self) -> None:
        real = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8, 1)
        (same,) = kallima.evaluate(samples=real, data=real, metrics=["mse"])
        (turned,) = kallima.evaluate(samples=real[::-1], data=real, metrics=["mse"])
        assert same.value == 0
        assert turned.value == (2 * 192**2 + 2 * 64**2) / 4

    def test_no_partner_is_lost_in_large_data(self, pictures: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kallima.evaluation.examples.REAL_LIMIT", 10)
        (score,) = kallima.evaluate(samples=pictures["made"], data=pictures["real"], metrics=["mse"])
        assert (score.value, score.real) == (25, 24)


class TestParzen:
    def test_points_have_the_entropy_of_their_distribution(self) -> None:
        rng = np.random.default_rng(0)
        made, real = rng.normal(size=(4_000, 1)), rng.normal(size=(2_000, 1))
        (score,) = kallima.evaluate(samples=made, data=real, metrics=["parzen"])
        assert score.value == pytest.approx(-0.5 * math.log(2 * math.pi * math.e), abs=0.05)
        assert "on 200 validation examples" in score.notes[0]
        assert "the other 1,800 are scored" in score.notes[1]
        assert score.range == "the data's own units"
        assert "parzen" not in {s.metric for s in kallima.evaluate(samples=made[:50], data=real[:50])}

    def test_images_are_judged_from_0_to_1(self, pictures: dict[str, Path]) -> None:
        (score,) = kallima.evaluate(samples=pictures["made"], data=pictures["real"], metrics=["parzen"], seed=3)
        made, real = (open_data(pictures[name]).read(np.arange(24))["image"].numpy() / 255 for name in ("made", "real"))
        assert score.value == pytest.approx(parzen_apart(made, real, seed=3).value)
        assert score.range == "[0, 1]"

    def test_scored_examples_do_not_choose_their_width(self) -> None:
        """Copies of the scored examples would have the narrowest windows; those of others choose wider ones."""
        real = np.random.default_rng(0).normal(size=(40, 2))
        order = np.random.default_rng(0).permutation(40)
        scored = real[order[4:]]
        sigma = float(parzen_apart(scored, real, seed=0).notes[0].split()[2].rstrip(","))
        assert sigma > 0.02


class TestStatistics:
    def test_written_and_judged_against_as_the_images_themselves(
        self, run: Run, pictures: dict[str, Path], tmp_path: Path
    ) -> None:
        out = tmp_path / "stats.npz"
        code, printed, _ = run("data", "statistics", pictures["real"], "--features", "pixels", "--out", out)
        assert (code, printed) == (0, f"{out}: 24 images of {pictures['real']} (train), features pixels\n")
        images = open_data(pictures["real"]).read(np.arange(24))["image"]
        features = Pixels(open_data(pictures["real"]).spec["image"]).features(images).double().numpy()  # type: ignore[arg-type]
        with np.load(out) as held:
            assert held["mu"] == pytest.approx(features.mean(0), abs=1e-6)
            assert held["sigma"] == pytest.approx(np.cov(features, rowvar=False), abs=1e-6)
        scores = []
        for data, more in ((out, ()), (pictures["real"], ("--features", "pixels", "--metrics", "fid"))):
            code, printed, _ = run("evaluate", "--samples", pictures["made"], "--data", data, *more, "--json")
            assert code == 0
            scores.append(json.loads(printed)["scores"])
        (of_file,), (of_images,) = scores
        assert of_file["value"] == pytest.approx(of_images["value"], rel=1e-6)
        same = ("metric", "extractor", "extractor_hash", "resize", "range", "real", "data_fingerprint", "view", "split")
        assert [of_file[name] for name in same] == [of_images[name] for name in same]

    def test_what_a_foreign_file_does_not_say_is_said(
        self, run: Run, pictures: dict[str, Path], tmp_path: Path
    ) -> None:
        place = tmp_path / "plain.npz"
        np.savez(place, mu=np.zeros(1024), sigma=np.eye(1024))
        words = ("evaluate", "--samples", pictures["made"], "--data", place)
        code, _, err = run(*words)
        assert (code, len(err.splitlines())) == (2, 1)
        assert "plain.npz does not say of which features its statistics are: name them with --features" in err
        code, out, _ = run(*words, "--features", "pixels", "--json")
        assert code == 0
        (score,) = json.loads(out)["scores"]
        said = "plain.npz does not say of how many images, by which extractor and resize, its statistics are"
        assert said in score["notes"]

    def test_another_view_is_told(self, run: Run, pictures: dict[str, Path], tmp_path: Path) -> None:
        out = tmp_path / "stats.npz"
        run("data", "statistics", pictures["small"], "--features", "pixels", "--out", out)
        told = []
        for more in ((), ("--size", 8)):
            scores = json.loads(run("evaluate", "--samples", pictures["made"], "--data", out, *more, "--json")[1])
            told.append(" ".join(scores["scores"][0]["notes"]))
        note = "the samples are seen 16×16, 1 channel, and the statistics are of images seen 8×8, 1 channel"
        assert note in told[0]
        assert note not in told[1]


class TestLatents:
    def test_a_quarter_of_a_circle(self) -> None:
        """Every arc from one axis to another has length π/2, whatever ε and t."""

        class Turn:
            parts: ClassVar = {"z": slice(0, 2)}
            calls = 0

            def latents(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
                self.calls += 1
                return torch.eye(2, dtype=torch.float64)[self.calls - 1].expand(count, 2)

            def decode(self, latents: Tensor) -> Tensor:
                return latents

        with pytest.raises(UsageError, match="path-length needs a system that decodes latents, and int does not"):
            divide(["path-length"], Subject(3))
        (score,) = evaluate_system(Subject(Turn(), count=100), ["path-length"])
        assert score.value == pytest.approx((math.pi / 2) ** 2, rel=1e-5)
        assert (score.metric, score.generated, score.real, score.data) == ("path-length", 100, 0, "-")

    def test_of_a_run_beside_its_other_scores(self, run: Run, tmp_path: Path) -> None:
        words = ("--data", "ring", "--steps", 2, "--out", tmp_path / "run", "--batch-size", 8)
        assert run("train", "gan", *words)[0] == 0
        code, out, _ = run("evaluate", tmp_path / "run", "--metrics", "path-length,modes", "-n", 64, "--json")
        assert code == 0
        found = {score["metric"]: score for score in json.loads(out)["scores"]}
        assert set(found) == {"path-length", "modes"}
        assert found["path-length"]["value"] > 0
        code, out, err = run("evaluate", tmp_path / "run", "--metrics", "psnr")
        assert (code, "psnr compares pairs, and GAN does not reconstruct" in err) == (2, True)
        code, out, err = run("evaluate", tmp_path / "run", "--data", __file__.replace(".py", ".txt"))
        assert (code, "is text, and the run makes none" in err) == (1, True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "cgan"
    small: dict[str, Any] = {"width": 8, "latent_dim": 4, "batch_size": 32, "steps": 150, "learning_rate": 2e-3}
    small |= {"discriminator_learning_rate": 2e-3, "beta1": 0.0, "schedule": "constant"}
    kallima.train("cgan", data="digits", out=place, sample_every=0, doctor="off", **small)
    return place


class TestWhatASystemCanDo:
    """Through the command, on a conditional game; `test_system_metrics` has the values."""

    @pytest.fixture(autouse=True)
    def _short_probe(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kallima.evaluation.features.probe._STEPS", 100)
        monkeypatch.setattr("kallima.evaluation.features.probe._LEAST_STEPS", 100)
        monkeypatch.setattr("kallima.evaluation.features.probe.RECIPE", -2)  # not the one in the cache

    def test_the_class_asked_for(self, run: Run, trained: Path) -> None:
        code, out, _ = run("evaluate", trained, "--metrics", "label-recovery", "-n", 300, "--json")
        assert code == 0
        (score,) = json.loads(out)["scores"]
        assert score["value"] > 0.4  # chance is 0.1
        told = [score[name] for name in ("real", "generated", "data", "split", "extractor", "view")]
        assert told == [0, 300, "digits", "train", "probe", "8×8, 1 channel"]
        assert score["data_fingerprint"] == open_data("digits").fingerprint
        assert json.loads((trained / "scores.json").read_text())["scores"] == [score]

    def test_it_stands_beside_the_scores_of_samples(self, run: Run, trained: Path) -> None:
        code, out, _ = run(
            "evaluate", trained, "--metrics", "fid,label-recovery", "-n", 100, "--split", "test", "--json"
        )
        assert code == 0
        recovery, fid = sorted(json.loads(out)["scores"], key=lambda score: str(score["direction"]))
        assert (recovery["metric"], recovery["split"], recovery["real"]) == ("label-recovery", "train", 0)
        assert (fid["metric"], fid["split"], fid["generated"]) == ("fid", "test", 100)
        assert fid["extractor_hash"] == recovery["extractor_hash"]

    def test_it_is_among_the_default_ones(self, trained: Path) -> None:
        found = {score.metric for score in kallima.evaluate(trained, count=100)}
        assert {"label-recovery", "fid", "kid"} <= found
        assert not found & {"error", "path-length", "mse", "attribute-recovery"}

    @pytest.mark.parametrize(
        ("metrics", "code", "message"),
        [
            ("error", 2, "error needs a system that classifies, and GAN does not: choose from label-recovery, path"),
            ("fid,mse", 2, "mse compares pairs, and GAN does not reconstruct: samples with partners are given as"),
            ("attribute-recovery", 2, "needs a system that is asked for attributes, and GAN is asked for label"),
            ("cluster-accuracy", 2, "cluster-accuracy needs a system that clusters, and GAN does not"),
            ("label-recovry", 2, "did you mean 'label-recovery'"),
        ],
    )
    def test_mistakes_are_one_line(self, metrics: str, code: int, message: str, run: Run, trained: Path) -> None:
        found, out, err = run("evaluate", trained, "--metrics", metrics)
        assert (found, out, len(err.splitlines())) == (code, "", 1)
        assert message in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["{made}", "{real}", "--metrics", "error"], 2, "error needs a run, of a system that classifies"),
        (["{made.txt}", "digits"], 1, "the samples are text, and the data is images"),
        (["{made}", "{real.txt}"], 1, "the samples are images, and the data is text"),
        (["{made.txt}", "{real.txt}", "--metrics", "fid"], 2, "fid judges images, and the data is text"),
        (["{made}", "{real}", "--metrics", "rouge"], 2, "rouge judges text, and the data is images"),
        (["{made.txt}", "{real.txt}", "--metrics", "rouges"], 2, "did you mean 'rouge'"),
        (["{few.txt}", "{real.txt}", "--metrics", "wer"], 1, "there are 2 samples for 4 real texts"),
        (["{made.txt}", "{real.txt}", "--features", "pixels"], 2, "--features is for images"),
        (["{made.txt}", "{real.txt}", "--size", "8"], 2, "--size is for images, and"),
        (["{made.txt}", "{real.txt}", "--split", "test"], 1, "no split 'test'"),
        (["{made.txt}", "{real.txt}", "--samples-key", "x"], 2, "--samples-key names an array in an .npz"),
        (["{made.npz}", "{real.txt}", "--samples-key", "x"], 2, "no array 'x'"),
        (["{made.txt}", "nowhere.txt"], 1, "no such file: nowhere.txt"),
        (["{made.txt}", "{empty.txt}"], 1, "holds no text"),
        (["{made.txt}", "{gap.txt}"], 1, "real text 2 of"),
        (["{made.txt}", "{latin.txt}"], 1, "is not UTF-8 text (byte 1)"),
        (["{made.txt}", "{one.txt}"], 1, "1 real texts cannot be judged"),
        (["{few}", "{real}", "--metrics", "mse"], 1, "there are 20 samples for 24 real images"),
        (["{small}", "{real}", "--metrics", "mse"], 1, "the samples are 8×8, 1 channel, the data's images 16×16, 1"),
        (["{colour}", "{real}", "--metrics", "ssim"], 1, "16×16, 3 channels, the data's images 16×16, 1 channel"),
        (["{made}", "{real}", "--metrics", "psnr", "-n", "8"], 2, "--count would leave some without their partner"),
        (["{made}", "{real}", "--metrics", "path-length"], 2, "needs a run, of a system that decodes latents"),
        (["{made}", "{stats.npz}", "--split", "test"], 2, "--split cannot choose a part"),
        (["{made}", "{stats.npz}", "--metrics", "kid", "--features", "pixels"], 2, "are only their moments"),
        (["{made}", "{stats.npz}", "--metrics", "fid", "--features", "random"], 1, "numbers each"),
        (["{made}", "{stats.pkl}"], 1, "is a pickle, which is a program"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str],
    code: int,
    message: str,
    run: Run,
    files: dict[str, Path],
    pictures: dict[str, Path],
    tmp_path: Path,
) -> None:
    for name, content in {"empty": b"", "gap": b"a\n\nb\n", "latin": b"n\xe9\nm\n", "one": b"a b c\n"}.items():
        (tmp_path / f"{name}.txt").write_bytes(content)
        files[f"{name}.txt"] = tmp_path / f"{name}.txt"
    np.savez(tmp_path / "stats.npz", mu=np.zeros(1024), sigma=np.eye(1024))
    (tmp_path / "stats.pkl").write_bytes(b"\x80\x04N.")
    places = files | pictures | {name: tmp_path / name for name in ("stats.npz", "stats.pkl")}
    given = [str(places[word[1:-1]]) if word.startswith("{") else word for word in words]
    found, out, err = run("evaluate", "--samples", given[0], "--data", *given[1:])
    assert (found, out) == (code, "")
    assert err.startswith("error: ")
    assert message in err
    assert len(err.splitlines()) == 1


def test_files_and_lines_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.txt").write_text("0123456789\n01234\n")
    monkeypatch.setattr("kallima.evaluation.text.corpus.LINE_LIMIT", 9)
    with pytest.raises(DataError, match="has 10 characters in text 1, more than 9"):
        open_texts(tmp_path / "x.txt")
    monkeypatch.setattr("kallima.evaluation.text.corpus.FILE_LIMIT", 16)
    with pytest.raises(DataError, match="has 17 bytes, more than 16"):
        open_texts(tmp_path / "x.txt")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"samples": MADE, "data": REAL, "samples_key": "x"}, UsageError, "--samples-key names an array"),
        ({"samples": MADE, "data": np.zeros((4, 2))}, DataError, "the samples are text, and the data is points"),
        ({"samples": [*MADE, 3], "data": REAL}, DataError, "are a list"),
        ({"samples": MADE, "data": REAL, "split": "test"}, UsageError, "no split 'test'"),
        ({"samples": MADE, "data": REAL[:1]}, DataError, "1 real texts cannot be judged"),
    ],
)
def test_mistakes_from_python(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        kallima.evaluate(**given)
