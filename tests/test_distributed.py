"""Two real processes against one."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from kallima.data.dataset import prepare
from kallima.data.opening import open_source
from kallima.data.stream import Stream
from kallima.data.view import View
from tests.conftest import ENVIRONMENT

TRAIN_AND_TELL = """
import hashlib, os, sys
from unittest import mock
import kallima.api
from kallima.training import distribution
from kallima.training.checkpoint import to_bytes
from kallima.training import loop

real = loop.fit
def fit(trainer, *rest):
    real(trainer, *rest)
    state = trainer.state()
    digest = hashlib.sha256(to_bytes(state["weights"]) + to_bytes(state["averages"])).hexdigest()
    open(os.path.join(sys.argv[1], f"rank{trainer.world.rank}"), "w").write(digest)
with mock.patch.object(loop, "fit", fit):
    kallima.api.train("dcgan", data="digits", steps=3, batch_size=8, width=8, size=8, log_every=1, device="cpu",
                      out=sys.argv[1] + "/run", checkpoint_every=2)
"""


def torchrun(*words: object, processes: int = 2) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    return subprocess.run(
        [*start, *map(str, words)], capture_output=True, text=True, timeout=240, check=False, env=ENVIRONMENT
    )


def test_two_ranks_end_with_identical_weights_and_write_once(tmp_path: Path):
    script = tmp_path / "train.py"
    script.write_text(TRAIN_AND_TELL)
    done = torchrun(script, tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = ((tmp_path / f"rank{rank}").read_text() for rank in (0, 1))
    assert first == second
    run = tmp_path / "run"
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    named = [(event["step"], event["name"]) for event in events]
    assert len(named) == len(set(named))
    assert json.loads((run / "run.json").read_text())["environment"]["world"] == 2
    assert [path.name for path in (run / "samples").iterdir()] == ["00000003.png"]


def test_ranks_see_together_what_one_process_sees():
    dataset = prepare(open_source("digits"), View(None))
    device = torch.device("cpu")
    with Stream(dataset, batch_size=8, seed=1, device=device) as alone:
        parts = [Stream(dataset, batch_size=8, seed=1, device=device, rank=rank, world=2) for rank in (0, 1)]
        for _ in range(300):  # beyond an epoch
            whole = alone.next()["image"]
            for rank, part in enumerate(parts):
                assert torch.equal(part.next()["image"], whole[rank::2])
        for part in parts:
            part.close()


def test_gradients_over_two_processes_equal_those_of_one(tmp_path: Path):
    # without noise and batch statistics the two must agree up to the order of sums
    script = tmp_path / "sum.py"
    script.write_text(
        """
import sys, torch
from kallima.training import distribution
world = distribution.join()
torch.manual_seed(0)
layer, unused, partial = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
data = torch.randn(8, 3)[world.rank :: world.size]
loss = layer(data).square().mean()
if world.rank == 0:
    loss = loss + partial(data).square().mean()
loss.backward()
parameters = [*layer.parameters(), *unused.parameters(), *partial.parameters()]
distribution.average_gradients(parameters, world)
assert unused.weight.grad is None
torch.manual_seed(0)
alone = torch.nn.Linear(3, 2)
torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
whole = torch.randn(8, 3)
alone(whole).square().mean().backward()
torch.testing.assert_close(layer.weight.grad, alone.weight.grad)
assert partial.weight.grad is not None
image = torch.nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last)
image(torch.randn(2, 3, 4, 4)).square().mean().backward()
distribution.average_gradients(list(image.parameters()), world)
assert image.weight.grad.stride() == image.weight.stride()  # else a fused optimiser would mix its elements up
assert distribution.any_rank(world.rank == 1, world)
assert not distribution.any_rank(False, world)
notes = distribution.merge_notes([{"k": torch.tensor(float(world.rank)), "pool": data}], world)
assert notes["k"].item() == 0.5
assert notes["pool"].shape == (8, 3)
assert distribution.share(f"rank {world.rank}", world) == "rank 0"
distribution.leave()
"""
    )
    done = torchrun(script)
    assert done.returncode == 0, done.stderr


def test_a_batch_that_cannot_be_shared_is_one_line(tmp_path: Path):
    done = torchrun("-m", "kallima", "train", "gan", "--data", "ring", "--batch-size", "7", "--out", tmp_path / "run")
    assert done.returncode != 0
    assert "--batch-size 8" in done.stderr
    assert not (tmp_path / "run").exists()


def test_the_command_trains_under_torchrun_and_resumes(tmp_path: Path):
    run = tmp_path / "run"
    options = ["--steps", 20, "--batch-size", 8, "--width", 8, "--checkpoint-every", 10, "--device", "cpu"]
    done = torchrun("-m", "kallima", "train", "gan", "--data", "ring", *options, "--out", run, "--json")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == 1
    assert json.loads(lines[0])["run"] == str(run)
    done = torchrun("-m", "kallima", "resume", run, "--steps", 30)
    assert done.returncode == 0, done.stderr
    weights = load_file(run / "model" / "model.safetensors")
    assert all(np.isfinite(w.float().numpy()).all() for w in weights.values())
