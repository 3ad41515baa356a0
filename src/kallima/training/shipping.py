"""What ships: weights, how to build their network, and the card that says what they are."""

import json
from collections.abc import Mapping
from typing import Any

from kallima import __version__
from kallima.files import write_whole
from kallima.recipe import Recipe
from kallima.system import System
from kallima.training.checkpoint import to_bytes
from kallima.training.run import Run


def ship(run: Run, system: System, recipe: Recipe, arguments: Mapping[str, Any]) -> None:
    """Write model/ into the run: model.safetensors, config.json (enough to rebuild the system) and README.md."""
    folder = run.path / "model"
    folder.mkdir(exist_ok=True)
    config = {
        "recipe": recipe.name,
        "arguments": dict(arguments),
        "spec": system.spec.to_json(),
        "kallima": __version__,
        "step": run.step,
    }
    write_whole(folder / "model.safetensors", to_bytes(system.state_dict()))
    write_whole(folder / "config.json", json.dumps(config, indent=2).encode())
    write_whole(folder / "README.md", card(run, recipe).encode())


def card(run: Run, recipe: Recipe) -> str:
    """Return the model's card in Markdown: what it is, what it was trained on, how to use it."""
    manifest = run.manifest
    source, training = manifest["source"], manifest["training"]
    arguments = ", ".join(f"{name} {value}" for name, value in manifest["arguments"].items())
    return f"""# {recipe.name}

{recipe.summary}

{recipe.card}

## Paper

{recipe.paper}

## Training

- data: {source["name"]}, {source["examples"]:,} examples, fingerprint `{source["fingerprint"][:16]}`
- {manifest["step"]:,} steps of {training["batch_size"]} examples, seed {training["seed"]}
- arguments: {arguments}

## Use

```python
import kallima
kallima.load("path/to/this/folder").sample(64)
```
"""
