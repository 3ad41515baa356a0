"""Each way in which data can be broken gets its own plain, one-line message."""

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from kallima.data import archive, open_source
from kallima.data.source import Problem
from kallima.data.view import View
from kallima.errors import DataError, KallimaError, UsageError
from tests.test_images import png
from tests.test_sources import arrays, idx, pack, save


def refusal(path: object, kind: type[KallimaError] = DataError, **options) -> str:
    with pytest.raises(kind) as caught:
        open_source(path, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.fixture
def photos(tmp_path) -> Path:
    for i in range(3):
        save(tmp_path / "photos" / f"{i}.png", i)
    return tmp_path / "photos"


def noise(seed: int = 0) -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


BROKEN = {
    "empty.png": (b"", "is empty"),
    "text.jpg": (b"this is not a picture", "is not an image"),
    "cut.png": (noise()[:1500], "is cut short"),
    "bomb.png": (png(30_000, 30_000), "more than the limit of 64,000,000"),
    "large.png": (png(9000, 9000), "is 9000×9000 pixels"),
    "damaged.png": (b"\x89PNG\r\n\x1a\n" + bytes(100), "damaged"),
}


@pytest.mark.parametrize("packed", [None, "w", "w:gz"])
def test_every_broken_image_is_named_and_the_rest_goes_on(packed, photos, tmp_path):
    for name, (data, _) in BROKEN.items():
        (photos / name).write_bytes(data)
    path = photos
    if packed:
        path = pack(tmp_path / "set.tar", {f.name: f.read_bytes() for f in sorted(photos.iterdir())}, packed)
    source = open_source(path)
    assert len(source) == 9
    problems = source.check()
    assert {Path(problem.path.replace(":", "/")).name for problem in problems} == set(BROKEN)
    for problem in problems:
        assert problem.path.startswith(str(path))
        assert BROKEN[Path(problem.path.replace(":", "/")).name][1] in problem.problem
    assert [example["image"][0, 0, 0] for example in source.examples() if not isinstance(example, Problem)] == [0, 1, 2]
    assert source.fingerprint()


def test_files_that_cannot_be_opened_are_problems(photos, monkeypatch):
    (photos / "nowhere.png").symlink_to(photos / "gone.png")
    os.mkfifo(photos / "pipe.png")  # opening it would wait for ever
    real_open = Path.open

    def locked(self: Path, *args, **options):
        if self.name == "1.png":
            raise PermissionError(13, "Permission denied")
        return real_open(self, *args, **options)

    monkeypatch.setattr(Path, "open", locked)
    problems = {Path(problem.path).name: problem.problem for problem in open_source(photos).check()}
    assert problems == {
        "1.png": "cannot be read (Permission denied)",
        "nowhere.png": "is a link to nothing",
        "pipe.png": "is not a regular file",
    }
    assert open_source(photos).fingerprint()


def test_folders_that_cannot_be_entered(photos, monkeypatch):
    (photos / "locked").mkdir()
    real_scan = os.scandir

    def locked(path):
        if str(path).endswith(where):
            raise PermissionError(13, "Permission denied")
        return real_scan(path)

    monkeypatch.setattr(os, "scandir", locked)
    where = "locked"
    assert [p.problem for p in open_source(photos).check()] == ["cannot be opened (Permission denied)"]
    where = "photos"
    assert "cannot be opened (Permission denied)" in refusal(photos)


def test_folders_without_images(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty is empty: put images there" in refusal(tmp_path / "empty")
    (tmp_path / "empty" / "notes.txt").write_text("…")
    assert "holds no images (.png, .jpg and the like) among its 1 files" in refusal(tmp_path / "empty")
    arrays(tmp_path / "empty" / "set.npz", x=np.zeros(3))
    assert "holds no images, but set.npz: give that file itself" in refusal(tmp_path / "empty")


def test_names_of_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal("glpyhs", UsageError) == "no data 'glpyhs'; did you mean 'glyphs'?"
    assert "is no embedded set (glyphs, digits" in refusal("walruses", UsageError)
    assert refusal("", UsageError).startswith("'' is no embedded set (")  # and not the folder one is in
    assert refusal("photos/all") == "no such path: photos/all"
    assert refusal(tmp_path / "x.npz") == f"no such path: {tmp_path / 'x.npz'}"
    (tmp_path / "a.zip").write_bytes(b"PK")
    assert "unpack it" in refusal("a.zip")
    (tmp_path / "notes.docx").write_bytes(b"hello")
    assert "is no data that is known: give a folder of images" in refusal("notes.docx")
    save(tmp_path / "one.png")
    assert "is a single image: give the folder" in refusal("one.png")
    os.mkfifo("pipe.npz")
    assert "neither a file nor a folder" in refusal("pipe.npz")


def test_an_absent_split_is_refused_by_those_there_are(photos, tmp_path):
    assert "has no split 'test', only train" in refusal(photos, split="test")
    path = arrays(tmp_path / "a.npz", x_train=np.zeros((2, 2)), x_test=np.zeros((2, 2)))
    assert "has no split 'tets', only train, test; did you mean 'test'?" in refusal(path, split="tets")
    assert refusal("digits", KallimaError, split="dev")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file_name,label\n0.png,a\n1.png,\n2.png,b\n", "gives no label for 1 of 3 images, such as '1.png'"),
        ("file_name,label\n0.png,a\n2.png,b\n", "lists only 2 of 3 images, not '1.png'"),
        ("file_name,text\n0.png,a\n1.png,b\n2.png,\n", "gives no text for 1 of 3 images, such as '2.png'"),
        ("file_name,label\n0.png,a\n1.png,b\n2.png,b\n0.png,b\n", "lists '0.png' twice, the second time in line 5"),
        ("file_name,split\n0.png,train\n1.png,\n2.png,test\n", "leaves the split of some images open"),
        ("name,label\n0.png,a\n", "names no files: it needs a column file_name"),
        ("", "names no files"),
        ("file_name,label\n0.png,a,b,c\n", "4 cells in line 2, but 2 columns"),
        ('file_name,label\n0.png,"a\n', "is damaged"),
        (b"file_name,label\n0.png,\xff\xfe\n", "is not UTF-8"),
        ("file_name,label\n,a\n", "names no file in line 2"),
    ],
)
def test_tables_that_do_not_fit_the_images(photos, tmp_path, table, message):
    data = table.encode() if isinstance(table, str) else table
    (photos / "metadata.csv").write_bytes(data)
    assert message in refusal(photos)
    packed = pack(tmp_path / "set.tar", {f.name: f.read_bytes() for f in sorted(photos.iterdir())})
    assert message in refusal(packed)


@pytest.mark.parametrize("line", ["{", "[1]", '"a"'])
def test_broken_json_lines(photos, line):
    (photos / "metadata.jsonl").write_text('{"file_name": "0.png"}\n' + line)
    assert "metadata.jsonl" in refusal(photos)
    assert "line 2" in refusal(photos)


def test_two_tables_may_not_speak_of_one_image(photos):
    (photos / "metadata.csv").write_text("file_name,label\n0.png,a\n1.png,a\n2.png,b\n")
    (photos / "metadata.jsonl").write_text('{"file_name": "2.png", "label": "b"}')
    assert "metadata.jsonl lists '2.png', and so does" in refusal(photos)


def test_listed_files_that_are_missing_or_elsewhere_are_problems(photos, tmp_path):
    save(tmp_path / "secret.png", 9)
    rows = "".join(f"{name},a\n" for name in ("0.png", "1.png", "2.png", "gone.png", "../secret.png"))
    (photos / "metadata.csv").write_text("file_name,label\n" + rows)
    problems = open_source(photos).check()
    assert [Path(problem.path).name for problem in problems] == ["gone.png", "secret.png"]
    assert {problem.problem for problem in problems} == {"is listed in a table but is not there"}


def test_mixed_sizes_and_channels_are_told_by_what_there_is(photos):
    save(photos / "wide.png", 0, (30, 40))
    source = open_source(photos)
    with pytest.raises(DataError, match=r"from 6×4 to 40×30\): choose one with --size 64"):
        View().field(source.fields["image"], source.survey)
    Pillow.fromarray(np.zeros((4, 6), np.uint8)).save(photos / "grey.png")
    source = open_source(photos)
    with pytest.raises(DataError, match=r"\(1 grey, 4 RGB\): choose with --channels 1, 3 or 4"):
        View(size=8).field(source.fields["image"], source.survey)


def test_when_nothing_can_be_read_the_file_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    source = open_source(tmp_path)
    with pytest.raises(DataError, match=r"a\.png is empty"):
        View(size=8).field(source.fields["image"], source.survey)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_damaged_archives(tmp_path, mode):
    path = pack(tmp_path / "set.tar", {f"{i}.png": noise(i) for i in range(9)}, mode)
    whole = path.read_bytes()
    for cut in (20_480, 19_000):  # in a plain tar the first is where a member ends
        path.write_bytes(whole[:cut])
        source = open_source(path)
        problems = source.check()
        assert problems[-1].path == str(path)
        assert "is cut short or damaged after" in problems[-1].problem
        examples = list(source.examples())
        assert len(examples) == len(source)
        assert 4 <= sum(not isinstance(example, Problem) for example in examples) <= 6
    path.write_bytes(b"")
    assert "set.tar is empty" in refusal(path)
    path.write_bytes(b"not a tar" * 100)
    assert "is no tar archive" in refusal(path)
    pack(path, {"notes.txt": b"hello"}, mode)
    assert "holds no images" in refusal(path)


def test_a_damaged_header_in_the_middle_is_not_the_end(tmp_path):
    path = pack(tmp_path / "set.tar", {f"{i}.png": noise() for i in range(4)})
    data = bytearray(path.read_bytes())
    start = data.index(b"2.png")
    data[start : start + 100] = bytes([7]) * 100
    path.write_bytes(data)
    assert "after 2 images" in open_source(path).check()[-1].problem


def test_members_that_are_links_or_too_large_are_problems(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MEMBER_LIMIT", 3000)
    small = save(tmp_path / "small.png").read_bytes()
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as packed:
        for name, kind in (
            ("soft.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("fifo.png", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            packed.addfile(info)
        for name, data in (("big.png", bytes(5000)), ("small.png", small)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    source = open_source(tmp_path / "set.tar.gz")
    told = {problem.path.split(":")[1]: problem.problem for problem in source.check()}
    assert set(told) == {"soft.png", "hard.png", "fifo.png", "big.png"}
    assert "link" in told["soft.png"]
    assert "more than the limit" in told["big.png"]


POINTS = np.zeros((10, 2))


def with_bad(value: float) -> np.ndarray:
    points = POINTS.copy()
    points[3, 1] = points[7] = value
    return points


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (
            {"samples": with_bad(np.nan)},
            "'samples' in .* holds 3 values that are NaN or infinite, the first in example 3",
        ),
        ({"samples": with_bad(-np.inf)}, "holds 3 values that are NaN or infinite"),
        ({"samples": with_bad(1e300)}, "NaN or infinite"),  # infinite in float32
        ({"x_train": POINTS, "x_test": with_bad(np.nan)}, "'x_test' .* holds 3 values"),
        ({"x": np.full((2, 3, 3), np.nan)}, "holds 18 values that are NaN"),
        ({"x": POINTS, "y": np.zeros(9, int)}, r"\(10, 2\) but 'y' \(9,\)"),
        ({"x": POINTS, "y": np.zeros((10, 3), int)}, "one label an example"),
        ({"x": POINTS, "y": np.linspace(0, 1, 10)}, "holds float64 numbers, not labels"),
        ({"x": np.zeros(10)}, "neither points"),
        ({"x": np.zeros((0, 2))}, "is empty"),
        ({"x": np.zeros((5, 8, 8, 2), np.uint8)}, "1, 3 or 4 channels"),
        ({"x": np.full((5, 8, 8), 255.0)}, r"float64 images from 255 to 255: scale them to \[0, 1\] or \[-1, 1\]"),
        ({"x": np.full((5, 8, 8), 256)}, "save them as uint8"),
        ({"x": np.full((5, 8, 8), -1)}, "save them as uint8"),
        ({"x": np.array([["a", "b"]])}, "holds <U1: save plain numbers"),
        ({"x": np.array([[None, 1]], object)}, "Python objects, which are never loaded"),
        ({"x": POINTS, "y": np.array([None] * 10, object)}, "Python objects, which are never loaded"),
        ({"x_train": POINTS, "x_test": np.zeros((3, 5))}, "differ in the shape"),
    ],
)
def test_arrays_that_cannot_be_used(named, message, tmp_path):
    with pytest.raises(DataError, match=message):
        open_source(arrays(tmp_path / "a.npz", **named))


def test_keys_that_are_not_there(tmp_path):
    path = arrays(tmp_path / "a.npz", rgb=np.zeros((2, 4, 4, 3), np.uint8), ids=np.zeros(2, np.int32))
    message = refusal(path)
    assert "choose one with --key" in message
    assert "rgb (2, 4, 4, 3) uint8, ids (2,) int32" in message
    assert "no array 'rbg'; did you mean 'rgb'?" in refusal(path, UsageError, key="rbg")
    np.save(tmp_path / "b.npy", POINTS)
    assert "one array without a name" in refusal(tmp_path / "b.npy", UsageError, key="x")
    assert "--key names an array in an .npz" in refusal("digits", UsageError, key="x")


def test_damaged_array_files(tmp_path):
    rng = np.random.default_rng(0)
    whole = arrays(tmp_path / "a.npz", x=rng.normal(size=(2000, 2))).read_bytes()
    path = tmp_path / "b.npz"
    path.write_bytes(whole[:9000])
    assert "is cut short or damaged" in refusal(path)
    path.write_bytes(b"")
    assert "is empty" in refusal(path)
    path.write_bytes(b"hello world")
    assert "neither .npz nor .npy" in refusal(path)
    changed = bytearray(whole)
    changed[9000] ^= 255  # the checksum of the member tells
    path.write_bytes(changed)
    assert "is cut short or damaged" in refusal(path)
    np.save(tmp_path / "c.npy", rng.normal(size=(2000, 2)))
    cut = tmp_path / "d.npy"
    cut.write_bytes((tmp_path / "c.npy").read_bytes()[:9000])
    assert "is cut short: it ends before its last number" in refusal(cut)


def test_a_shape_beyond_the_data_takes_no_memory(tmp_path):
    for shape in ((10**9, 10), (1, 10**12), (10**12, 4, 4)):
        out = io.BytesIO()
        np.lib.format.write_array_header_1_0(out, {"descr": "<f4", "fortran_order": False, "shape": shape})
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as packed:
            packed.writestr("x.npy", out.getvalue() + bytes(64))
        assert refusal(tmp_path / "a.npz")


IMAGES = np.zeros((4, 3, 2), np.uint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "is empty"),
        (lambda data: data[:-1], "header tells of 40 bytes, it holds 39"),
        (lambda data: data + b"\0", "header tells of 40 bytes, it holds 41"),
        (lambda data: data[:10], "cut short within its header"),
        (lambda data: b"\x12\x34" + data[2:], "is no idx file: it begins with 12 34 08 03"),
        (lambda data: data[:2] + b"\x0d" + data[3:], "idx type 0x0d"),
        (lambda data: gzip.compress(data)[:-12], "is cut short or damaged"),
    ],
)
def test_damaged_idx_files(change, message, tmp_path):
    path = idx(tmp_path / "train-images-idx3-ubyte", IMAGES)
    path.write_bytes(change(path.read_bytes()))
    assert message in refusal(path)
    assert str(path) in refusal(path)


def test_idx_files_that_do_not_belong_together(tmp_path):
    path = idx(tmp_path / "train-images-idx3-ubyte", IMAGES)
    labels = idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(3, np.uint8))
    assert "holds 4 images, but" in refusal(path)
    assert "3 labels" in refusal(tmp_path)
    idx(labels, IMAGES)
    assert "labels are (N,)" in refusal(path)
    idx(path, np.zeros(3, np.uint8))
    assert "images are (N, H, W)" in refusal(path)
    labels.unlink()
    assert "has no split 'test'" in refusal(idx(path, IMAGES), split="test")
