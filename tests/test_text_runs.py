"""Runs on texts from end to end: trained, pictured in words, reported, judged, sampled and completed."""

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import kallima
from kallima.cli import main
from kallima.data.batch import Batch
from kallima.data.opening import open_source
from kallima.data.pydoc import Pydoc
from kallima.data.spec import Spec, Text
from kallima.data.tokens import encode
from kallima.errors import UsageError
from kallima.evaluation import METRICS
from kallima.reporting.export import write_samples
from kallima.reporting.page import LONGEST_TEXT, read_writings
from kallima.reporting.report import write_report
from kallima.training.run import Run

WORDS = {"low": ["ab", "abab", "ba", "aabb"], "high": ["xy", "xyxy", "yx", "xxyy"]}
QUICK = {"steps": 4, "batch_size": 8, "width": 16, "depth": 1, "doctor": "off", "checkpoint_every": 4}

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled lines, with empty ones between them, packed."""
    place = tmp_path_factory.mktemp("data") / "words.txt.gz"
    lines = [f"{label}\t{word}" for _ in range(6) for label, words in WORDS.items() for word in words]
    place.write_bytes(gzip.compress("\n\n".join(lines).encode()))
    return place


@pytest.fixture(scope="module")
def free(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("runs") / "free"
    return kallima.train("transformer-lm", data=data, out=place, sample_every=2, heads=2, **QUICK)


@pytest.fixture(scope="module")
def told(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("runs") / "told"
    longer = {**QUICK, "steps": 250, "checkpoint_every": 250}
    return kallima.train("conditional-lstm-lm", data=data, out=place, sample_every=0, learning_rate=2e-2, **longer)


def test_samples_are_kept_as_texts_and_reported_by_step(free: Run) -> None:
    kept = sorted((free.path / "samples").iterdir())
    assert [file.name for file in kept] == ["00000002.txt", "00000004.txt"]
    assert all(len(file.read_text().split("\n")) == 17 for file in kept)  # the last line ends too
    html = (free.path / "report.html").read_text()
    assert html.count('<ol class="writing"') == 2
    assert 'data-step="2" hidden' in html
    assert 'max="1" step="1" value="1"' in html
    assert "the same draws at every step" in html
    assert "up to 5 codes, 4 characters: a, b, x, y" in html


def test_samples_of_what_is_asked_for_say_so(told: Run) -> None:
    lines = (told.path / "samples" / "00000250.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["label=high"] * 8 + ["label=low"] * 8
    right = [set(line.split("\t")[1]) <= set("xy" if "high" in line else "ab") for line in lines]
    assert np.mean(right) > 0.8  # it has learned what the labels mean
    assert '<span class="asked">label=high</span>' in (told.path / "report.html").read_text()


def test_hostile_texts_stay_texts(free: Run) -> None:
    place = free.path / "samples" / "00000004.txt"
    before = place.read_text()
    place.write_text("<script>alert(1)</script>\na\ttab of its own\u2028one line\n\n")
    html = write_report(free.path).read_text()
    place.write_text(before)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<li>a\ttab of its own\u2028one line</li>" in html
    assert '<span class="soft">(empty)</span>' in html


def test_runs_are_compared_by_what_they_write(free: Run, told: Run, tmp_path: Path) -> None:
    html = kallima.compare([free, told], out=tmp_path / "compare.html").read_text()
    assert html.count('<ol class="writing"') == 2
    assert "step 250" in html
    assert "No samples yet" not in html


def test_long_texts_and_many_steps_are_thinned(tmp_path: Path) -> None:
    paths = {step: tmp_path / f"{step}.txt" for step in range(1, 42)}
    for path in paths.values():
        path.write_text("x" * 3 * LONGEST_TEXT + "\n")
    shown = read_writings(paths, budget=11 * LONGEST_TEXT + 100)
    assert [len(writing.lines[0][1]) for writing in shown] == [LONGEST_TEXT + 1] * len(shown)
    assert (shown[0].step, shown[-1].step) == (1, 41)
    assert 9 <= len(shown) <= 11


class TestJudging:
    """`kallima evaluate` of runs on texts."""

    def test_perplexity_is_the_exponential_of_nats_a_token(self, told: Run, data: Path, call: Call) -> None:
        code, out, err = call("evaluate", told.path, "--metrics", "token-perplexity,nll", "--json")
        assert (code, err) == (0, "")
        found = {score["metric"]: score for score in json.loads(out)["scores"]}
        tokens = np.mean([len(word) + (len(word) < 5) for words in WORDS.values() for word in words])
        value = found["token-perplexity"]["value"]
        assert value == pytest.approx(math.exp(found["nll"]["value"] / tokens), rel=1e-5)
        assert 1 < value < 2.5  # of the four letters and the end
        assert "none of them is unknown to the run" in found["token-perplexity"]["notes"]

    def test_it_is_what_a_run_of_texts_is_asked_first(self, free: Run, call: Call) -> None:
        code, out, _ = call("evaluate", free.path, "--json")
        assert code == 0
        assert [score["metric"] for score in json.loads(out)["scores"]] == ["token-perplexity"]

    def test_a_likelihood_that_is_known_is_no_bound(self, free: Run, call: Call) -> None:
        code, out, _ = call("evaluate", free.path, "--metrics", "nll", "--json")
        assert code == 0
        notes = " ".join(json.loads(out)["scores"][0]["notes"])
        assert "exact, of texts in 4 characters" in notes
        assert "bound" not in notes
        code, _, err = call("evaluate", free.path, "--metrics", "elbo")
        assert code != 0
        assert "elbo is a bound, and TransformerTextModel knows the likelihood itself: ask for nll" in err

    @pytest.mark.parametrize("name", ["other.txt", "other.txt.gz"])
    def test_other_texts_are_coded_as_the_run_has_learned(
        self, name: str, free: Run, call: Call, tmp_path: Path
    ) -> None:
        place = tmp_path / name
        text = b"ba\n\nyxq\naabbaabbaabb\n"
        place.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        code, out, _ = call("evaluate", free.path, "--data", place, "--metrics", "token-perplexity", "--json")
        assert code == 0
        (score,) = json.loads(out)["scores"]
        system, field = kallima.load(free), kallima.load(free).spec["text"]
        assert isinstance(field, Text)
        codes = torch.from_numpy(encode(["ba", "yxq", "aabbaabbaabb"], field))
        nats = system.log_weights_of(Batch({"text": codes}), 1)[0]  # type: ignore[operator]
        assert score["value"] == pytest.approx(math.exp(-nats.sum().item() / (3 + 4 + 5)), rel=1e-5)
        notes = " ".join(score["notes"])
        assert "over 12 characters of 3 texts" in notes
        assert "8.33% of them are unknown to the run" in notes
        assert "1 texts are longer than the 5 codes of the run" in notes

    def test_samples_are_judged_where_it_is_asked_for(self, free: Run, data: Path, call: Call) -> None:
        code, out, _ = call("evaluate", free.path, "--metrics", "distinct-1,perplexity", "--count", 50, "--json")
        assert code == 0
        scores = json.loads(out)["scores"]
        left = scores[0]["generated"]
        assert 25 < left < 50  # it has hardly learned, and some texts end before they begin
        assert all(f"{50 - left} of 50 samples are empty, and left out" in score["notes"] for score in scores)

    def test_data_without_what_a_model_is_told_is_refused(self, told: Run, call: Call, tmp_path: Path) -> None:
        place = tmp_path / "plain.txt"
        for content, words in (
            ("ab\nba\n", "conditional-lstm-lm needs 'text' (Text) and 'label' (Label)"),
            ("mid\tab\nmid\tba\n", "needs data of the run's own classes, and 'mid' of "),
        ):
            place.write_text(content)
            code, _, err = call("evaluate", told.path, "--data", place, "--metrics", "token-perplexity")
            assert code != 0
            assert words in err

    def test_the_metric_is_of_models_of_text_alone(self, call: Call, tmp_path: Path) -> None:
        run = kallima.train("vae", data="digits", out=tmp_path / "vae", steps=1, batch_size=4, doctor="off")
        code, _, err = call("evaluate", run.path, "--metrics", "token-perplexity")
        assert code != 0
        assert "judges models of text, and VAE is of image" in err
        assert METRICS["token-perplexity"].direction == "lower"


class TestWriting:
    """`kallima sample` and `kallima complete` of runs on texts."""

    def test_samples_go_into_a_file(self, free: Run, call: Call, tmp_path: Path) -> None:
        assert call("sample", free.path, "-n", 5, "--out", tmp_path / "made.txt")[0] == 0
        assert len((tmp_path / "made.txt").read_text().split("\n")) == 6
        code, _, err = call("sample", free.path, "-n", 5, "--out", tmp_path / "made.png")
        assert code != 0
        assert "must end in .txt" in err

    def test_samples_of_every_class_are_labelled_data(self, told: Run, call: Call, tmp_path: Path) -> None:
        place = tmp_path / "made.txt"
        assert (
            call("sample", told.path, "-n", 20, "--condition", "label=*", "--temperature", 0.5, "--out", place)[0] == 0
        )
        lines = [line.split("\t") for line in place.read_text().splitlines()]
        assert [label for label, _ in lines] == ["high"] * 20 + ["low"] * 20
        assert np.mean([set(text) <= set("xy" if label == "high" else "ab") for label, text in lines]) > 0.9
        assert open_source(place).fields["label"].to_json()["classes"] == ("high", "low")

    def test_a_beginning_is_gone_on_from(self, told: Run, call: Call) -> None:
        code, out, _ = call("complete", told.path, "xx", "-n", 4, "--condition", "label=high")
        assert code == 0
        lines = out.splitlines()
        assert len(lines) == 4
        assert all(line.startswith("xx") for line in lines)
        assert call("complete", told.path, "xx", "--condition", "label=high", "--beams", 9)[1] == "xxyy\n"
        assert len(call("complete", told.path, "", "-n", 3)[1].splitlines()) == 3

    def test_a_file_is_kept_in_part(self, free: Run, call: Call, tmp_path: Path) -> None:
        place = tmp_path / "starts.txt"
        place.write_text("abab\n\nxyqx\nb\n")  # an empty line, and a letter that the run has never seen
        code, out, _ = call("complete", free.path, place, "--keep", 0.5, "-n", 2)
        assert code == 0
        lines = out.splitlines()
        assert [line[:2] for line in lines[:4]] == ["ab", "ab", "xy", "xy"]
        assert len(lines) == 6

    @pytest.mark.parametrize(
        ("given", "words"),
        [("aé☃b", "the run has never seen 'é', '☃'"), ("ababa", "a beginning has 5 characters, and the run makes 4")],
    )
    def test_beginnings_that_cannot_be_are_refused(self, given: str, words: str, free: Run, call: Call) -> None:
        code, _, err = call("complete", free.path, given)
        assert code != 0
        assert words in err

    def test_several_rows_of_texts_say_what_they_are(self, tmp_path: Path) -> None:
        made = np.array(["a b", "c", "d", "e"], object)
        rows = [{"bold": "true", "age": 3}, {"bold": "false", "age": 4}]
        write_samples(made, str(tmp_path / "x.txt"), "text", rows=rows)
        assert (tmp_path / "x.txt").read_text() == "true, 3\ta b\ntrue, 3\tc\nfalse, 4\td\nfalse, 4\te\n"
        with pytest.raises(UsageError, match=r"must end in \.txt"):
            write_samples(made, f"{tmp_path}/", "text")


class TestPydoc:
    """The embedded texts."""

    def test_the_splits_have_no_sentence_in_common(self) -> None:
        train, test = ([example["text"] for example in Pydoc(split).examples()] for split in ("train", "test"))
        assert len(train) > 1_000
        assert len(test) > 100
        assert not set(train) & set(test)
        assert len(set(train)) == len(train)
        assert Pydoc().fingerprint() != Pydoc("test").fingerprint()

    def test_sentences_are_prose(self) -> None:
        for example in Pydoc().examples():
            assert 20 <= len(example["text"]) <= 160
            assert example["text"][0].isupper()
            assert example["text"][-1] in ".!?"
            assert "::=" not in example["text"]

    def test_it_opens_by_name_and_is_text(self) -> None:
        source = open_source("pydoc")
        assert Spec(source.fields).medium == "text"
