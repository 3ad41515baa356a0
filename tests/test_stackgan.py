"""StackGAN: the augmented condition, the three kinds of pairs, what each stage may touch, and whether both learn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import kallima
from kallima.data.batch import Batch
from kallima.data.spec import Image, Label, Spec
from kallima.errors import UsageError
from kallima.layers.conditioning_augmentation import ConditioningAugmentation
from kallima.recipe import get_recipe
from tests.test_learning import QUIET

SPEC = Spec({"image": Image(1, 16, 16), "label": Label(("a", "b", "c"))})


def build(**arguments: Any) -> Any:
    torch.manual_seed(0)
    return get_recipe("stackgan").build(SPEC, width=8, latent_dim=4, augmented=3, **arguments)


def batch_of(*labels: int) -> Batch:
    return Batch({"image": torch.rand(len(labels), 1, 16, 16) * 2 - 1, "label": torch.tensor(labels)})


def test_the_cloud_has_the_moments_that_it_says():
    cloud, condition = ConditioningAugmentation(3, 2), torch.eye(3)
    mean, log_variance = cloud.moments(condition)
    drawn = cloud(condition[:1].expand(200_000, 3), torch.randn(200_000, 2))
    torch.testing.assert_close(drawn.mean(0), mean[0], atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.std(0), (0.5 * log_variance[0]).exp(), atol=0.02, rtol=0)


def test_two_labels_start_further_apart_than_their_noise():
    torch.manual_seed(0)
    mean, log_variance = ConditioningAugmentation(10, 512).moments(torch.eye(10))
    apart = torch.pdist(mean)
    torch.testing.assert_close(apart, torch.full_like(apart, 32.0), rtol=0.1, atol=0)  # √(2 · 512), as N(0, 1) are
    assert 0.5 < (0.5 * log_variance).exp().mean() < 1.5


@pytest.mark.parametrize("stage", [0, 1])
def test_the_divergence_is_that_of_two_gaussians_a_number(stage: int):
    system = build(divergence=2.0)
    cloud = (system.generator.first_cloud, system.generator.second_cloud)[stage]
    mean, log_variance = cloud.moments(torch.eye(3)[[0, 2]])
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * log_variance).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(system.generator_loss(batch_of(0, 2), stage)["divergence"], 2 * theirs.mean())


@pytest.mark.parametrize("stage", [0, 1])
def test_a_real_image_with_another_condition_is_told_as_false(stage: int):
    system = build()
    asked, scores = [], []

    def record(_: nn.Module, inputs: Any, out: torch.Tensor) -> None:
        asked.append(inputs[1].argmax(1).tolist())
        scores.append(out.detach())

    system.judges[stage].register_forward_hook(record)
    terms, notes = system.discriminator_loss(batch_of(0, 1, 2, 2), stage)
    assert asked == [[0, 1, 2, 2], [0, 1, 2, 2], [2, 0, 1, 2]]
    assert notes["condition"].argmax(1).tolist() == [0, 1, 2, 2]
    wrong = nn.functional.softplus(scores[2])
    torch.testing.assert_close(terms["wrong"].detach(), 0.5 * wrong[:3].mean())  # the fourth has no other condition
    assert system.discriminator_loss(batch_of(1, 1, 1), stage)[0]["wrong"] == 0


def test_each_stage_has_its_span_its_size_and_its_own_noise():
    system = build(first_stage=0.25)
    assert [phase.during for phase in system.game()] == [(0.0, 0.25)] * 2 + [(0.25, 1.0)] * 2
    assert system.seen(batch_of(0), 0).shape == (1, 1, 8, 8)
    latents = system.latents(6)
    assert latents.shape == (6, 3 + 3 + 4 + 3)
    system.eval()
    coarse = system.generator.coarse(latents)
    moved = latents.clone()
    moved[:, 3:6] += 1  # the noise of stage II's cloud
    assert torch.equal(system.generator.coarse(moved), coarse)
    assert not torch.equal(system.generator(moved), system.generator(latents))
    early = system.decode(latents)
    assert torch.equal(early, coarse.repeat_interleave(2, 2).repeat_interleave(2, 3))
    system.progress.fill_(0.5)
    assert torch.equal(system.decode(latents), system.generator(latents))


def test_sizes_that_do_not_halve_are_refused():
    odd = Spec({"image": Image(1, 15, 15), "label": Label(("a", "b"))})
    with pytest.raises(UsageError, match="halve images once"):
        get_recipe("stackgan").build(odd)
    with pytest.raises(UsageError, match="--first-stage"):
        build(first_stage=1.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stackgan") / "run"
    options: dict[str, Any] = {**QUIET, "width": 16, "average": 0.97, "learning_rate": 1e-3, "size": 16}
    return kallima.train("stackgan", data="digits", steps=600, batch_size=32, out=out, **options).path


def test_the_second_stage_draws_the_class_that_is_asked_for(run: Path):
    """A nearest-centroid classifier of the real digits recognises the class; chance is 10 %."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    centres = np.stack([digits.images[digits.target == k].mean(0).ravel() for k in range(10)]) / 16
    large = kallima.sample(run, 20, condition="label=*").astype(np.float64) / 255
    samples = large.reshape(200, 8, 2, 8, 2).mean((2, 4)).reshape(200, -1)
    nearest = ((samples[:, None] - centres) ** 2).sum(2).argmin(1)
    assert (nearest == np.repeat(np.arange(10), 20)).mean() > 0.3
