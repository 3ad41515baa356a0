"""DINOv2 and CLIP through transformers, from a folder of their weights: nothing is downloaded.

The whole image is brought to the network's square by antialiased bicubic in floating point and clipped, never cut
(as Stein et al. 2023, arXiv:2306.04675 and Jayasumana et al. 2024, arXiv:2401.09603 do), then standardised a channel.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kallima.data.cache import cache_directory
from kallima.errors import DataError, UsageError, import_extra
from kallima.evaluation.features.extractor import frozen, run_in_batches, weights_hash
from kallima.evaluation.features.resizing import clean_resize


@dataclass(frozen=True)
class Kind:
    """One family of networks: its class in transformers, how its input is standardised, what of its output is read."""

    name: str
    network: str
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    size: int | None
    """The side of the square; None takes the one in the folder's config."""
    read: Callable[[Any], Tensor]
    repository: str

    @property
    def variable(self) -> str:
        """The environment variable that names the folder."""
        return f"KALLIMA_{self.name.upper()}"


KINDS = {
    "dinov2": Kind(
        "dinov2",
        "Dinov2Model",
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
        224,  # its config says 518, of the last days of its training; features are compared at 224
        lambda output: output.last_hidden_state[:, 0],
        "facebook/dinov2-large",
    ),
    "clip": Kind(
        "clip",
        "CLIPVisionModelWithProjection",
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
        None,
        lambda output: output.image_embeds,
        "openai/clip-vit-large-patch14-336",
    ),
}
"""The families by name."""


class Pretrained:
    """DINOv2's class token after the last norm, or CLIP's projected image embedding.

    Raises:
        UsageError: transformers is not installed, or there is no folder of weights; the message says what gets it.
        DataError: the folder holds no such network as safetensors.
    """

    accuracy = None

    def __init__(
        self, kind: str, path: str | Path | None = None, *, device: torch.device | str = "cpu", batch_size: int = 32
    ):
        self.kind = KINDS[kind]
        folder = find_folder(kind) if path is None else Path(path).expanduser()
        if folder is None or not folder.is_dir():
            missing = f"there are no {kind} weights" if folder is None else f"there is no folder {folder}"
            raise UsageError(
                f"{missing}: 'hf download {self.kind.repository} --local-dir FOLDER', then --features {kind}:FOLDER "
                f"or {self.kind.variable}=FOLDER"
            )
        transformers = import_extra("transformers", "transformers")
        network = _load(getattr(transformers, self.kind.network), folder, kind)
        self.name, self.batch_size, self.device = kind, batch_size, torch.device(device)
        side = self.kind.size or _image_size(folder)
        self.size = side
        self.version = weights_hash(network.state_dict())
        self.network = frozen(network, self.device)
        self.resize = f"bicubic, antialiased, in floating point, whole image to {side}×{side}"
        self.range = f"x / 255, less {_said(self.kind.mean)}, by {_said(self.kind.deviation)}"
        self.notes = (f"features by {folder.name}",)

    def preprocess(self, images: Tensor) -> Tensor:
        """Return what the network sees, float32 (N, 3, size, size), of images uint8 (N, H, W, C)."""
        return standardised(images, self.size, self.kind)

    def features(self, images: Tensor) -> Tensor:
        """Return features float32 (N, d) of images uint8 (N, H, W, C)."""
        return run_in_batches(
            lambda batch: self.kind.read(self.network(pixel_values=self.preprocess(batch))),
            images,
            batch_size=self.batch_size,
            device=self.device,
        )


def standardised(images: Tensor, size: int, kind: Kind) -> Tensor:
    """Return images uint8 (N, H, W, C) as float (N, 3, size, size), standardised a channel as the family wants it."""
    mean, deviation = (
        torch.tensor(values, device=images.device).view(3, 1, 1) for values in (kind.mean, kind.deviation)
    )
    return (clean_resize(images, size) / 255 - mean) / deviation


def find_folder(kind: str) -> Path | None:
    """Look for a folder of weights: where the environment variable says, then in our cache directory."""
    if told := os.environ.get(KINDS[kind].variable):
        return Path(told).expanduser()
    own = cache_directory() / kind
    return own if own.is_dir() else None


def _load(network: Any, folder: Path, kind: str) -> Any:
    try:
        loaded, report = network.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # what it raises differs by version
        reason = str(error).replace("\n", " ")[:160]
        raise DataError(f"{folder} holds no {kind} network as safetensors: {reason}") from error
    if missing := sorted(report["missing_keys"]):  # such weights would be random
        raise DataError(
            f"{folder} holds no {kind} network: {missing[0]} and {len(missing) - 1} more tensors are missing"
        )
    return loaded


def _image_size(folder: Path) -> int:
    try:
        config = json.loads((folder / "config.json").read_text())
        size = config.get("vision_config", config)["image_size"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / 'config.json'} does not say the image_size") from error
    if not isinstance(size, int) or not 1 <= size <= 4096:
        raise DataError(f"{folder / 'config.json'} says image_size {size!r}")
    return size


def _said(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
