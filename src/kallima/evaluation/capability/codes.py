"""What a system's codes are worth: the class of the nearest one, and how they lie beside the prior."""

import torch

from kallima.evaluation.capability.subject import Found, Subject, classes_of, lacks_examples, lacks_labels
from kallima.evaluation.gaussian_mmd import mmd
from kallima.evaluation.nearest import nearest
from kallima.evaluation.resampling import share_of


def nearest_code_accuracy(subject: Subject) -> Found:
    """Return the share of examples whose nearest training code, by Euclidean distance, is of their class.

    Training examples themselves are held against the others.
    """
    own, known = subject.codes, subject.known_codes
    assert subject.trained_on is not None
    indices = nearest(own, known, 2)[1]
    found, among = indices[:, 0], f"one nearest of {len(known):,} codes of {subject.trained_on.name}"
    if subject.known is subject.seen:
        itself = found == torch.arange(len(own))
        found, among = torch.where(itself, indices[:, 1], found), f"{among}, without itself"
    right = subject.known.labels[found] == subject.seen.labels
    note = f"{among} ({subject.trained_on.split}), {own.shape[1]} numbers each, Euclidean"
    return Found(share_of(right.numpy(), (note,)), subject.real, real=len(own))


def code_mmd(subject: Subject) -> Found:
    """Return the squared MMD between the noise part "z" of the examples' codes and as many latents of the prior."""
    noise = subject.system.parts["z"]
    codes = subject.codes[:, noise]
    rng = torch.Generator().manual_seed(subject.seed)
    prior = subject.system.latents(subject.count or len(codes), rng=rng)[:, noise].cpu()
    found = mmd(codes, prior, seed=subject.seed)
    notes = (f"{codes.shape[1]} numbers of noise each; of random codes their means", *found.notes)
    return Found(found._replace(notes=notes), subject.real, len(codes), len(prior), "as the prior has them")


def lacks_neighbours(subject: Subject) -> str | None:
    """Say what is missing where codes are held against labelled training codes."""
    if (lacking := lacks_labels(subject)) or subject.trained_on is None:
        return lacking or "needs the data that the run was trained on"
    known = subject.trained_on
    return None if classes_of(known.spec) else f"needs the labels of the training data, and {known.name} has none"


def lacks_noise(subject: Subject) -> str | None:
    """Say that latents have no noise, if so."""
    if "z" not in subject.system.parts:
        return f"needs latents with noise 'z', and those of {subject.name} have {', '.join(subject.system.parts)}"
    return lacks_examples(subject)
