"""Progressive growing: its stages and their fades, what each of them may touch, and whether it learns through all."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kallima.data.batch import Batch
from kallima.data.spec import Image, Spec
from kallima.errors import UsageError
from kallima.layers.pixel_norm import PixelNorm
from kallima.networks.growing import (
    DoublingConvolution,
    GrowingDiscriminator,
    GrowingGenerator,
    HalvingConvolution,
    doubled,
    halved,
)
from kallima.objectives.penalties import gradient_norms
from kallima.recipe import get_recipe
from kallima.training import checkpoint
from tests.test_contract import moved, tensors, trainer_for
from tests.test_learning import scores

SPEC = Spec({"image": Image(3, 32, 32)})
COLOURS, SIZES = 3, (4, 8, 16, 32)


def build(**arguments: Any) -> Any:
    torch.manual_seed(0)
    return get_recipe("progressive").build(SPEC, **{"width": 8, "latent_dim": 4, "growing": 0.6, **arguments})


def images(count: int = 4, size: int = 32) -> torch.Tensor:
    return torch.rand(count, COLOURS, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture
def networks() -> tuple[GrowingGenerator, GrowingDiscriminator]:
    torch.manual_seed(0)
    return GrowingGenerator(4, Image(COLOURS, 32, 32), width=8), GrowingDiscriminator(Image(COLOURS, 32, 32), width=8)


def test_pixel_norm_gives_every_place_a_mean_square_of_one():
    torch.manual_seed(0)
    x = 7 * torch.randn(2, 5, 3, 4)
    normal = PixelNorm()(x)
    torch.testing.assert_close(normal.square().mean(1), torch.ones(2, 3, 4))
    torch.testing.assert_close(PixelNorm()(x * torch.rand(2, 1, 3, 4).add(0.5)), normal)  # direction is all that counts
    torch.testing.assert_close(normal * x.square().mean(1, keepdim=True).sqrt(), x)
    torch.testing.assert_close(PixelNorm()(x[..., 0, 0]), normal[..., 0, 0])


def test_convolutions_across_sizes_are_those_of_the_paper():
    torch.manual_seed(0)
    up, down = DoublingConvolution(5, 3), HalvingConvolution(5, 3)
    for layer in (up, down):
        torch.nn.init.normal_(layer.plain.bias)
    x = torch.randn(2, 5, 8, 6)
    torch.testing.assert_close(up(x), torch.nn.functional.leaky_relu(up.plain(doubled(x)), 0.2), atol=1e-5, rtol=0)
    torch.testing.assert_close(down(x), torch.nn.functional.leaky_relu(halved(down.plain(x)), 0.2), atol=1e-5, rtol=0)


def test_stages_follow_one_another_and_fade_in_along_a_straight_line():
    system = build(growing=0.6)  # three doublings: u = 0.1
    spans = [system.span(stage) for stage in range(4)]
    np.testing.assert_allclose(spans, [(0.0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 1.0)])
    expected = {0: [1, 1, 1, 1], 1: [0, 0.25, 0.5, 1], 2: [0, 0.25, 0.5, 1], 3: [0, 0.25, 0.5, 1]}
    for stage, values in expected.items():
        for way, value in zip((0, 0.025, 0.05, 0.1), values, strict=True):
            system.progress.fill_(spans[stage][0] + way)
            assert float(system.alpha(stage)) == pytest.approx(value, abs=1e-5)
    system.progress.fill_(0.9)
    assert float(system.alpha(3)) == 1.0
    names = [[phase.name for phase in system.game() if phase.has_turn(k, k / 100)] for k in range(100)]
    heights = [4] * 10 + [8] * 20 + [16] * 20 + [32] * 50
    assert names == [[f"discriminator-{height}", f"generator-{height}"] for height in heights]


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_generator_s_stage_begins_as_the_one_before_enlarged_and_ends_as_itself(stage: int, networks: Any):
    generator, latent = networks[0], torch.randn(3, 4)
    before = doubled(generator(latent, stage - 1, torch.tensor(1.0)))
    assert torch.equal(generator(latent, stage, torch.tensor(0.0)), before)
    new = generator(latent, stage, torch.tensor(1.0))
    assert new.shape == (3, COLOURS, SIZES[stage], SIZES[stage])
    torch.testing.assert_close(generator(latent, stage, torch.tensor(0.3)), 0.7 * before + 0.3 * new)
    with torch.no_grad():
        generator.paint[stage - 1].weight.add_(1.0)
    assert torch.equal(generator(latent, stage, torch.tensor(1.0)), new)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_discriminator_s_stage_begins_as_the_one_before_and_ends_as_itself(stage: int, networks: Any):
    discriminator, x = networks[1], images(size=SIZES[stage])
    before = discriminator(halved(x), stage - 1, torch.tensor(1.0))
    assert torch.equal(discriminator(x, stage, torch.tensor(0.0)), before)
    slopes = [
        gradient_norms(lambda x: discriminator(halved(x), stage - 1, torch.tensor(1.0)), x),
        gradient_norms(lambda x: discriminator(x, stage - 1, torch.tensor(1.0)), halved(x)) / 2,
    ]
    torch.testing.assert_close(*slopes)
    new = discriminator(x, stage, torch.tensor(1.0))
    assert new.shape == (4,)
    assert not torch.allclose(new, before)
    with torch.no_grad():
        discriminator.read[stage - 1][0].weight.add_(1.0)
    assert torch.equal(discriminator(x, stage, torch.tensor(1.0)), new)


def test_real_images_fade_in_as_fakes_do():
    system, batch = build(), Batch({"image": images()})
    for stage, size in enumerate(SIZES):
        own = torch.nn.functional.avg_pool2d(batch["image"], 32 // size)
        start = system.span(stage)[0]
        system.progress.fill_(start + system.unit / 4)
        expected = own if stage == 0 else 0.75 * doubled(halved(own)) + 0.25 * own
        torch.testing.assert_close(system.seen(batch, stage), expected, atol=1e-5, rtol=0)
        system.progress.fill_(start + system.unit)
        torch.testing.assert_close(system.seen(batch, stage), own, atol=1e-5, rtol=0)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_stage_moves_the_layers_up_to_it_and_no_other(stage: int):
    system, batch = build(), Batch({"image": images()})
    system.progress.fill_(system.span(stage)[0] + system.unit / 2)
    sum(system.discriminator_loss(batch, stage)[0].values()).backward()
    assert all(p.grad is None for p in system.generator.parameters())
    of_the_critic = [p.grad is not None for p in system.discriminator.parameters()]
    system.discriminator.requires_grad_(False)
    sum(system.generator_loss(batch, stage).values()).backward()
    assert [p.grad is not None for p in system.discriminator.parameters()] == of_the_critic
    for blocks, ways in (
        (system.generator.blocks, system.generator.paint),
        (system.discriminator.blocks, system.discriminator.read),
    ):
        for level in range(4):
            grown, open_way = level <= stage, level in (stage, stage - 1)
            for module, learns in ((blocks[level], grown), (ways[level], open_way)):
                assert all((p.grad is not None) == learns for p in module.parameters())
                assert not learns or any(p.grad.any() for p in module.parameters())


def test_the_losses_are_those_of_the_card():
    system, batch = build(gradient_penalty=10.0, drift=0.5), Batch({"image": images()})
    system.progress.fill_(0.9)
    seen = []
    system.discriminator.register_forward_hook(lambda *call: seen.append(call[2].detach()))
    terms, notes = system.discriminator_loss(batch, 3)
    real, fake = seen[:2]
    torch.testing.assert_close(terms["real"].detach(), -real.mean())
    torch.testing.assert_close(terms["fake"].detach(), fake.mean())
    torch.testing.assert_close(terms["drift"].detach(), 0.5 * real.square().mean())
    assert float(notes["accuracy-32"]) == float((real > fake).float().mean())
    torch.manual_seed(5)
    loss = system.generator_loss(batch, 3)
    torch.testing.assert_close(loss["adversarial"].detach(), -seen[-1].mean())
    with torch.no_grad():  # a critic that says the same of everything has no slope
        system.discriminator.blocks[0][-1].weight.zero_()
    assert float(system.discriminator_loss(batch, 3)[0]["gradient_penalty"].detach()) == pytest.approx(10.0)


def test_samples_are_those_of_the_stage_enlarged_and_go_on_smoothly():
    system = build()
    latents = system.latents(3)
    for stage, size in enumerate(SIZES):
        start, end = system.span(stage)
        system.progress.fill_((start + end) / 2)
        drawn, side = system.decode(latents), 32 // size
        assert drawn.shape == (3, COLOURS, 32, 32)
        blocks = drawn.unflatten(3, (size, side)).unflatten(2, (size, side))
        assert torch.equal(blocks, blocks[:, :, :, :1, :, :1].expand_as(blocks))
        assert drawn.abs().max() <= 1
        if stage < 3:
            system.progress.fill_(end - 1e-6)
            before = system.decode(latents)
            system.progress.fill_(end + 1e-6)
            torch.testing.assert_close(system.decode(latents), before, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("size", "grid", "stages"), [(8, 4, 2), (28, 7, 3), (48, 6, 4), (64, 4, 5)])
def test_other_sizes_begin_with_other_grids(size: int, grid: int, stages: int):
    spec = Spec({"image": Image(1, size, size)})
    system = get_recipe("progressive").build(spec, width=4, latent_dim=4)
    assert system.last == stages - 1
    assert system.seen(Batch({"image": torch.rand(2, 1, size, size)}), 0).shape == (2, 1, grid, grid)
    assert system.drawn(2, 0).shape == (2, 1, grid, grid)


def test_a_growth_without_a_span_is_refused():
    for growing in (0.0, 1.5):
        with pytest.raises(UsageError, match="--growing"):
            build(growing=growing)


@pytest.mark.parametrize("boundary", [2, 6])
def test_it_resumes_bit_for_bit_where_it_grows(boundary: int, tmp_path: Path):
    """With 20 steps and u = 0.1 stage 1 begins with step 2 and stage 2 with step 6, whose layers have never moved."""
    straight, first, second = (trainer_for(build(), SPEC, steps=20) for _ in range(3))
    for _ in range(boundary + 2):
        straight.play()
    for _ in range(boundary):
        first.play()
    second.load(checkpoint.load(checkpoint.save(tmp_path, first.state(), {"identity": {}}))[0])
    assert {name.split("/")[0] for name in second.play()} > {f"generator-{2 * boundary + 4}"}
    second.play()
    assert moved(tensors(straight.system), second.system) == set()
    assert moved(tensors(straight.average.system), second.average.system) == set()


def test_it_learns_digits_through_all_its_stages(tmp_path: Path):
    options: dict[str, Any] = {"data": "digits", "batch_size": 16, "width": 12, "latent_dim": 16, "average": 0.97}
    before = scores("progressive", tmp_path / "before", steps=0, **options)["fid"]
    after = scores("progressive", tmp_path / "after", steps=400, growing=0.4, learning_rate=3e-3, **options)["fid"]
    assert before > 45
    assert after < 38  # 22 and 28 with seeds 0 and 1; 80 where the second stage never fades in
