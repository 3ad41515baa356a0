import dataclasses
import importlib
import inspect
import json
import subprocess
import sys
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

import pytest

from kallima.data.spec import Image, Label, Points, Spec, Text
from kallima.errors import DataError, UsageError
from kallima.options import DataOptions, TrainingOptions
from kallima.recipe import Declaration, Recipe, get_recipe, read_recipes, recipe, recipes

RECIPES = recipes()
IMAGES = Spec({"image": Image(channels=1, height=8, width=8)})
POINTS = Spec({"points": Points(dimensions=2)})

every_recipe = pytest.mark.parametrize("one", RECIPES.values(), ids=RECIPES)

GOOD = '''
"""A file."""
from typing import Literal
import os.path as path
from kallima.data.spec import Image, Label, Points, Spec
from kallima.recipe import recipe
from kallima.system import System
import torch

WIDTH: int = 8 * FACTOR if (FACTOR := 2) else 0
Kind = Literal["a", "b"]
SLOW = torch.zeros(3)


class Net(System):
    """The card.

        E = mc²

    E is the energy.
    """


@recipe(
    "tiny",
    family="test",
    paper="Nobody 1999",
    needs=({"image": Image, "label": Label}, {"points": Points}),
    steps=2_000,
    batch_size=4,
)
def tiny_builder(
    spec: Spec, *, width: int = WIDTH, kind: Kind = "a", sizes: tuple[int, ...] = (1, 2)
) -> Net:
    """Do little. But
    do it well.

    More of it.

    Args:
        width: how wide
        kind: which,
            one or the other
        sizes: how large
    """
    raise RuntimeError(SLOW)


OTHER = 3
'''


def write(folder: Path, text: str, name: str = "tiny.py") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_a_recipe_is_read_from_its_source(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD, "family/tiny.py")
    (one,) = read_recipes(tmp_path, "systems").values()
    assert (one.name, one.family, one.paper, one.steps, one.batch_size) == ("tiny", "test", "Nobody 1999", 2000, 4)
    assert one.needs == ({"image": Image, "label": Label}, {"points": Points})
    assert (one.file, one.module, one.function) == (file, "systems.family.tiny", "tiny_builder")
    assert one.summary == "Do little. But do it well"
    assert one.description == "Do little. But\ndo it well.\n\nMore of it."
    assert one.card == "The card.\n\n    E = mc²\n\nE is the energy."
    assert [(p.name, p.hint, p.default, p.help) for p in one.parameters] == [
        ("width", int, 16, "how wide"),
        ("kind", Literal["a", "b"], "a", "which, one or the other"),
        ("sizes", tuple[int, ...], (1, 2), "how large"),
    ]


def test_a_class_is_found_where_it_is_imported_from(tmp_path: Path) -> None:
    text = GOOD.replace("class Net", "class Unused").replace("-> Net", "-> Ours")
    write(tmp_path, text + "\nfrom kallima.data.spec import Text as Ours\n")
    assert read_recipes(tmp_path, "systems")["tiny"].card == inspect.getdoc(Text)


def test_two_recipes_of_one_name_are_refused(tmp_path: Path) -> None:
    files = [write(tmp_path, GOOD, "a/one.py"), write(tmp_path, GOOD, "b/two.py")]
    with pytest.raises(ValueError, match="two recipes are called 'tiny'") as refused:
        read_recipes(tmp_path, "systems")
    assert all(str(file) in str(refused.value) for file in files)


@pytest.mark.parametrize(
    "signature",
    [
        "width: torch.Tensor = None",
        "width: int = SLOW",
        "width: int = WIDTH if SLOW is None else 1",
    ],
)
def test_a_signature_that_names_something_of_torch_is_refused(tmp_path: Path, signature: str) -> None:
    write(tmp_path, GOOD.replace("width: int = WIDTH", signature))
    with pytest.raises(TypeError, match=r"tiny\.py: tiny_builder: its signature names '\w+' of torch"):
        _ = read_recipes(tmp_path, "systems")["tiny"].parameters


def test_a_signature_that_imports_torch_by_a_detour_is_refused(tmp_path: Path) -> None:
    write(tmp_path, GOOD.replace("width: int = WIDTH", "net: System | None = None"))
    code = f"from kallima.recipe import *; from pathlib import Path; read_recipes(Path({str(tmp_path)!r}), 's')['tiny']"
    done = subprocess.run([sys.executable, "-c", code + ".parameters"], capture_output=True, text=True, check=False)
    assert "something that its signature names imports torch" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("(\n    spec: Spec, *, ", "(\n    data: Spec, *, ", "must take"),
        ("spec: Spec, *, ", "spec: Spec, ", "must take"),
        ("width: int = WIDTH", "width: int", "'width' needs a type and a default"),
        ("width: int = WIDTH", "width=3", "'width' needs a type and a default"),
        ("width: int = WIDTH", "width: dict = {}", "cannot be of type dict"),
        ("steps=2_000", "steps=WIDTH", r"tiny\.py:\d+: cannot read this @recipe"),
        ("steps=2_000", "step=2_000", "cannot read this @recipe"),
        ('"points": Points', '"points": Dots', "cannot read this @recipe"),
        ("-> Net", "-> missing.Net", "names the class it returns"),
        ("-> Net", "-> Nat", "no class 'Nat'"),
    ],
)
def test_a_mistake_in_a_recipe_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in GOOD
    write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(TypeError, match=words):
        [(one.parameters, one.card) for one in read_recipes(tmp_path, "systems").values()]


def test_the_decorator_returns_the_function_itself() -> None:
    def build(spec: Spec) -> None: ...

    needs = {"image": Image}
    assert recipe("x", family="f", paper="p", needs=needs, steps=1, batch_size=2)(build) is build
    assert vars(build)["declaration"] == Declaration("x", "f", "p", needs, 1, 2)


@every_recipe
def test_what_was_read_is_what_is_there(one: Recipe) -> None:
    function = getattr(importlib.import_module(one.module), one.function)
    hints = get_type_hints(function)
    assert hints.pop("return").__name__ == one.returns
    assert hints.pop("spec") is Spec
    defaults = {n: p.default for n, p in inspect.signature(function).parameters.items() if n != "spec"}
    for name in [name for name, hint in hints.items() if is_dataclass(hint)]:  # it stands for its fields
        hints |= get_type_hints(hints.pop(name))
        defaults |= asdict(defaults.pop(name))
    assert {p.name: p.hint for p in one.parameters} == hints
    assert {p.name: p.default for p in one.parameters} == defaults
    assert vars(function)["declaration"] == one.declaration


@every_recipe
def test_the_card_is_complete(one: Recipe) -> None:
    assert one.family == one.file.parent.name
    assert one.paper
    assert len(one.card) > 200
    assert 20 < len(one.summary) < 120
    assert all(parameter.help for parameter in one.parameters)


@every_recipe
def test_no_argument_is_called_like_an_option(one: Recipe) -> None:
    options = {field.name for options in (DataOptions, TrainingOptions) for field in dataclasses.fields(options)}
    options |= {"recipe", "out", "json", "debug", "dry_run", "help"}
    assert options.isdisjoint(parameter.name for parameter in one.parameters)


@every_recipe
def test_arguments_survive_the_run_directory(one: Recipe) -> None:
    resolved = one.resolve({})
    assert one.resolve(json.loads(json.dumps(resolved))) == resolved


def test_all_that_is_told_without_torch_is_told_without_torch() -> None:
    code = "import sys; from kallima.recipe import recipes; [(r.parameters, r.card) for r in recipes().values()]"
    subprocess.run([sys.executable, "-c", code + "; sys.exit('torch' in sys.modules)"], check=True)


def test_recipes_are_sorted_and_a_copy() -> None:
    assert list(RECIPES) == sorted(RECIPES)
    assert {"gan", "gan-minimax", "dcgan", "sngan"} <= set(RECIPES)
    recipes().clear()
    assert recipes() == RECIPES


def test_an_unknown_recipe_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no recipe 'dcgna'; did you mean 'dcgan'\?"):
        get_recipe("dcgna")
    with pytest.raises(UsageError, match="no recipe 'xyzzy'; see kallima recipes"):
        get_recipe("xyzzy")


def test_data_that_lacks_what_is_needed_is_refused_with_the_remedy() -> None:
    RECIPES["dcgan"].check(IMAGES)
    with pytest.raises(
        DataError, match=r"dcgan needs 'image' \(Image\), but the data has only points.*folder of images"
    ):
        RECIPES["dcgan"].check(POINTS)


def test_any_alternative_will_do(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    one = read_recipes(tmp_path, "systems")["tiny"]
    one.check(POINTS)
    one.check(Spec({**IMAGES, "label": Label(("a",))}))
    with pytest.raises(DataError) as refused:
        one.check(IMAGES)
    wanted = (
        "tiny needs 'image' (Image) and 'label' (Label) or 'points' (Points), but the data has only image (Image): "
    )
    assert str(refused.value).startswith(wanted)
    assert Label.remedy in str(refused.value)
    assert Points.remedy in str(refused.value)


def test_arguments_are_resolved() -> None:
    one = RECIPES["dcgan"]
    resolved = one.resolve({"width": "16", "learning_rate": 1, "clip": None})
    assert list(resolved) == [parameter.name for parameter in one.parameters]
    assert (resolved["width"], resolved["learning_rate"], resolved["clip"]) == (16, 1.0, None)
    assert isinstance(resolved["learning_rate"], float)
    with pytest.raises(UsageError, match=r"dcgan has no argument 'widht'; did you mean 'width'\?"):
        one.resolve({"widht": 3})
    with pytest.raises(UsageError, match="width must be a whole number, not 'wide'"):
        one.resolve({"width": "wide"})


def test_a_system_is_built_with_its_arguments_and_its_spec() -> None:
    def size(**arguments: Any) -> int:
        system = RECIPES["gan"].build(POINTS, **arguments)
        assert system.spec == POINTS
        return sum(parameter.numel() for parameter in system.parameters())

    assert size(width=16) > size(width=8)
    with pytest.raises(UsageError, match="no argument 'widht'"):
        size(widht=3)
    with pytest.raises(DataError, match="dcgan needs 'image'"):
        RECIPES["dcgan"].build(POINTS)
