"""Each switch does to the game what its paper says, and those that contradict one another are refused."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kallima.data.batch import Batch
from kallima.data.spec import Image, Points, Spec
from kallima.errors import UsageError
from kallima.networks.discriminator import Discriminator
from kallima.objectives.adversarial import non_saturating, wasserstein
from kallima.recipe import get_recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.settings import Play, Stabilisers
from kallima.training.trainer import Trainer

POINTS = Spec({"points": Points(2)})
IMAGES = Spec({"image": Image(3, 16, 16)})


class Line(nn.Module):
    """The smallest generator: latents of two dimensions, moved."""

    latent_dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.tensor([0.5, -1.0], dtype=torch.float64))

    def forward(self, latent: Tensor) -> Tensor:
        return self.place + 0.0 * latent.double()


def smallest(weights: tuple[float, float] = (3.0, 4.0), objective=wasserstein, play=Play(), **switches: Any) -> GAN:
    """A game whose scores are 3 x + 4 y and whose fakes are all one point."""
    critic = Discriminator(nn.Identity(), nn.Linear(2, 1, dtype=torch.float64))
    with torch.no_grad():
        critic.head.weight.copy_(torch.tensor([weights]))
        critic.head.bias.zero_()
    return GAN(POINTS, Line(), critic, objective=objective, play=play, stabilisers=Stabilisers(**switches))


def value(terms: Mapping[str, Tensor], name: str) -> float:
    return terms[name].item()


def batch_of(*rows: tuple[float, float]) -> Batch:
    return Batch({"points": torch.tensor(rows, dtype=torch.float64)})


REAL = batch_of((1.0, 0.0), (0.0, 2.0), (1.0, 1.0), (-1.0, 0.5))


def test_the_terms_of_the_critic_by_hand():
    terms, notes = smallest().discriminator_loss(REAL)
    assert value(terms, "real") == pytest.approx(-(3 + 8 + 7 - 1) / 4)
    assert value(terms, "fake") == pytest.approx(1.5 - 4)
    assert set(terms) == {"real", "fake"}
    assert float(notes["accuracy"]) == 1.0  # 3, 8, 7 and -1 against -2.5
    _, notes = smallest((-3.0, -4.0)).discriminator_loss(REAL)
    assert float(notes["accuracy"]) == 0.0


def test_penalties_of_a_linear_critic_by_hand():
    slope = 5.0  # of (3, 4)
    terms, _ = smallest(gradient_penalty=10.0).discriminator_loss(REAL)
    assert value(terms, "gradient_penalty") == pytest.approx(10 * (slope - 1) ** 2)
    gentle, _ = smallest((0.3, 0.4), gradient_penalty=10.0).discriminator_loss(REAL)
    assert value(gentle, "gradient_penalty") == pytest.approx(10 * 0.5**2)
    gentle, _ = smallest((0.3, 0.4), gradient_penalty=10.0, penalty_form="one-sided").discriminator_loss(REAL)
    assert value(gentle, "gradient_penalty") == 0.0
    around, _ = smallest(gradient_penalty=2.0, penalty_form="dragan").discriminator_loss(REAL)
    assert value(around, "gradient_penalty") == pytest.approx(2 * (slope - 1) ** 2)
    terms, _ = smallest(r1=0.5, r2=3.0).discriminator_loss(REAL)
    assert value(terms, "r1") == pytest.approx(0.5 / 2 * slope**2)
    assert value(terms, "r2") == pytest.approx(3.0 / 2 * slope**2)


def test_lazy_penalties_have_a_phase_of_their_own_as_much_in_all():
    system = smallest(r1=0.5, lazy=4)
    assert set(system.discriminator_loss(REAL)[0]) == {"real", "fake"}
    discriminator, penalty, generator = system.game()
    assert penalty.player is discriminator.player
    assert (penalty.every, discriminator.every, generator.every) == (4, 1, 1)
    assert value(penalty.loss(REAL), "r1") == pytest.approx(4 * 0.5 / 2 * 25)
    group = discriminator.player.optimizer(discriminator.player.parameters()).param_groups[0]
    assert group["lr"] == pytest.approx(Play().learning_rate * 4 / 5)
    assert group["betas"] == pytest.approx((0.5 ** (4 / 5), 0.999 ** (4 / 5)))
    assert len(smallest(lazy=4).game()) == 2  # nothing to be lazy about


def test_label_smoothing_moves_the_real_label_alone():
    plain, _ = smallest(objective=non_saturating).discriminator_loss(REAL)
    smooth, _ = smallest(objective=non_saturating, label_smoothing=0.1).discriminator_loss(REAL)
    scores = (3.0, 8.0, 7.0, -1.0)
    expected = sum(0.9 * math.log1p(math.exp(-s)) + 0.1 * math.log1p(math.exp(s)) for s in scores) / 4
    assert value(smooth, "real") == pytest.approx(expected)
    assert value(smooth, "fake") == value(plain, "fake")


def test_instance_noise_falls_in_a_straight_line_to_nothing():
    system = smallest(instance_noise=2.0, noise_until=0.5)
    examples = torch.zeros(20_000, 2)
    for progress, deviation in ((0.0, 2.0), (0.25, 1.0), (0.5, 0.0), (0.9, 0.0)):
        system.progress.fill_(progress)
        assert float(system.seen(examples).std()) == pytest.approx(deviation, rel=0.02)
    system.progress.fill_(0.0)
    real, fake = system.meet(REAL)
    assert real.ne(REAL["points"]).all()
    assert fake.ne(system.generator.place).all()


def test_instance_noise_gives_a_slope_where_supports_do_not_overlap():
    """Sønderby et al. 2016: a sharp discriminator is flat at the fakes; one that sees noisy examples is not."""

    def slope_at_the_fakes(noise: float) -> float:
        torch.manual_seed(0)
        system = smallest(objective=non_saturating, instance_noise=noise)
        body = nn.Sequential(nn.Linear(2, 32), nn.ReLU())
        system.discriminator = Discriminator(body, nn.Linear(32, 1)).double()
        optimizer = torch.optim.Adam(system.discriminator.parameters(), lr=0.01)
        real = Batch({"points": torch.tensor([[-0.5, 1.0]], dtype=torch.float64).repeat(64, 1)})
        for _ in range(300):
            terms, _ = system.discriminator_loss(real)
            optimizer.zero_grad()
            (terms["real"] + terms["fake"]).backward()
            optimizer.step()
        place = system.generator.place.detach().clone().requires_grad_()
        # the saturating loss, whose gradient is that of the theory
        (-nn.functional.softplus(system.discriminator(place[None]))).sum().backward()
        assert place.grad is not None
        return float(place.grad.norm())

    # with noise both sides are Gaussians √5 apart, so the logit of D* is linear of slope √5, and −5/2 at the fakes
    exact = math.sqrt(5) / (1 + math.exp(5 / 2))  # 0.17
    assert slope_at_the_fakes(1.0) == pytest.approx(exact, rel=0.3)
    assert slope_at_the_fakes(0.0) < exact / 4


class Stream:
    def __init__(self) -> None:
        self.position = 0

    def next(self) -> Batch:
        self.position += 1
        return REAL

    def seek(self, position: int) -> None:
        self.position = position


def play(system: GAN, steps: int) -> dict[str, Tensor]:
    trainer = Trainer(system, {"data": Stream()}, steps=steps)
    for _ in range(steps):
        scalars = trainer.play()
    return scalars


def test_clipped_weights_stay_within_their_bound():
    system = smallest(weight_clip=0.01)
    play(system, 1)
    assert max(float(p.detach().abs().max()) for p in system.discriminator.parameters()) <= 0.01
    assert float(system.generator.place.detach().abs().max()) > 0.4  # the generator's are left alone


def test_historical_averaging_pulls_towards_the_mean_so_far():
    system = smallest(historical_averaging=2.0, play=Play(learning_rate=0.1, average=0.0))
    seen = [torch.cat([p.detach().flatten() for p in system.discriminator.parameters()])]
    trainer = Trainer(system, {"data": Stream()}, steps=3)
    for _ in range(3):
        trainer.play()
        seen.append(torch.cat([p.detach().flatten() for p in system.discriminator.parameters()]))
    mean = torch.stack(seen).mean(0)
    terms, _ = system.discriminator_loss(REAL)
    assert value(terms, "history") == pytest.approx(2 * float((seen[-1] - mean).square().sum()))
    assert value(terms, "history") > 0


def test_consensus_is_half_the_squared_field_and_its_gradient_that_of_finite_differences():
    system = smallest((0.3, -0.2), objective=non_saturating, consensus=1.0)

    def field() -> float:
        twin = copy.deepcopy(system)
        twin.stabilisers = Stabilisers()
        terms, _ = twin.discriminator_loss(REAL)
        of_critic = torch.autograd.grad(sum(terms.values()), list(twin.discriminator.parameters()))
        of_generator = torch.autograd.grad(twin.generator_loss(REAL)["adversarial"], [twin.generator.place])
        return 0.5 * sum(g.square().sum().item() for g in (*of_critic, *of_generator))

    term = system.consensus(REAL)
    assert term.item() == pytest.approx(field())
    gradient = torch.autograd.grad(term, [system.discriminator.head.weight, system.generator.place])
    for weight, exact in zip((system.discriminator.head.weight, system.generator.place), gradient, strict=True):
        for place in range(2):
            values = []
            for step in (1e-5, -1e-5):
                with torch.no_grad():
                    weight.flatten()[place] += step
                values.append(field())
                with torch.no_grad():
                    weight.flatten()[place] -= step
            assert float(exact.flatten()[place]) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4)


def test_simultaneous_players_do_not_see_each_others_step():
    start = smallest(play=Play(learning_rate=0.1, optimizer="sgd", average=0.0))
    moved = {}
    for simultaneous in (True, False):
        system = smallest(play=Play(learning_rate=0.1, optimizer="sgd", average=0.0, simultaneous=simultaneous), r1=0.0)
        play(system, 1)
        moved[simultaneous] = (system.generator.place - start.generator.place).detach()
    # the generator climbs the critic's slope: (3, 4) before the critic's step
    assert torch.allclose(moved[True], 0.1 * torch.tensor([3.0, 4.0], dtype=torch.float64))
    step = 0.1 * (REAL["points"].mean(0) - start.generator.place.detach())
    assert torch.allclose(moved[False], 0.1 * (torch.tensor([3.0, 4.0], dtype=torch.float64) + step))


def test_ada_moves_its_probability_towards_its_target():
    torch.manual_seed(0)
    system = get_recipe("sngan").build(IMAGES, width=4, latent_dim=3, augment="ada")
    assert isinstance(system, GAN)
    augmentation = system.augmentation
    for sign, wanted in ((1.0, 1), (-1.0, -1)):
        with torch.no_grad():
            augmentation.probability.fill_(0.5)
        augmentation.adapt({"real_signs": torch.full((64,), sign)})
        assert (float(augmentation.probability) - 0.5) * wanted > 0


@pytest.mark.parametrize(
    ("recipe", "spec", "switches", "message"),
    [
        ("dcgan", IMAGES, {"r1": 1.0, "discriminator_norm": "batch"}, "batch normalisation .* makes examples meet"),
        ("gan", POINTS, {"gradient_penalty": 1.0, "pack": 2}, "--pack makes examples meet"),
        ("gan", POINTS, {"r2": 1.0, "minibatch_discrimination": 2}, "--minibatch-discrimination makes examples meet"),
        ("wgan", POINTS, {"label_smoothing": 0.1}, "'wasserstein' has no labels to smooth"),
        ("gan", POINTS, {"label_smoothing": 1.5}, "less than 1"),
        ("gan", POINTS, {"augment": "ada"}, "this data has points"),
        ("gan", POINTS, {"virtual_batch_norm": True}, "which this generator has not"),
        ("gan", POINTS, {"simultaneous": True, "discriminator_steps": 2}, "one step each"),
        ("gan", POINTS, {"simultaneous": True, "r1": 1.0, "lazy": 2}, "take turns of their own"),
        ("sngan", IMAGES, {"weight_clip": 0.1}, "undo spectral normalisation"),
        ("dcgan", IMAGES, {"consensus": 0.1}, "batch statistics"),
        ("feature-matching", POINTS, {"consensus": 0.1}, "single scores"),
        ("loss-sensitive", POINTS, {"pack": 2, "r1": 0.0}, "compares single examples"),
        ("gan", POINTS, {"generator": "dcgan"}, "points have no pixels"),
        ("ebgan", POINTS, {"simultaneous": True, "generator_steps": 2}, "one step each"),
        ("gan", POINTS, {"generator_steps": 0}, "count from 1"),
        ("gan", POINTS, {"pack": 0}, "count from 1"),
        ("gan", POINTS, {"noise_until": 0.0}, "above 0"),
    ],
)
def test_contradictions_are_refused_with_the_reason(recipe: str, spec: Spec, switches: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message):
        get_recipe(recipe).build(spec, **switches)
