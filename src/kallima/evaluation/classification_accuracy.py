"""Classification accuracy scores of class-conditional generators.

GAN-train (Shmelkov et al. 2018, arXiv:1807.09499; the CAS of Ravuri & Vinyals 2019, arXiv:1905.10887): a classifier
learns from generated images and their labels alone and is tested on real ones: high only where they are both good and
as varied as the real. GAN-test: it learns from real images and is tested on the generated: high where they show what
they were asked to, were it one image a class over and over. Both are read against the same classifier learning from
real images and tested on real ones. The classifier is the probe's network, trained as the probe is.
"""

import math

import torch
from torch import Tensor

from kallima.data.spec import Image
from kallima.errors import DataError
from kallima.evaluation.arrays import Array
from kallima.evaluation.features.extractor import run_in_batches, squared, working_size
from kallima.evaluation.features.probe import ProbeNetwork, fit_network
from kallima.evaluation.inputs import class_labels, image_sets, listed, tensor_of
from kallima.evaluation.score import Measure

_LEAST = 50
_BLOCK = 1000
_SPREAD = "standard error over the test images, the classifier given"


class Classifier:
    """The probe's network, trained on images uint8 (N, H, W, C) and labels (N,); `seed` decides it.

    There are `classes` classes, by default as many as the labels show.

    Raises:
        DataError: there are fewer than 50 images or two classes, or images and labels do not go together.
    """

    def __init__(
        self, images: Array, labels: Array, *, classes: int | None = None, seed: int = 0, name: str = "training"
    ):
        (pixels,) = image_sets({name: images}, _LEAST)
        known = class_labels(labels, len(pixels), name)
        found = known.unique()
        if len(found) < 2:
            raise DataError(f"the {name} images are all of one class: a classifier needs two")
        self.classes, self.shape = classes or int(found.max()) + 1, pixels.shape[1:]
        if int(found.max()) >= self.classes:
            raise DataError(f"the {name} labels hold {int(found.max())}, and there are {self.classes} classes")
        self.missing = sorted(set(range(self.classes)) - set(found.tolist()))
        self.trained_on = len(pixels)
        self._size = working_size(Image(self.shape[2], self.shape[0], self.shape[1]))
        resized = [_quantised(block, self._size) for block in pixels.cpu().split(_BLOCK)]
        self._network: ProbeNetwork = fit_network(torch.cat(resized), known.cpu(), self.classes, seed=seed)

    def accuracy(self, images: Array, labels: Array, *, name: str = "test") -> Measure:
        """Return the share of images uint8 (N, H, W, C) whose label (N,) it finds.

        Raises:
            DataError: there are no images, they are of another size, or do not go with their labels.
        """
        (pixels,) = image_sets({name: images}, 1)
        known = class_labels(labels, len(pixels), name).cpu()
        if pixels.shape[1:] != self.shape:
            raise DataError(
                f"the {name} images have shape {tuple(pixels.shape[1:])}, the classifier learned {tuple(self.shape)}"
            )
        logits = run_in_batches(
            lambda batch: self._network(squared(batch, self._size)),
            pixels,
            batch_size=250,
            device=torch.device("cpu"),
        )
        share = (logits.argmax(1) == known).double().mean().item()
        notes = [f"learned from {self.trained_on:,} images, tested on {len(pixels):,}"]
        if self.missing:
            notes.append(f"no image to learn from of classes {listed([str(c) for c in self.missing])}")
        return Measure(share, math.sqrt(share * (1 - share) / len(pixels)), _SPREAD, tuple(notes))


def gan_train(
    generated: Array,
    generated_labels: Array,
    test: Array,
    test_labels: Array,
    *,
    baseline: Classifier | None = None,
    seed: int = 0,
) -> Measure:
    """Return the accuracy on real test images (N, H, W, C) of a classifier that learned from generated ones alone.

    Labels of the generated are those they were asked for. With a `baseline` that learned from real training images, its
    accuracy on the same test goes into the notes.

    Raises:
        DataError: images and labels do not go together, or there are too few.
    """
    most = max(int(tensor_of(labels).max()) for labels in (generated_labels, test_labels) if len(labels))
    learned = Classifier(generated, generated_labels, classes=most + 1, seed=seed, name="generated")
    return _against(learned.accuracy(test, test_labels), baseline, test, test_labels)


def gan_test(
    classifier: Classifier,
    generated: Array,
    generated_labels: Array,
    *,
    test: Array | None = None,
    test_labels: Array | None = None,
) -> Measure:
    """Return the accuracy on generated images (M, H, W, C) of a classifier that learned from real training images.

    With a real test set, its accuracy there goes into the notes: more than that means samples easier than real ones.

    Raises:
        DataError: images and labels do not go together.
    """
    found = classifier.accuracy(generated, generated_labels, name="generated")
    if test is None or test_labels is None:
        return found
    return _against(found, classifier, test, test_labels)


def _against(measure: Measure, baseline: Classifier | None, test: Array, test_labels: Array) -> Measure:
    if baseline is None:
        return measure
    real = baseline.accuracy(test, test_labels).value
    note = f"learned from {baseline.trained_on:,} real images, {real:.1%} of real test images are found"
    return measure._replace(notes=(*measure.notes, note))


def _quantised(images: Tensor, size: int) -> Tensor:
    """Return images as uint8 of the network's size, (N, size, size, C)."""
    pixels = squared(images, size)
    return ((pixels + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
