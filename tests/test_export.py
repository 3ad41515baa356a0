"""Samples as files, by what the name of the file ends in."""

import io
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageSequence

import kallima
from kallima.cli.runs import SAMPLED
from kallima.errors import UsageError
from kallima.reporting.export import ENDINGS, ending, write_completions, write_samples
from kallima.reporting.grid import image_grid

MADE = {
    "image": np.arange(40, dtype=np.uint8).reshape(2, 4, 5, 1),
    "video": np.arange(120, dtype=np.uint8).reshape(2, 3, 4, 5, 1),
    "audio": np.linspace(-1, 0.5, 100, dtype=np.float32).reshape(2, 50),
    "points": np.arange(4, dtype=np.float32).reshape(2, 2),
    "text": np.array(["one", "two"], object),
}
RATES = {"audio": 100}


@pytest.mark.parametrize(("medium", "ending"), [(medium, ending) for medium in ENDINGS for ending in ENDINGS[medium]])
def test_every_ending_that_is_offered_is_written(medium: str, ending: str, tmp_path: Path) -> None:
    samples, rate = MADE[medium], RATES.get(medium)
    write_samples(samples, f"{tmp_path}/made/x{ending}", medium, rate=rate)
    assert (tmp_path / "made" / f"x{ending}").exists()
    if medium == "points":  # no system completes them
        return
    kept = np.ones(samples.shape[:1] if samples.ndim == 1 else samples.shape[:2], bool)
    write_completions(samples, kept, samples[:, None], f"{tmp_path}/completed/x{ending}", medium, rate=rate)
    assert (tmp_path / "completed" / f"x{ending}").exists()


@pytest.mark.parametrize("medium", MADE)
def test_what_can_be_written_is_told(medium: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in .*\(an array\)"):
        write_samples(MADE[medium], f"{tmp_path}/x.jpg", medium, rate=RATES.get(medium))
    assert not list(tmp_path.iterdir())


def test_sounds_in_one_file_follow_one_another(tmp_path: Path) -> None:
    samples = MADE["audio"]
    write_samples(samples, f"{tmp_path}/x.wav", "audio", rate=100)
    with wave.open(io.BytesIO((tmp_path / "x.wav").read_bytes())) as file:
        assert file.getframerate() == 100
        heard = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    np.testing.assert_allclose(heard[:50], samples[0], atol=1 / 32768)
    np.testing.assert_allclose(heard[-50:], samples[1], atol=1 / 32768)
    assert not heard[50:-50].any()


@pytest.mark.parametrize("columns", [1, 2])
def test_videos_in_one_file_move_together(columns: int, tmp_path: Path) -> None:
    samples = MADE["video"]
    write_samples(samples, f"{tmp_path}/x.gif", "video", rows=[{}] * (2 // columns))
    with Pillow.open(tmp_path / "x.gif") as file:
        frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(file)]
    assert len(frames) == 3
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame, np.asarray(image_grid(samples[:, number], columns=columns)))


def test_the_command_that_is_offered_after_a_training_would_work() -> None:
    for medium, words in SAMPLED.items():
        assert ending(words.split()[-1], medium)


def test_a_name_that_will_not_do_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = kallima.train("vae", data="digits", out=tmp_path / "run", steps=1, batch_size=4, width=8, doctor="off")
    monkeypatch.setattr("kallima.sampling.drawing.draw_rows", lambda *_, **__: pytest.fail("it was drawn"))
    with pytest.raises(UsageError, match=r"x\.wav must end in \.png \(a picture\), \.npz \(an array\) or / "):
        kallima.sample(run, 4, out=tmp_path / "x.wav")
