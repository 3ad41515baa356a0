"""A small classifier trained once on the labels of the data; its 64 penultimate units are the features.

They know what tells the classes apart, work on any labelled data, and cost seconds on a CPU. Fréchet distances in such
features order generators as Inception's do on digits and clothes, but their scale is the probe's own: only scores with
the same extractor hash compare.
"""

import hashlib
import json
import logging
import math
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from kallima.data.cache import cache_directory
from kallima.data.spec import Label
from kallima.errors import UsageError
from kallima.evaluation.examples import Arrays, image_field, read_blocks
from kallima.evaluation.features.extractor import (
    describe_resize,
    frozen,
    run_in_batches,
    squared,
    weights_hash,
    working_size,
)

if TYPE_CHECKING:
    from kallima.data.dataset import Dataset

RECIPE = 1
"""Counts changes of the network or its training: each makes new probes."""

_WIDTHS = (16, 32, 64)
_FEATURES = 64
_BATCH = 128
_STEPS = 600
_EPOCHS = 30  # where these end sooner
_LEAST_STEPS = 150
_RATE = 1e-2
_TRAIN_LIMIT = {32: 60_000, 64: 20_000}  # examples by side: what 250 MB hold
_HELD_OUT_LIMIT = 5_000
_LEAST_EXAMPLES = 50
_SEED = 0

_log = logging.getLogger(__name__)


class ProbeNetwork(nn.Module):
    """Strided and pooled convolutions with batch norm from (N, C, size, size) in [-1, 1] to (N, classes) logits."""

    def __init__(self, channels: int, size: int, classes: int):
        super().__init__()
        first, second, third = _WIDTHS
        self.embed = nn.Sequential(
            *_unit(channels, first, kernel=5, stride=2),
            nn.MaxPool2d(size // 32),  # (16, 16) from here for every size
            *_unit(first, second),
            nn.MaxPool2d(2),
            *_unit(second, third),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(third * 16, _FEATURES, bias=False),
            nn.BatchNorm1d(_FEATURES),
        )
        self.classify = nn.Linear(_FEATURES, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes)."""
        # the features are what comes before the ReLU: nearly Gaussian there, and none is dead
        return self.classify(F.relu(self.embed(images)))


def _unit(channels: int, width: int, *, kernel: int = 3, stride: int = 1) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)


@dataclass(frozen=True)
class Trained:
    """A probe's weights and how it did on the examples held out from its training."""

    weights: dict[str, Tensor]
    accuracy: float
    trained_on: int
    held_out: int


class Probe:
    """The probe of a labelled data set, trained at first use and kept in the cache directory.

    Raises:
        UsageError: the data has no labels, one class, or too few examples.
    """

    name = "probe"
    range = "[-1, 1]"

    def __init__(self, dataset: "Dataset | Arrays", *, device: torch.device | str = "cpu", batch_size: int = 250):
        if reason := unfit(dataset):
            raise UsageError(f"the probe needs {reason}: choose --features random or inception")
        image, classes = image_field(dataset), _classes(dataset)
        self.size, self.batch_size, self.device = working_size(image), batch_size, torch.device(device)
        self.resize = describe_resize(image, self.size)
        with torch.device("meta"):  # no weights are drawn
            network = ProbeNetwork(image.channels, self.size, len(classes))
        trained = _load(_path(dataset), network)
        if trained is None:
            _log.info("training the probe on the labels of %s (once, some ten seconds)", dataset.name)
            trained = train_probe(dataset)
            _store(_path(dataset), trained)
        network.load_state_dict(trained.weights, assign=True)
        self.network = frozen(network, self.device)
        self.version, self.accuracy = weights_hash(trained.weights), trained.accuracy
        self.notes = (
            f"the probe learned from {trained.trained_on:,} examples of {dataset.name} ({dataset.split}) "
            f"and is right on {trained.accuracy:.1%} of {trained.held_out:,} others",
        )

    def features(self, images: Tensor) -> Tensor:
        """Return features float32 (N, 64) of images uint8 (N, H, W, C)."""
        assert isinstance(self.network, ProbeNetwork)
        embed = self.network.embed
        return run_in_batches(
            lambda batch: embed(squared(batch, self.size)), images, batch_size=self.batch_size, device=self.device
        )

    def logits(self, images: Tensor) -> Tensor:
        """Return logits float32 (N, classes) of images uint8 (N, H, W, C)."""
        return self.classify(self.features(images))

    @torch.inference_mode()
    def classify(self, features: Tensor) -> Tensor:
        """Return logits float32 (N, classes) of features (N, 64)."""
        assert isinstance(self.network, ProbeNetwork)
        return self.network.classify(F.relu(features.to(self.device))).cpu()


def unfit(dataset: "Dataset | Arrays") -> str | None:
    """Say what the data lacks for a probe, None where it lacks nothing."""
    if "label" not in dataset.spec:
        return f"labels, and {dataset.name} has none"
    if len(_classes(dataset)) < 2:
        return f"two classes, and {dataset.name} has one"
    if len(dataset) < _LEAST_EXAMPLES:
        return f"{_LEAST_EXAMPLES} labelled examples, and {dataset.name} has {len(dataset)}"
    return None


def train_probe(dataset: "Dataset | Arrays") -> Trained:
    """Train a probe on the CPU: the same one for the same data on the same machine.

    A fifth of the examples, at most 5,000, is held out by a fixed draw. The default random generators are left alone.
    """
    image, classes = image_field(dataset), _classes(dataset)
    size = working_size(image)
    chosen, held_out = parted(len(dataset), size)
    network = fit_network(*read_squared(dataset, chosen, size), len(classes))
    images, labels = read_squared(dataset, held_out, size)
    logits = run_in_batches(
        lambda batch: network(squared(batch, size)), images, batch_size=250, device=torch.device("cpu")
    )
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    return Trained(weights, accuracy, len(chosen), len(held_out))


def fit_network(images: Tensor, labels: Tensor, classes: int, *, seed: int = _SEED) -> ProbeNetwork:
    """Train the probe's network on the CPU on images uint8 (N, size, size, C) of its working size and labels (N,).

    Labels float (N, classes) are yes or no for each class by itself. It is returned in evaluation mode. The default
    random generators are left alone.
    """
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = ProbeNetwork(images.shape[3], images.shape[1], classes)
        _fit(network, images, labels, seed)
    frozen(network, torch.device("cpu"))
    return network


def _classes(dataset: "Dataset | Arrays") -> tuple[str, ...]:
    dataset.spec.demand({"label": Label}, "the probe")
    label = dataset.spec["label"]
    assert isinstance(label, Label)
    return label.classes


def _fit(network: ProbeNetwork, images: Tensor, labels: Tensor, seed: int) -> None:
    """Minimise the smoothed cross-entropy over one cycle of the learning rate (Smith & Topin 2019)."""
    count = len(images)
    batch = min(_BATCH, count)
    steps = min(_STEPS, max(_LEAST_STEPS, _EPOCHS * count // batch))
    rng = torch.Generator().manual_seed(seed)
    epochs = math.ceil(steps * batch / count)
    order = torch.cat([torch.randperm(count, generator=rng) for _ in range(epochs)])
    network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=1e-2, fused=True)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = _RATE * _one_cycle((step + 1) / steps)
        indices = order[step * batch : (step + 1) * batch]
        pixels = squared(images[indices], images.shape[1]).contiguous(memory_format=torch.channels_last)
        logits, wanted = network(pixels), labels[indices]
        if wanted.is_floating_point():
            loss = F.binary_cross_entropy_with_logits(logits, wanted)
        else:
            loss = F.cross_entropy(logits, wanted, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def _one_cycle(progress: float) -> float:
    """Rise over the first quarter, fall along a cosine over the rest."""
    if progress < 0.25:
        return progress / 0.25
    return 0.5 * (1 + math.cos(math.pi * (progress - 0.25) / 0.75))


def parted(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which of so many examples a probe of images of this side learns from, and which it is tested on.

    The latter are a fifth, at most 5,000.
    """
    order = np.random.default_rng(_SEED).permutation(count)
    apart = min(_HELD_OUT_LIMIT, count // 5)
    return order[apart : apart + _TRAIN_LIMIT[size]], order[:apart]


def read_squared(
    dataset: "Dataset | Arrays", indices: np.ndarray, size: int, field: str = "label"
) -> tuple[Tensor, Tensor]:
    """Return images uint8 (N, size, size, C), resized, and another field of theirs, (N, …)."""
    images, labels = [], []
    for block in read_blocks(dataset, np.sort(indices)):
        pixels = squared(block["image"], size)
        images.append(((pixels + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous())
        labels.append(block[field])
    return torch.cat(images), torch.cat(labels)


def _path(dataset: "Dataset | Arrays") -> Path:
    identity = {
        "recipe": RECIPE,
        "data": dataset.fingerprint,
        "split": dataset.split,
        "examples": len(dataset),
        "view": str(dataset.view),
        "image": image_field(dataset).to_json(),
        "classes": _classes(dataset),
    }
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
    return cache_directory() / "probes" / f"{key}.safetensors"


def _load(path: Path, network: ProbeNetwork) -> Trained | None:
    """Read a stored probe; None where there is none, or not a whole one."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["probe"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- not a mapping
        trained = Trained(weights, float(facts["accuracy"]), int(facts["trained_on"]), int(facts["held_out"]))
        whole = weights_hash(weights) == facts["hash"]
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    return trained if whole and shapes == {name: tensor.shape for name, tensor in weights.items()} else None


def _store(path: Path, trained: Trained) -> None:
    """Write a probe aside and rename it into place; a cache that cannot be written costs only the time next time."""
    facts = {
        "accuracy": trained.accuracy,
        "trained_on": trained.trained_on,
        "held_out": trained.held_out,
        "hash": weights_hash(trained.weights),
    }
    aside = path.with_name(f"{path.stem}.tmp-{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(save(trained.weights, {"probe": json.dumps(facts)}))
        os.replace(aside, path)  # noqa: PTH105 -- says that it replaces
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        _log.warning("the probe is not kept for next time: %s: %s", path, error.strerror)
