"""Independent implementations compute the same on the same features: benchmarks/agreement.py, one source a test."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "agreement.py"


@pytest.fixture(scope="module")
def agreement() -> ModuleType:
    spec = importlib.util.spec_from_file_location("agreement", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["agreement"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "source", ["scipy", "torchmetrics", "sklearn", "prdc", "torch_fidelity", "skimage", "sacrebleu", "jiwer"]
)
def test_they_agree(agreement: ModuleType, source: str) -> None:
    if importlib.util.find_spec(source) is None:
        pytest.skip(f"{source} is not installed")
    rows = list(agreement.SOURCES[source]())
    assert rows
    for row in rows:
        limit = 5e-3 if row.reason else agreement.TOLERANCE
        assert row.difference <= limit, f"{row.metric} against {row.other}: {row.ours} and {row.theirs}"
