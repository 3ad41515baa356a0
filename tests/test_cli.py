import functools
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import kallima
from kallima import api
from kallima.cli import COMMANDS, find, main
from kallima.cli.completion import complete
from kallima.cli.output import emit_json, table
from kallima.data.opening import EMBEDDED
from kallima.errors import DataError
from kallima.exploring import EXPLORATIONS
from kallima.recipe import recipes

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process; returns the exit code, standard output and standard error."""

    def call(*words: str | Path) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(word) for word in words])
        return code, *capfd.readouterr()

    return call


def command(*words: str | Path, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run the command as a user would."""
    environment = ENVIRONMENT | options.pop("environment", {})
    return subprocess.run(
        [sys.executable, "-m", "kallima", *map(str, words)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=120,
        **options,
    )


@pytest.fixture
def trained_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What `api.train` is called with, in place of a training."""
    called: dict[str, Any] = {}

    @functools.wraps(api.train)
    def train(recipe: str, **given: Any) -> kallima.Run:
        called.update(given, recipe=recipe)
        return kallima.Run.create(tmp_path / "run", {"recipe": recipe})

    monkeypatch.setattr(api, "train", train)
    return called


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps on points."""
    folder = tmp_path_factory.mktemp("runs") / "points"
    words = [
        "train",
        "gan",
        "--data",
        "ring",
        "--steps",
        "4",
        "--batch-size",
        "8",
        "--width",
        "8",
        "--out",
        str(folder),
    ]
    assert main(words) == 0
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps on images."""
    folder = tmp_path_factory.mktemp("runs") / "images"
    kallima.train("gan", data="digits", steps=2, batch_size=8, width=8, depth=1, out=folder)
    return folder


@pytest.mark.parametrize(
    "words",
    [
        *(["--help"], ["recipes"], ["show", "dcgan"], ["train", "dcgan", "--help"], ["explore", "--help"]),
        ["--version"],
    ],
)
def test_what_a_person_waits_for_comes_at_once_and_without_torch(words: list[str]) -> None:
    code = (
        "import sys\n"
        "from kallima.cli import main\n"
        f"code = main({words!r})\n"
        "sys.exit('it imports torch' if 'torch' in sys.modules else code)"
    )
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=ENVIRONMENT
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 1.0  # of the processor, which other work on the machine does not lengthen; 0.5 s alone
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_overview_names_every_command(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert all(name in out for name in COMMANDS)
    assert run()[1] == out
    code, out, _ = run("data", "--help")
    assert (code, "data check" in out, "resume" in out) == (0, True, False)


def test_the_version(run: Run) -> None:
    assert run("--version") == (0, f"kallima {kallima.__version__}\n", "")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("train", "explore")])
def test_every_command_has_a_help_with_a_text_for_every_option(name: str, run: Run) -> None:
    code, out, err = run(*name.split(), "--help")
    assert (code, err) == (0, "")
    chosen = find(name.split())
    assert chosen.name == name
    assert chosen.description
    for parameter in chosen.parameters:
        assert parameter.help, parameter.name
        assert parameter.flag in out or parameter.positional


@pytest.mark.parametrize("what", EXPLORATIONS)
def test_every_exploration_has_a_help_with_a_text_for_every_option(what: str, run: Run) -> None:
    code, out, err = run("explore", "some/run", what, "--help")
    assert (code, err) == (0, "")
    for parameter in find(["explore", "some/run", what]).parameters:
        assert parameter.help, parameter.name
        assert parameter.flag in out or parameter.positional


def test_the_help_of_a_training_lists_the_recipes_arguments_beside_the_options(run: Run) -> None:
    code, out, _ = run("train", "dcgan", "--help")
    assert code == 0
    text = " ".join(out.split())
    assert "--width INT Units of a dense layer" in text
    assert "--generator {auto,mlp,dcgan,resnet,r3}" in text
    assert "(default: dcgan)" in text  # the recipe's own
    assert "--data SOURCE" in text
    assert "--crop {centre,random,none}" in text
    assert "(default: 20000)" in text  # the recipe's own number of steps
    code, out, _ = run("train", "--help")
    assert code == 0
    assert all(f"{name} " in out for name in recipes())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "no command 'trian'; did you mean 'train'?"),
        (["data", "chek"], "no command 'data chek'; did you mean 'data check'?"),
        (["frobnicate"], "no command 'frobnicate'; see kallima --help"),
        (["show", "dcgna"], "no recipe 'dcgna'; did you mean 'dcgan'?"),
        (["train", "dcgna", "--data", "glyphs"], "no recipe 'dcgna'; did you mean 'dcgan'?"),
        (["train", "dcgan", "--widht", "3"], "train dcgan has no option '--widht'; did you mean '--width'?"),
        (
            ["train", "dcgan", "--data", "glyphs", "--sed=1"],
            "train dcgan has no option '--sed'; did you mean '--seed'?",
        ),
        (["train", "dcgan"], "missing --data (see kallima train dcgan --help)"),
        (["train", "dcgan", "--data"], "argument --data: expected one argument (see kallima train dcgan --help)"),
        (["train", "dcgan", "--data", "glyphs", "5"], "not understood: 5 (see kallima train dcgan --help)"),
        (["train", "dcgan", "--data", "glyphs", "--steps", "many"], "--steps must be a whole number, not 'many'"),
        (["train", "dcgan", "--data", "glyphs", "--steps", "-5"], "--steps must be at least 0, not -5"),
        (["train", "dcgan", "--data", "glyphs", "--width=wide"], "--width must be a whole number, not 'wide'"),
        (
            ["train", "dcgan", "--data", "glyphs", "--crop", "center"],
            "--crop must be centre, random or none, not 'center'; did you mean 'centre'?",
        ),
        (["sample", "run"], "missing --out (see kallima sample --help)"),
        (["report"], "missing RUN (see kallima report --help)"),
        (["report", "one", "two"], "not understood: two (see kallima report --help)"),
        (["completion", "bsh"], "shell must be bash, zsh or fish, not 'bsh'; did you mean 'bash'?"),
        (
            ["train", "--data", "glyphs"],
            "name the recipe first: kallima train RECIPE --data SOURCE; kallima recipes lists them",
        ),
        (["data", "show", "glyphs", "--out", "a.png", "-n", "0"], "--count must be at least 1, not 0"),
    ],
)
def test_a_usage_error_is_one_plain_line_and_code_2(words: list[str], message: str, run: Run) -> None:
    assert run(*words) == (2, "", f"error: {message}\n")


def test_a_failure_is_one_line_and_code_1(run: Run, tmp_path: Path) -> None:
    code, out, err = run("sample", tmp_path / "nowhere", "--out", "a.png")
    assert (code, out) == (1, "")
    assert err == f"error: {tmp_path}/nowhere is no run: it has no run.json\n"


def test_data_that_does_not_fit_the_recipe_is_a_failure(run: Run, tmp_path: Path) -> None:
    code, out, err = run("train", "dcgan", "--data", "ring", "--out", tmp_path / "run")
    assert (code, out) == (1, "")
    assert err.startswith("error: dcgan needs 'image' (Image), but the data has only points (Points): ")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_traceback_is_shown_only_when_asked_for(place: int, run: Run, tmp_path: Path) -> None:
    words = ["sample", str(tmp_path / "nowhere"), "--out", "a.png"]
    assert "Traceback" not in run(*words)[2]
    code, _, err = run(*words[:place], "--debug", *words[place:])
    assert code == 1
    assert err.startswith("Traceback")
    assert "RunError" in err


def test_an_unforeseen_error_is_one_line_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(run: str) -> Path:
        raise ZeroDivisionError("first line\nsecond line")

    monkeypatch.setattr(api, "report", fail)
    expected = "error: ZeroDivisionError: first line second line (run it again with --debug for the traceback)\n"
    assert run("report", "x") == (1, "", expected)
    assert "Traceback" in run("report", "x", "--debug")[2]


def test_an_interrupt_outside_a_training(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(run: str) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "report", interrupt)
    assert run("report", "x") == (130, "", "error: interrupted\n")


def test_an_operating_systems_error_names_the_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(run: str) -> str:
        return Path(run).read_text()

    monkeypatch.setattr(api, "report", read)
    code, _, err = run("report", "no/such/file")
    assert (code, err) == (1, "error: no/such/file: No such file or directory\n")


def test_errors_of_other_ranks_say_whose_they_are(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    assert run("show", "dcgna")[2] == "[rank 3] error: no recipe 'dcgna'; did you mean 'dcgan'?\n"


def test_only_the_first_rank_prints_results(run: Run, monkeypatch: pytest.MonkeyPatch, trained_with: Any) -> None:
    monkeypatch.setenv("RANK", "1")
    assert run("recipes") == (0, "", "")
    assert run("train", "gan", "--data", "ring", "--json") == (0, "", "")


def test_a_reader_that_goes_away_is_no_error() -> None:
    writer = subprocess.Popen(
        [sys.executable, "-m", "kallima", "show", "dcgan"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert writer.stdout
    assert writer.stderr
    writer.stdout.close()
    assert writer.stderr.read() == ""
    assert writer.wait() == 0
    writer.stderr.close()


def test_words_become_typed_arguments(run: Run, trained_with: dict[str, Any]) -> None:
    words = "--data photos/ --steps 1e5 --batch_size=8 --channels 3 --size 64 --crop none --flip --no-channels-last"
    code, _, _ = run("train", "dcgan", *words.split(), "--width", "32", "--learning-rate", "1", "--out", "here/")
    assert code == 0
    assert trained_with == {
        "recipe": "dcgan",
        "data": "photos/",
        "steps": 100_000,
        "batch_size": 8,
        "channels": 3,
        "size": 64,
        "crop": "none",
        "flip": True,
        "channels_last": False,
        "width": 32,
        "learning_rate": 1.0,
        "out": "here/",
    }
    assert isinstance(trained_with["learning_rate"], float)


def test_what_is_left_out_is_left_to_the_api(run: Run, trained_with: dict[str, Any]) -> None:
    assert run("train", "gan", "--data", "ring")[0] == 0
    assert trained_with == {"recipe": "gan", "data": "ring"}


def test_recipes_and_cards_for_scripts(run: Run) -> None:
    listed = json.loads(run("recipes", "--json")[1])
    assert [recipe["name"] for recipe in listed] == list(recipes())
    assert listed[0].keys() == {"name", "family", "paper", "summary", "needs", "steps", "batch_size"}
    card = json.loads(run("show", "gan", "--json")[1])
    assert card["needs"] == [{"points": "Points"}, {"image": "Image"}]
    arguments = {argument["name"]: argument for argument in card["arguments"]}
    assert arguments["depth"]["type"] == "int"
    assert arguments["schedule"]["type"] == "Literal['constant', 'cosine']"
    assert "min_G max_D" in card["card"]


def test_recipes_and_cards_for_people(run: Run) -> None:
    code, out, _ = run("recipes")
    assert code == 0
    starts = {
        line.index(recipe.summary)
        for recipe in recipes().values()
        for line in out.splitlines()
        if recipe.summary in line
    }
    assert len(starts) == 1  # aligned
    text = run("show", "dcgan")[1]
    assert all(
        word in text for word in ("arXiv:1511.06434", "min_G max_D", "'image' (Image)", "--latent-dim", "20,000")
    )


def test_tables_are_wrapped_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("a", "one two three four five"), ("long", "six")]
    assert table(rows) == "  a     one two three four five\n  long  six"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "30")
    assert table(rows) == "  a     one two three four\n        five\n  long  six"


def test_json_has_no_number_that_json_has_not(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json({"scores": [{"value": float("nan"), "spread": (1.5, float("inf"))}]})
    assert json.loads(capsys.readouterr().out) == {"scores": [{"value": None, "spread": [1.5, None]}]}


def test_a_training_prints_its_run_and_nothing_else_on_standard_output(points: Path, run: Run) -> None:
    words = ("train", "gan", "--data", "ring", "--steps", "2", "--batch-size", "8", "--width", "8")
    done = command(*words, "--out", points.parent / "again", "--json")
    assert done.returncode == 0, done.stderr
    folder = str(points.parent / "again")
    expected = {"run": folder, "status": "finished", "step": 2, "report": f"{folder}/report.html"}
    assert json.loads(done.stdout) == expected
    assert done.stdout.count("\n") == 1
    assert "step" in done.stderr
    code, out, err = run(*words, "--out", points.parent / "third")
    assert (code, out) == (0, f"{points.parent / 'third'}\n")
    assert f"kallima evaluate {points.parent / 'third'}" in err


def test_a_run_is_not_trained_over(points: Path, run: Run) -> None:
    code, out, err = run("train", "gan", "--data", "ring", "--out", points, "--width", "8")
    assert (code, out) == (1, "")
    assert (
        err == f"error: {points} already holds a run: go on with 'kallima resume {points}', or choose another --out\n"
    )


def test_a_dry_run_says_what_would_be_and_does_nothing(run: Run, tmp_path: Path) -> None:
    words = ("train", "gan", "--data", "ring", "--width", "8", "--batch-size", "8", "--dry-run", "--steps", "77")
    code, out, _ = run(*words, "--out", tmp_path / "run", "--json")
    assert code == 0
    plan = json.loads(out)
    assert (plan["arguments"]["width"], plan["options"]["steps"], plan["options"]["batch_size"]) == (8, 77, 8)
    # 16 latents to 8, twice 8 to 8, 8 to 2 dimensions, with biases
    assert plan["parameters"]["generator"] == 16 * 8 + 8 + 2 * (8 * 8 + 8) + 8 * 2 + 2
    assert not (tmp_path / "run").exists()
    assert "parameters" in run(*words)[1]


def test_a_run_is_resumed(points: Path, run: Run) -> None:
    code, out, _ = run("resume", points, "--steps", "6", "--json")
    assert code == 0
    assert json.loads(out) == {
        "run": str(points),
        "status": "finished",
        "step": 6,
        "report": str(points / "report.html"),
    }
    code, _, err = run("resume", points, "--steps", "5")
    assert code == 2
    assert "is at step 6 already" in err


def test_samples_are_written_in_the_datas_own_units(images: Path, points: Path, run: Run, tmp_path: Path) -> None:
    assert run("sample", images, "-n", "5", "--seed", "1", "--out", tmp_path / "a.npz")[:2] == (
        0,
        f"{tmp_path}/a.npz\n",
    )
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert list(file) == ["samples"]
        first = file["samples"]
    assert (first.shape, first.dtype) == ((5, 8, 8, 1), np.uint8)
    assert run("sample", images, "--count=5", "--seed", "1", "--out", tmp_path / "b.npz")[0] == 0
    with np.load(tmp_path / "b.npz", allow_pickle=False) as file:
        assert (file["samples"] == first).all()
    assert run("sample", images, "-n5", "--out", f"{tmp_path}/folder/")[0] == 0
    assert len(list((tmp_path / "folder").iterdir())) == 5
    assert run("sample", images, "-n", "4", "--out", tmp_path / "grid.png")[0] == 0
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size[0] == grid.size[1] > 16
    assert run("sample", points, "-n", "7", "--out", tmp_path / "p.npz")[0] == 0
    with np.load(tmp_path / "p.npz", allow_pickle=False) as file:
        assert (file["samples"].shape, file["samples"].dtype) == ((7, 2), np.float32)


def test_scores_for_scripts_and_people(points: Path, run: Run) -> None:
    code, out, _ = run("evaluate", points, "--metrics", "modes,high-quality", "--count", "64", "--json")
    assert code == 0
    scores = json.loads(out)["scores"]
    assert [score["metric"] for score in scores] == ["modes", "high-quality"]
    assert {"value", "spread", "extractor", "real", "generated", "split", "seed"} <= scores[0].keys()
    assert json.loads((points / "scores.json").read_text())["scores"][0]["metric"] == "modes"
    code, out, _ = run("evaluate", points, "--metrics", "modes", "--count", "64")
    assert code == 0
    assert "metric" in out
    assert "modes" in out
    code, out, err = run("evaluate", points, "--metrics", "mdoes")
    assert (code, out) == (2, "")
    assert "did you mean 'modes'?" in err


def test_reports_and_comparisons(points: Path, images: Path, run: Run, tmp_path: Path) -> None:
    assert run("report", points)[:2] == (0, f"{points / 'report.html'}\n")
    page = tmp_path / "compare.html"
    code, out, _ = run("compare", points, "--out", page, images)
    assert (code, out.splitlines()[-1]) == (0, str(page))
    assert page.read_text().lstrip().startswith("<!")
    code, out, _ = run("compare", points, images, "--out", page, "--json")
    compared = json.loads(out)
    assert (code, compared["page"]) == (0, str(page))
    assert [row["recipe"] for row in compared["runs"]] == ["gan", "gan"]
    assert run("compare", points, "--out", page) == (2, "", "error: a comparison needs at least two runs\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_training_cleanly(number: signal.Signals, code: int, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ["train", "gan", "--data", "ring", "--batch-size", "8", "--width", "8", "--log-every", "1", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "kallima", *words, "--out", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    events = folder / "events.jsonl"
    deadline = time.monotonic() + 60
    while not (events.is_file() and events.stat().st_size) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    told = json.loads(out)
    assert (told["run"], told["status"]) == (str(folder), "interrupted")
    assert 0 < told["step"] < 5_000
    assert f"kallima resume {folder}" in err


def test_data_is_listed(run: Run) -> None:
    names = {entry["name"] for entry in json.loads(run("data", "list", "--json")[1])}
    assert {"glyphs", "digits", "gaussian", "ring", "grid", "spiral", "two-moons"} <= names
    assert all(name in run("data", "list")[1] for name in names)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three good pictures and two that are none."""
    place = tmp_path / "photos"
    place.mkdir()
    for index in range(3):
        Image.new("RGB", (10, 8), (index, 0, 0)).save(place / f"{index}.png")
    (place / "empty.png").write_bytes(b"")
    (place / "text.png").write_text("no picture")
    return place


def test_broken_data_is_told_and_is_code_1(folder: Path, run: Run) -> None:
    code, out, err = run("data", "check", folder, "--json")
    assert (code, err) == (1, "")
    told = json.loads(out)
    assert told["usable"] == 3
    assert {Path(problem["path"]).name for problem in told["problems"]} == {"empty.png", "text.png"}
    assert all(problem["problem"] for problem in told["problems"])
    code, out, _ = run("data", "check", folder)
    assert code == 1
    assert len(out.splitlines()) == 3
    assert out.splitlines()[-1].startswith("3 of 5 examples can be used (image: RGB, 10×8")


def test_whole_data_is_code_0(run: Run) -> None:
    code, out, _ = run("data", "check", "gaussian", "--json")
    told = json.loads(out)
    assert (code, told["problems"]) == (0, [])
    assert told["usable"] > 0


def test_data_is_shown_as_a_training_would_see_it(folder: Path, run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "seen.png"
    code, out, err = run("data", "show", folder, "--out", picture)
    assert (code, out) == (1, "")
    assert "--skip-bad" in err
    words = ("data", "show", folder, "--out", picture, "--skip-bad", "--size", "4", "--channels", "1", "-n", "1")
    assert run(*words)[:2] == (0, f"{picture}\n")
    with Image.open(picture) as seen:
        assert (seen.mode, seen.width) == ("L", seen.height)
    assert run("data", "show", "ring", "--out", picture)[0] == 0


def test_data_is_prepared(run: Run) -> None:
    code, out, _ = run("data", "prepare", "digits", "--size", "4")
    assert code == 0
    assert out.startswith("digits: ")
    assert "grey, 4×4" in out


def test_words_are_completed() -> None:
    embedded = [name for name in EMBEDDED if name.startswith("gl")]
    assert {"glyphs", "glyphs-weights"} <= set(embedded)
    assert complete(["tr"]) == ["train"]
    assert complete(["data", ""]) == ["list", "check", "show", "prepare", "statistics"]
    assert complete(["train", "gan-m"]) == ["gan-minimax"]
    assert complete(["show", ""]) == list(recipes())
    assert complete(["train", "dcgan", "--wi"]) == ["--width"]
    assert complete(["train", "gan", "--wi"]) == ["--width"]
    assert complete(["train", "dcgan", "--crop", "c"]) == ["centre"]
    assert complete(["train", "dcgan", "--data", "gl"]) == embedded
    assert complete(["explore", "some/run", "pro"]) == ["project"]
    assert complete(["data", "check", "gl"]) == embedded
    assert complete(["train", "dcgan", "--no-"]) == ["--no-channels-last"]
    assert complete(["completion", ""]) == ["bash", "zsh", "fish"]
    assert complete(["sample", "runs/"]) == []  # the shell knows files better
    assert complete(["nonsense", ""]) == []


def test_completing_does_not_wait_for_torch() -> None:
    code = "import sys; from kallima.cli import main; main(['__complete', 'train', 'dcgan', '--wi'])"
    code += "; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "--width\n", "")


def test_bash_completes(run: Run, tmp_path: Path) -> None:
    script = run("completion", "bash")[1]
    program = tmp_path / "kallima"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m kallima "$@"\n')
    program.chmod(0o755)
    test = script + 'COMP_WORDS=(kallima train dcgan --wi); COMP_CWORD=3; _kallima; echo "${COMPREPLY[@]}"'
    environment = ENVIRONMENT | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", test], capture_output=True, text=True, check=False, env=environment)
    assert (done.stdout, done.stderr) == ("--width\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script(shell: str, run: Run) -> None:
    code, out, _ = run("completion", shell)
    assert code == 0
    assert "kallima __complete" in out


def test_the_public_names_are_there_and_errors_are_the_same() -> None:
    for name in kallima.__all__:
        assert getattr(kallima, name).__name__ == name
    assert set(kallima.__all__) < set(dir(kallima))
    assert kallima.DataError is DataError
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = kallima.trian
