"""`kallima train auto`: what is chosen for which data, by whom it is overruled, and that it trains."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

import kallima
from kallima.choosing import EACH, SIDES, choose
from kallima.cli import main
from kallima.data import open_source
from kallima.layers.pyramid import pyramid
from kallima.recipe import get_recipe


def images(path: Path, count: int, side: int = 16, **beside: np.ndarray) -> Path:
    np.savez(path, x=np.random.default_rng(0).integers(0, 255, (count, side, side), np.uint8), **beside)
    return path


def chosen(data: str | Path, *, gpu: bool = False, **given: Any) -> Any:
    return choose(open_source(data), given, gpu=gpu)


def test_every_side_fits_the_networks():
    for side in SIDES:
        assert pyramid(side, side)


@pytest.mark.parametrize(
    ("data", "gpu", "recipe"),
    [
        ("glyphs", False, "gan-cls"),
        ("digits", False, "projection-gan"),
        ("ring", False, "gan-r1"),
        ("pydoc", False, "lstm-lm"),
        ("pydoc", True, "transformer-lm"),
        ("moving-digits", False, "video-gan"),
    ],
)
def test_embedded_sets(data: str, gpu: bool, recipe: str):
    choice = chosen(data, gpu=gpu)
    assert choice.recipe == recipe
    known = {parameter.name for parameter in get_recipe(choice.recipe).parameters}
    assert set(choice.options) <= known | {"size", "channels"}
    assert choice.reasons


def test_classes_are_told_apart_only_where_there_is_enough_of_each(tmp_path: Path):
    enough = images(tmp_path / "enough.npz", 2 * EACH, y=np.arange(2 * EACH) % 2)
    few = images(tmp_path / "few.npz", 2 * EACH - 1, y=np.arange(2 * EACH - 1) % 2)
    assert chosen(enough).recipe == "projection-gan"
    assert chosen(few).recipe == "dcgan"
    assert chosen(few, gpu=True).recipe == "stylegan2"


def test_attributes_can_be_asked_for(tmp_path: Path):
    assert chosen(images(tmp_path / "some.npz", 60, attributes=np.arange(120).reshape(60, 2) % 2)).recipe == (
        "projection-gan"
    )


def test_few_images_are_augmented_in_long_trainings(tmp_path: Path):
    few, many = images(tmp_path / "few.npz", 300), images(tmp_path / "many.npz", 2_000)
    assert chosen(few, gpu=True).options["augment"] == "ada"
    assert "augment" not in chosen(few).options
    assert "augment" not in chosen(many, gpu=True).options


def test_images_of_any_size_are_seen_at_one_that_the_networks_take(tmp_path: Path):
    for number, (width, height) in enumerate([(100, 90), (300, 120)]):
        Pillow.new("RGB" if number else "L", (width, height)).save(tmp_path / f"{number}.png")
    assert chosen(tmp_path).options == {"size": 64, "channels": 3, "width": 32}
    assert chosen(tmp_path, gpu=True).options["size"] == 80
    assert chosen(images(tmp_path / "odd.npz", 10, 30)).options["size"] == 28
    assert "size" not in chosen(images(tmp_path / "even.npz", 10, 28)).options


def test_what_the_user_gives_stays(tmp_path: Path):
    data = images(tmp_path / "some.npz", 10, 30)
    assert "size" not in chosen(data, size=24).options
    run = kallima.train(
        "auto", data=data, size=8, steps=1, batch_size=4, width=8, out=tmp_path / "run", device="cpu", doctor="off"
    )
    assert run.manifest["recipe"] == "dcgan"
    assert run.manifest["arguments"]["width"] == 8
    assert kallima.sample(run, 1, device="cpu").shape == (1, 8, 8, 1)


def test_the_command_says_what_it_does_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = images(tmp_path / "some.npz", 64)
    words = ["train", "auto", "--data", str(data), "--steps", "1", "--device", "cpu", "--doctor", "off"]
    assert main([*words, "--batch-size", "4", "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().err
    assert f"auto: kallima train dcgan --data {data} --width 32" in said
    assert "dcgan, because it came furthest in minutes of a CPU" in said
    assert main(["train", "auto", "--data", "no-such-set"]) == 2
    assert "torch" in sys.modules  # unlike other mistakes, this one waits for it: the machine has a say
