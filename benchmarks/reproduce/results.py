"""Where results are kept: one line of JSON each in benchmarks/results, tables between markers in docs/results.md."""

import json
import platform
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

import kallima

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "results.md"


def load(name: str) -> list[dict[str, Any]]:
    """Return all results of a protocol, in the order in which they were found."""
    file = FOLDER / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def keep(name: str, result: dict[str, Any]) -> None:
    """Append a result, with the versions and the class of machine that gave it."""
    where = {"kallima": kallima.__version__, "torch": torch.__version__, "machine": platform.machine()}
    with (FOLDER / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps(result | where) + "\n")


def work_through(
    name: str, function: Callable[..., dict[str, Any]], wanted: Sequence[tuple[Any, ...]], jobs: int
) -> None:
    """Call a function with each of the arguments that are wanted, `jobs` processes at a time; keep each result."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        waiting = [pool.submit(function, *arguments) for arguments in wanted]
        try:
            for number, finished in enumerate(as_completed(waiting), 1):
                result = finished.result()
                keep(name, result)
                print(f"{number}/{len(wanted)}  {result}", flush=True)
        except BaseException:  # an interruption: what has not begun does not begin
            pool.shutdown(cancel_futures=True)
            raise


def write_section(title: str, text: str) -> None:
    """Put a text between the markers of a section in docs/results.md."""
    start, end = f"<!-- {title}: written by benchmarks/reproduce -->\n", f"<!-- end of {title} -->\n"
    page = PAGE.read_text()
    between = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    if not between.search(page):
        raise SystemExit(f"{PAGE} has no section '{title}'")
    PAGE.write_text(between.sub(lambda _: f"{start}\n{text.strip()}\n\n{end}", page))
