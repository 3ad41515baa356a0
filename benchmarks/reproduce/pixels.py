"""What models of pixels are trained on and judged by: digits drawn black or white, sprites, photographs."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import places

import kallima
from kallima.data.batch import from_storage
from kallima.data.dataset import prepare
from kallima.data.opening import open_source
from kallima.data.view import View

HELD_OUT = 10  # one in so many


def binarised() -> Path:
    """Make MNIST with each pixel drawn black or white by its brightness, once and for all, as the literature has it.

    The draws are ours: the published file is of the same distribution, but not here.
    """
    rng = np.random.default_rng(0)
    with np.load(places.archive("mnist")) as arrays:
        drawn = {
            name: np.where(255 * rng.random(arrays[name].shape) < arrays[name], np.uint8(255), np.uint8(0))
            for name in ("x_train", "x_test")
        }
        labels = {name: arrays[name] for name in ("y_train", "y_test")}
    return places.keep("mnist-binarised", **drawn, **labels)


def sprites() -> Path:
    """Make the 20×20 sprites, places in a palette, with one in ten held out."""
    with np.load(places.folder() / "pokemon20" / "pokemon20.npz") as arrays:
        return places.keep("pokemon20-split", **_split(arrays["index"]), palette=arrays["palette"])


def photographs() -> Path:
    """Make the 2,000 lossless images of CIFAR-10 with one in ten held out."""
    with np.load(places.folder() / "cifar10" / "cifar10_lossless.npz") as arrays:
        return places.keep("cifar10-split", **_split(arrays["x"]))


def against_unigram(run: "kallima.Run") -> dict[str, float]:
    """Return nats a pixel of held-out images, those of the colours' frequencies alone, and their ratio."""
    train, test = (_components(run, split) for split in ("train", "test"))
    counts = Counter(train.ravel().tolist())
    total = train.size + len(counts)  # and one for a colour that was never seen
    unigram = -float(np.mean([math.log((counts[each] or 1) / total) for each in test.ravel().tolist()]))
    scores = {s.metric: s.value for s in kallima.evaluate(run, metrics=["nll"], split="test", device="cpu")}
    own = scores["nll"] / test.shape[1]
    return {"nats a pixel": own, "unigram": unigram, "ratio": own / unigram}


def completions(run: "kallima.Run", keep: float = 0.5) -> np.ndarray:
    """Picture held-out images, eight a row: the original, what is kept of it, six completions."""
    data = prepare(open_source(run.manifest["source"]["name"], split="test"), View())
    originals = data.read(np.arange(8))["image"].numpy()
    made = kallima.complete(run, originals, keep=keep, count=6, device="cpu")
    kept = originals.copy()
    kept[:, round(keep * originals.shape[1]) :] = 0
    return np.concatenate([originals[:, None], kept[:, None], made], 1).reshape(-1, *originals.shape[1:])


def _components(run: "kallima.Run", split: str) -> np.ndarray:
    data = prepare(open_source(run.manifest["source"]["name"], split=split), View())
    system: Any = kallima.load(run, device="cpu")
    return system.components_of(from_storage(data.read(np.arange(len(data)))["image"])).numpy()


def _split(examples: np.ndarray) -> dict[str, np.ndarray]:
    held = np.random.default_rng(0).permutation(len(examples)) % HELD_OUT == 0
    return {"x_train": examples[~held], "x_test": examples[held]}
