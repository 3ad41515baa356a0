"""How well a system foresees the tokens of real texts."""

import math

import numpy as np
import torch

from kallima.data.spec import Text
from kallima.data.tokens import END, UNKNOWN
from kallima.errors import DataError
from kallima.evaluation.capability import likelihood
from kallima.evaluation.capability.subject import Found, Subject
from kallima.evaluation.text.perplexity import perplexity
from kallima.system import ScoresLikelihood


def token_perplexity(subject: Subject) -> Found:
    """Return exp of the mean nats a token of real texts, as the system codes them, their ends counted.

    An upper bound where the system's likelihood is a lower one.

    Raises:
        DataError: the system answers NaN, or holds a text for impossible.
    """
    system = subject.system
    assert isinstance(system, ScoresLikelihood)
    sums, counts, strange, cut = [], [], 0, 0
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(subject.seed)
        for batch in subject.seen.records(system.device):  # type: ignore[attr-defined]  # every system has one
            weights = system.log_weights_of(batch, likelihood.DRAWS)
            sums.append((weights.logsumexp(0) - math.log(len(weights))).double().cpu().numpy())
            own = ((batch["text"] == END).cumsum(1) == 0).cpu().numpy()  # the tokens before the end
            counts.append(own.sum(1) + ~own[:, -1])  # and the end, where it is there
            strange += int((batch["text"] == UNKNOWN).sum())
            cut += int(own[:, -1].sum())
    nats, tokens = np.concatenate(sums), np.concatenate(counts)
    if not np.isfinite(nats).all():
        raise DataError(f"{subject.name} holds some of the texts for impossible, or answers NaN: it has diverged")
    measure = perplexity([text[None] for text in nats], units=tokens.tolist())
    total, each = int(tokens.sum()), -nats.sum() / tokens.sum()
    field = system.spec["text"]  # type: ignore[attr-defined]
    assert isinstance(field, Text)
    notes = [
        f"over {total:,} {field.tokens}s of {len(tokens):,} texts, their ends counted: {each:.4g} nats each",
        f"{strange / total:.2%} of them are unknown to the run, which is one token to it"
        if strange
        else "none of them is unknown to the run",
    ]
    if cut:
        notes.append(f"{cut:,} texts are longer than the {field.shape[0]:,} codes of the run, and cut off there")
    if subject.is_held_against_known:
        notes.append("of texts that it was trained on: --split test, or --data held-out.txt, tells what it has learned")
    return Found(measure._replace(notes=tuple(notes)), subject.real, real=len(tokens))


def lacks(subject: Subject) -> str | None:
    """Say what is missing: texts in tokens."""
    field = subject.system.spec.get("text")
    if subject.system.spec.medium != "text" or not isinstance(field, Text) or not field.tokens:
        return f"judges models of text, and {subject.name} is of {subject.system.spec.medium}"
    if (lacking := likelihood.lacks(subject)) or subject.real is None:
        return lacking
    return None if "text" in subject.real.spec else f"needs texts, and {subject.real.name} has none"
