"""Streams: the same batches for any number of ranks, workers and interruptions."""

import gc
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from kallima.data import dataset, order, stream
from kallima.data.batch import Batch, from_storage, to_storage
from kallima.data.dataset import prepare
from kallima.data.points import Ring
from kallima.data.stream import Stream
from kallima.data.view import View
from kallima.errors import DataError, KallimaError, UsageError
from tests.test_cache import Readable

CPU = torch.device("cpu")
COUNT = 23


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KALLIMA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def wide(count=COUNT) -> dataset.Dataset:
    """Images cropped at random, so read from the source each time."""
    return prepare(Readable(count=count, size=(6, 16)), View(size=6, crop="random"))


def square(count=COUNT) -> dataset.Dataset:
    """Images out of the cache."""
    return prepare(Readable(count=count), View())


def draw(data: dataset.Dataset, steps: int, *, seek: int = 0, **options) -> list[Batch]:
    with Stream(data, **{"batch_size": 8, "seed": 3, "device": CPU, "flip": True} | options) as batches:
        if seek:
            batches.seek(seek)
        return [batches.next() for _ in range(steps)]


def same(first: list[Batch], second: list[Batch]) -> bool:
    return all(
        a.fields.keys() == b.fields.keys() and all(torch.equal(a[name], b[name]) for name in a.fields)
        for a, b in zip(first, second, strict=True)
    )


@pytest.fixture(scope="module")
def expected() -> list[Batch]:
    return draw(wide(), 9)  # three passes


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_gives_the_same_pixels(workers, expected):
    assert same(draw(wide(), 9, workers=workers), expected)


def test_a_batch_is_what_its_occurrences_say(expected):
    data = wide()
    for step, batch in enumerate(expected):
        occurrences = np.arange(8 * step, 8 * step + 8)
        fields = data.read(order.indices(COUNT, 3, 8 * step, 8 * step + 8), order.crop_bits(3, occurrences))
        for image, flipped, stored in zip(batch["image"], order.coins(3, occurrences), fields["image"], strict=True):
            stored = stored.flip(1) if flipped else stored
            assert torch.equal(image, stored.permute(2, 0, 1).float() / 127.5 - 1)
        assert torch.equal(batch["label"], fields["label"])
    for one_pass in np.concatenate([batch["label"].numpy() for batch in expected])[: 3 * COUNT].reshape(3, COUNT):
        assert np.bincount(one_pass).tolist() == [8, 8, 7]  # each example once


@pytest.mark.parametrize("make", [wide, square])
@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("workers", [0, 1])
def test_ranks_share_the_batch_of_one_process(make, world, workers):
    alone = draw(make(), 4)
    ranks = [draw(make(), 4, rank=rank, world=world, workers=workers) for rank in range(world)]
    for step, batch in enumerate(alone):
        for name in batch.fields:
            together = torch.stack([rank[step][name] for rank in ranks], 1).flatten(0, 1)
            assert torch.equal(together, batch[name])


@pytest.mark.parametrize("make", [wide, square])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_goes_on_from_any_batch(make, workers):
    whole = draw(make(), 9)
    for start in (1, 2, 5):
        assert same(draw(make(), 9 - start, seek=start, workers=workers), whole[start:])
    with Stream(make(), batch_size=8, seed=3, device=CPU, flip=True, workers=workers) as batches:
        for _ in range(4):
            batches.next()
        assert batches.position == 4
        batches.seek(2)  # back, though more was read ahead
        assert same([batches.next() for _ in range(3)], whole[2:5])
        assert batches.position == 5


def test_seeds_and_flips_make_a_difference(expected):
    assert not same(draw(wide(), 1, seed=4), expected[:1])
    plain = draw(square(), 3, flip=False)
    mirrored = draw(square(), 3)
    for first, second in zip(plain, mirrored, strict=True):
        flips = [torch.equal(a.flip(2), b) for a, b in zip(first["image"], second["image"], strict=True)]
        stays = [torch.equal(a, b) for a, b in zip(first["image"], second["image"], strict=True)]
        assert [not flip for flip in flips] == stays
    assert 0 < sum(flips) < 8


@pytest.mark.parametrize("memory_format", [None, torch.contiguous_format, torch.channels_last])
def test_images_come_in_the_memory_format_asked_for(memory_format):
    image = draw(square(), 1, memory_format=memory_format)[0]["image"]
    assert image.shape == (8, 3, 6, 6)
    assert image.is_contiguous(memory_format=memory_format or torch.contiguous_format)


@pytest.mark.parametrize("make", [wide, square])
def test_reading_ahead_gives_the_same_and_ends(make, monkeypatch):
    direct = draw(make(), 5)
    monkeypatch.setattr(stream, "_LARGE", 0)
    assert same(draw(make(), 5), direct)
    left = Stream(make(), batch_size=8, seed=3, device=CPU)
    left.next()
    assert any(thread.name.startswith("kallima-stream") for thread in threading.enumerate())
    ahead = next(thread for thread in threading.enumerate() if thread.name.startswith("kallima-stream"))
    del left
    gc.collect()
    ahead.join(10)  # a stream that nobody closed ends its thread all the same
    assert not ahead.is_alive()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_vanished_is_named_in_one_line(workers):
    source = Readable(size=(6, 16))
    data = prepare(source, View(size=6, crop="random"))
    source.broken = set(range(20))
    with Stream(data, batch_size=4, seed=0, device=CPU, workers=workers) as batches:
        with pytest.raises(KallimaError, match=r"^\d+\.png is cut short: it has changed since the data was checked$"):
            batches.next()
        assert batches.position == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_the_interpreter_ends_with_a_stream_open(workers):
    code = (
        "import torch; from tests.test_stream import *\n"
        f"batches = Stream(wide(), batch_size=8, seed=0, device=CPU, workers={workers})\n"
        "batches.next(); print('read')"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "read\n", "")


def test_no_random_state_is_touched():
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  # the global state is what this is about
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    draw(wide(), 3)
    draw(wide(), 3, workers=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002


def test_batches_that_cannot_be_are_refused():
    data = square(20)
    with pytest.raises(
        DataError, match=r"^the data has 20 examples, fewer than a batch of 64: --batch-size 20 or less$"
    ):
        Stream(data, batch_size=64, seed=0, device=CPU)
    with pytest.raises(UsageError, match=r"a batch of 5 cannot be shared evenly by 2 processes: --batch-size 6"):
        Stream(data, batch_size=5, seed=0, device=CPU, world=2)
    with pytest.raises(UsageError, match="at least 1"):
        Stream(data, batch_size=0, seed=0, device=CPU)
    assert len(draw(data, 1, batch_size=20)[0]) == 20


def test_points_come_as_they_are():
    batch = draw(prepare(Ring(), View()), 1, batch_size=256)[0]
    assert batch["points"].shape == (256, 2)
    distances = torch.cdist(batch["points"].double(), torch.from_numpy(Ring.modes)).amin(1)
    assert distances.max() < 0.12  # six deviations


def test_storage_and_batches_are_inverse_for_every_byte():
    stored = torch.arange(256, dtype=torch.uint8).reshape(2, 16, 8, 1).expand(-1, -1, -1, 3).contiguous()
    for memory_format in (torch.contiguous_format, torch.channels_last):
        image = from_storage(stored, memory_format)
        assert image.shape == (2, 3, 16, 8)
        assert (image.min(), image.max()) == (-1, 1)
        assert torch.equal(to_storage(image), stored)
    noisy = from_storage(stored) + (torch.rand(2, 3, 16, 8) - 0.5) / 127.5 * 0.99
    assert torch.equal(to_storage(noisy), stored)  # rounded, not cut off
    assert to_storage(torch.tensor([-3.0, 3.0]).reshape(1, 1, 1, 2)).flatten().tolist() == [0, 255]
