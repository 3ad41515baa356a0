"""Captions through a sentence encoder that a user brings: a folder of transformers' weights, or one with an ONNX file.

Nothing is downloaded and no pickle is loaded. The encoder stands still: of a caption it gives the mean of its last
vectors over the caption's own tokens, which is kept, so that each caption is encoded once.
"""

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kallima.data.spec import Text
from kallima.data.tokens import decode
from kallima.errors import DataError, RunError, UsageError, import_extra

PREFIXES = ("transformers", "onnx")
KEPT = 100_000
"""Captions whose vectors are kept; what is beyond is encoded again each time."""


class SentenceEncoder(ABC):
    """Captions to vectors of `width` numbers; `version` is the hash of its weights."""

    width: int
    version: bytes

    def __init__(self) -> None:
        self._known: dict[str, Tensor] = {}

    @abstractmethod
    def encode(self, text: str) -> np.ndarray:
        """Return the vector (width,) of a text."""

    def vector(self, text: str) -> Tensor:
        """Return the same, as float32, from what is kept where it is."""
        found = self._known.get(text)
        if found is None:
            found = torch.from_numpy(self.encode(text).astype(np.float32))
            if len(self._known) < KEPT:
                self._known[text] = found
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> "SentenceEncoder":
        """Stay one: what stands still is the same in a system and in its average."""
        return self


class TransformersEncoder(SentenceEncoder):
    """A text model and its tokenizer, as transformers' `save_pretrained` writes them (safetensors)."""

    def __init__(self, folder: Path):
        super().__init__()
        transformers = import_extra("transformers", "transformers")
        weights = _file(folder, "model.safetensors")
        self.version = _version(weights)
        try:
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model, report = transformers.AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
        except Exception as error:  # its own exceptions have no common base
            raise _unreadable(folder, str(error)) from error
        if missing := sorted(report["missing_keys"]):  # such weights would be random
            raise _unreadable(folder, f"{missing[0]} and {len(missing) - 1} more tensors are missing")
        self.model = model.float().eval().requires_grad_(False)
        self.width = int(model.config.hidden_size)

    @torch.no_grad()
    def encode(self, text: str) -> np.ndarray:
        """Return the mean of the last hidden states over the text's tokens."""
        tokens = self.tokenizer(text, return_tensors="pt", truncation=True, max_length=256)
        vectors: Tensor = self.model(**tokens).last_hidden_state[0]
        return vectors.mean(0).numpy()


class OnnxEncoder(SentenceEncoder):
    """`model.onnx`, whose first output is (1, tokens, width) or (1, width), and `tokenizer.json` beside it."""

    def __init__(self, folder: Path):
        super().__init__()
        runtime, tokenizers = import_extra("onnxruntime", "onnx"), import_extra("tokenizers", "transformers")
        model = _file(folder, "model.onnx")
        self.version = _version(model)
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # its warnings are of no use to whom the file was given
        try:
            self.tokenizer = tokenizers.Tokenizer.from_file(str(_file(folder, "tokenizer.json")))
            self.session = runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except UsageError:
            raise
        except Exception as error:  # theirs have no common base
            raise _unreadable(folder, str(error)) from error
        self.inputs = [entry.name for entry in self.session.get_inputs()]
        self.width = len(self.encode("a"))

    def encode(self, text: str) -> np.ndarray:
        """Return the first output, averaged over the tokens where it has a vector for each."""
        codes = np.array([self.tokenizer.encode(text).ids[:256]], np.int64)
        known = {"input_ids": codes, "attention_mask": np.ones_like(codes), "token_type_ids": np.zeros_like(codes)}
        try:
            (found, *_) = self.session.run(None, {name: known[name] for name in self.inputs})
        except KeyError as error:
            raise DataError(f"the ONNX file asks for {error}, and a sentence encoder for {', '.join(known)}") from error
        vectors: np.ndarray = np.asarray(found, np.float32)[0]
        return vectors.mean(0) if vectors.ndim == 2 else vectors


class SentenceReader(nn.Module):
    """Codes (N, length) of texts to (N, width): an encoder that stands still, then a layer that learns.

    The run keeps the hash of the encoder's weights, not the weights: the folder is needed again to sample.

    Raises:
        UsageError: there is no such folder, or what reads it is not installed.
        DataError: what is in it cannot be read.
    """

    version: Tensor

    def __init__(self, field: Text, place: str, width: int):
        super().__init__()
        kind, _, folder = place.partition(":")
        encoders = {"transformers": TransformersEncoder, "onnx": OnnxEncoder}
        self.field, self.place = field, place
        self.encoder: SentenceEncoder = encoders[kind](Path(folder).expanduser())  # no module: nobody's to move or save
        self.register_buffer("version", torch.tensor(list(self.encoder.version), dtype=torch.uint8))
        self.checked = False
        self.out = nn.Linear(self.encoder.width, width)

    def forward(self, codes: Tensor) -> Tensor:
        """(N, length) to (N, width).

        Raises:
            RunError: the folder holds another encoder than the run was trained with.
        """
        if not self.checked and bytes(self.version.tolist()) != self.encoder.version:
            raise RunError(f"{self.place} is not the sentence encoder that this run was trained with: bring that one")
        self.checked = True
        texts = decode(codes.round().to(torch.int64).cpu().numpy(), self.field)
        return self.out(torch.stack([self.encoder.vector(text) for text in texts]).to(self.out.weight))


def _file(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise UsageError(f"there is no {path}: give --reader a folder with {name} and the tokenizer's files")
    return path


def _version(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _unreadable(folder: Path, reason: str) -> DataError:
    reason = reason.replace("\n", " ")[:160]
    return DataError(f"{folder} holds no sentence encoder that can be read: {reason}")
