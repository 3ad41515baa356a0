"""The Inception network of the Fréchet inception distance: 2,048 features averaged over the last 8×8 positions.

Weights come from a published file of 566 tensors, never from the network. How images enter is part of the protocol and
of the name: `inception` is the "clean" one, `inception-legacy-tensorflow` and `inception-legacy-pytorch` those of older
scores (see resizing.py). Scores compare only within one of them.
"""

import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from kallima.data.cache import cache_directory
from kallima.errors import DataError, UsageError
from kallima.evaluation.features.extractor import frozen, run_in_batches, weights_hash
from kallima.evaluation.features.inception_network import InceptionNetwork
from kallima.evaluation.features.resizing import clean_resize, legacy_pytorch_resize, legacy_tensorflow_resize

FILES = (
    "pt_inception-2015-12-05-6726825d.pth",
    "weights-inception-2015-12-05-6726825d.pth",
    "inception-2015-12-05.safetensors",
)
"""Names under which the weights are looked for."""

VARIABLE = "KALLIMA_INCEPTION"
"""The environment variable that names the file."""


@dataclass(frozen=True)
class Protocol:
    """How images enter: the resize, and what is taken off and divided by; both are said in the receipt."""

    name: str
    resize: Callable[[Tensor], Tensor]
    resize_said: str
    centre: float
    scale: float
    range_said: str


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "inception",
            clean_resize,
            "clean: bicubic, antialiased, in floating point, 299×299",
            128,
            128,
            "(x − 128) / 128",
        ),
        Protocol(
            "inception-legacy-tensorflow",
            legacy_tensorflow_resize,
            "legacy TensorFlow: bilinear, corner-aligned at 0, not antialiased, 299×299",
            128,
            128,
            "(x − 128) / 128",
        ),
        Protocol(
            "inception-legacy-pytorch",
            legacy_pytorch_resize,
            "legacy PyTorch: bilinear, half-pixel centres, not antialiased, 299×299",
            127.5,
            127.5,
            "x / 127.5 − 1",
        ),
    )
}
"""How images have entered, by name of the extractor."""


class Inception:
    """The extractor; `path` names the weights file, None looks for it; `protocol` is one of `PROTOCOLS`.

    Raises:
        UsageError: no weights are found; the message says which file to put where.
        DataError: the file is not what it should be.
    """

    accuracy = None
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        path: Path | None = None,
        *,
        protocol: str = "inception",
        device: torch.device | str = "cpu",
        batch_size: int = 32,
    ):
        found = path or find_weights()
        if found is None:
            raise UsageError(
                f"there are no Inception weights: put {FILES[0]} (a release file of pytorch-fid) into "
                f"{_own_directory()}, or name it in {VARIABLE}"
            )
        if not found.is_file():
            raise UsageError(f"there is no file {found}: name {FILES[0]}, a release file of pytorch-fid")
        self.protocol = PROTOCOLS[protocol]
        self.name, self.resize, self.range = protocol, self.protocol.resize_said, self.protocol.range_said
        self.batch_size, self.device = batch_size, torch.device(device)
        with torch.device("meta"):
            network = InceptionNetwork()
        weights = load_weights(found, {name: tensor.shape for name, tensor in network.state_dict().items()})
        network.load_state_dict(weights, assign=True)
        self.version = weights_hash(weights)
        self.network = frozen(network, self.device)

    def preprocess(self, images: Tensor) -> Tensor:
        """Return what the network sees, float32 (N, 3, 299, 299), of images uint8 (N, H, W, C)."""
        return (self.protocol.resize(images) - self.protocol.centre) / self.protocol.scale

    def features(self, images: Tensor) -> Tensor:
        """Return features float32 (N, 2048) of images uint8 (N, H, W, C)."""
        return run_in_batches(
            lambda batch: self.network(self.preprocess(batch)), images, batch_size=self.batch_size, device=self.device
        )

    def logits(self, images: Tensor) -> Tensor:
        """Return logits float32 (N, 1008) of images uint8 (N, H, W, C)."""
        return self.classify(self.features(images))

    @torch.inference_mode()
    def classify(self, features: Tensor) -> Tensor:
        """Return logits float32 (N, 1008) of features (N, 2048), without the bias.

        So did the code of the inception score (Salimans et al. 2016, arXiv:1606.03498), by which scores are published.
        """
        assert isinstance(self.network, InceptionNetwork)
        return (features.to(self.device) @ self.network.fc.weight.T).cpu()


def find_weights() -> Path | None:
    """Look for the weights: where KALLIMA_INCEPTION says, in our cache directory, in torch hub's.

    Raises:
        UsageError: KALLIMA_INCEPTION names no file.
    """
    if told := os.environ.get(VARIABLE):
        path = Path(told).expanduser()
        if not path.is_file():
            raise UsageError(f"{VARIABLE} names {path}, and there is no such file")
        return path
    folders = _own_directory(), Path(torch.hub.get_dir()) / "checkpoints"
    candidates = [folder / name for folder in folders for name in FILES]
    return next((path for path in candidates if path.is_file()), None)


def load_weights(path: Path, shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    """Read the file's float32 tensors and check their names and shapes. No code of the file is run.

    Raises:
        DataError: the file is a TorchScript archive, damaged, or of another network.
    """
    if zipfile.is_zipfile(path) and _is_torchscript(path):
        raise DataError(f"{path} is a TorchScript archive, which is a program: use the plain weights {FILES[0]}")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            # the restricted loader builds tensors and plain containers only
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, UnpicklingError, SafetensorError) as error:
        reason = str(error).partition("\n")[0][:120]
        raise DataError(f"{path} cannot be read as weights ({reason}): fetch {FILES[0]} again") from error
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise DataError(f"{path} holds no flat table of tensors: use {FILES[0]}")
    for name in [*shapes, *state]:
        if name not in state or name not in shapes or state[name].shape != shapes[name]:
            raise DataError(f"{path} holds another network ('{name}' differs): use {FILES[0]}")
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor.long() for name, tensor in sorted(state.items())
    }


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") or "/code/" in name for name in archive.namelist())


def _own_directory() -> Path:
    return cache_directory() / "inception"
