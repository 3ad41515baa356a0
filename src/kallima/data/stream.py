"""A stream: an endless sequence of batches on the training device, a pure function of the seed and the position."""

import itertools
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from kallima.data import order
from kallima.data.batch import Batch, from_storage
from kallima.data.dataset import Dataset
from kallima.errors import DataError, KallimaError, UsageError

_AHEAD = 2  # batches read before they are asked for


class Stream:
    """Batches of `dataset` in an order of its own for each pass, the same for any number of ranks and workers.

    `batch_size` counts the batch of all `world` ranks together; rank r reads every world-th example of it, from the
    r-th on. `position` counts the batches drawn so far: a stream made with it goes on where another stopped. `workers`
    decode in processes of their own where reading decodes; otherwise one thread reads ahead. `flip` mirrors images left
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
        position: int = 0,
        workers: int = 0,
        flip: bool = False,
        memory_format: torch.memory_format | None = None,
    ):
        if batch_size < 1:
            raise UsageError(f"--batch-size must be at least 1, not {batch_size}")
        if batch_size % world:
            raise UsageError(
                f"a batch of {batch_size} cannot be shared evenly by {world} processes: --batch-size "
                f"{-(-batch_size // world) * world}"
            )
        if batch_size > len(dataset):
            raise DataError(
                f"the data has {len(dataset)} examples, fewer than a batch of {batch_size}: "
                f"--batch-size {len(dataset)} or less"
            )
        self.dataset, self.batch_size, self.position = dataset, batch_size, position
        self.device, self.memory_format = device, memory_format or torch.contiguous_format
        self._reader = _Reader(dataset, batch_size, seed, rank, world, flip)
        self._workers = workers if dataset.decodes else 0
        self._ahead: _Thread | _Processes | None = None  # reading starts with the first batch

    def seek(self, position: int) -> None:
        """Go to the place where `position` batches have been drawn."""
        self.close()
        self.position = position

    def next(self) -> Batch:
        """Return the next batch, on the device: images float (N, C, H, W) in [-1, 1]."""
        pin = self.device.type == "cuda"
        if self._ahead is None:
            self._ahead = (
                _Processes(self._reader, self.position, self._workers, pin)
                if self._workers
                else _Thread(self._reader, self.position, pin)
            )
        read = self._ahead.next()
        fields = {name: value.to(self.device, non_blocking=pin) for name, value in read.items()}
        self.position += 1
        if "image" in fields:
            fields["image"] = from_storage(fields["image"], self.memory_format)
        return Batch(fields)

    def close(self) -> None:
        """Stop reading ahead."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def __enter__(self) -> "Stream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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


class _Thread:
    """Reads ahead in one thread."""

    def __init__(self, reader: _Reader, position: int, pin: bool):
        self._reader, self._pin = reader, pin
        self._positions = itertools.count(position)
        # an executor's thread is joined at exit and ends with its executor; a thread of our own would need both
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="kallima-stream")
        self._pending: deque[Future[dict[str, Tensor]]] = deque()
        for _ in range(_AHEAD):
            self._submit()

    def _submit(self) -> None:
        self._pending.append(self._executor.submit(self._read, next(self._positions)))

    def _read(self, position: int) -> dict[str, Tensor]:
        fields = self._reader.read(position)
        return {name: value.pin_memory() for name, value in fields.items()} if self._pin else fields

    def next(self) -> dict[str, Tensor]:
        fields = self._pending[0].result()  # an interrupt in here loses nothing
        self._pending.popleft()
        self._submit()
        return fields

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._pending.clear()


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
