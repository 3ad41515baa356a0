"""The prepared cache: made once, whole or not at all, and whatever goes wrong is said in a line."""

import errno
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kallima.data import cache, dataset
from kallima.data.dataset import prepare
from kallima.data.source import Problem, Source
from kallima.data.spec import Attributes, Image, Label, Points, Text
from kallima.data.view import View
from kallima.errors import DataError


class Pictures(Source):
    """Noise of any size; `broken` positions cannot be used. Read only from start to end."""

    name, split = "pictures", "train"

    def __init__(self, count=20, size=(6, 6), channels=3, broken=(), one_size=True):
        self.count, self.size, self.channels, self.broken = count, size, channels, set(broken)
        height, width = size if one_size else (None, None)
        self.fields = {
            "image": Image(channels, height, width),
            "label": Label(tuple("abc")),
            "attributes": Attributes(("even", "third")),
            "text": Text(),
        }
        self.one_size, self.passes = one_size, 0

    def __len__(self):
        return self.count

    def one(self, index):
        if index in self.broken:
            return Problem(f"{index}.png", "is cut short")
        height, width = self.size if self.one_size else (self.size[0] + index, self.size[1] + 2 * index)
        return {
            "image": np.random.default_rng(index).integers(0, 256, (height, width, self.channels), dtype=np.uint8),
            "label": index % 3,
            "attributes": np.array([index % 2 == 0, index % 3 == 0], np.float32),
            "text": f"№{index}" * (index % 4),
        }

    def examples(self):
        self.passes += 1
        return (self.one(index) for index in range(self.count))

    def fingerprint(self):
        return f"{self.count} {self.size} {self.channels} {sorted(self.broken)} {self.one_size}"


class Readable(Pictures):
    """The same, read in any order."""

    def read(self, index):
        return self.one(index)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("KALLIMA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def entries(place: Path) -> list[Path]:
    return [path for path in (place / "prepared").iterdir() if path.is_dir()]


def test_the_cache_lies_where_it_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("KALLIMA_CACHE", "~/there")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", "/home/nobody")
    assert cache.cache_directory() == Path("/home/nobody/there")
    monkeypatch.delenv("KALLIMA_CACHE")
    assert cache.cache_directory() == tmp_path / "kallima"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.cache_directory() == Path("/home/nobody/.cache/kallima")


@pytest.mark.parametrize("limit", [dataset.PREPARED_LIMIT, 0], ids=["cached", "streamed"])
def test_what_is_read_is_what_the_source_holds_without_the_broken(limit, monkeypatch):
    monkeypatch.setattr(dataset, "PREPARED_LIMIT", limit)
    source = Readable(broken=[0, 3, 4, 19])
    usable = [index for index in range(20) if index not in source.broken]
    prepared = prepare(source, View(), skip_bad=True)
    assert prepared.decodes == (limit == 0)
    assert len(prepared) == 16
    wanted = np.array([15, 0, 7, 7])
    fields = prepared.read(wanted)
    expected = [source.one(usable[index]) for index in wanted]
    assert set(fields) == {"image", "label", "attributes"}
    for name, dtype in [("image", torch.uint8), ("label", torch.int64), ("attributes", torch.float32)]:
        assert fields[name].dtype == dtype
        assert np.array_equal(fields[name], np.stack([one[name] for one in expected]))
    assert prepared.texts(wanted) == [one["text"] for one in expected]
    every = prepared.read(np.arange(16))["label"]
    assert every.tolist() == [index % 3 for index in usable]
    fields["image"].zero_()  # a copy of the reader's own
    assert np.array_equal(prepared.read(wanted)["image"], np.stack([one["image"] for one in expected]))
    prepare(source, View(), skip_bad=True)
    assert source.passes == 1


def test_views_equal_in_effect_share_an_entry(place):
    square = Readable(channels=1)
    for view in (View(), View(size=6), View(size=6, crop="none", channels=1), View(size=6, crop="random")):
        prepare(square, view)
    assert square.passes == len(entries(place)) == 1
    prepare(square, View(size=6, channels=3))
    prepare(square, View(size=5))
    assert square.passes == len(entries(place)) == 3
    wide = Readable(size=(4, 8))
    prepare(wide, View(size=4))
    prepare(wide, View(size=4, crop="none"))
    assert wide.passes == 2


def test_images_are_seen_through_the_view():
    source = Pictures(size=(5, 7), one_size=False)
    with pytest.raises(DataError, match="--size"):
        prepare(source, View())
    prepared = prepare(source, View(size=8, channels=1))
    assert prepared.spec["image"] == Image(1, 8, 8)
    expected = View(size=8, channels=1).apply(source.one(11)["image"])
    assert np.array_equal(prepared.read(np.array([11]))["image"][0], expected)


def test_images_that_are_not_what_the_source_said_are_refused():
    source = Pictures(one_size=False)
    source.fields = {**source.fields, "image": Image(3, 6, 6)}
    with pytest.raises(DataError, match=r"one is 8×7 with 3 channels, not 6×6 .*--size"):
        prepare(source, View())


def test_random_crops_are_placed_by_the_draw_alone():
    source = Readable(size=(6, 16))
    prepared = prepare(source, View(size=6, crop="random"))
    assert prepared.decodes
    draws = np.arange(40, dtype=np.uint64)
    whole = prepared.read(np.full(40, 3), draws)["image"]
    assert torch.equal(prepared.read(np.full(3, 3), draws[[7, 0, 30]])["image"], whole[[7, 0, 30]])
    image = source.one(3)["image"]
    found = {left for crop in whole for left in range(11) if np.array_equal(crop, image[:, left : left + 6])}
    assert len(found) > 7  # of 11 places
    centre = prepared.read(np.array([3]))["image"][0]
    assert np.array_equal(centre, image[:, 5:11])
    with pytest.raises(DataError, match=r"one by one.*--crop centre"):
        prepare(Pictures(size=(6, 16)), View(size=6, crop="random"))


def test_points_are_standardised_as_the_spec_says():
    class Table(Source):
        name, split = "table", "all"
        fields = {"points": Points(2, offset=(1.0, -2.0), scale=(2.0, 0.5))}  # noqa: RUF012
        values = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)

        def __len__(self):
            return 50

        def examples(self):
            return ({"points": value} for value in self.values)

        def fingerprint(self):
            return "table"

    read = prepare(Table(), View()).read(np.arange(50))["points"]
    assert read.dtype == torch.float32
    back = read * torch.tensor([2.0, 0.5]) + torch.tensor([1.0, -2.0])
    assert np.allclose(back, Table.values, atol=1e-6)
    assert torch.allclose(read[:, 0], torch.from_numpy((Table.values[:, 0] - 1) / 2))


@pytest.mark.parametrize("kind", [Pictures, Readable])
@pytest.mark.parametrize("limit", [dataset.PREPARED_LIMIT, 0])
def test_broken_examples_stop_unless_they_are_to_be_skipped(kind, limit, monkeypatch):
    monkeypatch.setattr(dataset, "PREPARED_LIMIT", limit)
    source = kind(broken=[2, 9])
    for _ in range(2):
        with pytest.raises(DataError) as refusal:
            prepare(source, View())
        assert str(refusal.value) == (
            "2 of 20 examples cannot be used: 2.png is cut short; 9.png is cut short: mend or remove them, "
            "or go on without them with --skip-bad ('kallima data check' lists all)"
        )
    assert len(prepare(source, View(), skip_bad=True)) == 18
    assert source.passes == 1  # looked at once for all three
    with pytest.raises(DataError, match=r"12\.png is cut short; …: mend"):
        prepare(kind(broken=range(8, 20)), View())
    for skip_bad in (True, False):
        with pytest.raises(DataError, match=r"not one of 3 examples can be used: 0\.png is cut short"):
            prepare(kind(count=3, broken=range(3)), View(), skip_bad=skip_bad)
    with pytest.raises(DataError, match="no examples"):
        prepare(kind(count=0), View())


def test_progress_is_told():
    told = []
    prepare(Pictures(count=4, broken=[1]), View(), skip_bad=True, progress=lambda *now: told.append(now))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_damaged_entry_is_made_anew(place):
    source = Pictures()
    prepare(source, View())
    (entry,) = entries(place)
    image = entry / "image.bin"
    os.truncate(image, image.stat().st_size - 1)  # mapped, the missing page would kill the process
    assert len(prepare(source, View())) == 20
    assert prepare(source, View()).texts(np.array([19])) == ["№19" * 3]
    os.truncate(entry / "text.bin", 1)
    assert prepare(source, View()).texts(np.array([19])) == ["№19" * 3]
    (entry / "index.json").write_text("{")
    assert len(prepare(source, View())) == 20
    assert source.passes == 4
    assert len(entries(place)) == 1


BUILDER = """
import os, sys, time
from pathlib import Path
from tests.test_cache import Pictures, View, prepare
class Slow(Pictures):
    def examples(self):
        with open(sys.argv[1], "a") as log:
            log.write("x")
        for one in super().examples():
            time.sleep(float(sys.argv[2]))
            yield one
    def fingerprint(self):
        return "slow"
print(int(prepare(Slow(), View()).read(__import__("numpy").arange(20))["image"].sum()))
"""


def build(log: Path, pause: float) -> subprocess.Popen[str]:
    root = Path(__file__).parent.parent
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(log), str(pause)], cwd=root, stdout=subprocess.PIPE, text=True
    )


def test_of_three_processes_one_builds(tmp_path, place):
    log = tmp_path / "log"
    running = [build(log, 0.1) for _ in range(3)]
    printed = {process.communicate(timeout=120)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(printed) == 1
    assert int(printed.pop()) > 0
    assert log.read_text() == "x"
    assert len(entries(place)) == 1


def test_a_killed_builder_leaves_nothing_broken(tmp_path, place):
    log = tmp_path / "log"
    doomed = build(log, 0.5)
    deadline = time.monotonic() + 100
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.6)
    waiting = build(log, 0)  # gets the lock when the first is dead
    doomed.send_signal(signal.SIGKILL)
    doomed.communicate()
    assert int(waiting.communicate(timeout=120)[0]) > 0
    assert log.read_text() == "xx"
    assert len(entries(place)) == 1


def test_what_the_dead_left_of_other_entries_is_swept_but_not_what_is_in_work(place):
    root = place / "prepared"
    (root / "dead.tmp-00").mkdir(parents=True)
    (root / "alive.tmp-00").mkdir()
    with cache._lock(root, "alive"):
        prepare(Pictures(), View())
        assert (root / "alive.tmp-00").exists()
    assert not (root / "dead.tmp-00").exists()


def test_a_builder_that_fails_leaves_nothing(place):
    class Failing(Pictures):
        def examples(self):
            yield self.one(0)
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        prepare(Failing(), View())
    assert entries(place) == []
    assert len(prepare(Pictures(), View())) == 20


@pytest.mark.parametrize("when", ["reserved", "written"])
def test_a_full_disk_is_said_in_a_line(when, place, monkeypatch):
    # the kernel itself refuses: files may not grow beyond what the limit allows
    code = (
        "import resource, os; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        + ("del os.posix_fallocate\n" if when == "written" else "")
        + "from tests.test_cache import Pictures, View, prepare, DataError\n"
        "try: prepare(Pictures(count=50, size=(40, 40)), View())\n"
        "except DataError as error: print(error)"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout == (
        f"the cache {place} cannot be written (the disk is full): mend that, "
        "or set KALLIMA_CACHE to a directory elsewhere\n"
    ), done.stderr
    assert entries(place) == []


def test_space_that_cannot_be_reserved_is_used_all_the_same(monkeypatch):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert len(prepare(Pictures(), View())) == 20


def test_a_file_system_without_locks_serves_all_the_same(monkeypatch, place):
    import fcntl

    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (place / "prepared" / "other.tmp-00").mkdir(parents=True)
    assert len(prepare(Pictures(), View())) == 20
    assert (place / "prepared" / "other.tmp-00").exists()  # its owner may be alive

    class Raced(Pictures):
        def examples(self):  # another process publishes the same entry meanwhile
            if not self.passes:
                yield from self.inner()
            else:
                yield from super().examples()

        def inner(self):
            self.passes = 1
            prepare(self, View())
            yield from super().examples()

    assert len(prepare(Raced(count=7), View())) == 7


def test_an_unusable_cache_directory_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KALLIMA_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"the cache .*/file cannot be written .*KALLIMA_CACHE") as refusal:
        prepare(Pictures(), View())
    assert "\n" not in str(refusal.value)


def test_building_takes_memory_for_one_example_at_a_time():
    source = Pictures(count=300, size=(200, 200), channels=1)  # 12 MB together
    tracemalloc.start()
    try:
        prepare(source, View())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3e6


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell what is mapped")
def test_reading_keeps_a_bounded_part_mapped(monkeypatch):
    def mapped() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssFile"))

    monkeypatch.setattr(cache, "RESIDENT_LIMIT", 8 << 20)

    class Large(Pictures):
        def one(self, index):
            return {**super().one(0), "image": np.full((256, 256, 3), index % 251, np.uint8)}

    prepared = prepare(Large(count=400, size=(256, 256)), View())  # 79 MB
    before, most = mapped(), 0
    for start in range(0, 400, 8):
        read = prepared.read(np.arange(start, start + 8))["image"]
        assert read[:, 0, 0, 0].tolist() == [index % 251 for index in range(start, start + 8)]
        most = max(most, mapped() - before)
    assert most < 24 << 20


def test_a_file_that_changed_meanwhile_is_named(monkeypatch):
    monkeypatch.setattr(dataset, "PREPARED_LIMIT", 0)
    source = Readable()
    prepared = prepare(source, View())
    source.broken = {5}
    with pytest.raises(DataError, match=r"5\.png is cut short: it has changed"):
        prepared.read(np.array([4, 5]))


def test_equal_data_elsewhere_is_named_by_its_own_paths():
    class Moved(Readable):
        def one(self, index):
            one = super().one(index)
            return replace(one, path=f"elsewhere/{one.path}") if isinstance(one, Problem) else one

    for kind, path in [(Readable, "2.png"), (Moved, "elsewhere/2.png")]:
        with pytest.raises(DataError, match=f"used: {path} is"):
            prepare(kind(broken=[2]), View())
