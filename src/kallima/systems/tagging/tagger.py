"""The ground of what tells an image in several labels: the classifier, its cross-entropy, its answers."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kallima.data.spec import Attributes, Image, Spec
from kallima.layers.modes import evaluating
from kallima.networks.classifier import BACKBONES, Classifier
from kallima.system import Batch, System
from kallima.systems.tagging.settings import Sight


class Tagger(System):
    """A classifier with a logistic output for each of the data's attributes; a system below tells how it is trained."""

    def __init__(self, spec: Spec, sight: Sight):
        super().__init__()
        image, field = spec["image"], spec["attributes"]
        assert isinstance(image, Image)
        assert isinstance(field, Attributes)
        self.spec = spec
        backbone = BACKBONES[sight.backbone](*image.shape, channels=sight.width)
        self.classifier = Classifier(backbone, len(field.names), hidden=sight.hidden, dropout=sight.dropout)

    @torch.no_grad()
    def tag(self, examples: Tensor) -> Tensor:
        """Return the probability of each attribute for examples (N, C, H, W): (N, K)."""
        with evaluating(self):
            return self.classifier(examples)[1].sigmoid()


def cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    """−E Σ_k log p(y_k | x): nats an image, summed over its labels."""
    return F.binary_cross_entropy_with_logits(logits, batch["attributes"], reduction="none").sum(1).mean()


def correctness(logits: Tensor, batch: Batch) -> Tensor:
    """Return the share of decisions that are right."""
    return ((logits > 0) == (batch["attributes"] > 0.5)).to(torch.float32).mean()
