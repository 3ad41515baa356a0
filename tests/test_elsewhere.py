"""Everything on a device whose tensors do not mix with those of the CPU, on machines that have none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import kallima
from kallima.data.batch import Batch
from kallima.system import Samples
from kallima.training.trainer import Trainer
from tests.elsewhere import DEVICE, there
from tests.test_contract import Case, Random, build, every_kind


class TestTheDevice:
    """It would notice."""

    def test_tensors_of_two_devices_do_not_mix(self) -> None:
        with there():
            far, near = torch.ones(3, device=DEVICE), torch.ones(3)
            for mix in (
                lambda: far + near,
                lambda: torch.cat([far, near]),
                lambda: torch.stack([far.sum(), near.sum()]),
                lambda: near.add_(far),
                lambda: near.sum().add_(far.sum()),
                lambda: torch.where(near > 0, far, far),
            ):
                with pytest.raises(RuntimeError, match="tensors of two devices"):
                    mix()
            with pytest.raises(RuntimeError, match="generator of the CPU"):
                torch.randn(3, device=DEVICE, generator=torch.Generator())
            with pytest.raises(TypeError, match="no array"):
                np.asarray(far)
            assert (far + near.sum()).device == DEVICE  # a number goes anywhere
            assert far[torch.tensor([0, 2])].device == DEVICE  # and so do places
            assert (far.cpu() + near).tolist() == [2, 2, 2]

    def test_it_computes_and_differentiates_as_the_cpu_does(self) -> None:
        found = []
        for device in ("cpu", DEVICE):
            with there():
                torch.manual_seed(0)
                x = torch.randn(2, 5, 3).to(device)
                lstm, head = nn.LSTMCell(3, 4).to(device), nn.Linear(4, 1).to(device)
                state = lstm(x[0], lstm(x[1]))
                (slope,) = torch.autograd.grad(head(state[0]).sum(), head.weight, create_graph=True)
                (slope.square().sum() + state[1].sum()).backward()
                found.append([parameter.grad.cpu() for parameter in lstm.parameters() if parameter.grad is not None])
        assert len(found[0]) == 4
        torch.testing.assert_close(found[1], found[0])


class There(Random):
    """The same batches, elsewhere."""

    def next(self) -> Batch:
        return Batch({name: values.to(DEVICE) for name, values in super().next().fields.items()})


@every_kind
def test_a_step_and_samples_are_what_they_are_on_the_cpu(case: Case) -> None:
    here = build(case)
    near = Trainer(here, {name: Random(case.spec) for name in here.streams}, steps=6, fused=False)
    expected = near.play()
    with there():
        system = build(case).to(DEVICE)
        far = Trainer(system, {name: There(case.spec) for name in system.streams}, steps=6, fused=False)
        for name, value in far.play().items():
            torch.testing.assert_close(
                value.cpu(), expected[name], rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
            )
        if not isinstance(system, Samples):
            return
        made = system.sample(3, rng=torch.Generator().manual_seed(0))
        assert made.device == DEVICE
        made = made.cpu()
    assert isinstance(here, Samples)
    torch.testing.assert_close(made, here.sample(3, rng=torch.Generator().manual_seed(0)), rtol=1e-2, atol=1e-2)


JOBS: dict[str, tuple[str, dict[str, Any]]] = {
    "gan": ("ring", {}),
    "sngan": ("digits", {"width": 8, "augment": "ada"}),
    "infogan": ("digits", {"width": 8}),
    "m2": ("digits", {"width": 8, "labelled": 100}),
    "vae": ("digits", {"width": 8}),
    "pixel-cnn": ("digits", {"width": 8, "depth": 1}),
    "transformer-lm": ("lines.txt", {"width": 8, "depth": 1}),
    "label-gan": ("digit-canvases", {"width": 8}),
}


@pytest.mark.parametrize("recipe", JOBS)
def test_a_whole_job(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kallima.training.precision.choose_device", lambda *_: DEVICE)
    monkeypatch.chdir(tmp_path)
    Path("lines.txt").write_text("abc\nbcd\n" * 8)
    data, arguments = JOBS[recipe]
    job: dict[str, Any] = {"batch_size": 8, "log_every": 1, "checkpoint_every": 2, "out": tmp_path / "run", **arguments}
    with there():
        run = kallima.train(recipe, data=data, steps=2, **job)
        assert kallima.resume(run, steps=3).step == 3
        assert kallima.load(run).device == DEVICE
        features = {"features": "random"} if data == "digits" and recipe != "pixel-cnn" else {}
        scores = kallima.evaluate(run, count=32, **features)
        able = run.manifest["capabilities"]
        if "Samples" in able:
            assert len(kallima.sample(run, 2)) == 2
        if "Completes" in able:
            assert kallima.complete(run, data, examples=2, count=1).shape[:2] == (2, 1)
        if "Decodes" in able and data == "digits":
            kallima.explore(run, "interpolate", out=tmp_path / "picture.png")
        if "Tags" in able:
            kallima.label(run, data, out=tmp_path / "labels.csv")
    assert scores
