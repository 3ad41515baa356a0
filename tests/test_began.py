import pytest
import torch
from torch import nn

from kallima.data.batch import Batch
from kallima.data.spec import Points, Spec
from kallima.errors import UsageError
from kallima.networks.autoencoder import Autoencoder
from kallima.systems.adversarial.began import BEGAN, Balance, began
from kallima.systems.adversarial.settings import Networks, Play
from kallima.training.trainer import Trainer
from tests.test_contract import Random
from tests.test_ebgan import Constant, Times

SPEC = Spec({"points": Points(2)})
SMALL = Networks(width=8, depth=1, latent_dim=2)


def noted(real, fake):
    return {"real_error": torch.tensor(real), "fake_error": torch.tensor(fake)}


def test_the_weight_of_fakes_follows_the_balance_by_hand():
    balance = Balance(gamma=0.5, gain=0.1)
    balance.update(noted(4.0, 1.0))
    assert balance.k.item() == pytest.approx(0.1)  # 0.1 (½ · 4 - 1)
    balance.update(noted(4.0, 1.5))
    assert balance.k.item() == pytest.approx(0.15)
    balance.update(noted(1.0, 1.0))
    assert balance.k.item() == pytest.approx(0.1)


@pytest.mark.parametrize(("real", "fake", "end"), [(100.0, 0.0, 1.0), (0.0, 100.0, 0.0)])
def test_the_weight_stays_between_0_and_1(real, fake, end):
    balance = Balance(gamma=0.5, gain=0.1)
    balance.k.fill_(0.6)
    balance.update(noted(real, fake))
    assert balance.k.item() == end


def test_the_losses_by_hand():
    """With an autoencoder that halves, the error of v is mean |v| / 2."""
    system = BEGAN(SPEC, Constant(2.0, -4.0), Autoencoder(Times(1.0), Times(0.5)), gamma=0.5, gain=0.1, play=Play())
    system.balance.k.fill_(0.3)
    batch = Batch({"points": torch.tensor([[2.0, -2.0], [8.0, 0.0]])})  # errors 1 and 2, of the fakes 1.5
    terms, notes = system.discriminator_loss(batch)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx({"real": 1.5, "fake": -0.3 * 1.5})
    assert notes["convergence"].item() == pytest.approx(1.5 + abs(0.5 * 1.5 - 1.5))
    sum(terms.values()).backward()
    assert system.generator.point.grad is None
    assert not system.balance.k.requires_grad
    assert {name: term.item() for name, term in system.generator_loss(batch).items()} == {"adversarial": 1.5}


def test_in_training_the_weight_follows_what_was_noted():
    torch.manual_seed(0)
    system = began(SPEC, gamma=0.5, gain=0.2, networks=SMALL)
    trainer = Trainer(system, {"data": Random(SPEC)}, steps=8)
    k = 0.0
    for _ in range(8):
        scalars = trainer.play()
        assert scalars["notes/k"].item() == pytest.approx(k)  # of before the step
        k = min(1.0, max(0.0, k + 0.2 * (0.5 * scalars["notes/real_error"] - scalars["notes/fake_error"]).item()))
        assert system.balance.k.item() == pytest.approx(k)
    assert k != 0.0


def test_a_ratio_that_cannot_be_is_refused():
    for gamma in (0.0, 1.5):
        with pytest.raises(UsageError, match="--gamma"):
            began(SPEC, gamma=gamma, networks=SMALL)


def test_the_weight_belongs_to_the_discriminator():
    system = began(SPEC, networks=SMALL)
    discriminator, generator = system.game()
    owned = [module for module in discriminator.player.modules if isinstance(module, Balance)]
    assert owned == [system.balance]
    assert not any(isinstance(module, Balance) for module in generator.player.modules)
    assert not list(system.balance.parameters())
    assert isinstance(system.generator, nn.Module)
