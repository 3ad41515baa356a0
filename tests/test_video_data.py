"""Videos as data: digits that move as they are said to, files of frames, and what is refused."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from kallima.data.arrays import NpzArrays
from kallima.data.dataset import prepare
from kallima.data.moving_digits import FRAMES, MovingDigit, MovingDigits
from kallima.data.opening import open_source
from kallima.data.source import Problem
from kallima.data.spec import Image, Label, Video
from kallima.data.video import VideoFolder
from kallima.data.view import View
from kallima.errors import DataError
from kallima.reporting.export import write_samples


@pytest.mark.parametrize("kind", [MovingDigit, MovingDigits])
def test_a_video_is_what_its_field_says(kind):
    source = kind("test")
    field = source.fields["video"]
    assert len(source) == 2000
    assert len(list(source.examples())) == 2000
    video = source.read(7)["video"]
    assert video.shape == (field.frames, field.height, field.width, field.channels)
    assert set(np.unique(video)) == {0, 255}
    assert np.array_equal(video, kind("test").read(7)["video"])
    assert source.fingerprint() == kind("test").fingerprint() != kind("train").fingerprint()
    with pytest.raises(DataError, match="did you mean 'train'"):
        kind("trian")


def ink(frame: np.ndarray) -> tuple[tuple[int, int], bytes]:
    """Return where the white of a frame begins, and what it is, wherever it is."""
    rows, columns = np.flatnonzero(frame.any(1)), np.flatnonzero(frame.any(0))
    inside = frame[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return (int(columns[0]), int(rows[0])), inside.tobytes() + bytes(inside.shape)


def test_one_digit_stays_itself_and_turns_only_at_walls():
    source = MovingDigit("test")
    turns = 0
    for index in range(100):
        seen = [ink(frame[:, :, 0]) for frame in source.read(index)["video"]]
        assert len({what for _, what in seen}) == 1
        steps = np.diff(np.array([where for where, _ in seen]), axis=0)
        assert (abs(steps) <= 2).all()
        turns += int((steps[1:] * steps[:-1] < 0).sum())
    assert turns > 100  # in eleven steps of 1 or 2 a way of 8 pixels ends


def test_every_label_is_that_of_its_digit():
    source = MovingDigit("test")
    labels = Counter(source.read(index)["label"] for index in range(1000))
    assert sorted(labels) == list(range(10))
    assert min(labels.values()) > 60
    zeros = [source.read(i)["video"][0, :, :, 0] for i in range(300) if source.read(i)["label"] == 0]
    ones = [source.read(i)["video"][0, :, :, 0] for i in range(300) if source.read(i)["label"] == 1]
    hollow = [np.mean([_has_hole(frame) for frame in frames]) for frames in (zeros, ones)]
    assert hollow[0] > 0.7
    assert hollow[1] < 0.2


def _has_hole(frame: np.ndarray) -> bool:
    """Say whether some black of a frame cannot be reached from its border."""
    black = np.pad(frame == 0, 1, constant_values=True)
    reached = np.zeros_like(black)
    reached[0, 0] = True
    while True:
        grown = reached.copy()
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            grown |= np.roll(reached, step, axis)
        grown &= black
        if np.array_equal(grown, reached):
            return bool((black & ~reached).any())
        reached = grown


@pytest.mark.parametrize("kind", [MovingDigit, MovingDigits])
def test_each_phase_and_speed_is_a_path_of_its_own(kind):
    source = kind("test")
    room = source.size - source.side
    paths = [source.path(phase, speed) for phase in range(2 * room) for speed in range(1, source.fastest + 1)]
    assert len({path.tobytes() for path in paths}) == 2 * room * source.fastest
    assert min(path.min() for path in paths) == 0
    assert max(path.max() for path in paths) == room
    assert all(abs(np.diff(path)).max() <= source.fastest for path in paths)


def test_the_entropy_is_that_of_what_is_drawn():
    source = MovingDigit("test")
    # no two digits are one another's likes at another place: so a video tells digit, phases and speeds
    shapes = Counter(ink(shape)[1] for shape in source._shapes)
    assert len(shapes) == len({shape.tobytes() for shape in source._shapes})
    share = np.array(list(shapes.values())) / len(source._shapes)
    expected = -(share * np.log(share)).sum() + 2 * math.log(16) + 2 * math.log(2)
    assert source.entropy() == pytest.approx(expected, abs=1e-12)
    pair = MovingDigits("test")
    shares = np.array(list(Counter(shape.tobytes() for shape in pair._shapes).values())) / len(pair._shapes)
    one = (shares[:, None, None] * np.full((1, 96, 96), 96.0**-2)).ravel()
    # by enumeration: a pair in no order is drawn in two ways, but for two alike in one
    alike = (one**2).sum()
    every = -2 * (one * np.log(one)).sum() - math.log(2) * (1 - alike)
    assert pair.entropy() == pytest.approx(every, abs=1e-9)


def test_a_prepared_set_holds_the_frames(tmp_path, monkeypatch):
    monkeypatch.setenv("KALLIMA_CACHE", str(tmp_path))
    dataset = prepare(MovingDigit("test"), View())
    fields = dataset.read(np.arange(3))
    assert fields["video"].shape == (3, FRAMES, 16, 16, 1)
    assert np.array_equal(fields["video"][2].numpy(), MovingDigit("test").read(2)["video"])
    assert dataset.spec["label"] == Label(tuple("0123456789"))


@pytest.fixture
def clips() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.repeat(rng.integers(0, 2, (4, 5, 8, 10, 1)) * 255, 1, -1).astype(np.uint8)


@pytest.mark.parametrize("shape", [(4, 5, 8, 10), (4, 5, 8, 10, 1), (4, 5, 1, 8, 10)])
def test_an_array_of_that_name_is_videos(tmp_path, clips, shape):
    np.savez(tmp_path / "a.npz", video=clips.reshape(shape) / 255, labels=np.array(list("abab")))
    source = open_source(tmp_path / "a.npz")
    assert source.fields == {"video": Video(5, 1, 8, 10), "label": Label(("a", "b"))}
    for clip, example in zip(clips, source.examples(), strict=True):
        assert np.array_equal(example["video"], clip)


def test_other_names_hold_images_or_videos_by_their_axes(tmp_path, clips):
    np.savez(tmp_path / "a.npz", x=clips, images=clips[:, :3, :, :, 0])
    assert isinstance(NpzArrays(tmp_path / "a.npz").fields["video"], Video)
    assert NpzArrays(tmp_path / "a.npz", key="images").fields == {"image": Image(3, 8, 10)}
    colours = np.random.default_rng(1).integers(0, 256, (4, 5, 8, 10, 3)).astype(np.uint8)
    np.savez(tmp_path / "c.npz", samples=np.moveaxis(colours, -1, 2))
    assert np.array_equal(next(iter(NpzArrays(tmp_path / "c.npz").examples()))["video"], colours[0])
    np.savez(tmp_path / "b.npz", video=np.zeros((2, 3, 8, 8, 5)))
    with pytest.raises(DataError, match="1, 3 or 4 channels"):
        NpzArrays(tmp_path / "b.npz")


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_animations_gives_back_what_was_written(tmp_path, clips, channels):
    clips = np.repeat(clips, channels, -1)
    if channels == 3:
        clips[..., 1] = 0
    write_samples(clips, f"{tmp_path}/one/", "video")
    write_samples(clips[::-1], f"{tmp_path}/two/", "video")
    source = open_source(tmp_path)
    assert isinstance(source, VideoFolder)
    assert source.fields == {"video": Video(5, channels, 8, 10), "label": Label(("one", "two"))}
    examples = list(source.examples())
    assert [example["label"] for example in examples] == [0] * 4 + [1] * 4
    for clip, example in zip([*clips, *clips[::-1]], examples, strict=True):
        assert np.array_equal(example["video"], clip)


def test_frames_that_stay_as_they_are_count_each(tmp_path, clips):
    clips[0, 2], clips[1, 3:] = clips[0, 1], clips[1, 2]  # what a writer of GIFs joins
    write_samples(clips, f"{tmp_path}/", "video")
    for clip, example in zip(clips, open_source(tmp_path).examples(), strict=True):
        assert np.array_equal(example["video"], clip)


def test_broken_animations_are_problems_and_stills_are_images(tmp_path, clips):
    folder = tmp_path / "clips"
    write_samples(clips, f"{folder}/", "video")
    whole = (folder / "00001.gif").read_bytes()
    (folder / "00001.gif").write_bytes(whole[: len(whole) // 2])
    write_samples(clips[2:3, :3], f"{tmp_path}/short/", "video")
    (tmp_path / "short" / "00000.gif").rename(folder / "00002.gif")
    problems = [each for each in open_source(folder).examples() if isinstance(each, Problem)]
    assert len(problems) == 2
    assert problems[0].path.endswith("00001.gif")
    assert "has 3 frames and the first video 5" in problems[1].problem
    red = clips[3:].repeat(3, -1) * np.array([1, 0, 0], np.uint8)
    write_samples(red, f"{tmp_path}/red/", "video")
    (tmp_path / "red" / "00000.gif").rename(folder / "00003.gif")
    assert "is in colour and the first video is grey" in list(open_source(folder).examples())[3].problem
    Pillow.fromarray(clips[0, 0, :, :, 0]).save(tmp_path / "short" / "still.gif")
    assert "image" in open_source(tmp_path / "short").fields
    Pillow.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "another.png")
    assert "image" in open_source(folder).fields


def test_animations_of_two_sizes_are_refused(tmp_path, clips):
    write_samples(clips, f"{tmp_path}/a/", "video")
    write_samples(clips[:, :, :4], f"{tmp_path}/b/", "video")
    with pytest.raises(DataError, match="differ in size"):
        open_source(Path(tmp_path))


def test_videos_are_seen_at_another_size_and_in_other_colours(tmp_path, clips):
    write_samples(clips, f"{tmp_path}/clips/", "video")
    view = View(size=16, channels=3)
    seen = prepare(open_source(tmp_path / "clips"), view)
    assert seen.spec["video"] == Video(5, 3, 16, 16)
    np.testing.assert_array_equal(seen.read(np.array([1]))["video"][0], [view.apply(frame) for frame in clips[1]])
    np.savez(tmp_path / "clips.npz", video=clips)
    source = open_source(tmp_path / "clips.npz")
    cut = prepare(source, View(size=8)).read(np.array([0]))["video"]
    np.testing.assert_array_equal(cut[0], clips[0, :, :, 1:9])
    squeezed = prepare(source, View(size=8, crop="none")).read(np.array([0]))["video"]
    assert squeezed.shape == cut.shape
    assert not np.array_equal(squeezed, cut)  # the cache keeps them apart
    with pytest.raises(DataError, match="--crop centre"):
        prepare(source, View(size=8, crop="random"))
    np.savez(tmp_path / "square.npz", video=clips[:, :, :, 1:9])  # of which there is one crop
    np.testing.assert_array_equal(
        prepare(open_source(tmp_path / "square.npz"), View(size=8, crop="random")).read(np.array([0]))["video"], cut
    )
