"""Feature extractors: what turns an image into a vector whose distances mean something. One file each."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from kallima.data.spec import Image
from kallima.errors import UsageError, did_you_mean
from kallima.evaluation.examples import Arrays, image_field
from kallima.evaluation.features.extractor import Classifier, FeatureExtractor
from kallima.evaluation.features.inception import PROTOCOLS, Inception, find_weights
from kallima.evaluation.features.onnx import OnnxFeatures
from kallima.evaluation.features.own import OwnFeatures
from kallima.evaluation.features.pixels import SIZE, Pixels
from kallima.evaluation.features.pretrained import KINDS, Pretrained
from kallima.evaluation.features.probe import Probe, unfit
from kallima.evaluation.features.random import RandomFeatures

if TYPE_CHECKING:
    from kallima.data.dataset import Dataset

FEATURES: dict[str, str] = {
    "auto": "probe where the data has labels, else inception where its weights are found, else random",
    "probe": "a small classifier trained once on the labels of the data",
    "inception": "the Inception network of FID, from a file of its weights, by the clean protocol",
    "inception-legacy-tensorflow": "the same with the resize of the FID authors' code",
    "inception-legacy-pytorch": "the same with the resize of pytorch-fid",
    "dinov2": "DINOv2 through transformers, from a folder of its weights: dinov2:FOLDER",
    "clip": "CLIP's image embeddings through transformers, from a folder of its weights: clip:FOLDER",
    "onnx": "any network in an ONNX file that reads images: onnx:FILE",
    "pixels": "the pixels themselves at 32×32, or as in pixels:64",
    "random": "a fixed network with random weights",
}
"""Extractors by name; after a colon the file, folder or size."""


def make_extractor(
    name: str, source: "Dataset | Arrays | Image", *, device: torch.device | str = "cpu"
) -> FeatureExtractor:
    """Return the extractor `name` for a data set of images (and labels, for the probe), or for images like `source`.

    Raises:
        UsageError: the name is unknown, or the data or the weights for it are missing.
        DataError: a file of weights is not what it should be.
    """
    kind, colon, argument = name.partition(":")
    if kind not in FEATURES:
        near = did_you_mean(kind, FEATURES) or f"; there are {', '.join(FEATURES)}"
        raise UsageError(f"no features '{kind}'{near}")
    if colon and not argument:
        raise UsageError(f"nothing follows the colon of --features {name}")
    image = source if isinstance(source, Image) else image_field(source)
    dataset = None if isinstance(source, Image) else source
    if kind in PROTOCOLS:
        return Inception(Path(argument).expanduser() if argument else None, protocol=kind, device=device)
    if kind in KINDS:
        return Pretrained(kind, argument or None, device=device)
    if kind == "onnx":
        if not argument:
            raise UsageError("onnx needs the file of a network: --features onnx:FILE.onnx")
        return OnnxFeatures(argument)
    if kind == "pixels":
        if argument and not argument.isdecimal():
            raise UsageError(f"pixels takes a size, as in pixels:64, not '{argument}'")
        return Pixels(image, size=int(argument or SIZE), device=device)
    if argument:
        raise UsageError(f"{kind} takes nothing after a colon, and was given '{argument}'")
    if kind == "auto":
        kind = "random" if find_weights() is None else "inception"
        if dataset is not None and unfit(dataset) is None:
            kind = "probe"
    if kind == "probe":
        if dataset is None:
            raise UsageError("the probe needs real images with labels: choose --features random or inception")
        return Probe(dataset, device=device)
    return Inception(device=device) if kind == "inception" else RandomFeatures(image, device=device)


__all__ = [
    "FEATURES",
    "Classifier",
    "FeatureExtractor",
    "Inception",
    "OnnxFeatures",
    "OwnFeatures",
    "Pixels",
    "Pretrained",
    "Probe",
    "RandomFeatures",
    "make_extractor",
]
