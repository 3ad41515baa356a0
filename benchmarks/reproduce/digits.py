"""Data sets that are made of MNIST."""

from pathlib import Path

import numpy as np
import places

HELD_OUT = 5_000


def first(count: int) -> Path:
    """Make a set of the first `count` training images."""
    with np.load(places.archive("mnist")) as arrays:
        part = {name: arrays[name][:count] for name in ("x_train", "y_train")}
    return places.keep(f"mnist-{count}", **part)


def held_out() -> Path:
    """Make a set of the training images, of which 5,000 that chance has chosen take the place of the test images.

    MNIST's own test images are not drawn like its training images: other people wrote them, and the second half of them
    others than the first.
    """
    with np.load(places.archive("mnist")) as arrays:
        images, labels = arrays["x_train"], arrays["y_train"]
    test, train = np.split(np.random.default_rng(0).permutation(len(images)), [HELD_OUT])
    chosen = {"x_train": images[train], "y_train": labels[train], "x_test": images[test], "y_test": labels[test]}
    return places.keep("mnist-held-out", **chosen)


def negatives() -> Path:
    """Make two domains, digits and their negatives, of disjoint halves of the training images."""
    with np.load(places.archive("mnist")) as arrays:
        images = arrays["x_train"].copy()
    domain = np.arange(len(images)) % 2
    images[domain == 1] = 255 - images[domain == 1]
    return places.keep("mnist-negatives", x=images, domain=domain, domain_names=np.array(["digits", "negatives"]))
