"""A small network that tells of each attribute whether an image has it: the probe's, trained on attributes."""

import logging
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kallima.data.spec import Attributes
from kallima.evaluation.examples import image_field
from kallima.evaluation.features.extractor import (
    describe_resize,
    frozen,
    run_in_batches,
    squared,
    weights_hash,
    working_size,
)
from kallima.evaluation.features.probe import fit_network, parted, read_squared

if TYPE_CHECKING:
    from kallima.data.dataset import Dataset

_log = logging.getLogger(__name__)


class AttributeProbe:
    """The probe's network with a logistic output for each attribute, trained when it is made.

    Its `accuracy` is the mean over attributes of the share of held-out examples on which it is right.
    """

    name = "attribute-probe"
    range = "[-1, 1]"

    def __init__(self, dataset: "Dataset", *, device: torch.device | str = "cpu", batch_size: int = 250):
        dataset.spec.demand({"attributes": Attributes}, "the probe of attributes")
        field, image = dataset.spec["attributes"], image_field(dataset)
        assert isinstance(field, Attributes)
        self.size, self.batch_size, self.device = working_size(image), batch_size, torch.device(device)
        self.resize = describe_resize(image, self.size)
        _log.info("training a probe on the attributes of %s (some ten seconds)", dataset.name)
        chosen, held_out = parted(len(dataset), self.size)
        images, attributes = read_squared(dataset, chosen, self.size, "attributes")
        network = fit_network(images, attributes, len(field.names))
        self.network = frozen(network, self.device)
        self.version = weights_hash(network.state_dict())
        images, attributes = read_squared(dataset, held_out, self.size, "attributes")
        shares = ((self.logits(images) > 0) == (attributes > 0.5)).double().mean(0).tolist()
        self.accuracy = sum(shares) / len(shares)
        shown = ", ".join(f"{name} {share:.1%}" for name, share in zip(field.names, shares, strict=True))
        self.notes = (
            f"the probe of attributes learned from {len(chosen):,} examples of {dataset.name} ({dataset.split}) "
            f"and is right on {len(held_out):,} others: {shown}",
        )

    def logits(self, images: Tensor) -> Tensor:
        """Return a logit for each attribute, float32 (N, A), of images uint8 (N, H, W, C)."""
        return run_in_batches(
            lambda batch: self.network(squared(batch, self.size)),
            images,
            batch_size=self.batch_size,
            device=self.device,
        )
