"""How well a run foresees sounds, speaker by speaker: nats a sample, beside the frequencies of the levels alone.

    python benchmarks/sound_likelihood.py RUN [--data ../shared/data/fsdd/fsdd.tar.gz] [--split test]

The frequencies are those of the levels in the split that the run was trained on, counted over the sounds' own samples;
so the last column is what a model that knows only how often each level occurs pays for the same sounds.
"""

import argparse
from typing import Any

import numpy as np
import torch

import kallima
from kallima.data import open_source
from kallima.data.batch import Batch, as_batch
from kallima.data.dataset import Dataset, prepare
from kallima.data.sound import AUDIO_LENGTH
from kallima.data.spec import Attributes, Audio
from kallima.data.view import View

BATCH = 50


def batches(data: Dataset) -> Any:
    for start in range(0, len(data), BATCH):
        yield as_batch(data.read(np.arange(start, min(start + BATCH, len(data)))))


def own_levels(system: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the levels (N, T) of sounds, and which are their own."""
    levels = system.components_of(batch["audio"])
    return levels, torch.arange(levels.shape[1]) < batch[AUDIO_LENGTH][:, None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--data", default="../shared/data/fsdd/fsdd.tar.gz")
    parser.add_argument("--split", default="test")
    words = parser.parse_args()
    system: Any = kallima.load(words.run, device="cpu")
    audio = system.spec["audio"]
    assert isinstance(audio, Audio)
    view = View(rate=audio.rate, seconds=audio.samples / audio.rate)  # type: ignore[operator]
    known, data = (prepare(open_source(words.data, split=split), view) for split in ("train", words.split))
    counts = torch.ones(system.voice.levels)
    for batch in batches(known):
        levels, own = own_levels(system, batch)
        counts += torch.bincount(levels[own], minlength=len(counts))
    chances = (counts / counts.sum()).log()
    nats, plain, samples, groups = [], [], [], []
    for batch in batches(data):
        levels, own = own_levels(system, batch)
        nats.append(-system.log_weights_of(batch, 1)[0])
        plain.append(-(chances[levels] * own).sum(1))
        samples.append(own.sum(1))
        groups.append(batch["attributes"] if "attributes" in batch else torch.ones(len(batch), 0))
    found, unigram, total = (torch.cat(each).double() for each in (nats, plain, samples))
    belongs, field = torch.cat(groups) > 0, data.spec.get("attributes")
    named = field.names if isinstance(field, Attributes) else ()
    rows = [(name, belongs[:, place]) for place, name in enumerate(named)]
    print("| of | sounds | samples | nats a sample | nats a sound | unigram | share |\n|---|---|---|---|---|---|---|")
    for name, those in [*rows, ("all", torch.ones(len(total), dtype=torch.bool))]:
        n = total[those].sum()
        each, alone = found[those].sum() / n, unigram[those].sum() / n
        print(
            f"| {name} | {int(those.sum())} | {int(n):,} | {each:.3f} | {found[those].mean():,.0f} | {alone:.3f} | "
            f"{each / alone:.1%} |"
        )


if __name__ == "__main__":
    main()
