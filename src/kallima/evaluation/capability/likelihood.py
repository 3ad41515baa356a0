"""How likely a system finds real examples: its bound on log p(x), of one draw and of many."""

import torch

from kallima.data.spec import Image
from kallima.errors import DataError
from kallima.evaluation.capability.subject import Found, Subject, lacks_examples
from kallima.evaluation.likelihood.bound import importance_weighted_bound
from kallima.evaluation.score import Measure
from kallima.system import ScoresLikelihood

DRAWS = 64  # of a tight bound


def elbo(subject: Subject) -> Found:
    """Return the mean evidence lower bound, nats an example."""
    return _bound(subject, 1)


def negative_log_likelihood(subject: Subject) -> Found:
    """Return the mean upper bound on −log p(x) of many draws an example, nats; exact where the system knows p(x)."""
    found = _bound(subject, DRAWS)
    return found._replace(measure=found.measure._replace(value=-found.measure.value))


def _bound(subject: Subject, draws: int) -> Found:
    system = subject.system
    assert isinstance(system, ScoresLikelihood)
    weights = []
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(subject.seed)
        for batch in subject.seen.records(system.device):  # type: ignore[attr-defined]  # every system has one
            part = system.log_weights_of(batch, draws).cpu()
            if part.isnan().any():
                raise DataError(f"{subject.name} answers NaN when asked how likely an example is: it has diverged")
            weights.append(part.T)
    measure: Measure = importance_weighted_bound(torch.cat(weights))
    notes = [*measure.notes, *system.likelihood_notes]
    if subject.is_held_against_known:
        notes.append("of the split that it was trained on: --split test, where there is one, tells what it has learned")
    image = subject.seen.dataset.spec.get("image")
    unit = "nats an image" if isinstance(image, Image) else "nats an example"
    return Found(measure._replace(notes=(unit, *notes)), subject.real, real=len(subject.seen))


def lacks(subject: Subject) -> str | None:
    """Say what is missing."""
    return lacks_examples(subject)
