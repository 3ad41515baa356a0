"""How many bits a codec takes for an image: those of real files, counted."""

import importlib.util

import numpy as np

from kallima.compression.codec import Codec
from kallima.compression.coder import EXTRA
from kallima.compression.container import OVERHEAD
from kallima.evaluation.capability.subject import Found, Subject, lacks_images
from kallima.evaluation.resampling import mean_of

IMAGES = 300  # how many are coded


def bits_per_pixel(subject: Subject) -> Found:
    """Return the mean length of the coded numbers, in bits a pixel, of up to 300 images; each is read back."""
    codec = Codec(subject.system)
    images = subject.seen.images[:IMAGES].numpy()
    pixels = images.shape[1] * images.shape[2]
    lengths = []
    for image in images:
        written = codec.write(image)
        codec.read(written.data)  # which checks that the numbers are those that were written
        lengths.append(8 * written.payload / pixels)
    header = 8 * OVERHEAD / pixels
    notes = (
        f"bits that were written and read back, an image of {images.shape[2]}×{images.shape[1]} alone",
        f"the {OVERHEAD} bytes of a file around them, {header:.3f} bits a pixel here, are left out",
    )
    return Found(mean_of(np.array(lengths), "images", notes), subject.real, len(images), len(images))


def lacks(subject: Subject) -> str | None:
    """Say what is missing: images, or the range coder."""
    module, extra = EXTRA
    if (lacking := lacks_images(subject)) is not None:
        return lacking
    found = importlib.util.find_spec(module) is not None
    return None if found else f"needs {module}: pip install 'kallima[{extra}]'"
