"""Images of few colours: an array of places in a palette."""

from pathlib import Path

import numpy as np
import pytest

from kallima.data.dataset import prepare
from kallima.data.opening import open_source
from kallima.data.spec import Image, Spec
from kallima.data.view import View
from kallima.errors import DataError

PALETTE = np.array([[255, 255, 255], [255, 0, 0], [0, 0, 9]], np.uint8)
PLACES = np.array([[[0, 1], [2, 2]], [[1, 1], [0, 0]]])


def saved(tmp_path: Path, **arrays: np.ndarray) -> Path:
    np.savez(tmp_path / "x.npz", **arrays)
    return tmp_path / "x.npz"


def test_places_become_colours_and_the_spec_knows_the_palette(tmp_path: Path):
    data = prepare(open_source(saved(tmp_path, index=PLACES, palette=PALETTE)), View())
    field = data.spec["image"]
    assert field == Image(3, 2, 2, ((255, 255, 255), (255, 0, 0), (0, 0, 9)))
    assert np.array_equal(data.read(np.arange(2))["image"].numpy(), PALETTE[PLACES])
    assert Spec.from_json(data.spec.to_json()) == data.spec


def test_seen_otherwise_images_have_other_colours(tmp_path: Path):
    source = open_source(saved(tmp_path, index=PLACES, palette=PALETTE))
    assert prepare(source, View(channels=1)).spec["image"] == Image(1, 2, 2)
    assert prepare(source, View(size=4)).spec["image"] == Image(3, 4, 4)


@pytest.mark.parametrize(
    ("index", "palette", "message"),
    [
        (PLACES + 1, PALETTE, "numbers up to 3, and the palette has 3 colours"),
        (PLACES - 1, PALETTE, "and the palette has 3 colours: number them from 0"),
        (PLACES / 2, PALETTE, "float64 numbers"),
        (PLACES, PALETTE[:, :2], r"a palette is \(K, 3\)"),
        (PLACES, PALETTE / 255, "float64 numbers that are no colours"),
        (PLACES, PALETTE[[0, 1, 1]], "has a colour twice"),
    ],
)
def test_a_palette_that_does_not_fit_is_refused(tmp_path: Path, index: np.ndarray, palette: np.ndarray, message: str):
    with pytest.raises(DataError, match=message):
        open_source(saved(tmp_path, index=index, palette=palette))
