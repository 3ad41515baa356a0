"""Going on from the beginnings of examples: `kallima complete`. Importing it does not import torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kallima.api import load
from kallima.judging import showing
from kallima.training.run import Run

if TYPE_CHECKING:
    import numpy as np

    from kallima.conditions import Wishes


def complete(
    run: str | Path | Run,
    given: "str | Path | np.ndarray | Sequence[str]",
    *,
    keep: float = 0.5,
    count: int = 4,
    examples: int = 8,
    condition: "str | Wishes | Sequence[Wishes] | None" = None,
    seed: int = 0,
    out: str | Path | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    beams: int = 1,
    known: "np.ndarray | None" = None,
    device: str = "auto",
) -> "np.ndarray":
    """Let a run go on from the beginnings of examples: (N, count, …), in the data's own units.

    Args:
        run: the run directory of a system that makes examples piece by piece.
        given: what to go on from: images, sounds or texts, as a file, a folder or an embedded set; or, for a run of
            texts, the beginning itself.
        keep: the share of each example that is kept, from its start: the upper rows of an image, the first frames of a
            video, the first part of a sound or a text. A beginning given as words is kept whole.
        count: how many completions of each.
        examples: of how many examples, where there are more.
        condition: what a conditional system is told, as for `sample`; left out it is as in the data.
        seed: equal seeds give equal completions.
        out: also write them: a picture (.png) with a row an example, original, what is kept, completions; texts (.txt);
            sounds one after the other (.wav), videos side by side (.gif); or one file each (a folder, ending in /).
        temperature: below 1 it keeps to what is likely, 0 takes the likeliest.
        top_k: choose among the k likeliest pieces.
        top_p: choose among the likeliest pieces that have this much of the probability together.
        beams: of texts: search for the likeliest ends with so many beginnings in view.
        known: from Python: which places are kept instead, bool (N, H, W), (N, T) or whatever the places are.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        UsageError: the run completes nothing, or a number is out of range.
        DataError: what is given cannot be read, or is not of the run's kind.
    """
    from kallima.completing.beginnings import complete_examples
    from kallima.decoding import Decoding
    from kallima.training.distribution import World

    decoding = Decoding(temperature, top_k, top_p, beams)
    with showing(World()) as show:
        return complete_examples(
            Run(run),
            load(run, device=device),
            given,
            keep=keep,
            count=count,
            examples=examples,
            condition=condition,
            seed=seed,
            out=None if out is None else str(out),
            decoding=decoding,
            known=known,
            progress=lambda done, total: show("completing", done, total),
        )
