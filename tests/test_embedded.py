"""The embedded sets: what they say about themselves is what they hold."""

import math
from collections import Counter

import numpy as np
import pytest

from kallima.data.digits import Digits
from kallima.data.glyphs import CHARACTERS, FACES, STYLES, Glyphs, GlyphWeights, caption
from kallima.data.points import Gaussian, Grid, Ring, Spiral, TwoMoons
from kallima.data.spec import Label
from kallima.errors import DataError

POINTS = [Gaussian, Ring, Grid, Spiral, TwoMoons]


@pytest.fixture(scope="module")
def glyphs() -> list:
    source = Glyphs()
    return [source.read(index) for index in range(3000)]


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.file)
def test_no_glyph_is_empty_or_clipped_at_the_corners_of_the_jitter(face):
    source = Glyphs()
    for character in CHARACTERS:
        for jitter in [(1, 1, 1, 1), (-1, -1, 1, 1), (1, -1, 1, -1), (-1, 1, 1, -1)]:
            image = source._draw(character, face, np.array(jitter))[:, :, 0].astype(int)
            border = [*image[0], *image[-1], *image[:, 0], *image[:, -1]]
            assert max(border) < 32, character  # the soft edge of the ink may touch it
            assert image.sum() > 255 * 15, character


def test_a_jitter_shifts_and_turns_by_what_it_says():
    source = Glyphs()

    def middle(*jitter: float) -> np.ndarray:
        image = source._draw("o", FACES[0], np.array(jitter))[:, :, 0].astype(float)
        rows, columns = np.mgrid[:32, :32]
        return np.array([(columns * image).sum(), (rows * image).sum()]) / image.sum()

    still = middle(0, 0, 0, 0)
    assert middle(1, 0, 0, 0) - still == pytest.approx((1.25, 0), abs=0.1)
    assert middle(0, -1, 0, 0) - still == pytest.approx((0, -1.25), abs=0.1)
    assert still[0] == pytest.approx(15.5, abs=0.3)  # ink is centred across
    wide, narrow = (source._draw("o", FACES[0], np.array([0, 0, zoom, 0])).sum() for zoom in (1, -1))
    assert wide / narrow == pytest.approx((1.06 / 0.94) ** 2, rel=0.04)


def test_glyphs_are_the_characters_and_faces_they_are_labelled_with(glyphs):
    source = Glyphs()
    still = {  # the unjittered prototypes of the upright sans face
        label: source._draw(character, FACES[0], np.zeros(4)).astype(float)
        for label, character in enumerate(CHARACTERS)
    }
    plain = [one for one in glyphs if one["text"].split()[1] == "sans" and "monospace" not in one["text"]]
    assert len(plain) > 100
    right = 0
    for one in plain:
        distances = {label: np.square(prototype - one["image"]).sum() for label, prototype in still.items()}
        right += min(distances, key=lambda label: distances[label]) == one["label"]
    assert right / len(plain) > 0.6  # chance: 1.5 %


def test_captions_say_what_labels_and_attributes_say(glyphs):
    kinds = {"capital": str.isupper, "small": str.islower, "digit": str.isdigit, "sign": lambda c: not c.isalnum()}
    for one in glyphs:
        article, *styles, kind, character = one["text"].split(" ")
        assert article == ("an" if styles[0][0] in "aeiou" else "a")
        assert character == CHARACTERS[one["label"]]
        assert kinds[kind](character)
        assert [float(style in styles) for style in STYLES] == one["attributes"].tolist()
        assert ("sans" in styles) != ("serif" in styles)
        assert len(styles) == len(set(styles))
    bold_italic_serif = next(face for face in FACES if (face.bold, face.italic, face.serif) == (True,) * 3)
    assert caption("G", bold_italic_serif) == "a bold italic serif capital G"


def test_every_character_is_drawn_equally_often_in_every_face():
    for split, rounds in [("train", 16), ("test", 4)]:
        source = Glyphs(split)
        source._draw = lambda character, face, jitter: (character, face)  # type: ignore[method-assign,assignment]
        drawn = [one["image"] for one in source.examples()]
        assert len(drawn) == len(source) == rounds * len(CHARACTERS) * len(FACES)
        assert {drawn.count(pair) for pair in drawn[:50]} == {rounds}
        assert len(set(drawn)) == len(CHARACTERS) * len(FACES)
        first = [character for character, _ in drawn[:1000]]
        assert len(set(first)) == len(CHARACTERS)  # shuffled: a prefix is a sample


def test_no_glyph_is_in_both_splits(glyphs):
    assert not np.array_equal(Glyphs("train")._jitter[:100], Glyphs("test")._jitter[:100])
    test = Glyphs("test")
    seen = {one["image"].tobytes() for one in glyphs}
    assert len(seen) == len(glyphs)
    assert not seen & {test.read(index)["image"].tobytes() for index in range(2000)}


def test_glyphs_read_the_same_whenever_asked(glyphs):
    source = Glyphs()
    for index in (2999, 17, 0):
        assert np.array_equal(source.read(index)["image"], glyphs[index]["image"])
    assert source.fingerprint() == Glyphs().fingerprint() != Glyphs("test").fingerprint()


def test_glyphs_in_two_weights_are_equal_halves_that_differ_in_weight_alone():
    source = GlyphWeights("test")
    examples = list(source.examples())
    assert len(examples) == len(source) == 2 * 9 * len(CHARACTERS) * 4
    assert source.fields["domain"] == Label(("regular", "bold"))
    kinds = [Counter() for _ in range(2)]
    for one in examples:
        bold, *style = one["attributes"].tolist()
        assert bold == one["domain"]
        kinds[one["domain"]][one["label"], *style] += 1
    assert kinds[0] == kinds[1]
    assert source.fingerprint() != GlyphWeights("train").fingerprint() != Glyphs("train").fingerprint()


def test_digits_are_scikit_learns_split_by_class():
    from sklearn.datasets import load_digits

    whole = load_digits()
    known = {(whole.images[i].astype(int).tobytes(), int(whole.target[i])) for i in range(len(whole.target))}
    splits = {split: list(Digits(split).examples()) for split in ("train", "test")}
    seen = [
        {
            ((one["image"][:, :, 0].astype(int) * 16 + 127) // 255).astype(int).tobytes() + bytes([one["label"]])
            for one in s
        }
        for s in splits.values()
    ]
    assert seen[0] | seen[1] == {image + bytes([label]) for image, label in known}
    assert sum(map(len, splits.values())) == 1797
    assert not seen[0] & seen[1]
    assert max(one["image"].max() for one in splits["train"]) == 255
    for label in range(10):
        share = sum(one["label"] == label for one in splits["test"]) / int((whole.target == label).sum())
        assert share == pytest.approx(0.2, abs=0.005)


@pytest.mark.parametrize("source", [Glyphs, Digits, *POINTS])
def test_a_split_that_is_not_there_is_refused(source):
    with pytest.raises(DataError, match="did you mean 'train'"):
        source("trian")


def integral(source, low, high, count):
    """The midpoint rule over a square, in chunks: (mass, entropy)."""
    step = (high - low) / count
    axis = low + (np.arange(count) + 0.5) * step
    log_density = source.log_density(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2))
    density = np.exp(log_density)
    return density.sum() * step**2, -(density * np.where(density > 0, log_density, 0)).sum() * step**2


@pytest.mark.parametrize(
    ("source", "low", "high", "count"),
    [(Gaussian, -8, 8, 200), (Ring, 1.85, 2.15, 200), (Spiral, -2.4, 2.4, 160), (TwoMoons, -2.2, 3.2, 150)],
)
def test_densities_integrate_to_one_and_are_those_of_the_draws(source, low, high, count):
    # of the ring only one mode, for its modes are narrow: an eighth of the mass
    share = 8 if source is Ring else 1
    if source is Ring:
        axis = np.linspace(-0.15, 0.15, count)
        points = np.stack(np.meshgrid(2 + axis, axis), -1).reshape(-1, 2)
        mass = np.exp(source().log_density(points)).sum() * (axis[1] - axis[0]) ** 2
        entropy = math.log(8) + math.log(2 * math.pi * math.e * 0.02**2)
    else:
        mass, entropy = integral(source(), low, high, count)
    assert mass * share == pytest.approx(1, abs=1e-6)
    log_density = source().log_density(source().draw(4000, np.random.default_rng(0)))
    # the mean of -log p over draws of p is the entropy: the density is the drawing's own
    assert -log_density.mean() == pytest.approx(entropy, abs=5 * log_density.std() / math.sqrt(4000))


def test_curves_densities_agree_with_a_fine_sum():
    rng = np.random.default_rng(1)
    points = np.concatenate([rng.uniform(-2, 2, (30, 2)), Spiral().draw(30, rng)])
    u = (np.arange(400_000) + 0.5) / 400_000
    for source in (Spiral(), TwoMoons()):
        curves = [source.along(u, np.full(len(u), piece)) for piece in range(source.pieces)]
        weight = source.weight(u) / len(u) / source.pieces / (2 * math.pi * source.deviation**2)
        exact = [
            sum((weight * np.exp(-((p - c) ** 2).sum(-1) / (2 * source.deviation**2))).sum() for c in curves)
            for p in points.astype(np.float64)
        ]
        found, expected = source.log_density(points), np.log(np.maximum(exact, 1e-300))
        near = expected > -50  # within ten deviations of the curve
        assert near.sum() > 20
        assert found[near] == pytest.approx(expected[near], abs=1e-7)
        far = ~near & (expected > -600)
        assert found[far] == pytest.approx(expected[far], abs=1e-3)
        assert np.isfinite(found).all()


def test_a_mixture_far_away_has_the_density_of_its_nearest_mode():
    for source in (Ring(), Grid()):
        far = source.modes[3] * 10
        nearest = np.square(source.modes - far).sum(1).min()
        expected = -nearest / (2 * source.deviation**2) - math.log(
            len(source.modes) * 2 * math.pi * source.deviation**2
        )
        assert source.log_density(far[None]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("source", "count"), [(Ring, 8), (Grid, 25), (Gaussian, 1)])
def test_draws_lie_around_the_modes_as_a_gaussian_does(source, count):
    drawn = source().draw(50_000, np.random.default_rng(3)).astype(np.float64)
    distances = np.sqrt(np.square(drawn[:, None] - source.modes).sum(-1))
    assert source.modes.shape == (count, 2)
    good = distances.min(1) < 3 * source.mode_deviation
    assert good.mean() == pytest.approx(1 - math.exp(-4.5), abs=5 * 0.105 / math.sqrt(50_000))  # 98.89 %
    members = np.bincount(distances.argmin(1), minlength=count)
    assert members == pytest.approx(50_000 / count, abs=5 * math.sqrt(50_000 / count) + 1e-6)


@pytest.mark.parametrize("source", POINTS)
def test_splits_are_fixed_and_differ(source):
    train, test = source("train"), source("test")
    points = np.stack([train.read(i)["points"] for i in range(200)])
    assert points.dtype == np.float32
    assert np.array_equal(points, np.stack([source().read(i)["points"] for i in range(200)]))
    assert train.fingerprint() == source().fingerprint() != test.fingerprint()
    assert not set(map(bytes, points)) & {bytes(one["points"]) for one in test.examples()}
