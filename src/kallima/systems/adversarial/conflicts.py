"""Stabilisers that contradict a game, its data or one another: each is refused with the reason."""

from torch import nn

from kallima.data.spec import Spec
from kallima.errors import UsageError
from kallima.objectives.adversarial import AdversarialObjective
from kallima.systems.adversarial.pair import has_batch_norm
from kallima.systems.adversarial.settings import Stabilisers


def refuse_conflicts(
    spec: Spec,
    generator: nn.Module,
    discriminator: nn.Module,
    objective: AdversarialObjective,
    stabilisers: Stabilisers,
) -> None:
    """Check all that was asked for against the rest.

    Raises:
        UsageError: two of them cannot both be; the message says which and why.
    """
    meeting = {
        "batch normalisation in the discriminator": has_batch_norm(discriminator),
        "--pack": stabilisers.pack > 1,
        "--minibatch-discrimination": stabilisers.minibatch_discrimination > 0,
    }
    for what in (what for what, there in meeting.items() if there and stabilisers.alone):
        raise UsageError(
            f"gradient penalties need each example judged alone, and {what} makes examples meet: leave one out"
        )
    if stabilisers.label_smoothing and objective.smoothed is None:
        raise UsageError(f"'{objective.name}' has no labels to smooth: leave out --label-smoothing")
    if stabilisers.augment != "none" and "points" in spec:
        raise UsageError(f"--augment {stabilisers.augment} changes images, and this data has points")
    if stabilisers.weight_clip and any(hasattr(part, "parametrizations") for part in discriminator.modules()):
        raise UsageError("clipped weights would undo spectral normalisation: leave out --weight-clip or the other")
    if stabilisers.consensus and (has_batch_norm(generator) or has_batch_norm(discriminator)):
        raise UsageError("--consensus differentiates gradients, which batch statistics spoil: give --generator mlp")
    if stabilisers.consensus and (
        objective.on_features or objective.distance or stabilisers.pack > 1 or stabilisers.minibatch_discrimination
    ):
        raise UsageError(f"--consensus needs a loss of single scores, which '{objective.name}' as asked for has not")
    if stabilisers.pack > 1 and objective.distance:
        raise UsageError(f"'{objective.name}' compares single examples, which --pack leaves no scores of")
