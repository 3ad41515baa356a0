"""Imports run one way, downward, and what a terminal waits for does not wait for torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "kallima"
FILES = sorted(ROOT.rglob("*.py"))

# What each part may import of the others. The package itself stands for its version.
MAY_IMPORT = {
    "errors": "",
    "files": "errors",
    "figures": "",
    "static": "",
    "full_precision": "",
    "arguments": "errors",
    "options": "errors",
    "schedules": "errors",
    "data": "errors",
    "layers": "errors full_precision data",
    "networks": "errors data layers senses conditions",
    "objectives": "full_precision",
    "senses": "errors data layers",
    "conditions": "errors data layers senses",
    "decoding": "errors",
    "system": "errors data figures conditions decoding",
    "optimizers": "system",
    "recipe": "errors arguments static data system",
    "systems": "errors figures schedules data layers networks objectives conditions decoding system optimizers recipe",
    "sampling": "errors data conditions decoding system",
    "training": "kallima errors files options data system recipe",
    "evaluation": "kallima errors files data system sampling compression",
    "diagnosis": "errors data system evaluation",
    "reporting": "kallima errors files figures options",
    "choosing": "data",
    "job": "kallima errors arguments choosing options data recipe training",
    "judging": "errors job data system training evaluation",
    "examination": "errors files job data training evaluation diagnosis",
    "picturing": "data figures files system sampling reporting",
    "compression": "errors files data system",
    "api": "conditions decoding picturing compression judging examination errors files job data system "
    "recipe training sampling evaluation reporting",
    "completing": "errors data conditions decoding job judging system sampling training reporting api",
    "labelling": "errors files data job judging system training api",
    "exploring": "errors arguments figures data conditions system sampling training evaluation reporting job judging "
    "api",
    "cli": "kallima errors arguments choosing options recipe api completing examination exploring labelling data "
    "training evaluation reporting diagnosis",
    "kallima": "errors api completing data examination exploring labelling recipe training",
    "__main__": "cli",
}

# What importing must not import torch.
WITHOUT_TORCH = [
    *("kallima", "kallima.errors", "kallima.options", "kallima.recipe", "kallima.api", "kallima.training.run"),
    *("kallima.completing", "kallima.labelling", "kallima.choosing"),
    *("kallima.data", "kallima.data.spec", "kallima.data.source", "kallima.data.opening"),
    *(
        "kallima.cli",
        "kallima.cli.runs",
        "kallima.cli.data",
        "kallima.cli.catalogue",
        "kallima.cli.completion",
        "kallima.cli.exploring",
        "kallima.cli.labelling",
    ),
]

NEVER = {
    "pickle": "no pickle is ever loaded",
    "dill": "no pickle is ever loaded",
    "joblib": "no pickle is ever loaded",
    "shelve": "no pickle is ever loaded",
    "torchvision": "it replaces torch by another build",
    "torchaudio": "it replaces torch by another build",
}


def part(module: str) -> str:
    """Name the part of the house that a module of ours belongs to."""
    return module.split(".")[1] if "." in module else module


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                # `from kallima import api` names a part, `from kallima import __version__` does not
                below = node.module == "kallima" and (
                    (ROOT / alias.name).is_dir() or (ROOT / f"{alias.name}.py").exists()
                )
                ours = str(node.module).split(".")[0] == "kallima" and not below
                yield node.lineno, str(node.module) if ours else f"{node.module}.{alias.name}"


def offences(file: Path, text: str) -> list[str]:
    module = module_of(file)
    allowed = {*MAY_IMPORT[part(module)].split(), part(module)}
    found = []
    for line, name in imported(ast.parse(text)):
        root = name.split(".")[0]
        if name == "pickle.UnpicklingError":  # what a refusal of torch.load(weights_only=True) is called
            continue
        if root == "kallima" and part(name) not in allowed:
            found.append(f"{module}:{line} imports {name}")
        if root in NEVER:
            found.append(f"{module}:{line} imports {name}: {NEVER[root]}")
    return found + [f"{module}:{line} loads a pickle" for line in unsafe_loads(ast.parse(text))]


def unsafe_loads(tree: ast.AST) -> Iterator[int]:
    """Yield the lines of calls that would run what a file says."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load":
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            of_torch = ast.unparse(node.func.value) == "torch" and options.get("weights_only") != "True"
            if of_torch or options.get("allow_pickle", "False") != "False":
                yield node.lineno


def test_every_part_has_its_place() -> None:
    assert {part(module_of(file)) for file in FILES} == set(MAY_IMPORT)


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_imports_run_downward(file: Path) -> None:
    assert not offences(file, file.read_text(encoding="utf-8"))


def test_the_law_has_no_circle() -> None:
    order: list[str] = []
    waiting = {name: {other for other in may.split() if other != "kallima"} for name, may in MAY_IMPORT.items()}
    while free := [name for name, below in waiting.items() if below <= set(order)]:
        order += free
        waiting = {name: below for name, below in waiting.items() if name not in free}
    assert not waiting


def test_systems_are_known_by_name_to_nobody() -> None:
    assert not [name for name, may in MAY_IMPORT.items() if "systems" in may.split()]


@pytest.mark.parametrize(
    "line",
    [
        "from kallima.systems.adversarial.gan import GAN",
        "from kallima import systems",
        "import kallima.training.trainer",
        "def late():\n    from kallima.reporting.grid import image_grid",
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "from torchvision import transforms",
    ],
)
def test_the_law_sees_a_breach(line: str) -> None:
    assert offences(ROOT / "evaluation" / "fid.py", line)


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_torch_is_not_waited_for(module: str) -> None:
    code = f"import sys, {module}; sys.exit('it imports torch' if 'torch' in sys.modules else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", sorted({file.parent for file in FILES}), ids=module_of)
def test_packages_are_documented(package: Path) -> None:
    assert ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8")))
