"""What the doctor costs: his time over that of the steps, in one training by the recipe's own settings."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kallima
from kallima.diagnosis.doctor import Doctor
from kallima.training.trainer import Trainer

TRAININGS = {"gan on ring": ("gan", "ring", 3_000), "sngan on digits": ("sngan", "digits", 500)}


def measure() -> None:
    """Print what share he adds, with the reading of the data that he needs once."""
    spent: dict[str, float] = {}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            begun = time.thread_time()
            try:
                return function(*given)
            finally:
                spent[name] = spent.get(name, 0.0) + time.thread_time() - begun

        return call

    for owner, name in ((Trainer, "play"), (Doctor, "measure"), (Doctor, "examine"), (Doctor, "note")):
        setattr(owner, name, timed(name, getattr(owner, name)))
    for title, (recipe, data, steps) in TRAININGS.items():
        spent.clear()
        with tempfile.TemporaryDirectory() as folder:
            options = {"data": data, "steps": steps, "sample_every": 0, "device": "cpu"}
            kallima.train(recipe, out=Path(folder) / "run", **options)
        all_looks = spent["measure"] + spent["examine"] + spent["note"]
        print(f"{title}: {all_looks / spent['play']:.2%} of the time of {steps:,} steps", flush=True)
