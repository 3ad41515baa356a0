"""What files hold is what sources give: labels, splits, order and fingerprints; and the files stay as they were."""

import gzip
import io
import json
import shutil
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from kallima.data import Attributes, Image, Label, Points, Source, Text, fingerprint, open_source
from kallima.data.dataset import prepare
from kallima.data.source import Problem, RandomAccess
from kallima.data.spec import Values
from kallima.data.view import View
from kallima.errors import DataError

REAL = Path(__file__).parents[2] / "shared" / "data"


def picture(value: int, size: tuple[int, int] = (4, 6)) -> np.ndarray:
    return np.full((*size, 3), value, np.uint8)


def save(path: Path, value: int = 0, size: tuple[int, int] = (4, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(picture(value, size)).save(path)
    return path


def values(source: Source, field: str = "image") -> list:
    """One number an image, or the field's values."""
    examples = list(source.examples())
    assert not any(isinstance(example, Problem) for example in examples)
    assert len(examples) == len(source)
    return [int(e["image"][0, 0, 0]) if field == "image" else e[field] for e in examples]


@pytest.fixture
def animals(tmp_path) -> Path:
    """Two classes in folders, 3 and 2 images, the pixel value telling which."""
    for i, name in enumerate(["cat/1.png", "cat/2.png", "cat/old/0.png", "dog/1.png", "dog/2.bmp"]):
        save(tmp_path / "animals" / name, i)
    return tmp_path / "animals"


def test_class_folders_are_labels(animals):
    for clutter in (".hidden.png", "README.md", "cat/Thumbs.db", ".git/x.png", "cat/info.json"):
        (animals / clutter).parent.mkdir(exist_ok=True)
        (animals / clutter).write_bytes(b"no image")
    source = open_source(animals)
    assert source.fields == {"image": Image(3, 4, 6), "label": Label(("cat", "dog"))}
    assert values(source) == [0, 1, 2, 3, 4]
    assert values(source, "label") == [0, 0, 0, 1, 1]
    assert source.splits == ("train",)
    assert isinstance(source, RandomAccess)
    assert int(source.read(3)["image"][0, 0, 0]) == 3
    assert open_source(source.name).fingerprint() == source.fingerprint()


@pytest.mark.parametrize("names", [["1.png", "2.png"], ["only/1.png", "only/2.png"], ["a/1.png", "b/2.png", "3.png"]])
def test_other_folders_have_no_labels(names, tmp_path):
    for name in names:
        save(tmp_path / "set" / name)
    assert set(open_source(tmp_path / "set").fields) == {"image"}


def test_folders_train_and_test_are_splits(tmp_path):
    for i, name in enumerate(["train/b/1.png", "train/c/1.png", "test/a/1.png", "test/b/1.png"]):
        save(tmp_path / name, i)
    train, test = open_source(tmp_path), open_source(tmp_path, split="test")
    assert train.splits == test.splits == ("train", "test")
    assert (values(train), values(test)) == ([0, 1], [2, 3])
    assert train.fields["label"] == test.fields["label"] == Label(("a", "b", "c"))
    assert (values(train, "label"), values(test, "label")) == ([1, 2], [0, 1])


def test_a_table_gives_labels_text_attributes_and_splits(tmp_path):
    for i in range(4):
        save(tmp_path / "in" / f"{i}.png", i)
    rows = [
        "3,10,a dog,1,0,test,x",
        '0,9,"a cat, small",0,1,train,y',
        "1,10,a dog,0,0,train,z",
        "2,9,a cat,1,1,train,w",
    ]
    rows = [f"in/{row.split(',')[0]}.png,{row.split(',', 1)[1]}" for row in rows]
    (tmp_path / "metadata.csv").write_text("file_name,label,text,red,big,split,note\n" + "\n".join(rows), "utf-8-sig")
    source = open_source(tmp_path)
    assert source.fields == {
        "image": Image(3, 4, 6),
        "label": Label(("9", "10")),
        "attributes": Attributes(("red", "big")),
        "text": Text(),
    }
    assert values(source) == [0, 1, 2]
    assert values(source, "label") == [0, 1, 0]
    assert values(source, "text") == ["a cat, small", "a dog", "a cat"]
    assert np.array(values(source, "attributes")).tolist() == [[0, 1], [0, 0], [1, 1]]
    assert values(open_source(tmp_path, split="test"), "label") == [1]


@pytest.mark.parametrize("by_folder", [True, False])
def test_values_are_standardised_by_the_first_split_and_stored_as_they_are(by_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("KALLIMA_CACHE", str(tmp_path / "cache"))
    ages, splits = [10.0, 30.0, 1000.0], ["train", "train", "test"]
    names = [f"{split}/{i}.png" if by_folder else f"{i}.png" for i, split in enumerate(splits)]
    for i, name in enumerate(names):
        save(tmp_path / "set" / name, i)
    columns = {"file_name": names, "age": ages, "size": [1, 1, 2], "dark": [0, 1, 1], "label": [3, 5, 3]}
    columns |= {} if by_folder else {"split": splits}
    rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    (tmp_path / "set" / "metadata.csv").write_text("\n".join([",".join(columns), *rows]))
    train, test = open_source(tmp_path / "set"), open_source(tmp_path / "set", split="test")
    assert train.fields == test.fields
    assert train.fields["values"] == Values(("age", "size"), (20.0, 1.0), (10.0, 1.0))
    assert train.fields["attributes"] == Attributes(("dark",))
    assert np.array(values(train, "values")).tolist() == [[10, 1], [30, 1]]
    assert values(test, "values")[0].tolist() == [1000, 2]
    read = prepare(test, View()).read(np.array([0]))
    assert read["values"].tolist() == [[98, 1]]
    assert prepare(train, View()).read(np.array([1, 0]))["values"].tolist() == [[1, 0], [-1, 0]]


def test_folders_train_a_and_train_b_are_domains(tmp_path):
    for i, name in enumerate(["trainA/1.png", "trainA/2.png", "trainB/x/1.png", "trainB/y/1.png", "testB/9.png"]):
        save(tmp_path / name, i)
    train, test = open_source(tmp_path), open_source(tmp_path, split="test")
    assert train.splits == ("train", "test")
    assert train.fields == test.fields == {"image": Image(3, 4, 6), "domain": Label(("A", "B"))}
    assert (values(train), values(train, "domain")) == ([0, 1, 2, 3], [0, 0, 1, 1])
    assert (values(test), values(test, "domain")) == ([4], [1])


def test_within_domains_folders_are_classes(tmp_path):
    for i, name in enumerate(["trainA/x/1.png", "trainA/y/2.png", "trainB/x/1.png", "trainB/y/1.png"]):
        save(tmp_path / name, i)
    source = open_source(tmp_path)
    assert source.fields["domain"] == Label(("A", "B"))
    assert source.fields["label"] == Label(("x", "y"))
    assert (values(source, "domain"), values(source, "label")) == ([0, 0, 1, 1], [0, 1, 0, 1])


@pytest.mark.parametrize("names", [["trainA/1.png", "trainb/1.png"], ["trainA/1.png", "trainB/1.png", "cat/1.png"]])
def test_other_folders_are_classes_not_domains(names, tmp_path):
    for name in names:
        save(tmp_path / name)
    source = open_source(tmp_path)
    assert set(source.fields) == {"image", "label"}
    assert source.splits == ("train",)


def test_an_archive_has_domains_and_values_as_its_folder_has(tmp_path):
    for i, name in enumerate(["trainA/1.png", "trainA/2.png", "trainB/3.png"]):
        save(tmp_path / "in" / name, i)
    (tmp_path / "in" / "metadata.csv").write_text("file,age\ntrainA/1.png,1.5\ntrainA/2.png,2\ntrainB/3.png,4")
    folder = open_source(tmp_path / "in")
    source = open_source(pack(tmp_path / "a.tar", contents(tmp_path / "in")))
    assert dict(source.fields) == dict(folder.fields)
    assert set(source.fields) == {"image", "domain", "values"}
    assert source.fingerprint() == folder.fingerprint()
    assert values(source, "domain") == [0, 0, 1]


def test_what_was_cached_without_values_is_not_mixed_up_with_them(tmp_path, monkeypatch):
    monkeypatch.setenv("KALLIMA_CACHE", str(tmp_path / "cache"))
    pixels = np.zeros((3, 4, 4), np.uint8)
    path = arrays(tmp_path / "a.npz", x=pixels, values=np.array([1.0, 2.0, 6.0]))
    source = open_source(path)
    fields = source.fields
    source.fields = {"image": fields["image"]}  # as an older version saw the same file
    assert set(prepare(source, View()).read(np.array([0]))) == {"image"}
    source.fields = fields
    read = prepare(source, View()).read(np.arange(3))
    np.testing.assert_allclose(read["values"][:, 0], (np.array([1, 2, 6]) - 3) / np.std([1, 2, 6]), rtol=1e-6)


def test_json_lines_in_each_split_folder(tmp_path):
    for split, count in (("train", 2), ("test", 1)):
        for i in range(count):
            save(tmp_path / split / f"{i}.png", i)
        lines = [json.dumps({"file": f"{i}.png", "caption": f"{split} {i}", "box": [1]}) for i in range(count)]
        (tmp_path / split / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    assert values(open_source(tmp_path), "text") == ["train 0", "train 1"]
    assert values(open_source(tmp_path, split="test"), "text") == ["test 0"]


@pytest.mark.parametrize(
    ("column", "cells", "field"),
    [
        ("class_1_to_102", ["77", "8", "77"], Label(("8", "77"))),
        ("happy", ["1", "0", "1"], Attributes(("happy",))),
        ("number", ["1", "2", "3"], None),  # it numbers the rows: an index, neither class nor value
        ("number", ["1", "3", "2"], Values(("number",), (2.0,), ((2 / 3) ** 0.5,))),
        ("age", ["35.0", "35.0", "65.0"], Values(("age",), (45.0,), (200**0.5,))),
        ("age", ["7.5", "7.5", "7.5"], Values(("age",), (7.5,), (1.0,))),
        ("age", ["35", "35", "x"], None),
        ("age", ["35.5", "", "1"], None),
        ("age", ["35.5", "nan", "1"], None),
        ("age", ["35.5", "1e39", "1"], None),  # what no float32 holds
        ("domain", ["photo", "sketch", "photo"], Label(("photo", "sketch"))),
        ("artist", ["a", "b", "a"], None),
        ("hair,eyes", ["a,1", "b,4", "a,1"], Values(("eyes",), (2.0,), (2**0.5,))),
    ],
)
def test_which_columns_are_what(column, cells, field, tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png")
    rows = [f"{i}.png,{cell}" for i, cell in enumerate(cells)]
    (tmp_path / "metadata.csv").write_text(f"file,{column}\n" + "\n".join(rows))
    fields = dict(open_source(tmp_path).fields)
    del fields["image"]
    assert list(fields.values()) == ([] if field is None else [field])


def test_links_are_followed_and_loops_end(animals, tmp_path):
    (animals / "cat" / "loop").symlink_to(animals)
    (animals / "zebra").symlink_to(tmp_path / "elsewhere")
    save(tmp_path / "elsewhere" / "z.png", 9)
    assert values(open_source(animals)) == [0, 1, 2, 3, 4, 9]


def pack(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder).as_posix()): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.mark.parametrize("around", ["", "./", "animals/"])
@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz"])
def test_an_archive_is_the_folder_that_it_holds(animals, tmp_path, ending, around):
    files = {around + name: data for name, data in contents(animals).items()}
    path = pack(tmp_path / f"a.{ending}", files, "w" if ending == "tar" else "w:gz")
    source, folder = open_source(path), open_source(animals)
    assert dict(source.fields) == dict(folder.fields)
    assert values(source) == values(folder)
    assert values(source, "label") == values(folder, "label")
    assert source.fingerprint() == folder.fingerprint()
    assert isinstance(source, RandomAccess) == (ending == "tar")
    if isinstance(source, RandomAccess):
        np.testing.assert_array_equal(source.read(4)["image"], picture(4))


def test_a_column_of_few_words_is_an_attribute_for_each_of_them(tmp_path):
    rows = ["file_name,hair,name,split"]
    for number in range(6):
        save(tmp_path / f"{number}.png")
        rows.append(
            f"{number}.png,{'red' if number % 3 else 'blue'},image {number},{'test' if number == 5 else 'train'}"
        )
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    source = open_source(str(tmp_path))
    assert source.fields["attributes"] == Attributes(("blue hair", "red hair"))
    assert np.array(values(source, "attributes")).tolist() == [[1, 0], [0, 1], [0, 1], [1, 0], [0, 1]]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("inside", [True, False])
def test_an_archive_takes_its_table_from_inside_or_beside(tmp_path, mode, inside):
    files = {f"{i}.png": save(tmp_path / "raw" / f"{i}.png", i).read_bytes() for i in (2, 0, 1)}
    table = "file,kind,split\n0.png,5,train\n1.png,7,test\n2.png,5,train\n"
    if inside:
        files = {"labels.csv": table.encode(), **files}
    else:
        (tmp_path / "labels.csv").write_text(table)
    path = pack(tmp_path / "set.tar", files, mode)
    assert values(open_source(path)) == [2, 0]  # as they lie in the archive
    assert values(open_source(path, split="test"), "label") == [1]
    assert open_source(path).fields["label"] == Label(("5", "7"))


def test_tables_that_speak_of_other_files_are_passed_over(tmp_path):
    path = pack(tmp_path / "set.tar", {"a.png": save(tmp_path / "a.png").read_bytes()})
    (tmp_path / "prices.csv").write_text("file,label\nother.png,1\n")
    assert set(open_source(path).fields) == {"image"}


def test_an_archive_writes_nothing_wherever_its_members_point(tmp_path):
    data = save(tmp_path / "raw.png", 7).read_bytes()
    (tmp_path / "in").mkdir()
    path = pack(tmp_path / "in" / "set.tar", {"/abs.png": data, "sub/x.png": data})
    before = sorted(tmp_path.rglob("*"))
    assert values(open_source(path)) == [7, 7]
    assert sorted(tmp_path.rglob("*")) == before


def arrays(path: Path, **named: np.ndarray) -> Path:
    np.savez(path, **named)
    return path


BYTES = np.arange(2 * 5 * 6 * 3, dtype=np.uint8).reshape(2, 5, 6, 3)


@pytest.mark.parametrize(
    ("array", "shown"),
    [
        (BYTES, BYTES),
        (BYTES[..., 0], BYTES[..., :1]),
        (BYTES.transpose(0, 3, 1, 2), BYTES),
        (BYTES.astype(np.int64), BYTES),
        (np.asfortranarray(BYTES), BYTES),
        (BYTES.astype(">u2") * 257, BYTES),
        (BYTES.astype(np.float32) / 255, BYTES),
        (BYTES / 127.5 - 1, BYTES),
        (BYTES > 90, (BYTES > 90) * 255),
    ],
)
def test_arrays_of_images_are_brought_to_bytes(array, shown, tmp_path):
    source = open_source(arrays(tmp_path / "a.npz", samples=array))
    assert source.fields == {"image": Image(shown.shape[-1], 5, 6)}
    images = np.stack(values_of(source, "image"))
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, shown)


def values_of(source: Source, field: str) -> list:
    return [example[field] for example in source.examples()]


@pytest.mark.parametrize("compressed", [True, False])
def test_arrays_by_split_with_labels(compressed, tmp_path):
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1) * np.ones((1, 2, 2), np.uint8)
    save_as = np.savez_compressed if compressed else np.savez
    labels = np.array([[30], [10], [30]])
    save_as(tmp_path / "a.npz", x_train=images[:3], y_train=labels, x_test=images[3:], y_test=np.array([20, 10]))
    train, test = open_source(tmp_path / "a.npz"), open_source(tmp_path / "a.npz", split="test")
    assert (values(train), values(test)) == ([0, 1, 2], [3, 4])
    assert train.fields["label"] == test.fields["label"] == Label(("10", "20", "30"))
    assert (values(train, "label"), values(test, "label")) == ([2, 0, 2], [1, 0])
    assert train.splits == ("train", "test")
    assert train.fingerprint() != test.fingerprint()


@pytest.mark.parametrize(
    ("labels", "extra", "classes", "indices"),
    [
        (["cat", "dog", "cat"], {}, ("cat", "dog"), [0, 1, 0]),
        ([b"x", b"y", b"y"], {}, ("x", "y"), [0, 1, 1]),
        ([0.0, 2.0, 2.0], {}, ("0", "2"), [0, 1, 1]),
        ([True, False, True], {}, ("0", "1"), [1, 0, 1]),
        ([2, 0, 2], {"classes": np.array(["red", "green", "blue"])}, ("red", "green", "blue"), [2, 0, 2]),
    ],
)
def test_labels_of_many_kinds(labels, extra, classes, indices, tmp_path):
    path = arrays(tmp_path / "a.npz", x=np.zeros((3, 2, 2), np.uint8), y=np.array(labels), **extra)
    assert open_source(path).fields["label"] == Label(classes)
    assert values(open_source(path), "label") == indices


def test_arrays_beside_the_examples_say_more_of_them(tmp_path):
    pixels = np.zeros((4, 2, 2), np.uint8)
    named = {
        "domain_train": np.array([1, 0, 0]),
        "domain_test": np.array([1]),
        "domain_names": np.array(["photo", "sketch"]),
        "attributes_train": np.array([[1, 0], [1, 1], [0, 0]], bool),
        "attributes_test": np.array([[1, 0]]),
        "attribute_names": np.array(["dark", "round"]),
        "values_train": np.array([1.0, 2.0, 6.0]),
        "values_test": np.array([[300.0]]),
        "y_train": np.array([7, 7, 8]),
    }
    path = arrays(tmp_path / "a.npz", x_train=pixels[:3], x_test=pixels[3:], **named)
    train, test = open_source(path), open_source(path, split="test")
    more = {
        "domain": Label(("photo", "sketch")),
        "attributes": Attributes(("dark", "round")),
        "values": Values(("value1",), (3.0,), (np.std([1, 2, 6]),)),
    }
    assert train.fields == {"image": Image(1, 2, 2), "label": Label(("7", "8")), **more}
    assert test.fields == {"image": Image(1, 2, 2), **more}
    assert values_of(train, "domain") == [1, 0, 0]
    assert np.array(values_of(train, "attributes")).tolist() == [[1, 0], [1, 1], [0, 0]]
    assert np.array(values_of(train, "values")).tolist() == [[1], [2], [6]]
    assert (values_of(test, "domain"), values_of(test, "values")[0].tolist()) == ([1], [300])
    alone = open_source(path, key="x_train")
    assert set(alone.fields) == {"image"}


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"attributes": np.array([0, 1, 2])}, "'attributes' in .* holds numbers other than 0 and 1: save those as val"),
        ({"attributes": np.zeros((2, 3))}, r"'x' has the shape \(3, 2, 2\) but 'attributes' \(2, 3\) .* one row an ex"),
        ({"values": np.array([1.0, np.nan, 2.0])}, "'values' in .* holds 1 values that are NaN .* in example 1: mend"),
        ({"values": np.array(["a", "b", "c"])}, "'values' in .* holds <U1: save plain numbers"),
        ({"values": np.zeros((3, 2)), "value_names": np.array(["a"])}, "'value_names' .* must be 2 different words"),
        ({"domain": np.zeros((3, 2))}, "must be one domain an example"),
        ({"domain": np.array([0.5, 1, 2])}, "'domain' in .* holds float64 numbers, not labels"),
    ],
)
def test_arrays_that_do_not_hold_what_their_name_says_are_refused(named, message, tmp_path):
    with pytest.raises(DataError, match=message):
        open_source(arrays(tmp_path / "a.npz", x=np.zeros((3, 2, 2), np.uint8), **named))


def test_key_chooses_an_array(tmp_path):
    path = arrays(tmp_path / "a.npz", rgb=BYTES, x=BYTES[:1])
    assert len(open_source(path, key="rgb")) == 2
    assert len(open_source(path)) == 1
    assert open_source(path, key="rgb").fingerprint() != open_source(path).fingerprint()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("ending", ["npz", "npy"])
def test_points_are_told_with_their_mean_and_deviation(ending, order, tmp_path):
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(70_000, 3)) * [1, 1e-3, 0] + [1e4, -5, 0.1]).astype(np.float32)
    path = tmp_path / f"p.{ending}"
    stored = np.asarray(points, order=order)
    np.savez(path, samples=stored) if ending == "npz" else np.save(path, stored)
    source = open_source(path)
    field = source.fields["points"]
    assert isinstance(field, Points)
    exact = points.astype(np.float64)
    np.testing.assert_allclose(field.offset, exact.mean(0), rtol=1e-12)
    np.testing.assert_allclose(field.scale, [*exact.std(0)[:2], 1.0], rtol=1e-9)
    np.testing.assert_array_equal(np.stack(values_of(source, "points")), points)


def test_both_splits_are_standardised_by_the_first(tmp_path):
    path = arrays(tmp_path / "p.npz", x_train=np.arange(8).reshape(4, 2), x_test=np.full((3, 2), 99))
    assert open_source(path).fields == open_source(path, split="test").fields
    assert values_of(open_source(path, split="test"), "points")[0].tolist() == [99, 99]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_memory_does_not_grow_with_an_array(dtype, tmp_path):
    size = np.dtype(dtype).itemsize
    count = 200_000_000 // (2500 * size)
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": (count, 50, 50)}
    packed = zipfile.ZipFile(tmp_path / "big.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with packed, packed.open("samples.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
        for _ in range(count // 100):
            member.write(bytes(2500 * size * 100))
    tracemalloc.start()
    seen = sum(1 for _ in open_source(tmp_path / "big.npz").examples())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == count
    assert peak < 20e6


def idx(path: Path, array: np.ndarray, compress: bool = False) -> Path:
    data = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data) if compress else data)
    return path


@pytest.mark.parametrize("gz", ["", ".gz"])
def test_idx_finds_its_labels_and_its_test_set(gz, tmp_path):
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1) * np.ones((1, 3, 2), np.uint8)
    for name, each, labels in (("train", images[:3], [4, 9, 4]), ("t10k", images[3:], [7, 9])):
        idx(tmp_path / f"{name}-images-idx3-ubyte{gz}", each, bool(gz))
        idx(tmp_path / f"{name}-labels-idx1-ubyte{gz}", np.array(labels, np.uint8), bool(gz))
    for given in (tmp_path, tmp_path / f"train-images-idx3-ubyte{gz}"):
        train, test = open_source(given), open_source(given, split="test")
        assert train.fields == test.fields == {"image": Image(1, 3, 2), "label": Label(("4", "7", "9"))}
        assert (values(train), values(test)) == ([0, 1, 2], [3, 4])
        assert (values(train, "label"), values(test, "label")) == ([0, 2, 0], [1, 2])
        assert train.fingerprint() != test.fingerprint()
    alone = open_source(tmp_path / f"t10k-images-idx3-ubyte{gz}")
    assert alone.splits == ("train",)
    assert values(alone) == [3, 4]


def test_an_embedded_name_wins_and_a_path_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "digits" / "1.png", 5)
    assert len(open_source("digits")) > 1000
    assert values(open_source("./digits")) == [5]
    assert open_source("./digits").name == str(tmp_path / "digits")
    monkeypatch.chdir("/")
    assert values(open_source(str(tmp_path / "digits"))) == [5]


def test_fingerprints_are_equal_for_equal_content_alone(animals, tmp_path):
    first = open_source(animals).fingerprint()
    copy = tmp_path / "copy"

    def again() -> Path:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(animals, copy)
        return copy

    assert open_source(again()).fingerprint() == first
    found = {first}
    (again() / "cat" / "1.png").rename(copy / "cat" / "1b.png")  # a name
    found.add(open_source(copy).fingerprint())
    (again() / "cat" / "1.png").rename(copy / "dog" / "0.png")  # a label
    found.add(open_source(copy).fingerprint())
    data = bytearray((again() / "dog" / "2.bmp").read_bytes())
    data[-4] ^= 1  # a byte
    (copy / "dog" / "2.bmp").write_bytes(data)
    found.add(open_source(copy).fingerprint())
    (again() / "dog" / "2.bmp").unlink()
    found.add(open_source(copy).fingerprint())
    names = sorted(contents(again()))
    for labels in ("01010", "01011"):
        rows = [f"{name},{label}" for name, label in zip(names, labels, strict=True)]
        (copy / "metadata.csv").write_text("file_name,label\n" + "\n".join(rows))
        found.add(open_source(copy).fingerprint())
    assert len(found) == 7


def test_an_answer_is_remembered_until_a_file_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("KALLIMA_CACHE", str(tmp_path / "cache"))
    asked = []

    def answer() -> int:
        asked.append(1)
        return len(asked)

    old = ("a", 5, 10**9, 10**9)
    assert [fingerprint.remember("size", [old], answer) for _ in range(2)] == [1, 1]
    assert fingerprint.remember("size", [("a", 5, 10**9 + 1, 10**9)], answer) == 2
    assert fingerprint.remember("colour", [old], answer) == 3
    for file in (tmp_path / "cache").rglob("*.json"):
        file.write_text("{")
    assert fingerprint.remember("size", [old], answer) == 4
    path = save(tmp_path / "new.png")
    new = fingerprint.stamp("new.png", path.stat())  # it may change again within a tick of the file system's clock
    assert [fingerprint.remember("size", [new], answer) for _ in range(2)] == [5, 6]
    monkeypatch.setenv("KALLIMA_CACHE", str(path / "is no folder"))
    assert fingerprint.remember("size", [old], answer) == 7


def test_the_users_files_are_left_alone(animals, tmp_path):
    pack(animals / "set.tar", contents(animals))
    arrays(animals / "a.npz", x=BYTES)
    (animals / "cat" / "broken.png").write_bytes(b"")

    def state() -> dict:
        return {str(f): (f.stat().st_mtime_ns, f.stat().st_size, f.stat().st_mode) for f in tmp_path.rglob("*")}

    before = state()
    for path in (animals, animals / "set.tar", animals / "a.npz"):
        source = open_source(path)
        source.check()
        source.fingerprint()
    assert state() == before


def test_torch_stays_out():
    code = "import sys, kallima.data; kallima.data.open_source('ring'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not REAL.exists(), reason="the real data sets are not beside the checkout")
@pytest.mark.parametrize(
    ("name", "key", "count", "image", "label", "splits"),
    [
        ("mnist/mnist.npz", None, 60_000, Image(1, 28, 28), 10, ("train", "test")),
        ("usps/usps.npz", None, 7498, Image(1, 16, 16), 10, ("train", "test")),
        ("cifar10/cifar10_lossless.npz", None, 2000, Image(3, 32, 32), 10, ("train",)),
        ("cifar10/cifar10_jpeg.tar.gz", None, 10_000, Image(3, 32, 32), 10, ("train", "test")),
        ("flowers64/flowers64.tar.gz", None, 7351, Image(3, 64, 64), 102, ("train", "test")),
        ("anime_faces/anime_faces64.tar.gz", None, 6000, Image(3, 64, 64), None, ("train", "test")),
        ("pokemon20/pokemon40_rgb.npz", "rgb", 720, Image(3, 40, 40), None, ("train",)),
        ("natural_images/kodak24_half.tar", None, 24, Image(3, None, None), None, ("train",)),
    ],
)
def test_real_sets_open(name, key, count, image, label, splits):
    source = open_source(REAL / name, key=key)
    assert (len(source), source.fields["image"], source.splits) == (count, image, splits)
    classes = source.fields.get("label")
    assert (len(classes.classes) if isinstance(classes, Label) else None) == label
    first = next(source.examples())
    assert not isinstance(first, Problem)
    assert first["image"].shape[2] == image.channels


@pytest.mark.skipif(not REAL.exists(), reason="the real data sets are not beside the checkout")
def test_real_scenes_have_attributes():
    source = open_source(REAL / "miml_scenes" / "miml_scenes96.tar.gz", split="test")
    assert source.fields["attributes"] == Attributes(("desert", "mountains", "sea", "sunset", "trees"))
    rows = (REAL / "miml_scenes" / "labels.csv").read_text().split()
    told = {row.split(",")[0]: row.split(",")[1:6] for row in rows if row.endswith("test")}
    with tarfile.open(REAL / "miml_scenes" / "miml_scenes96.tar.gz") as archive:
        order = [name for name in archive.getnames() if name in told]
    got = [example["attributes"].astype(int).astype(str).tolist() for example in source.examples()]
    assert got == [told[name] for name in order]
