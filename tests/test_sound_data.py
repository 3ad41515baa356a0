"""Sounds from files: what is heard of them, what is said of broken ones, what they are labelled with."""

import io
import sys
import tarfile
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from kallima.cli import main
from kallima.data import open_source, sound
from kallima.data.dataset import prepare
from kallima.data.sound import AUDIO_LENGTH, Hearing, decode, measure, resampled, say_once
from kallima.data.source import Problem, RandomAccess
from kallima.data.spec import Attributes, Audio, Image, Label
from kallima.data.view import View
from kallima.errors import DataError, UsageError

REAL = Path(__file__).parents[2] / "shared" / "data"
RAMP = np.arange(-300, 300, dtype=np.int16) * 100
NOISE = np.random.default_rng(0).integers(-9000, 9000, 5000).astype(np.int16)


def wav(samples: np.ndarray, rate: int = 8000, width: int = 2) -> bytes:
    """Write whole numbers (T,) or (T, C), of 16 bits as they are, of other widths as their upper bits or with zeros."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(samples.shape[1] if samples.ndim == 2 else 1)
        file.setsampwidth(width)
        file.setframerate(rate)
        whole = (samples.astype("<i4") << 16).reshape(-1, 1).view(np.uint8)[:, 4 - width :]
        file.writeframes((whole ^ 128 if width == 1 else whole).tobytes())
    return stream.getvalue()


def other(samples: np.ndarray, rate: int = 8000, **kind: str) -> bytes:
    soundfile = pytest.importorskip("soundfile")
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, **kind)
    return stream.getvalue()


def without_last_page(ogg: bytes) -> bytes:
    return ogg[: ogg.rfind(b"OggS")]


def save(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wavs_of_whole_numbers_need_no_package(width: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    samples, rate = decode(wav(RAMP, 11025, width))
    assert (samples.dtype, rate) == (np.int16, 11025)
    np.testing.assert_array_equal(samples, RAMP // 256 * 256 if width == 1 else RAMP)
    assert measure(wav(RAMP, 11025, width)) == (600, 11025)


def test_other_files_say_which_package_they_need(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    save(tmp_path / "a.flac", other(RAMP, format="FLAC"))
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(UsageError, match=r"needs soundfile: pip install 'kallima\[sound\]'"):
        open_source(tmp_path)


@pytest.mark.parametrize("kind", [{"format": "FLAC"}, {"format": "WAV", "subtype": "PCM_24"}, {"format": "WAVEX"}])
def test_lossless_files_are_heard_to_the_bit(kind: dict[str, str]):
    np.testing.assert_array_equal(decode(other(RAMP, **kind))[0], RAMP)


def test_lossy_and_floating_point_files_are_heard_nearly():
    tone = np.sin(np.arange(8000) * 0.3) * 0.5
    heard, rate = decode(other(tone, format="OGG"))
    assert rate == 8000
    assert np.abs(heard / 32768 - tone).mean() < 0.02
    np.testing.assert_allclose(decode(other(tone, format="WAV", subtype="DOUBLE"))[0], tone * 32768, atol=0.501)
    loud = np.array([0.5, 1.5, -1.5])
    np.testing.assert_array_equal(
        decode(other(loud, format="WAV", subtype="FLOAT"))[0], np.array([16384, 32767, -32768])
    )


def test_channels_are_averaged():
    left, right = RAMP, np.roll(RAMP, 7) // 3
    heard, _ = decode(wav(np.stack([left, right], 1)))
    np.testing.assert_array_equal(heard, np.rint((left.astype(float) + right) / 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: b"", "is empty"),
        (lambda: b"hello, this is no sound", "is not a sound"),
        (lambda: wav(RAMP)[:-100], "is cut short"),
        (lambda: wav(RAMP)[:30], "is cut short"),
        (lambda: other(NOISE, format="FLAC")[:-200], "is cut short|is damaged"),
        (lambda: other(np.sin(np.arange(40000) * 0.3), format="OGG")[:-500], "is cut short"),
        (lambda: without_last_page(other(np.sin(np.arange(40000) * 0.3), format="OGG")), "is cut short"),
        (lambda: other(RAMP / 32768, format="WAV", subtype="FLOAT")[:-100], "is cut short"),
        (lambda: wav(RAMP[:0]), "holds no samples"),
        (lambda: wav(RAMP, rate=1), "1 samples a second, which no sound has"),
        (lambda: other(np.array([0, np.nan, 1]), format="WAV", subtype="FLOAT"), "values that are NaN or infinite"),
        (lambda: other(np.array([0, 20000.0]), format="WAV", subtype="FLOAT"), r"from 0 to 20000: scale them to \[-1"),
    ],
)
def test_what_cannot_be_heard_is_refused_in_words(make: Callable[[], bytes], message: str):
    with pytest.raises(DataError, match=message):
        decode(make())


def test_a_header_that_promises_too_much_is_refused_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sound, "VALUE_LIMIT", 599)
    for content in (wav(RAMP), other(RAMP, format="FLAC")):
        with pytest.raises(DataError, match="has 600 samples of 1 channels, more than the limit of 599"):
            measure(content)
    lying = bytearray(wav(RAMP))
    lying[4:8] = lying[40:44] = (0x7FFFFFFF).to_bytes(4, "little")  # a gigabyte that is not there
    lying[4:8] = (len(lying) - 8).to_bytes(4, "little")
    with pytest.raises(DataError, match="is cut short"):
        decode(bytes(lying))


def test_every_cut_of_a_file_is_a_problem_or_a_sound():
    for content in (wav(NOISE), other(NOISE, format="FLAC"), other(NOISE / 32768, format="OGG")):
        for end in range(0, len(content), 97):
            with pytest.raises(DataError):
                decode(content[:end])


def test_a_folder_of_sounds_is_labelled_like_one_of_images(tmp_path: Path):
    for place, name in enumerate(["train/a/1.wav", "train/b/2.WAV", "test/b/3.wav"]):
        save(tmp_path / name, wav(RAMP + place))
    save(tmp_path / "cover.png", b"no sound")
    source = open_source(tmp_path)
    assert source.fields == {"audio": Audio(8000, 600), "label": Label(("a", "b"))}
    assert (len(source), source.splits) == (2, ("train", "test"))
    assert isinstance(source, RandomAccess)
    example = source.read(1)
    assert not isinstance(example, Problem)
    assert (example["rate"], example["label"]) == (8000, 1)
    np.testing.assert_array_equal(example["audio"], RAMP + 1)
    assert source.hearing == Hearing({8000: 2}, 0.075, 0.075, 600)
    assert source.survey is None
    assert open_source(tmp_path / "train").fingerprint() != source.fingerprint()


def test_where_images_are_more_sounds_are_passed_over(tmp_path: Path):
    from tests.test_sources import save as picture

    picture(tmp_path / "1.png")
    save(tmp_path / "1.wav", wav(RAMP))
    assert open_source(tmp_path).fields == {"image": Image(3, 4, 6)}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_and_its_table(mode: str, tmp_path: Path):
    """Digits are labels, speakers attributes; what numbers or measures the files is nothing that can be asked for."""
    rows = ["file,digit,speaker,index,samples,split"]
    with tarfile.open(tmp_path / "spoken.tar", mode) as archive:
        for number in range(8):
            name = f"{number}.wav"
            content = wav(RAMP[: 100 + number])
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
            who, split = ("anna", "bert")[number % 2], "test" if number > 5 else "train"
            rows.append(f"{name},{number // 2},{who},{number % 3},{100 + number},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    source = open_source(tmp_path / "spoken.tar")
    assert source.fields == {
        "audio": Audio(8000, None),
        "label": Label(("0", "1", "2", "3")),
        "attributes": Attributes(("anna speaker", "bert speaker")),
    }
    examples = list(source.examples())
    assert len(examples) == 6
    assert [len(each["audio"]) for each in examples] == [100, 101, 102, 103, 104, 105]
    assert [each["label"] for each in examples] == [0, 0, 1, 1, 2, 2]
    assert examples[1]["attributes"].tolist() == [0, 1]
    assert source.hearing is not None
    assert (source.hearing.rates, source.hearing.longest) == ({8000: 6}, 105 / 8000)
    assert len(open_source(tmp_path / "spoken.tar", split="test")) == 2


def test_a_column_class_is_the_label_and_a_fold_is_nothing(tmp_path: Path):
    rows = ["file,class,fold"]
    for number in range(4):
        save(tmp_path / f"{number}.wav", wav(RAMP))
        rows.append(f"{number}.wav,{('rain', 'dog')[number % 2]},{1 + number // 2}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    assert open_source(tmp_path).fields == {"audio": Audio(8000, 600), "label": Label(("dog", "rain"))}


def test_broken_sounds_are_problems_and_the_others_are_used(tmp_path: Path):
    save(tmp_path / "a.wav", wav(RAMP))
    save(tmp_path / "b.wav", b"RIFF")
    save(tmp_path / "c.wav", wav(RAMP[:100], rate=16000))
    source = open_source(tmp_path)
    assert source.fields == {"audio": Audio(None, None)}
    problems = source.check()
    assert [Path(each.path).name for each in problems] == ["b.wav"]
    with pytest.raises(DataError, match="1 of 3 examples cannot be used"):
        prepare(source, View())
    assert len(prepare(source, View(), skip_bad=True)) == 2
    for name in ("a.wav", "c.wav"):
        (tmp_path / name).unlink()
    with pytest.raises(DataError, match=r"not one of the sounds can be used \(.*b.wav is "):
        prepare(open_source(tmp_path), View())


def test_sounds_are_brought_to_one_rate_and_length_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    say_once.cache_clear()
    tone = np.rint(8000 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype(np.int16)
    for name in ("a.wav", "b.wav"):
        save(tmp_path / name, wav(tone, rate=16000))
    save(tmp_path / "c.wav", wav(RAMP, rate=8000))
    data = prepare(open_source(tmp_path), View(rate=8000, seconds=0.5))
    assert data.spec["audio"] == Audio(8000, 4000)
    read = data.read(np.arange(3))
    assert read[AUDIO_LENGTH].tolist() == [4000, 4000, 600]
    expected = 8000 * np.sin(2 * np.pi * 440 * np.arange(4000) / 8000)
    assert np.abs(read["audio"][0].numpy()[50:-50] - expected[50:-50]).max() < 60
    np.testing.assert_array_equal(read["audio"][2, :600], RAMP)
    assert not read["audio"][2, 600:].any()
    prepare(open_source(tmp_path), View(rate=8000, seconds=0.5))
    assert [record.message.partition(": ")[2].partition(": ")[2] for record in caplog.records] == [
        "2 of 3 sounds are resampled from 16,000 to 8,000 samples a second (--rate)",
        "most sounds are longer than 0.5 seconds, half of them than 1: what is beyond is cut off (--seconds)",
    ]


@pytest.mark.parametrize(("rate", "wanted"), [(16000, 8000), (8000, 16000), (11025, 8000), (8000, 22050)])
def test_the_beginning_of_a_resampled_sound_needs_only_the_beginning_of_the_sound(rate: int, wanted: int):
    whole = resampled(NOISE, rate, wanted)
    assert len(whole) == -(-5000 * wanted // rate)
    np.testing.assert_array_equal(resampled(NOISE, rate, wanted, 600), whole[:600])


def test_hearing_is_remembered_as_it_was(tmp_path: Path):
    heard = Hearing.of([(800, 8000), Problem("x.wav", "is empty"), (1600, 8000), (4800, 16000)])
    assert heard == Hearing({8000: 2, 16000: 1}, 0.3, 0.2, None, "x.wav is empty")
    assert Hearing.from_json(heard.to_json()) == heard
    assert Hearing.of([]) == Hearing()


def test_the_commands_speak_of_sounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    save(tmp_path / "in" / "a.wav", wav(RAMP))
    save(tmp_path / "in" / "b.wav", wav(RAMP * 0))
    assert main(["data", "check", str(tmp_path / "in")]) == 0
    out = capsys.readouterr().out
    assert "2 of 2 examples can be used (audio: 8,000 samples a second, 0.075 seconds)" in out
    assert "1 of them is silent from start to end" in out
    assert main(["data", "show", str(tmp_path / "in"), "--out", str(tmp_path / "x.png")]) == 0
    assert Pillow.open(tmp_path / "x.png").getextrema()[1] > 200
    assert main(["data", "prepare", str(tmp_path / "in"), "--seconds", "0.05"]) == 0
    assert "0.05 seconds" in capsys.readouterr().out
    assert main(["data", "check", str(tmp_path / "in" / "a.wav")]) == 1
    assert "is a single sound: give the folder it lies in" in capsys.readouterr().err


def test_texts_are_printed_and_videos_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    assert main(["data", "show", str(tmp_path / "a.txt"), "--count", "5"]) == 0
    assert capsys.readouterr().out == "one\ntwo\n"
    assert main(["data", "prepare", str(tmp_path / "a.txt")]) == 0
    assert "text: up to 3 characters, of 5" in capsys.readouterr().out
    assert main(["data", "show", "ring"]) == 2
    assert "--out is missing" in capsys.readouterr().err
    np.savez(tmp_path / "v.npz", video=np.zeros((2, 3, 8, 8), np.uint8))
    assert main(["data", "show", str(tmp_path / "v.npz"), "--out", str(tmp_path / "v.png")]) == 0
    assert main(["data", "check", str(tmp_path / "v.npz")]) == 0
    assert "video: grey, 3 frames of 8×8" in capsys.readouterr().out


@pytest.mark.skipif(not REAL.exists(), reason="the real sets are not beside the project")
@pytest.mark.parametrize(
    ("path", "count", "classes", "rate"),
    [("fsdd/fsdd.tar.gz", 300, 10, 8000), ("esc10/esc10_16k.tar", 400, 10, 16000)],
)
def test_real_sets_are_read_whole(path: str, count: int, classes: int, rate: int):
    pytest.importorskip("soundfile")
    source = open_source(REAL / path, split="test" if count == 300 else "train")
    label = source.fields["label"]
    assert isinstance(label, Label)
    assert (len(source), len(label.classes), source.fields["audio"]) == (count, classes, Audio(rate, None))
    first = next(iter(source.examples()))
    assert not isinstance(first, Problem)
    assert np.abs(first["audio"]).max() > 100
