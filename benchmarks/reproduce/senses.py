"""What systems that read or hear are trained on and judged by: coloured digits, faces, spoken digits, dogs and seas.

Pairs of properties are held out whole: the test split of the first two sets has only pairs that no training example
shows, each property of which is seen with others.
"""

import csv
import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import places
from judging import Judge
from PIL import Image as Pillow

import kallima
from kallima.data import sound
from kallima.data.glyphs import CHARACTERS, STYLES, Glyphs

COLOURS = {
    "red": (255, 40, 40),
    "green": (40, 220, 40),
    "blue": (60, 90, 255),
    "yellow": (240, 230, 40),
    "purple": (190, 60, 220),
    "white": (255, 255, 255),
}
RATE, SECONDS = 8000, 1.0
EACH = 4  # images of each training recording
SIDE = 32
SHOWN = 8
PAIRS = {"dog_bark": ("cifar10", "dog"), "rooster": ("cifar10", "bird"), "sea_waves": ("miml_scenes", "sea")}
"""Sounds, and where images of what makes them come from."""


def coloured_digits() -> Path:
    """Make 30,000 digits of MNIST in six colours, with captions "a red 7"; digit k is never seen in colour k mod 6."""
    rng, names = np.random.default_rng(0), list(COLOURS)
    paints = np.array(list(COLOURS.values()))
    found: dict[str, np.ndarray] = {"attribute_names": np.array(names)}
    with np.load(places.archive("mnist")) as arrays:
        for split, count in (("train", 30_000), ("test", 3_000)):
            images, labels = arrays[f"x_{split}"][:count], arrays[f"y_{split}"][:count].astype(int)
            unseen = labels % len(names)
            seen = (unseen + rng.integers(1, len(names), count)) % len(names)
            colours = seen if split == "train" else unseen
            found[f"x_{split}"] = (images[..., None] / 255 * paints[colours][:, None, None]).round().astype(np.uint8)
            found[f"y_{split}"] = labels
            found[f"attributes_{split}"] = np.eye(len(names), dtype=np.uint8)[colours]
            found[f"text_{split}"] = np.array([f"a {names[c]} {k}" for c, k in zip(colours, labels, strict=True)])
    return places.keep("mnist-coloured", **found)


def faces() -> Path:
    """Make the anime faces at 32×32 with captions "blue hair red eyes", and one in eight pairs of colours held out."""
    folder = places.folder() / "anime_faces"
    with (folder / "tags.csv").open() as file:
        tags = {row["file"]: (row["hair"], row["eyes"]) for row in csv.DictReader(file)}
    hairs, eyes = (sorted({pair[side] for pair in tags.values()}) for side in (0, 1))
    names = [f"{hair} hair" for hair in hairs] + [f"{eye} eyes" for eye in eyes]
    columns: dict[str, list[np.ndarray | str]] = {}
    for name, image in _images(folder / "anime_faces64.tar.gz"):
        hair, eye = tags[name]
        places_of = hairs.index(hair), eyes.index(eye)
        split = "test" if sum(places_of) % 8 == 0 else "train"
        has = np.zeros(len(names), np.uint8)
        has[[places_of[0], len(hairs) + places_of[1]]] = 1
        _add(columns, split, x=image, attributes=has, text=f"{hair} hair {eye} eyes")
    return places.keep("anime-faces-32", attribute_names=np.array(names), **_stacked(columns))


def glyphs() -> Path:
    """Make the glyphs with captions; of every third character one style alone is held out: bold, italic, serif, …."""
    columns: dict[str, list[np.ndarray | str]] = {}
    for split in ("train", "test"):
        source = Glyphs(split)
        for example in source.examples():
            label, has = example["label"], example["attributes"]
            unseen = label % 3 == 0 and has.sum() == 1 and has[label % len(STYLES)] == 1
            values = {"x": example["image"][..., 0], "y": np.int64(label), "text": example["text"]}
            _add(columns, "test" if unseen else "train", **values, attributes=has.astype(np.uint8))
    names = {"classes": np.array(list(CHARACTERS)), "attribute_names": np.array(STYLES)}
    return places.keep("glyphs-captioned", **names, **_stacked(columns))


def spoken_digits() -> Path:
    """Make pairs of a spoken digit and a written one: four a training recording, and one a test recording."""
    rng, folder = np.random.default_rng(0), places.folder() / "fsdd"
    with (folder / "labels.csv").open() as file:
        about = {row["file"]: row for row in csv.DictReader(file)}
    columns: dict[str, list[np.ndarray | str]] = {}
    with np.load(places.archive("mnist")) as arrays:
        written = {
            (split, digit): arrays[f"x_{split}"][arrays[f"y_{split}"] == digit]
            for split in ("train", "test")
            for digit in range(10)
        }
    for name, samples in _sounds(folder / "fsdd.tar.gz"):
        split, digit = about[name]["split"], int(about[name]["digit"])
        choice = written[split, digit]
        for place in rng.permutation(len(choice))[: EACH if split == "train" else 1]:
            _add(columns, split, x=choice[place], y=np.int64(digit), audio=samples)
    return places.keep("spoken-digits", rate=np.int64(RATE), **_stacked(columns))


def sounding_scenes() -> Path:
    """Make pairs of a bark, a crow or waves and a photograph of what makes it, 32×32; fold 5 is the test split."""
    rng, folder = np.random.default_rng(0), places.folder() / "esc10"
    with (folder / "labels.csv").open() as file:
        about = {row["file"]: row for row in csv.DictReader(file)}
    images = {name: _photographs(*where) for name, where in PAIRS.items()}
    columns: dict[str, list[np.ndarray | str]] = {}
    for name, samples in _sounds(folder / "esc10_16k.tar"):
        kind = about[name]["class"]
        if kind in PAIRS:
            split = "test" if about[name]["fold"] == "5" else "train"
            half = len(images[kind]) * 4 // 5
            choice = images[kind][:half] if split == "train" else images[kind][half:]
            for place in rng.permutation(len(choice))[: 40 if split == "train" else 10]:
                _add(columns, split, x=choice[place], y=kind, audio=samples)
    return places.keep("sounding-scenes", rate=np.int64(RATE), **_stacked(columns))


def seen_and_unseen(*metrics: str) -> Judge:
    """Return what judges a run by metrics, asked for pairs of the training set and for pairs that were held out."""

    def judge(run: "kallima.Run") -> dict[str, float]:
        found = {}
        for split, word in (("train", "seen"), ("test", "unseen")):
            scores = kallima.evaluate(run, metrics=list(metrics), split=split, device="cpu")
            found |= {f"{score.metric}, {word}": score.value for score in scores}
        return found

    return judge


def of_unseen_captions(run: "kallima.Run") -> np.ndarray:
    """Picture eight captions that were held out, a row each: a real image and seven that were drawn for it."""
    return _rows(run, "text")


def of_test_sounds(run: "kallima.Run") -> np.ndarray:
    """Picture eight sounds that were held out, a row each: a real image and seven that were drawn for it."""
    return _rows(run, "audio")


def _rows(run: "kallima.Run", sense: str) -> np.ndarray:
    import torch

    from kallima.data.batch import as_batch, to_storage
    from kallima.data.dataset import prepare
    from kallima.data.opening import open_source
    from kallima.data.view import View

    system = kallima.load(run, device="cpu")
    data = prepare(open_source(run.manifest["source"]["name"], split="test"), View(tokens="word"))
    chosen = np.unique(
        data.texts(np.arange(len(data))) if sense == "text" else data.column("label"), return_index=True
    )[1]
    chosen = np.sort(np.random.default_rng(0).permutation(chosen)[:SHOWN])
    batch = data.read(chosen)
    if sense == "text":
        told = torch.cat([system.conditions.meet({"text": text}, 1) for text in data.texts(chosen)])
    else:
        told = system.conditions.vectors(as_batch(batch))
    rng = torch.Generator().manual_seed(0)
    made = to_storage(system.sample(7 * len(told), condition=told.repeat_interleave(7, 0), rng=rng)).numpy()
    real = batch["image"].numpy()
    return np.concatenate([real[:, None], made.reshape(len(real), 7, *real.shape[1:])], 1).reshape(-1, *real.shape[1:])


def _images(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile():
                content = archive.extractfile(member)
                assert content is not None
                with Pillow.open(io.BytesIO(content.read())) as picture:
                    small = picture.convert("RGB").resize((SIDE, SIDE), Pillow.Resampling.LANCZOS)
                    yield member.name, np.asarray(small)


def _sounds(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each sound at the rate and of the length that all are given."""
    most = int(RATE * SECONDS)
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile():
                content = archive.extractfile(member)
                assert content is not None
                samples, rate = sound.decode(content.read())
                heard = sound.resampled(samples, rate, RATE, most)
                yield member.name, np.pad(heard, (0, most - len(heard)))


def _photographs(where: str, kind: str) -> np.ndarray:
    folder = places.folder() / where
    if where == "cifar10":
        return np.stack([image for name, image in _images(folder / "cifar10_jpeg.tar.gz") if f"/{kind}/" in name])
    with (folder / "labels.csv").open() as file:
        names = {row["file"] for row in csv.DictReader(file) if row[kind] == "1"}
    return np.stack([image for name, image in _images(folder / "miml_scenes96.tar.gz") if name in names])


def _add(columns: dict[str, list[np.ndarray | str]], split: str, **values: np.ndarray | str) -> None:
    for name, value in values.items():
        columns.setdefault(f"{name}_{split}", []).append(value)


def _stacked(columns: Mapping[str, list[np.ndarray | str]]) -> dict[str, np.ndarray]:
    return {name: np.array(values) for name, values in columns.items()}
