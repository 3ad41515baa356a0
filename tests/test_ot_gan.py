import pytest
import torch
from torch import nn

from kallima.data.batch import Batch
from kallima.data.spec import Points, Spec
from kallima.systems.adversarial.ot_gan import OTGAN, ot_gan
from kallima.systems.adversarial.settings import Networks, Play

SPEC = Spec({"points": Points(2)})
SMALL = Networks(width=8, depth=1, latent_dim=2)


class Given(nn.Module):
    """A generator of given points."""

    latent_dim = 1

    def __init__(self, points):
        super().__init__()
        self.points = nn.Parameter(points)

    def forward(self, latent):
        return self.points


def game(fakes):
    return OTGAN(SPEC, Given(torch.tensor(fakes)), nn.Flatten(), epsilon=1e-3, iterations=60, play=Play())


EAST, NORTH, WEST = [1.0, 0.0], [0.0, 3.0], [-2.0, 0.0]


@pytest.mark.parametrize(
    ("real", "fake", "distance"),
    [
        ([EAST, EAST, EAST, EAST], [NORTH, NORTH, NORTH, NORTH], 4 * 1.0),  # right angles: each cost is 1
        ([EAST, EAST, EAST, EAST], [WEST, WEST, WEST, WEST], 4 * 2.0),  # opposite: each cost is 2
        ([EAST, WEST, EAST, WEST], [WEST, EAST, WEST, EAST], 0.0),  # each half holds both: nothing to carry
        ([EAST, EAST, WEST, WEST], [EAST, EAST, WEST, WEST], 4 * 1.0 - 2 * 2.0 - 2 * 2.0),  # halves apart
        ([EAST, WEST, EAST, WEST], [EAST, EAST, EAST, EAST], 4 * 1.0),  # half of each batch crosses over
    ],
)
def test_the_distance_by_hand(real, fake, distance):
    system, batch = game(fake), Batch({"points": torch.tensor(real)})
    assert system.generator_loss(batch)["distance"].item() == pytest.approx(distance, abs=1e-3)
    assert system.discriminator_loss(batch)["distance"].item() == pytest.approx(-distance, abs=1e-3)


def test_the_generator_descends_and_the_critic_climbs_the_same_distance():
    torch.manual_seed(0)
    system = ot_gan(SPEC, networks=SMALL)
    batch = Batch({"points": torch.randn(8, 2)})
    signs = {}
    for phase in system.game():
        torch.manual_seed(1)
        (value,) = phase.loss(batch).values()
        signs[phase.name] = value.item()
        grads = torch.autograd.grad(value, phase.player.parameters(), allow_unused=True)
        assert any(g is not None and g.abs().max() > 0 for g in grads)
    assert signs["discriminator"] == pytest.approx(-signs["generator"])


def test_the_critic_learns_nothing_from_the_generators_turn_and_the_other_way_round():
    torch.manual_seed(0)
    system = ot_gan(SPEC, networks=SMALL)
    batch = Batch({"points": torch.randn(8, 2)})
    system.discriminator_loss(batch)["distance"].backward()
    assert all(weight.grad is None for weight in system.generator.parameters())
