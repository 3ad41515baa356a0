"""kallima: the classic generative models, from a folder of your own data to a model you can trust.

    run = kallima.train("dcgan", data="photos/", size=64, steps=20_000, width=32)
    kallima.evaluate(run)
    images = kallima.sample(run, 64, seed=0)

Importing it does not import torch; the first name that needs torch does.
"""

import importlib
from typing import TYPE_CHECKING, Any

from kallima.errors import DataError, Interrupted, KallimaError, RunError, TrainingError, UsageError

if TYPE_CHECKING:
    from kallima.api import compare, compress, decompress, evaluate, load, plan, report, resume, sample, train
    from kallima.completing import complete
    from kallima.data.opening import open_source
    from kallima.examination import diagnose
    from kallima.exploring import explore
    from kallima.labelling import label
    from kallima.recipe import get_recipe, recipes
    from kallima.training.run import Run

__version__ = "0.1.0"

__all__ = [
    "DataError",
    "Interrupted",
    "KallimaError",
    "Run",
    "RunError",
    "TrainingError",
    "UsageError",
    "compare",
    "complete",
    "compress",
    "decompress",
    "diagnose",
    "evaluate",
    "explore",
    "get_recipe",
    "label",
    "load",
    "open_source",
    "plan",
    "recipes",
    "report",
    "resume",
    "sample",
    "train",
]

_HOMES = {
    "kallima.api": (
        *("compare", "compress", "decompress", "evaluate"),
        *("load", "plan", "report", "resume", "sample", "train"),
    ),
    "kallima.completing": ("complete",),
    "kallima.data.opening": ("open_source",),
    "kallima.examination": ("diagnose",),
    "kallima.exploring": ("explore",),
    "kallima.labelling": ("label",),
    "kallima.recipe": ("get_recipe", "recipes"),
    "kallima.training.run": ("Run",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'kallima' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
