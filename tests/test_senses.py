"""Conditions that are read or heard: as vectors, as users write them, and what is said of those that cannot be."""

import math
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from kallima.conditions import Conditions
from kallima.data.batch import Batch
from kallima.data.spec import Audio, Image, Label, Spec, Text
from kallima.data.tokens import encode
from kallima.errors import DataError, UsageError
from kallima.networks.reading import BagReader, Reading, RecurrentReader
from kallima.senses import Sound

WORDS = Text("word", ("hair", "eyes", "red", "blue", "green"), 6)
READ = Spec({"image": Image(3, 8, 8), "text": WORDS, "label": Label(("a", "b"))})
HEARD = Spec({"image": Image(1, 8, 8), "audio": Audio(8000, 1600)})
TONE = (0.1 * torch.sin(2 * math.pi * 440 * torch.arange(1600) / 8000)).float()


def of_text() -> Conditions:
    return Conditions(READ, ("text",), sensed=True)


def written(path: Path, samples: torch.Tensor, rate: int = 8000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32768).round().to(torch.int16).numpy().tobytes())
    return path


def codes(text: str) -> list[int]:
    return encode([text], WORDS)[0].tolist()


def test_a_caption_is_its_codes_and_is_found_again():
    conditions = of_text()
    texts = ["red hair blue eyes", "green eyes"]
    batch = Batch({"text": torch.from_numpy(encode(texts, WORDS))})
    vectors = conditions.vectors(batch)
    assert vectors.tolist() == [codes(text) for text in texts]
    assert conditions.senses["text"].said(vectors) == texts


@pytest.mark.parametrize(
    "asked",
    [
        "red hair blue eyes",
        "red hair, blue eyes",
        "Red hair, BLUE eyes.",
        'text="red hair, blue eyes"',
        '"red hair blue eyes"',
    ],
)
def test_a_caption_is_asked_for_in_plain_words(asked: str):
    conditions = of_text()
    (row,) = conditions.read(asked)
    assert conditions.meet(row, 2).tolist() == [codes("red hair blue eyes")] * 2


def test_captions_are_rows_between_semicolons_and_go_with_other_wishes():
    assert of_text().read("red hair; blue eyes") == [{"text": "red hair"}, {"text": "blue eyes"}]
    both = Conditions(READ, ("label", "text"), sensed=True)
    assert both.read("red hair, label=b") == [{"text": "red hair", "label": "b"}]
    assert both.meet({"text": "red hair", "label": "b"}, 1).tolist() == [[0, 1, *codes("red hair")]]


def test_unknown_words_are_all_named_with_the_nearest():
    with pytest.raises(UsageError, match=r"no caption of the training has 'gren', 'mauve'; did you mean 'green'\?"):
        of_text().meet({"text": "gren eyes mauve hair"}, 1)
    with pytest.raises(UsageError, match=r"has 'xyz'; there is hair, eyes, red, blue, green$"):
        of_text().meet({"text": "xyz"}, 1)
    with pytest.raises(UsageError, match="has 6 words, and captions of the training at most 5"):
        of_text().meet({"text": "red hair red hair red hair"}, 1)


def test_texts_and_sounds_are_refused_where_nobody_reads_or_hears():
    with pytest.raises(UsageError, match="cannot condition on 'text'"):
        Conditions(READ, ("text",))
    with pytest.raises(DataError, match="not cut into tokens: choose with --tokens word"):
        Conditions(Spec({"text": Text()}), ("text",), sensed=True)
    assert Conditions(READ).fields == ("label",)  # as ever


def test_a_file_is_heard_as_its_samples_are(tmp_path: Path):
    conditions = Conditions(HEARD, ("audio",), sensed=True)
    path = written(tmp_path / "tone.wav", TONE)
    (row,) = conditions.read(str(path))
    batch = conditions.vectors(Batch({"audio": TONE[None]}))
    loud = batch > 0  # above −50 dB: what lies below is rounding to 16 bits
    assert loud.any()
    torch.testing.assert_close(conditions.meet(row, 1)[loud], batch[loud], atol=2e-3, rtol=0)
    sense = conditions.senses["audio"]
    assert isinstance(sense, Sound)
    assert batch.shape == (1, sense.rows * sense.columns) == (1, 40 * 13)


def test_gain_shifts_every_band_that_is_not_silent_and_the_first_cepstral_number_alone(tmp_path: Path):
    path = str(written(tmp_path / "noise.wav", 0.02 * torch.randn(1600, generator=torch.Generator().manual_seed(0))))
    for hearing, rows in (("log-mel", 40), ("mfcc", 20)):
        conditions = Conditions(HEARD, ("audio",), sensed=True, hearing=hearing)
        plain, louder = (conditions.meet(row, 1) for row in conditions.read(f"{path}; {path}, gain=10"))
        shift = (louder - plain).view(rows, -1)
        if hearing == "log-mel":
            torch.testing.assert_close(shift, torch.full_like(shift, 10 / 50), atol=1e-4, rtol=0)
        else:
            torch.testing.assert_close(
                shift[0], torch.full_like(shift[0], math.sqrt(40) * 10 / 50 / 3), atol=1e-4, rtol=0
            )
            assert shift[1:].abs().max() < 1e-4


def test_sounds_are_brought_to_the_runs_rate_and_length(tmp_path: Path):
    conditions = Conditions(HEARD, ("audio",), sensed=True)
    faster = 0.1 * torch.sin(2 * math.pi * 440 * torch.arange(3200) / 16000)
    own = conditions.meet({"audio": str(written(tmp_path / "own.wav", TONE))}, 1).view(40, -1)
    other = conditions.meet({"audio": str(written(tmp_path / "other.wav", faster, 16000))}, 1).view(40, -1)
    loud = own[:, 2:-2] > 0  # above −50 dB: what lies below is rounding to 16 bits
    assert loud.any()
    assert (own - other)[:, 2:-2][loud].abs().max() < 0.05
    short = conditions.meet({"audio": str(written(tmp_path / "short.wav", TONE[:400]))}, 1).view(40, -1)
    assert (short[:, -3:] == -1).all()  # silence


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("gone.wav", "there is no sound file 'gone.wav': give the path of a .wav, .flac, .ogg"),
        ("{slow}", "has 4,000 samples a second, and this run hears 8,000: what is missing above 2,000 Hz"),
        ("{broken}", "is not a sound"),
        ("{good}, gain=loud", "gain is a number of decibels between -80 and 80, not 'loud'"),
        ("{good}, gain=90", "gain is a number of decibels"),
        ("gain=3", "'gain' goes with 'audio'"),
        ("{good}, label=3", "nothing called 'label' can be asked for"),
    ],
)
def test_what_cannot_be_heard_is_said_in_one_line(asked: str, message: str, tmp_path: Path):
    (tmp_path / "broken.wav").write_text("no sound")
    places = {
        "slow": written(tmp_path / "slow.wav", TONE, 4000),
        "broken": tmp_path / "broken.wav",
        "good": written(tmp_path / "good.wav", TONE),
    }
    conditions = Conditions(HEARD, ("audio",), sensed=True)
    (row,) = conditions.read(asked.format(**places))
    with pytest.raises((UsageError, DataError), match=message) as error:
        conditions.meet(row, 1)
    assert "\n" not in str(error.value)


def test_readings_lie_in_the_order_of_the_conditions_and_leave_the_rest_alone():
    conditions = Conditions(READ, ("label", "text"), sensed=True)
    reading = Reading(conditions, width=5)
    assert reading.places == {"label": slice(0, 2), "text": slice(2, 7)}
    vectors = conditions.meet({"text": "red hair", "label": "b"}, 3)
    assert torch.equal(reading(vectors)[:, :2], vectors[:, :2])
    torch.testing.assert_close(reading(vectors)[:, 2:].norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("kind", [RecurrentReader, BagReader])
def test_readers_tell_words_apart_and_only_one_of_them_their_order(kind: type[torch.nn.Module]):
    torch.manual_seed(0)
    reader = kind(WORDS, 16)
    texts = ["red hair blue eyes", "blue hair red eyes", "red hair green eyes"]
    one, swapped, other = reader(torch.tensor([codes(text) for text in texts]).float())
    assert (one - other).abs().max() > 1e-3
    assert torch.allclose(one, swapped, atol=1e-6) == (kind is BagReader)


@pytest.mark.parametrize("kind", [RecurrentReader, BagReader])
def test_what_fills_a_caption_up_says_nothing(kind: type[torch.nn.Module]):
    torch.manual_seed(0)
    reader = kind(WORDS, 16)
    short = torch.tensor([codes("red hair")]).float()
    torch.testing.assert_close(reader(short[:, :3]), reader(short), atol=1e-6, rtol=0)


def test_a_listener_hears_what_but_hardly_when():
    torch.manual_seed(0)
    conditions = Conditions(Spec({"audio": Audio(8000, 8000)}), ("audio",), sensed=True)
    reading = Reading(conditions, width=8)
    sounds = torch.zeros(3, 8000)
    sounds[0, 1024:2624], sounds[1, 4096:5696] = TONE, TONE  # later by a whole number of strides
    sounds[2, 1024:2624] = 0.1 * torch.sin(2 * math.pi * 1500 * torch.arange(1600) / 8000)
    early, late, other = reading(conditions.vectors(Batch({"audio": sounds})))
    assert (early - late).norm() < 0.1 * (early - other).norm()


def test_images_with_texts_and_sounds_come_out_of_an_npz(tmp_path: Path):
    from kallima.data import open_source
    from kallima.data.dataset import prepare
    from kallima.data.view import View

    images = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8)
    sounds = np.stack([np.arange(40, dtype=np.int16) * k for k in range(3)])
    texts = np.array(["red hair", "blue eyes", "red eyes"])
    path = tmp_path / "both.npz"
    np.savez(path, x=images, text=texts, audio=sounds, rate=8000)
    dataset = prepare(open_source(path), View(tokens="word"))
    assert dataset.spec["audio"] == Audio(8000, 40)
    read = dataset.read(np.array([2, 0]))
    assert read["audio"].tolist() == sounds[[2, 0]].tolist()
    assert dataset.texts(np.array([2, 0])) == ["red eyes", "red hair"]
    np.savez(path, x=images, audio=sounds / 32768, rate=8000)
    assert prepare(open_source(path), View()).read(np.array([1]))["audio"][0].tolist() == sounds[1].tolist()
    for wrong, message in (
        ({"audio": sounds}, "no known rate: add a number `rate`"),
        ({"audio": sounds, "rate": 7.5}, "no rate of a sound"),
        ({"audio": sounds[:2], "rate": 8000}, "one row an example"),
        ({"audio": sounds * 2.0, "rate": 8000}, "scale them"),
        ({"text": np.arange(3)}, "not texts: save an array of str"),
    ):
        np.savez(path, x=images, **wrong)
        with pytest.raises(DataError, match=message):
            prepare(open_source(path), View())


def test_images_with_sounds_come_out_of_a_folder(tmp_path: Path):
    from PIL import Image as Pillow

    from kallima.data import open_source
    from kallima.data.dataset import prepare
    from kallima.data.source import Problem
    from kallima.data.view import View

    (tmp_path / "sounds").mkdir()
    for number in range(3):
        Pillow.fromarray(np.full((8, 8), 80 * number, np.uint8)).save(tmp_path / f"{number}.png")
        written(tmp_path / "sounds" / f"{number}.wav", TONE * number)
    table = "file_name,audio\n" + "".join(f"{n}.png,sounds/{2 - n}.wav\n" for n in range(3))
    (tmp_path / "metadata.csv").write_text(table)
    source = open_source(tmp_path)
    assert source.fields == {"image": Image(1, 8, 8), "audio": Audio(8000, 1600)}
    dataset = prepare(source, View())
    read = dataset.read(np.arange(3))
    assert read["image"][:, 0, 0, 0].tolist() == [0, 80, 160]
    expected = [(TONE * n * 32768).round().to(torch.int16).tolist() for n in (2, 1, 0)]
    assert read["audio"].tolist() == expected
    before = source.fingerprint()
    written(tmp_path / "sounds" / "0.wav", TONE * 0.5)
    assert open_source(tmp_path).fingerprint() != before
    (tmp_path / "metadata.csv").write_text(table.replace("sounds/2", "../2"))
    problem = next(iter(open_source(tmp_path).examples()))
    assert isinstance(problem, Problem)
    assert "outside of the folder" in problem.problem


def test_columns_of_words_make_a_caption_where_there_is_none(tmp_path: Path):
    from PIL import Image as Pillow

    from kallima.data import open_source

    rows = ["file_name,hair,eyes"]
    for number in range(8):
        Pillow.fromarray(np.full((8, 8), number, np.uint8)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{('red', 'blue')[number % 2]},{('green', 'brown')[number // 4]}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    examples = list(open_source(tmp_path).examples())
    assert [example["text"] for example in examples][:5:2] == [
        "red hair green eyes",
        "red hair green eyes",
        "red hair brown eyes",
    ]
