"""A stream: an endless sequence of batches on the training device, a pure function of the seed and the position."""

import itertools
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from kallima.data import order
from kallima.data.batch import Batch, as_batch
from kallima.data.dataset import Dataset
from kallima.errors import DataError, KallimaError, UsageError

_AHEAD = 2  # batches read before they are asked for
_LARGE = 1 << 20  # bytes: a smaller batch is copied sooner (0.1 ms) than another thread is asked for it


class Stream:
    """Batches of `dataset` in an order of its own for each pass, the same for any number of ranks and workers.

    `batch_size` counts the batch of all `world` ranks together; rank r reads every world-th example of it, from the
    r-th on. `position` counts the batches drawn so far; `seek` moves it. `workers` decode in processes of their own
    where reading decodes; otherwise a thread reads ahead, or nobody where a batch is small. `flip` mirrors images left
    to right by a fair coin a drawing. Images come in `memory_format`, contiguous by default.

    Raises:
        DataError: the data has fewer examples than a batch.
        UsageError: the batch cannot be shared evenly by the ranks.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int,
        seed: int,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
        flip: bool = False,
        memory_format: torch.memory_format | None = None,
    ):
        if batch_size < 1:
            raise UsageError(f"--batch-size must be at least 1, not {batch_size}")
        if batch_size % world:
            even = -(-batch_size // world) * world
            raise UsageError(
                f"a batch of {batch_size} cannot be shared evenly by {world} processes: --batch-size {even}"
            )
        if batch_size > len(dataset):
            raise DataError(
                f"the data has {len(dataset)} examples, fewer than a batch of {batch_size}: "
                f"--batch-size {len(dataset)} or less"
            )
        self.dataset, self.batch_size, self.position = dataset, batch_size, 0
        self.device, self.memory_format = device, memory_format or torch.contiguous_format
        self._workers = workers if dataset.decodes else 0
        self._reader = _Reader(dataset, batch_size, seed, rank, world, flip)
        self._batches: _Direct | _Thread | _Processes | None = None

    def next(self) -> Batch:
        """Return the next batch, on the device.

        Raises:
            DataError: a file has changed or gone since the data was prepared.
        """
        if self._batches is None:
            self._batches = self._start()
        cuda = self.device.type == "cuda"
        fields = {name: value.to(self.device, non_blocking=cuda) for name, value in self._batches.next().items()}
        self.position += 1
        return as_batch(fields, self.memory_format)

    def seek(self, position: int) -> None:
        """Go on from batch `position`, as if that many had been drawn."""
        self.close()
        self.position = position

    def close(self) -> None:
        """Stop reading ahead, and end the thread or the workers."""
        if self._batches is not None:
            self._batches.close()
            self._batches = None

    def __enter__(self) -> "Stream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> "_Direct | _Thread | _Processes":
        pin = self.device.type == "cuda"
        if self._workers:
            return _Processes(self._reader, self.position, self._workers, pin)
        ahead = self.dataset.decodes or self.dataset.row_bytes * self.batch_size // self._reader.world > _LARGE
        return (_Thread if ahead else _Direct)(self._reader, self.position, pin)


class _Reader(TorchDataset[dict[str, Tensor] | KallimaError]):
    """The batch at a position, as stored: a pure function, which threads and processes call alike."""

    def __init__(self, dataset: Dataset, batch_size: int, seed: int, rank: int, world: int, flip: bool):
        self.dataset, self.batch_size, self.seed = dataset, batch_size, seed
        self.rank, self.world, self.flip = rank, world, flip

    def read(self, position: int) -> dict[str, Tensor]:
        start = position * self.batch_size
        occurrences = np.arange(start + self.rank, start + self.batch_size, self.world)
        indices = order.at(len(self.dataset), self.seed, occurrences)
        fields = self.dataset.read(indices, order.crop_bits(self.seed, occurrences))
        if self.flip and "image" in fields:
            image, coins = fields["image"].numpy(), order.coins(self.seed, occurrences)  # (N, H, W, C), one memory
            image[coins] = image[coins, :, ::-1]
        return fields

    def __getitem__(self, position: int) -> dict[str, Tensor] | KallimaError:
        try:
            return self.read(position)
        except KallimaError as error:  # raised in a worker it would arrive as a page of traceback
            return error


class _Direct:
    """Reads each batch when it is asked for."""

    def __init__(self, reader: _Reader, position: int, pin: bool):
        self._reader, self._position, self._pin = reader, position, pin

    def next(self) -> dict[str, Tensor]:
        fields = self._reader.read(self._position)
        self._position += 1
        return _pinned(fields) if self._pin else fields

    def close(self) -> None:
        pass


class _Thread:
    """Reads ahead in one thread."""

    def __init__(self, reader: _Reader, position: int, pin: bool):
        self._source = _Direct(reader, position, pin)
        # an executor's thread is joined at exit and ends with its executor; a thread of our own would need both
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="kallima-stream")
        self._pending = deque(self._executor.submit(self._source.next) for _ in range(_AHEAD))

    def next(self) -> dict[str, Tensor]:
        fields = self._pending[0].result()  # an interrupt in here loses nothing
        self._pending.popleft()
        self._pending.append(self._executor.submit(self._source.next))
        return fields

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._pending.clear()


def _pinned(fields: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.pin_memory() for name, value in fields.items()}


class _From:
    """The positions from `start` on, for ever."""

    def __init__(self, start: int):
        self.start = start

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.start)


class _Processes:
    """Reads ahead in worker processes."""

    def __init__(self, reader: _Reader, position: int, workers: int, pin: bool):
        with warnings.catch_warnings():
            # more workers than processors, or a fork while torch has threads: both are the caller's choice
            warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
            warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
            loader = DataLoader(
                reader,
                batch_size=None,
                sampler=_From(position),
                num_workers=workers,
                prefetch_factor=_AHEAD,
                pin_memory=pin,
                generator=torch.Generator(),  # else it would draw from the default one
            )
            self._batches: Iterator[dict[str, Tensor] | KallimaError] | None = iter(loader)

    def next(self) -> dict[str, Tensor]:
        assert self._batches is not None
        fields = next(self._batches)
        if isinstance(fields, KallimaError):
            raise fields
        return fields

    def close(self) -> None:
        self._batches = None  # the iterator ends its workers as it goes
