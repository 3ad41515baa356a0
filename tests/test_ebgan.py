import math

import pytest
import torch
from torch import nn

from kallima.data.batch import Batch
from kallima.data.spec import Points, Spec
from kallima.networks.autoencoder import Autoencoder
from kallima.systems.adversarial.ebgan import EBGAN, Margin, ebgan, pulling_away
from kallima.systems.adversarial.settings import Networks, Play

SPEC = Spec({"points": Points(2)})
SMALL = Networks(width=8, depth=1, latent_dim=2)


class Times(nn.Module):
    """Multiply by a learnt number."""

    latent_dim = 2

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x):
        return self.factor * x


class Constant(nn.Module):
    """The same point whatever the latent."""

    latent_dim = 2

    def __init__(self, *point):
        super().__init__()
        self.point = nn.Parameter(torch.tensor(point))

    def forward(self, latent):
        return self.point.expand(len(latent), -1)


def game(generator, **options):
    """A game whose autoencoder halves: the energy of v is mean (v / 2)²."""
    return EBGAN(SPEC, generator, Autoencoder(Times(1.0), Times(0.5)), play=Play(), **options)


def test_pulling_away_by_hand():
    codes = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    assert pulling_away(codes).item() == pytest.approx((0 + 0.5 + 0.5) / 3)  # cos² of the three pairs: 0, ½, ½
    assert pulling_away(torch.ones(5, 3)).item() == pytest.approx(1)
    assert (pulling_away(7 * torch.eye(4))).item() == pytest.approx(0)


def test_pulling_away_against_all_pairs_and_blind_to_length_and_sign():
    torch.manual_seed(0)
    codes = torch.randn(6, 4, dtype=torch.float64)
    pairs = [
        (codes[i] @ codes[j] / codes[i].norm() / codes[j].norm()).item() ** 2
        for i in range(6)
        for j in range(6)
        if i != j
    ]
    assert pulling_away(codes).item() == pytest.approx(sum(pairs) / 30)
    scaled = codes * torch.tensor([1.0, -2.0, 0.1, 5.0, -1.0, 3.0])[:, None]
    assert pulling_away(scaled).item() == pytest.approx(pulling_away(codes).item())


@pytest.mark.parametrize(("margin", "hinge"), [(3.0, 3.0 - 2.5), (2.0, 0.0)])
def test_the_discriminators_loss_by_hand(margin, hinge):
    system = game(Constant(2.0, 4.0), margin=margin, pulling_away=0.5)  # energy of the fakes: (1 + 4) / 2
    batch = Batch({"points": torch.tensor([[2.0, 0.0], [0.0, 0.0], [2.0, 2.0]])})  # energies ½, 0, 1
    terms, notes = system.discriminator_loss(batch)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx({"real": 0.5, "fake": hinge})
    assert notes["fake_energy"].item() == pytest.approx(2.5)
    sum(terms.values()).backward()
    assert system.generator.point.grad is None
    factor = system.discriminator.decoder.factor
    # d/dα mean((1 - α)² v²) = -2 (1 - α) mean v²: over real examples, less that over fakes inside the margin
    assert factor.grad.item() == pytest.approx(-2 * 0.5 * 2 + (2 * 0.5 * 10 if hinge else 0))


def test_the_generators_loss_by_hand():
    system = game(Constant(2.0, 4.0), margin=1.0, pulling_away=0.5)
    terms = system.generator_loss(Batch({"points": torch.zeros(3, 2)}))
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {"adversarial": 2.5, "pulling_away": 0.5}
    )
    assert set(game(Constant(1.0, 1.0), margin=1.0).generator_loss(Batch({"points": torch.zeros(3, 2)}))) == {
        "adversarial"
    }


def test_the_codes_that_are_pulled_apart_are_those_of_fakes():
    torch.manual_seed(0)
    system = ebgan(SPEC, pulling_away=2.0, networks=SMALL)
    batch = Batch({"points": torch.zeros(6, 2)})
    torch.manual_seed(5)
    term = system.generator_loss(batch)["pulling_away"]
    torch.manual_seed(5)
    assert term.item() == pytest.approx(2 * pulling_away(system.discriminator.encoder(system.forge(6))).item())


def adapted(margin, energies):
    for real, fake in energies:
        margin.adapt({"real_energy": torch.tensor(real), "fake_energy": torch.tensor(fake)})
    return margin.value.item()


def test_the_margin_falls_once_the_fakes_stop_following():
    margin = Margin(1.0, window=2)
    assert adapted(margin, [(0.3, 0.9)]) == 1.0  # the window is not full
    assert adapted(margin, [(0.5, 0.7)]) == 1.0  # means 0.4, 0.8; nothing to compare the fakes with
    assert adapted(margin, [(0.3, 0.7), (0.3, 0.7)]) == 1.0  # the fakes have fallen to 0.7
    assert adapted(margin, [(0.2, 0.7), (0.3, 0.9)]) == pytest.approx(0.25)  # they have risen: m = mean of the data
    assert adapted(margin, [(0.3, 0.9), (0.3, 0.9)]) == pytest.approx(0.25)  # the data lies above the margin
    assert adapted(margin, [(0.2, 0.9), (0.2, 0.9)]) == pytest.approx(0.2)  # fakes that stand still count as risen
    assert adapted(margin, [(0.1, 0.05), (0.1, 0.05)]) == pytest.approx(0.2)  # fakes below the data
    assert adapted(margin, [(0.1, 0.08), (0.1, 0.08)]) == pytest.approx(0.2)  # still below
    assert math.isfinite(margin.fake_before.item())


def test_a_margin_without_window_never_moves():
    torch.manual_seed(0)
    system = ebgan(SPEC, margin=0.7, networks=SMALL)
    assert all(phase.after is None for phase in system.game())
