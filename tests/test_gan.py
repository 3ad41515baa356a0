import copy

import pytest
import torch

from kallima.data.batch import Batch
from kallima.data.spec import Image, Points, Spec
from kallima.objectives.adversarial import hinge, minimax, non_saturating
from kallima.system import Samples
from kallima.systems.adversarial.dcgan import dcgan
from kallima.systems.adversarial.gan import gan, gan_minimax
from kallima.systems.adversarial.settings import Networks, Play
from kallima.systems.adversarial.sngan import sngan

IMAGES = Spec({"image": Image(3, 16, 16)})
POINTS = Spec({"points": Points(2)})
DENSE = Networks(generator="mlp", width=4, depth=1, latent_dim=3)
SMALLEST = {
    "gan": (gan, POINTS, DENSE),
    "gan on images": (gan, IMAGES, DENSE),
    "gan-minimax": (gan_minimax, POINTS, DENSE),
    "dcgan": (dcgan, IMAGES, Networks(generator="dcgan", width=4, latent_dim=3)),
    "sngan": (sngan, IMAGES, Networks(generator="resnet", width=4, latent_dim=3)),
    "residual sngan": (sngan, IMAGES, Networks(generator="resnet", discriminator="resnet", width=4, latent_dim=3)),
}


def build(name):
    recipe, spec, networks = SMALLEST[name]
    torch.manual_seed(0)
    return recipe(spec, networks=networks)


def batch_for(system, count=6):
    field = system.spec[system.field]
    rng = torch.Generator().manual_seed(1)
    return Batch({system.field: torch.rand(count, *field.shape, generator=rng) * 2 - 1})


every_recipe = pytest.mark.parametrize("name", SMALLEST)


@every_recipe
def test_each_loss_moves_only_its_player_and_names_its_terms(name):
    system = build(name)
    batch = batch_for(system)
    discriminator, generator = system.game()
    terms, notes = discriminator.loss(batch)
    assert set(terms) == {"real", "fake"}
    assert set(notes) == {"accuracy"}
    sum(terms.values()).backward()
    assert all(weight.grad is None for weight in system.generator.parameters())
    assert all(weight.grad is not None for weight in discriminator.player.parameters())
    for weight in system.discriminator.parameters():
        weight.requires_grad_(False)
    terms = generator.loss(batch)
    assert set(terms) == {"adversarial"}
    sum(terms.values()).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in generator.player.parameters())
    owned = {*discriminator.player.parameters(), *generator.player.parameters()}
    assert owned == set(system.parameters())


@every_recipe
def test_sampling_is_a_function_of_the_generator_and_leaves_no_trace(name):
    system = build(name)
    assert isinstance(system, Samples)
    system.discriminator.eval()
    modes = [part.training for part in system.modules()]
    before = copy.deepcopy(system.state_dict())
    first = system.sample(5, rng=torch.Generator().manual_seed(3))
    torch.randn(7)
    system.train()
    again = system.sample(5, rng=torch.Generator().manual_seed(3))
    system.eval()
    at_evaluation = system.sample(5, rng=torch.Generator().manual_seed(3))
    assert torch.equal(first, again)
    assert torch.equal(first, at_evaluation)
    assert not first.requires_grad
    assert first.shape == (5, *system.spec[system.field].shape)
    if system.field == "image":
        assert first.abs().max() <= 1
    assert all(torch.equal(value, before[key]) for key, value in system.state_dict().items())
    fresh = build(name)
    fresh.discriminator.eval()
    fresh.sample(2)
    assert [part.training for part in fresh.modules()] == modes
    assert first.ne(system.sample(5, rng=torch.Generator().manual_seed(4))).any()


def test_without_a_generator_samples_follow_the_default_one():
    system = build("gan")
    torch.manual_seed(5)
    first = system.sample(4)
    torch.manual_seed(5)
    assert torch.equal(first, system.sample(4))
    assert first.ne(system.sample(4)).any()


def test_recipes_choose_the_objective_of_their_paper():
    chosen = {name: build(name).objective for name in SMALLEST}
    assert chosen["gan"] == chosen["dcgan"] == non_saturating
    assert chosen["gan-minimax"] == minimax
    assert chosen["sngan"] == hinge


@torch.no_grad()
def test_batch_norm_sees_real_and_fake_apart_and_others_see_them_at_once():
    assert build("dcgan").separate
    together = build("sngan")
    assert not together.separate
    together.eval()  # the spectral norms stand still, so that both ways can be compared
    batch = batch_for(together)
    torch.manual_seed(9)
    at_once, _ = together.discriminator_loss(batch)
    together.separate = True
    torch.manual_seed(9)
    apart, _ = together.discriminator_loss(batch)
    assert float(at_once["real"]) == pytest.approx(float(apart["real"]), abs=1e-5)
    assert float(at_once["fake"]) == pytest.approx(float(apart["fake"]), abs=1e-5)


def test_fakes_match_the_length_of_the_batch_and_nothing_else_of_it():
    system = build("dcgan")
    lengths = []
    system.generator.register_forward_hook(lambda module, inputs, output: lengths.append(len(output)))
    system.discriminator_loss(batch_for(system, 4))
    torch.manual_seed(2)
    first = system.generator_loss(batch_for(system, 5))
    torch.manual_seed(2)
    other = system.generator_loss(Batch({"image": torch.zeros(5, 3, 16, 16)}))
    assert lengths == [4, 5, 5]
    assert torch.equal(first["adversarial"], other["adversarial"])


def test_settings_reach_the_game():
    system = gan(
        POINTS,
        networks=DENSE,
        play=Play(
            learning_rate=0.01,
            discriminator_learning_rate=0.02,
            beta1=0.3,
            discriminator_steps=3,
            generator_steps=2,
            average=0.9,
            schedule="cosine",
            warm_up=0.5,
            clip=2.0,
        ),
    )
    discriminator, generator = system.game()
    assert (discriminator.repeats, generator.repeats) == (3, 2)
    assert (discriminator.player.average, generator.player.average) == (0.0, 0.9)
    assert discriminator.player.clip == generator.player.clip == 2.0
    assert generator.player.schedule(0.25) == pytest.approx(0.5)
    rates = [
        phase.player.optimizer(phase.player.parameters()).param_groups[0]["lr"] for phase in (discriminator, generator)
    ]
    assert rates == [0.02, 0.01]
    assert generator.player.optimizer(generator.player.parameters()).param_groups[0]["betas"][0] == 0.3


@pytest.mark.parametrize("name", ["gan", "dcgan", "residual sngan"])
def test_losses_compile_without_a_break_and_give_the_same_gradients(name):
    system = build(name)
    batch = batch_for(system)
    for phase in system.game():
        gradients = []
        for compiled in (False, True):
            twin = copy.deepcopy(system)
            loss = {"discriminator": twin.discriminator_loss, "generator": twin.generator_loss}[phase.name]
            player = next(p.player for p in twin.game() if p.name == phase.name)
            twin.requires_grad_(False)
            for weight in player.parameters():
                weight.requires_grad_(True)
            torch.compiler.reset()
            torch.manual_seed(4)
            result = (torch.compile(loss, fullgraph=True, backend="aot_eager") if compiled else loss)(batch)
            terms = result[0] if isinstance(result, tuple) else result
            sum(terms.values()).backward()
            gradients.append([weight.grad for weight in player.parameters()])
        for eager, traced in zip(*gradients, strict=True):
            assert torch.allclose(eager, traced, atol=1e-5)
