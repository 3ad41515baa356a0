"""What changes on the way from one latent of a system to another."""

import torch

from kallima.evaluation.capability.subject import Found, Subject
from kallima.evaluation.latent.path_length import perceptual_path_length

PAIRS = 10_000


def path_length(subject: Subject) -> Found:
    """Return the path length between pairs of latents drawn with the seed, 10,000 by default.

    The distance is the squared one of what the system makes, images in [-1, 1] or points as they are in batches, on
    arcs as the published figures for normal latents have it.
    """
    rng = torch.Generator().manual_seed(subject.seed)
    pairs = subject.count or PAIRS
    first, second = (subject.system.latents(pairs, rng=rng) for _ in range(2))
    found = perceptual_path_length(subject.system.decode, first, second, seed=subject.seed)
    note = "arcs between latents; squared differences of values, not LPIPS: no figure of a paper compares"
    measure = found._replace(notes=(*found.notes, note))
    return Found(measure, None, generated=pairs, range="as the system makes it: images in [-1, 1]")
