"""Feature extractors: what turns an image into a vector whose distances mean something. One file each."""

from typing import TYPE_CHECKING

import torch

from kallima.errors import UsageError, did_you_mean
from kallima.evaluation.examples import image_field
from kallima.evaluation.features.extractor import FeatureExtractor
from kallima.evaluation.features.inception import Inception, find_weights
from kallima.evaluation.features.probe import Probe, unfit
from kallima.evaluation.features.random import RandomFeatures

if TYPE_CHECKING:
    from kallima.data.dataset import Dataset

FEATURES: dict[str, str] = {
    "auto": "probe where the data has labels, else inception where its weights are found, else random",
    "probe": "a small classifier trained once on the labels of the data",
    "inception": "the Inception network of FID, from a file of its weights",
    "random": "a fixed network with random weights",
}
"""Extractors by name."""


def make_extractor(name: str, dataset: "Dataset", *, device: torch.device | str = "cpu") -> FeatureExtractor:
    """Return the extractor `name` for a data set of images (and labels, for the probe).

    Raises:
        UsageError: the name is unknown, or the data or the weights for it are missing.
    """
    image = image_field(dataset)
    match name:
        case "auto":
            if unfit(dataset) is None:
                return Probe(dataset, device=device)
            return RandomFeatures(image, device=device) if find_weights() is None else Inception(device=device)
        case "probe":
            return Probe(dataset, device=device)
        case "inception":
            return Inception(device=device)
        case "random":
            return RandomFeatures(image, device=device)
    near = did_you_mean(name, FEATURES) or f"; there are {', '.join(FEATURES)}"
    raise UsageError(f"no features '{name}'{near}")


__all__ = ["FEATURES", "FeatureExtractor", "Inception", "Probe", "RandomFeatures", "make_extractor"]
