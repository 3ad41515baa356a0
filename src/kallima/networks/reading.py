"""What a player makes of its conditions before it works with them: captions read, sounds heard, the rest as it is."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.conditions import Conditions
from kallima.data.spec import Text
from kallima.data.tokens import END
from kallima.errors import UsageError
from kallima.layers.lstm import LSTM
from kallima.networks.sentences import PREFIXES, SentenceReader
from kallima.senses import Caption, Sound


class Reading(nn.Module):
    """Conditions (N, K) to (N, outputs): texts and sounds as unit vectors of `width` numbers, all else as it is.

    They keep their order.

    `reader` is recurrent, bag, or a sentence encoder of the user's: transformers:FOLDER, onnx:FOLDER.
    `places` says where each of the conditions' parts lies in what is returned.
    """

    def __init__(self, conditions: Conditions, *, width: int, reader: str = "recurrent"):
        super().__init__()
        self.inner = nn.ModuleDict()
        self.order: list[tuple[str, slice]] = []
        self.places: dict[str, slice] = {}
        self.outputs = 0
        for name, part in conditions.parts.items():
            size = part.place.stop - part.place.start
            if name in conditions.senses:
                sense, size = conditions.senses[name], width
                if isinstance(sense, Caption):
                    self.inner[name] = _reader(sense.field, width, reader)
                else:
                    assert isinstance(sense, Sound)
                    self.inner[name] = Listener(sense.rows, sense.columns, width)
            self.order.append((name, part.place))
            self.places[name] = slice(self.outputs, self.outputs + size)
            self.outputs += size

    def forward(self, conditions: Tensor) -> Tensor:
        """(N, K) to (N, outputs)."""
        read = [
            # of length one, as a class is: longer ones drown the noise, and every caption has but one image
            F.normalize(self.inner[name](conditions[:, place]), dim=1) if name in self.inner else conditions[:, place]
            for name, place in self.order
        ]
        return torch.cat(read, 1)


class RecurrentReader(nn.Module):
    """Codes (N, length) of texts to (N, width): an LSTM from either end, averaged over the text's own words.

    The order of words counts: "red hair, green eyes" is another text than "green hair, red eyes".
    """

    def __init__(self, field: Text, width: int):
        super().__init__()
        self.words = nn.Embedding(field.codes, width)
        self.forth, self.back = (LSTM(width, width // 2, 1) for _ in range(2))
        self.out = nn.Linear(2 * (width // 2), width)

    def forward(self, codes: Tensor) -> Tensor:
        """(N, length) to (N, width)."""
        words, own = _words(self.words, codes)  # (N, L, width), (N, L, 1)
        last_first = (own.sum(1, keepdim=True) - 1 - torch.arange(words.shape[1], device=own.device)[:, None]).long()
        last_first = last_first.clamp_min(
            0
        )  # (N, L, 1): a text's own words turned round, what fills it up stays behind
        forth, _ = self.forth(words)
        back, _ = self.back(words.gather(1, last_first.expand_as(words)))
        outputs = torch.cat([forth, back.gather(1, last_first.expand_as(back))], 2) * own
        return self.out(outputs.sum(1) / own.sum(1).clamp_min(1))


class BagReader(nn.Module):
    """Codes (N, length) of texts to (N, width): a layer on the mean of the words' vectors, whose order is forgotten."""

    def __init__(self, field: Text, width: int):
        super().__init__()
        self.words = nn.Embedding(field.codes, width)
        self.out = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, width))

    def forward(self, codes: Tensor) -> Tensor:
        """(N, length) to (N, width)."""
        words, own = _words(self.words, codes)
        return self.out((words * own).sum(1) / own.sum(1).clamp_min(1))


class Listener(nn.Module):
    """What is heard (N, rows · columns), bands by frames, to (N, width): convolutions, then the mean and the largest of
    each feature over time, so that it does not matter when something sounds."""

    def __init__(self, rows: int, columns: int, width: int):
        super().__init__()
        self.shape = (1, rows, columns)
        sizes = [(1, width // 2), (width // 2, width), (width, width)]
        layers: list[nn.Module] = []
        for before, after in sizes:
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        for _ in sizes:
            rows = (rows + 1) // 2
        self.out = nn.Linear(2 * width * rows, width)

    def forward(self, heard: Tensor) -> Tensor:
        """(N, rows · columns) to (N, width)."""
        features = self.layers(heard.unflatten(1, self.shape)).flatten(1, 2)  # (N, width · rows, columns)
        return self.out(torch.cat([features.mean(2), features.amax(2)], 1))


def _reader(field: Text, width: int, reader: str) -> nn.Module:
    if reader.partition(":")[0] in PREFIXES and ":" in reader:
        return SentenceReader(field, reader, width)
    readers = {"recurrent": RecurrentReader, "bag": BagReader}
    if reader not in readers:
        raise UsageError(
            f"--reader is {', '.join(readers)}, {' or '.join(f'{each}:FOLDER' for each in PREFIXES)}, not '{reader}'"
        )
    return readers[reader](field, width)


def _words(table: nn.Embedding, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the vectors (N, L, width) of codes that are whole numbers in floating point, and which are no END."""
    whole = codes.round().long()
    return table(whole), (whole != END).to(table.weight.dtype)[:, :, None]
