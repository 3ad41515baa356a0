"""How well a system foresees the samples of real sounds."""

import torch

from kallima.data.sound import AUDIO_LENGTH
from kallima.data.spec import Audio
from kallima.errors import DataError
from kallima.evaluation.capability import likelihood
from kallima.evaluation.capability.subject import Found, Subject
from kallima.evaluation.resampling import jackknifed
from kallima.system import ScoresLikelihood


def nats_per_sample(subject: Subject) -> Found:
    """Return −log p of all real sounds by the number of their own samples, as the system hears them.

    Raises:
        DataError: the system answers NaN, or holds a sound for impossible.
    """
    system = subject.system
    assert isinstance(system, ScoresLikelihood)
    found, counts = [], []
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(subject.seed)
        for batch in subject.seen.records(system.device):  # type: ignore[attr-defined]  # every system has one
            found.append(-system.log_weights_of(batch, 1)[0].double().cpu())
            counts.append(batch[AUDIO_LENGTH].cpu())
    nats, samples = torch.cat(found).numpy(), torch.cat(counts).numpy()
    whole, total = nats.sum(), int(samples.sum())
    if not torch.cat(found).isfinite().all():
        raise DataError(f"{subject.name} holds some of the sounds for impossible, or answers NaN: it has diverged")
    notes = [
        f"over {total:,} samples of {len(nats):,} sounds: {whole / len(nats):,.6g} nats a sound",
        *system.likelihood_notes,
    ]
    if subject.is_held_against_known:
        notes.append("of the split that it was trained on: --split test, where there is one, tells what it has learned")
    without = (whole - nats) / (total - samples) if len(nats) > 1 else nats[:0]
    return Found(jackknifed(float(whole / total), without, "sounds", notes), subject.real, real=len(nats))


def lacks(subject: Subject) -> str | None:
    """Say what is missing: sounds, and what a conditional system has to be told of each."""
    if subject.system.spec.medium != "audio":
        return f"judges models of sounds, and {subject.name} is of {subject.system.spec.medium}"
    if (lacking := likelihood.lacks(subject)) or subject.real is None:
        return lacking
    real = subject.real.spec.get("audio")
    return None if isinstance(real, Audio) else f"needs sounds, and {subject.real.name} has none"
