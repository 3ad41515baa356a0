"""A whole job on each kind of device that this machine has; the others are skipped with the reason."""

from pathlib import Path

import pytest
import torch

import kallima

HERE = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


@pytest.mark.parametrize("device", HERE)
@pytest.mark.parametrize("recipe", ["sngan", "wgan-gp"])
def test_a_job_trains_resumes_samples_and_is_judged(device: str, recipe: str, tmp_path: Path):
    if not HERE[device]:
        pytest.skip(f"this machine has no {device} device")
    options = {"width": 8, "batch_size": 16, "log_every": 2, "sample_every": 4, "checkpoint_every": 2}
    run = kallima.train(recipe, data="digits", steps=4, device=device, out=tmp_path / "run", **options)
    assert kallima.resume(run, steps=6).step == 6
    system = kallima.load(run, device=device)
    assert system.device.type == device
    drawn, again = (
        model.sample(8, rng=torch.Generator().manual_seed(0)).cpu()
        for model in (system, kallima.load(run, device="cpu"))
    )
    torch.testing.assert_close(drawn, again, atol=0.02, rtol=0)  # the same latents; convolutions round otherwise
    scores = kallima.evaluate(run, metrics=["fid", "precision"], features="random", count=64, device=device)
    assert [score.metric for score in scores] == ["fid", "precision"]
    assert all(score.value == score.value for score in scores)
