"""`sprites`: every combination once, no two alike, none cut off, and drawn as its factors say."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from kallima.data.sprites import ANGLES, COUNTS, PLACES, SCALES, SHAPES, SIZE, Sprites, _drawn
from kallima.errors import DataError

SPLITS = [Sprites("train"), Sprites("test")]


def test_every_combination_is_there_once_and_no_two_pictures_are_equal():
    assert [len(split) for split in SPLITS] == [80_640, 11_520]
    steps = np.concatenate([split._steps for split in SPLITS])
    assert len(np.unique(np.ravel_multi_index(steps.T, COUNTS))) == np.prod(COUNTS) == len(steps)
    drawn = [_drawn(*kind) for kind in np.ndindex(COUNTS[:3])]
    assert len({image.tobytes() for image in drawn}) == len(drawn)
    seen = {np.packbits(example["image"]).tobytes() for split in SPLITS for example in split.examples()}
    assert len(seen) == len(steps)


def test_each_value_of_each_factor_is_equally_frequent_in_both_splits():
    for split in SPLITS:
        for column, count in zip(split._steps.T, COUNTS, strict=True):
            assert len(set(np.bincount(column, minlength=count))) == 1
        values = split._steps[:, 1:]
        numbers = np.stack(
            [np.array(grid)[step] for grid, step in zip((SCALES, ANGLES, PLACES, PLACES), values.T, strict=True)]
        )
        field = split.fields["values"]
        assert numbers.mean(1) == pytest.approx(field.offset)
        assert numbers.std(1) == pytest.approx(field.scale)
        # shuffled: a prefix is a sample
        shapes = Counter(split._steps[:1000, 0].tolist())
        assert min(shapes.values()) > 250


def test_pictures_are_black_and_white_and_whole():
    for example in (SPLITS[0].read(index) for index in range(2_000)):
        image = example["image"]
        assert (image.shape, image.dtype) == ((SIZE, SIZE, 1), np.uint8)
        assert set(np.unique(image)) == {0, 255}
        assert 0 <= example["label"] < len(SHAPES)
    for kind in np.ndindex(COUNTS[:3]):
        ink = int((_drawn(*kind) > 0).sum())
        wide = _wide(kind)
        assert ink == wide, kind  # nothing lies outside of what is kept


def test_they_lie_turn_and_grow_as_their_values_say():
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for example in (SPLITS[1].read(index) for index in range(1_500)):
        scale, angle, x, y = (float(value) for value in example["values"])
        ink = example["image"][:, :, 0] > 0
        middle = columns[ink].mean(), rows[ink].mean()
        room = 0.35 if SHAPES[example["label"]] == "heart" else 0.01  # a heart is not the same upside down
        assert middle == pytest.approx((x, y), abs=room)
        area = {"rectangle": 14 * 8.8, "ellipse": np.pi * 8.4 * 4.4}.get(SHAPES[example["label"]])
        if area is None:
            continue
        assert ink.sum() == pytest.approx(area * scale**2, rel=0.25)
        # the long axis, from second moments; rows grow downwards and angles anticlockwise
        right, up = columns[ink] - middle[0], middle[1] - rows[ink]
        turned = np.degrees(0.5 * np.arctan2(2 * (right * up).mean(), (right**2).mean() - (up**2).mean())) % 180
        apart = min(abs(turned - angle), 180 - abs(turned - angle))
        assert apart < 12


def test_a_heart_points_downwards():
    image = _drawn(SHAPES.index("heart"), len(SCALES) - 1, 0) > 0
    widths = image.sum(1)[image.any(1)]
    assert widths[-1] <= 3 < widths[2]
    assert not image[:, 8][image.any(1)][0]  # the notch above
    assert np.array_equal(image, image[:, ::-1])


def test_they_are_the_same_whenever_asked():
    again = Sprites("test")
    for index in (11_519, 3, 0):
        first, second = again.read(index), SPLITS[1].read(index)
        assert np.array_equal(first["image"], second["image"])
        assert np.array_equal(first["values"], second["values"])
    assert again.fingerprint() == SPLITS[1].fingerprint() != SPLITS[0].fingerprint()
    with pytest.raises(DataError, match="sprites has no split 'valid'"):
        Sprites("valid")


def test_a_run_sees_them_standardised(tmp_path: Path):
    from kallima.evaluation.sets import open_data

    data = open_data("sprites", split="test")
    read = data.read(np.arange(len(data)))
    assert read["image"].shape == (11_520, SIZE, SIZE, 1)
    assert read["values"].double().mean(0).numpy() == pytest.approx(np.zeros(4), abs=1e-5)
    assert read["values"].double().std(0, correction=0).numpy() == pytest.approx(np.ones(4), abs=1e-5)


def _wide(kind: tuple[int, ...]) -> int:
    """Count the pixels of a shape on a plane without an edge."""
    from kallima.data import sprites

    shape, scale, angle = kind
    right, down = np.meshgrid(np.arange(-20, 21), np.arange(-20, 21))
    turn = np.deg2rad(ANGLES[angle])
    u = (np.cos(turn) * right - np.sin(turn) * down) / SCALES[scale]
    v = -(np.sin(turn) * right + np.cos(turn) * down) / SCALES[scale]
    return int(sprites._INSIDE[shape](u, v).sum())
