"""How likely a system finds real examples: its bound on log p(x), of one draw and of many."""

import torch

from kallima.data.spec import Image, Label
from kallima.errors import DataError
from kallima.evaluation.capability.subject import Found, Subject, lacks_examples
from kallima.evaluation.likelihood.bound import importance_weighted_bound
from kallima.evaluation.score import Measure
from kallima.system import Completes, Conditional, ScoresLikelihood

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
    exact = draws > 1 and weights[0].shape[1] == 1
    notes = [*(() if exact else measure.notes), *system.likelihood_notes]  # the system's own say that it is exact
    if subject.is_held_against_known:
        notes.append("of the split that it was trained on: --split test, where there is one, tells what it has learned")
    image = subject.seen.dataset.spec.get("image")
    unit = "nats an image" if isinstance(image, Image) else "nats an example"
    return Found(measure._replace(notes=(unit, *notes)), subject.real, real=len(subject.seen))


def lacks_bound(subject: Subject) -> str | None:
    """Say what is missing for a bound: a likelihood that is only bounded, for one."""
    exact = isinstance(subject.system, Completes) or getattr(subject.system, "exact_likelihood", False)
    return f"is a bound, and {subject.name} knows the likelihood itself: ask for nll" if exact else lacks(subject)


def lacks(subject: Subject) -> str | None:
    """Say what is missing: examples, or what a conditional system has to be told of each."""
    if (lacking := lacks_examples(subject)) or subject.real is None or not isinstance(subject.system, Conditional):
        return lacking
    real = subject.real
    for name, known in subject.system.conditions.kinds.items():
        own = real.spec.get(name)
        if own is None:
            return f"asks how likely an example is given its {name}, and {real.name} has none"
        if isinstance(own, Label) and isinstance(known, Label):
            strange = next((each for each in own.classes if each not in known.classes), None)
            if strange is not None:
                return f"needs data of the run's own classes, and '{strange}' of {real.name} is none of them"
        elif own != known:
            return f"needs the {name} that the run has learned, and {real.name} has others"
    return None
