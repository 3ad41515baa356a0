"""`kallima train auto`: which recipe and which settings, by what the data and the machine are like, and why.

The rules follow from what was measured (docs/choosing.md, docs/results.md); what was not, says so.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kallima.data.source import Source
from kallima.data.spec import Image, Label, Spec

AUTO = "auto"
"""What stands in the place of a recipe's name."""

SIDES = tuple(sorted(grid << k for grid in (4, 5, 6, 7) for k in range(1, 7) if grid << k <= 256))
"""Sides of images that the networks take."""
LARGEST = {False: 64, True: 128}
"""The side of images above which nothing is learned in hours, without a GPU and with one."""
FEW = 2_000
"""Images that a discriminator learns by heart where there is a GPU, and so is shown augmented; in minutes of a CPU it
made things worse (docs/choosing.md)."""
EACH, MOST_CLASSES = 50, 200
"""Images of a class, on average, from which on it can be learned apart; and classes that are still told apart."""


@dataclass(frozen=True)
class Choice:
    """A recipe, what it is told, and a sentence for each reason."""

    recipe: str
    options: Mapping[str, Any]
    reasons: tuple[str, ...]

    def command(self, data: str) -> str:
        """Return what a user types for it."""
        flags = [f"--{name.replace('_', '-')} {value}" for name, value in self.options.items()]
        return " ".join([f"kallima train {self.recipe} --data {data}", *flags])

    def say(self, data: str) -> None:
        """Tell what is done and why, on standard error, once where there are several processes."""
        if os.environ.get("RANK", "0") == "0":
            print("\n".join([f"auto: {self.command(data)}", *(f"  {each}" for each in self.reasons)]), file=sys.stderr)


def choose(source: Source, given: Mapping[str, Any], *, gpu: bool) -> Choice:
    """Choose for a source; what is `given` by the user, by the name of the option, stays as it is.

    Raises:
        DataError: the data holds nothing that can be learned to be made.
    """
    spec = Spec(source.fields)
    by_medium = {"image": _images, "points": _points, "text": _texts, "audio": _sounds, "video": _videos}
    choice = by_medium[spec.medium](source, spec, gpu)
    told = {name for name, value in given.items() if value is not None}
    options = {name: value for name, value in choice.options.items() if name not in told}
    return Choice(choice.recipe, options, choice.reasons)


def _images(source: Source, spec: Spec, gpu: bool) -> Choice:
    options, reasons = _view(source, spec, gpu)
    count = len(source)
    label = spec.get("label")
    classes = len(label.classes) if isinstance(label, Label) else 0
    if "text" in spec:
        recipe = "gan-cls"
        reasons.append("gan-cls, because the images have captions: ask for images in their words")
    elif 2 <= classes <= MOST_CLASSES and count >= EACH * classes:
        recipe = "projection-gan"
        reasons.append(f"projection-gan, because there are {classes} classes of {count // classes:,} images on average")
    elif "attributes" in spec:
        recipe = "projection-gan"
        reasons.append("projection-gan, because the images have attributes: ask for those that you want")
    elif gpu:
        recipe = "stylegan2"
        reasons.append("stylegan2, because there is a GPU (by the literature: our own table is a CPU's)")
    else:
        recipe = "dcgan"
        reasons.append("dcgan, because it came furthest in minutes of a CPU (docs/choosing.md)")
    if count < FEW and gpu and recipe != "gan-cls":
        options["augment"] = "ada" if recipe == "stylegan2" else "diffaugment"
        reasons.append(f"augmented, because in hours {count:,} images are known by heart (by the literature)")
    if not gpu:
        options["width"] = 32
        reasons.append("networks of width 32, because there is no GPU")
    return Choice(recipe, options, tuple(reasons))


def _view(source: Source, spec: Spec, gpu: bool) -> tuple[dict[str, Any], list[str]]:
    image = spec["image"]
    assert isinstance(image, Image)
    options: dict[str, Any] = {}
    reasons = []
    smallest = source.survey.smallest if source.survey is not None else (image.height or 0, image.width or 0)
    side = max([each for each in SIDES if each <= min(*smallest, LARGEST[gpu])], default=SIDES[0])
    if (image.height, image.width) != (side, side):
        options["size"] = side
        why = "there is no GPU" if min(smallest) > LARGEST[gpu] and not gpu else "that is what they all have"
        reasons.append(f"images of {side}×{side}, because {why}")
    if source.survey is not None and len(source.survey.channels) > 1:
        options["channels"] = 3
        reasons.append("in colour, because some are grey and some are not")
    return options, reasons


def _points(source: Source, spec: Spec, gpu: bool) -> Choice:
    return Choice("gan-r1", {}, ("gan-r1, because it finds all modes of the ring at less cost than r3gan",))


def _texts(source: Source, spec: Spec, gpu: bool) -> Choice:
    kind = "transformer-lm" if gpu else "lstm-lm"
    why = "there is a GPU" if gpu else "a step of an LSTM is cheap without a GPU"
    if isinstance(spec.get("label"), Label):
        return Choice(f"conditional-{kind}", {}, (f"conditional-{kind}, because the texts have classes, and {why}",))
    return Choice(kind, {}, (f"{kind}, because {why}",))


def _sounds(source: Source, spec: Spec, gpu: bool) -> Choice:
    if isinstance(spec.get("label"), Label):
        return Choice("conditional-wavenet", {}, ("conditional-wavenet, because the sounds have classes",))
    return Choice("wavenet", {}, ("wavenet, because these are sounds",))


def _videos(source: Source, spec: Spec, gpu: bool) -> Choice:
    return Choice(
        "video-gan", {}, ("video-gan, because it draws whole clips (it does not keep things apart for long)",)
    )
