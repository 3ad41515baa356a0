import pytest
import torch

from kallima.data.batch import Batch
from kallima.data.spec import Image, Points, Spec
from kallima.errors import UsageError
from kallima.objectives.adversarial import minimax
from kallima.objectives.penalties import zero_centred_penalty
from kallima.systems.adversarial.reversal import gradient_reversal
from kallima.systems.adversarial.settings import Networks, Play

SPEC = Spec({"points": Points(2)})
SMALL = Networks(width=8, depth=2, latent_dim=3)


def gradients(loss, weights):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(weights))])


@pytest.mark.parametrize("strength", [1.0, 0.3])
def test_one_backward_pass_gives_both_gradients_of_the_simultaneous_minimax_game(strength):
    torch.manual_seed(0)
    system = gradient_reversal(SPEC, strength=strength, r1=0.5, networks=SMALL).double()
    generator, discriminator = system.generator, system.discriminator
    batch = Batch({"points": torch.randn(9, 2, dtype=torch.float64)})
    latent = torch.randn(9, 3, dtype=torch.float64)
    system.forge = lambda count: generator(latent)
    (phase,) = system.game()
    ours = sum(phase.loss(batch).values())
    of_discriminator = gradients(ours, discriminator.parameters())
    of_generator = gradients(sum(phase.loss(batch).values()), generator.parameters())

    scores = discriminator(batch["points"]), discriminator(generator(latent).detach())
    theirs = sum(minimax.discriminator(*scores).values()) + 0.5 * zero_centred_penalty(discriminator, batch["points"])
    torch.testing.assert_close(of_discriminator, gradients(theirs, discriminator.parameters()), rtol=1e-10, atol=1e-14)
    saturating = minimax.generator(None, discriminator(generator(latent)))["adversarial"]
    expected = strength * gradients(saturating, generator.parameters())  # λ once
    torch.testing.assert_close(of_generator, expected, rtol=1e-10, atol=1e-14)
    assert expected.norm().item() > 1e-4


def test_both_networks_are_one_player_with_one_phase():
    system = gradient_reversal(SPEC, networks=SMALL)
    (phase,) = system.game()
    assert set(phase.player.parameters()) == {*system.generator.parameters(), *system.discriminator.parameters()}


@pytest.mark.parametrize(
    ("play", "remedy"),
    [
        (Play(discriminator_learning_rate=1e-3), "--strength"),
        (Play(discriminator_steps=2), "--discriminator-steps"),
        (Play(generator_steps=2), "--generator-steps"),
    ],
)
def test_turns_and_rates_of_two_players_are_refused(play, remedy):
    with pytest.raises(UsageError, match=remedy):
        gradient_reversal(SPEC, networks=SMALL, play=play)


def test_r1_with_batch_statistics_is_refused():
    networks = Networks(width=4, discriminator_norm="batch")
    with pytest.raises(UsageError, match="--discriminator-norm none"):
        gradient_reversal(Spec({"image": Image(1, 16, 16)}), networks=networks)
