"""`kallima explore`: pictures of latent spaces, sums that read as what they should be, and refusals in one line."""

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
from kallima.conditions import Conditions
from kallima.data.digits import Digits
from kallima.data.spec import Spec
from kallima.errors import UsageError
from kallima.exploring import EXPLORATIONS
from kallima.exploring.reader import wanted
from kallima.exploring.subject import Subject
from kallima.system import System
from tests.test_learning import QUIET

DIGITS = Digits("train")
PIXELS = np.stack([DIGITS.read(index)["image"] for index in range(len(DIGITS))]).reshape(-1, 64) / 127.5 - 1
LABELS = np.array([DIGITS.read(index)["label"] for index in range(len(DIGITS))])
MEANS = torch.tensor(np.stack([PIXELS[k == LABELS].mean(0) for k in range(10)]), dtype=torch.float32)


class Stand(System):
    """A system on the digits that needs no training."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = Spec(DIGITS.fields)
        self.parts = {"z": slice(0, 10)}

    def game(self) -> list[Any]:
        return []

    @torch.no_grad()
    def latents(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
        return torch.randn(count, 10, generator=rng)


class Blend(Stand):
    """Of noise z it makes the mean image of the largest class in it, and a little of the others."""

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        return ((8 * latents[:, :10]).softmax(1) @ MEANS).view(-1, 1, 8, 8)


class Principal(Stand):
    """The principal components of the digits: a linear encoder, and the linear decoder that goes with it."""

    def __init__(self) -> None:
        super().__init__()
        pixels = torch.tensor(PIXELS, dtype=torch.float32)
        self.middle = pixels.mean(0)
        self.axes = torch.linalg.svd(pixels - self.middle, full_matrices=False)[2][:10]

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        return (self.middle + latents @ self.axes).view(-1, 1, 8, 8)

    @torch.no_grad()
    def encode(self, examples: Tensor) -> Tensor:
        return (examples.flatten(1) - self.middle) @ self.axes.T


class Told(Stand):
    """It makes the mean image of the class that it is asked for, brighter or darker by z₀."""

    def __init__(self) -> None:
        super().__init__()
        self.conditions = Conditions(self.spec)
        self.parts = {"z": slice(0, 10), "label": slice(10, 20)}

    @torch.no_grad()
    def latents(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
        return torch.cat([torch.randn(count, 10, generator=rng), self.conditions.draw(count, rng)], 1)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        return ((latents[:, 10:] @ MEANS) * (1 + 0.05 * latents[:, :1])).view(-1, 1, 8, 8)

    def sample(self, count: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        raise AssertionError


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained runs: on digits, on digits under labels, on points in the plane."""
    folder = tmp_path_factory.mktemp("explore")
    wanted: dict[str, tuple[str, str]] = {
        "gan": ("gan", "digits"),
        "cgan": ("cgan", "digits"),
        "ring": ("gan", "ring"),
        "line": ("gan", "mixture"),
    }
    small: dict[str, Any] = {**QUIET, "width": 8, "latent_dim": 4, "steps": 1, "batch_size": 8, "doctor": "off"}
    for name, (recipe, data) in wanted.items():
        kallima.train(recipe, data=data, out=folder / name, **small)
    return {name: folder / name for name in wanted}


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a system in the place of a run's own."""

    def put(system: System) -> None:
        monkeypatch.setattr("kallima.exploring.subject.load", lambda run, device: system)

    return put


SMALL: dict[str, dict[str, Any]] = {
    "interpolate": {"rows": 2, "steps": 3},
    "traverse": {"steps": 3},
    "grid": {"side": 3, "along": "0,1"},
    "project": {"count": 2, "steps": 2, "restarts": 2},
    "neighbours": {"count": 2, "nearest": 2},
    "truncate": {"count": 3},
}


@pytest.mark.parametrize("what", SMALL)
@pytest.mark.parametrize("name", ["gan", "cgan"])
def test_each_writes_a_picture_and_gives_its_rows(name: str, what: str, runs: dict[str, Path], tmp_path: Path):
    found = kallima.explore(runs[name], what, out=tmp_path / "deep" / "x.png", device="cpu", **SMALL[what])
    with Pillow.open(tmp_path / "deep" / "x.png") as picture:
        assert picture.size == found.picture.size
    shapes = [row.examples.shape for row in found.rows]
    assert all(shape[1:] == (8, 8, 1) for shape in shapes)
    rows, columns = {
        "interpolate": (2, 3),
        "traverse": (4, 3) if name == "gan" else (8, 10),
        "grid": (3, 3),
        "project": (2, 2),
        "neighbours": (2, 3),
        "truncate": (4, 3),
    }[what]
    assert [shape[0] for shape in shapes] == [columns] * rows
    again = kallima.explore(runs[name], what, device="cpu", **SMALL[what])
    assert all(np.array_equal(a.examples, b.examples) for a, b in zip(found.rows, again.rows, strict=True))


def test_a_conditional_run_is_walked_under_its_conditions(runs: dict[str, Path], stand: Any):
    stand(Told())
    ways = kallima.explore(runs["cgan"], "interpolate", condition="label=3; label=8", steps=3, device="cpu")
    assert [row.name for row in ways.rows] == ["label=3", "label=8"]
    for row, label in zip(ways.rows, (3, 8), strict=True):
        assert all(_nearest_mean(image) == label for image in row.examples)
        assert not np.array_equal(row.examples[0], row.examples[-1])
    over = kallima.explore(runs["cgan"], "interpolate", condition="label=3", to="label=8", rows=2, device="cpu")
    apart = kallima.explore(runs["cgan"], "interpolate", condition="label=3; label=8", device="cpu")
    assert [[_nearest_mean(row.examples[place]) for place in (0, -1)] for row in over.rows] == [[3, 8]] * 2
    for end, row in zip((0, -1), apart.rows, strict=True):  # under either condition of the same noise
        np.testing.assert_array_equal(over.rows[0].examples[end], row.examples[0])
    classes = kallima.explore(runs["cgan"], "traverse", rows=2, device="cpu")
    assert classes.rows[0].name == "label: 0 … 9"
    assert [[_nearest_mean(image) for image in row.examples] for row in classes.rows] == [list(range(10))] * 2


def test_points_are_drawn_in_the_plane(runs: dict[str, Path]):
    for what in ("interpolate", "traverse", "grid", "truncate"):
        found = kallima.explore(runs["ring"], what, device="cpu", **SMALL[what])
        assert found.rows[0].examples.shape[1:] == (2,)
        assert min(found.picture.size) > 100


class TestArithmetic:
    def test_a_linear_systems_sum_is_the_sum_of_mean_images(self, runs: dict[str, Path], stand: Any):
        system = Principal()
        stand(system)
        terms = {"positive": "label=8", "negative": "label=3", "add": "label=5"}
        found = kallima.explore(runs["gan"], "arithmetic", examples=500, score=False, device="cpu", **terms)
        assert [row.name for row in found.rows] == ["label=8", "− (label=3)", "+ (label=5)", "= the sum"]
        expected = system.decode(system.encode((MEANS[8] - MEANS[3] + MEANS[5])[None])).view(8, 8)
        assert np.abs(found.rows[3].examples[0, ..., 0] - (expected.numpy().clip(-1, 1) + 1) * 127.5).max() < 1
        once, twice = (
            kallima.explore(runs["gan"], "arithmetic", strength=s, score=False, device="cpu", **terms) for s in (0, 2)
        )
        assert np.array_equal(once.rows[3].examples, once.rows[2].examples)
        assert not np.array_equal(twice.rows[3].examples, found.rows[3].examples)

    @pytest.mark.parametrize("system", [Principal, Blend, Told])
    def test_what_is_added_is_seen_by_the_probe(self, system: type[Stand], runs: dict[str, Path], stand: Any):
        """By the encoder, by what probes read in samples, and by telling: threes become eights."""
        stand(system())
        terms = {"positive": "label=8", "negative": "label=3", "add": "label=3"}
        found = kallima.explore(runs["gan"], "arithmetic", device="cpu", examples=100, **terms)
        assert found.scores["before"] < 0.1
        assert found.scores["after"] > {Principal: 0.75, Blend: 0.5, Told: 0.95}[system]
        assert found.scores["probes"] > 0.9
        how = {Principal: "by the encoder", Blend: "what probes read", Told: "it is told"}[system]
        assert how in found.notes[0].replace("the system is told", "it is told")

    def test_it_is_said_what_a_sum_should_be(self):
        regular, bold = {"bold": "false", "italic": "false"}, {"bold": "true", "italic": "false"}
        italic = {"bold": "false", "italic": "true", "label": "G"}
        assert wanted(bold, regular, italic) == {"bold": "true", "italic": "true", "label": "G"}
        assert wanted(regular, regular, italic) == italic


class TestProjection:
    def test_descent_finds_what_the_system_made(self, runs: dict[str, Path], stand: Any, tmp_path: Path):
        system = Blend()
        stand(system)
        made = Subject(runs["gan"], "project", device="cpu").show(system.latents(3))
        for number, image in enumerate(made):
            Pillow.fromarray(image[..., 0]).save(tmp_path / f"{number}.png")
        options: dict[str, Any] = {"images": str(tmp_path), "device": "cpu", "steps": 100}
        found = kallima.explore(runs["gan"], "project", **options)
        assert found.scores["rmse"] < 0.02
        assert {row.name for row in found.rows} == {"image", "projected"}
        assert kallima.explore(runs["gan"], "project", **{**options, "steps": 1}).scores["rmse"] > 0.02

    def test_an_encoder_is_used_where_there_is_one(self, runs: dict[str, Path], stand: Any):
        stand(Principal())
        found = kallima.explore(runs["gan"], "project", device="cpu", count=40)
        kept = np.linalg.svd(PIXELS - PIXELS.mean(0))[1]
        share = (kept[10:] ** 2).sum() / PIXELS.size
        assert found.notes[0] == "by the encoder"
        assert found.scores["rmse"] == pytest.approx(np.sqrt(share) / 2, rel=0.15)

    def test_the_label_of_an_image_is_held(self, runs: dict[str, Path], stand: Any):
        stand(Told())
        found = kallima.explore(runs["cgan"], "project", device="cpu", count=20, steps=1)
        order = np.random.default_rng(0).permutation(len(LABELS))[:20]
        assert [_nearest_mean(image) for image in found.rows[1].examples] == LABELS[order].tolist()


def test_neighbours_are_the_nearest(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    class Means(Stand):
        def sample(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
            return MEANS[torch.arange(count) % 10].view(-1, 1, 8, 8)

    monkeypatch.setattr("kallima.api.load", lambda run, device: Means())
    found = kallima.explore(runs["gan"], "neighbours", count=10, nearest=2, features="pixels:8", device="cpu")
    stored = ((PIXELS + 1) * 127.5).round()
    closest = []
    for row in found.rows:
        sample, *near = row.examples.reshape(3, 64).astype(float)
        distances = np.sort(np.square(stored - sample).sum(1))[:2]
        assert np.square(near - sample).sum(1) == pytest.approx(distances)
        closest.append(distances[0])
    assert closest == sorted(closest)
    assert closest[-1] > 2 * closest[0]


def test_the_command_tells_where_the_picture_is(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]):
    assert main(["explore", str(runs["gan"]), "grid", "--along", "0,1", "--side", "3", "--device", "cpu"]) == 0
    told = capsys.readouterr()
    assert told.out.strip() == str(runs["gan"] / "explored" / "grid.png")
    assert "0 rightwards, 1 upwards" in told.err
    with Pillow.open(told.out.strip()) as picture:
        assert picture.size == (3 * 64 + 4, 3 * 64 + 4)
    words = ["explore", str(runs["gan"]), "project", "-n", "1", "--steps", "1", "--device", "cpu", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["rmse"] > 0


def test_help_tells_the_options_of_each(capsys: pytest.CaptureFixture[str]):
    assert main(["explore", "--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in EXPLORATIONS)
    for name in EXPLORATIONS:
        assert main(["explore", "RUN", name, "--help"]) == 0
        assert "--out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("gan", [], "name the run and then what to do"),
        ("gan", ["interpolte"], "did you mean 'interpolate'?"),
        ("gan", ["interpolate", "--stepps", "3"], "explore has no option '--stepps'; did you mean '--steps'?"),
        ("gan", ["interpolate", "--steps", "1"], "--steps must be at least 2, not 1"),
        ("gan", ["interpolate", "--condition", "label=3"], "cannot be asked for anything"),
        ("cgan", ["interpolate", "--to", "label=3"], "--to goes from one condition to one other"),
        ("cgan", ["interpolate", "--condition", "label=3", "--to", "label=*"], "--to goes from one condition to one"),
        ("cgan", ["interpolate", "--condition", "label=x"], "label has no class 'x'"),
        ("cgan", ["traverse", "--along", "lable"], "did you mean 'label'?"),
        ("cgan", ["truncate", "--condition", "label=*"], "truncate holds one condition, and 'label=*' is several"),
        ("cgan", ["grid", "--along", "label,0"], "a grid shows two numbers"),
        ("gan", ["grid"], "the noise has 4 numbers and a grid shows two"),
        ("gan", ["grid", "--along", "0,4"], "there are the coordinates 0 to 3"),
        ("gan", ["truncate", "--limit", "0"], "--limit must be above 0, not 0"),
        ("gan", ["truncate", "--limit", "1e-30"], "hardly any noise lies within"),
        ("gan", ["project", "--by", "encoder"], "GAN does not encode: use --by descent"),
        ("gan", ["project", "--images", "nowhere/"], "no such path: nowhere/"),
        ("gan", ["neighbours", "--nearest", "0"], "--count and --nearest must be at least 1"),
        ("ring", ["project"], "project is for images, and this run makes points"),
        ("ring", ["neighbours"], "neighbours is for images, and this run makes points"),
        ("line", ["interpolate"], "interpolate draws points of 2 dimensions, and this run's have 1"),
        ("gan", ["arithmetic", "--positive", "label=3"], "missing --negative, --add"),
        ("gan", ["interpolate", "--out", "x.docx"], "let the name end in .png"),
    ],
)
def test_mistakes_are_told_in_one_line(
    name: str, words: list[str], message: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
):
    assert main(["explore", str(runs[name]), *words]) in (1, 2)
    told = capsys.readouterr().err
    assert message in told.replace("the following arguments are required: ", "")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (("label=x", "label=3", "label=3"), "label has no class 'x'"),
        (("label=3", "label=3", "label=3"), "do not differ"),
        (("label=*", "label=3", "label=3"), "--positive takes one condition, such as label=0, not 'label=\\*'"),
        (("label=8", "bold=true", "label=3"), "nothing called 'bold' can be asked for"),
    ],
)
def test_terms_that_make_no_sum_are_refused(terms: tuple[str, str, str], message: str, runs: dict[str, Path]):
    names = ("positive", "negative", "add")
    with pytest.raises(UsageError, match=message):
        kallima.explore(runs["gan"], "arithmetic", device="cpu", **dict(zip(names, terms, strict=True)))


def test_samples_that_show_too_little_are_refused(runs: dict[str, Path], stand: Any):
    """Of this system no sample is an eight, and a mean over none would be a lie."""

    class Poor(Stand):
        @torch.no_grad()
        def decode(self, latents: Tensor) -> Tensor:
            return MEANS[3].expand(len(latents), 64).view(-1, 1, 8, 8)

    stand(Poor())
    with pytest.raises(UsageError, match="are read as label=8, too few for a mean"):
        kallima.explore(runs["gan"], "arithmetic", device="cpu", positive="label=8", negative="label=3", add="label=3")


def test_a_system_that_decodes_nothing_is_refused(runs: dict[str, Path], stand: Any):
    class Mute(System):
        spec = Spec(DIGITS.fields)

        def game(self) -> list[Any]:
            return []

    stand(Mute())
    with pytest.raises(UsageError, match="traverse needs a system that decodes latents, and Mute does not"):
        kallima.explore(runs["gan"], "traverse", device="cpu")


def test_unknown_options_are_refused_in_python():
    with pytest.raises(UsageError, match="traverse has no option 'stepps'; did you mean 'steps'"):
        kallima.explore("nowhere", "traverse", stepps=3)


def _nearest_mean(image: np.ndarray) -> int:
    values = torch.from_numpy(image.reshape(1, 64).astype(np.float32) / 127.5 - 1)
    return int((MEANS - values).square().sum(1).argmin())
