"""Where examples lie in a latent space, in the plane."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kallima.errors import UsageError, did_you_mean
from kallima.training.run import Run

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from kallima.data.dataset import Dataset
    from kallima.exploring.exploration import Exploration

_FEWEST = 10  # examples of which a map can be drawn


def map_codes(
    run: str | Path | Run,
    *,
    by: Literal["auto", "code", "pca", "tsne"] = "auto",
    count: int = 2_000,
    colour: str | None = None,
    perplexity: float = 30.0,
    split: str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> "Exploration":
    """Show where examples lie among the codes: a point each in the plane, coloured by what it is.

    Args:
        run: the run directory.
        by: code takes the two numbers as they are, pca the two directions in which codes vary most, tsne keeps
            neighbours together; auto takes the code where it has two numbers, and tsne otherwise.
        count: how many examples.
        colour: what gives them their colour: label, domain, an attribute or a value; by default the label, where there
            is one.
        perplexity: of tsne: about how many neighbours are kept together.
        split: which part of the data; by default test where there is one, else what the run was trained on.
        seed: decides which examples, and where tsne starts.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    import numpy as np
    import torch

    from kallima.api import load
    from kallima.data.dataset import Subset
    from kallima.evaluation.capability.subject import Subject
    from kallima.evaluation.examples import REAL_LIMIT
    from kallima.evaluation.nearest import nearest
    from kallima.exploring.exploration import Exploration
    from kallima.exploring.subject import data_of
    from kallima.reporting.rows import Row
    from kallima.reporting.scatter import draw_scatter
    from kallima.system import Encodes

    if not _FEWEST <= count <= REAL_LIMIT or perplexity < 1:
        raise UsageError(f"--count must be from {_FEWEST} to {REAL_LIMIT:,} and --perplexity at least 1")
    system = load(run, device=device)
    if not isinstance(system, Encodes):
        raise UsageError(f"map needs a system that encodes, and {type(system).__name__} does not")
    data = data_of(run, split)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(data))[:count])
    if len(chosen) < _FEWEST:
        raise UsageError(f"{data.name} ({data.split}) has {len(data)} examples, too few for a map")
    painted = _Colours(data, chosen, colour)
    codes = Subject(system, Subset(data, chosen), device=system.device).codes
    size = codes.shape[1]
    if size < 2:
        raise UsageError("map needs codes of two numbers or more, and this run's have one")
    if by == "code" and size > 2:
        raise UsageError(f"--by code draws codes of two numbers, and these have {size}: use --by pca or tsne")
    if by == "auto":
        by = "code" if size == 2 else "tsne"
    points, how, axes = _plane(codes, by, perplexity, seed)
    scores: dict[str, float] = {}
    rows = [Row("", points)]
    if painted.names:
        for name, places in {"agreement": torch.from_numpy(points), "agreement-of-codes": codes}.items():
            found = nearest(places, places, 2)[1].numpy()
            # twins may stand before oneself: the nearest other one is what is left
            other = np.where(found[:, 0] == np.arange(len(found)), found[:, 1], found[:, 0])
            scores[name] = float((painted.classes[other] == painted.classes).mean())
        rows = [Row(name, points[painted.classes == place]) for place, name in enumerate(painted.names)]
    picture = draw_scatter(
        points,
        f"{len(points):,} codes of {size} numbers, {how}",
        classes=painted.classes if painted.names else None,
        names=painted.names,
        numbers=painted.numbers,
        unit=painted.field or "",
        axes=axes,
    )
    notes = [f"{len(points):,} examples of {data.name} ({data.split}), {how}"]
    if scores:
        notes.append(
            f"agreement is the share whose nearest neighbour in the map is alike in {painted.field}; of codes, in them"
        )
    return Exploration(rows, picture, scores, tuple(notes))


class _Colours:
    """What examples are coloured by: `classes` (N,) with `names`, or `numbers` (N,), or nothing.

    Raises:
        UsageError: the data has nothing of that name.
    """

    def __init__(self, data: "Dataset", chosen: "np.ndarray", colour: str | None):
        import numpy as np

        from kallima.data.spec import Attributes, Label, Values

        there: dict[str, tuple[str, int]] = {}
        for name, field in data.spec.items():
            if isinstance(field, Label):
                there[name] = (name, 0)
            elif isinstance(field, (Attributes, Values)):
                there |= {each: (name, place) for place, each in enumerate(field.names)}
        if colour is not None and colour not in there:
            choices = f"; there is {', '.join(there)}" if there else f": {data.name} says nothing of its examples"
            raise UsageError(f"nothing called '{colour}' to colour by{did_you_mean(colour, there) or choices}")
        self.field = colour or next((name for name in ("label", "domain") if name in there), None)
        self.classes = np.zeros(len(chosen), int)
        self.names: tuple[str, ...] = ()
        self.numbers: np.ndarray | None = None
        if self.field is None:
            return
        name, place = there[self.field]
        field, column = data.spec[name], data.column(name)[chosen]
        if isinstance(field, Label):
            self.classes, self.names = column.astype(int), field.classes
        elif isinstance(field, Attributes):
            self.classes, self.names = column[:, place].astype(int), (f"not {self.field}", self.field)
        else:
            self.numbers = column[:, place]


def _plane(codes: "Tensor", by: str, perplexity: float, seed: int) -> "tuple[np.ndarray, str, tuple[str, str] | None]":
    """Return the places (N, 2) of codes (N, d), how they were found, and what the axes are called."""
    import numpy as np

    from kallima.evaluation.principal import principal_components

    if by == "code":
        return codes.double().numpy(), "as they are", ("code[0]", "code[1]")
    if by == "pca":
        linear = principal_components(lambda: iter([codes]), 2)
        found, spread = linear.encode(codes).numpy(), codes.double().var(0, correction=0).sum().item()
        largest = linear.axes.abs().argmax(0)
        found = found * linear.axes[largest, [0, 1]].sign().numpy()  # of two opposite axes always the same one
        shares = found.var(0) / max(spread, 1e-12)
        names = [
            f"{word} component, {share:.0%} of the variance"
            for word, share in zip(("first", "second"), shares, strict=True)
        ]
        return found, "by their principal components", (names[0], names[1])
    from sklearn.manifold import TSNE

    kept = min(perplexity, (len(codes) - 1) / 3)
    model = TSNE(2, perplexity=kept, init="pca", learning_rate="auto", random_state=seed)
    return np.asarray(model.fit_transform(codes.numpy()), float), f"by t-SNE, perplexity {kept:g}", None
