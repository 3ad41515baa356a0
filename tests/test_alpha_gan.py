"""α-GAN: each of its four players' terms by hand. Who moves whom is tested with VAE-GAN's."""

import math

import pytest
import torch

from tests.test_vae_gan import Given, batch, system


def test_real_examples_count_twice_against_two_kinds_of_fakes():
    game = system("alpha-gan")
    real, fakes = torch.tensor([1.0, 2.0]), torch.tensor([0.5, -1.0, 3.0, 0.0])
    game.discriminator = Given(real, fakes)
    terms = game.discriminator_loss(batch(2))
    assert terms["real"].item() == pytest.approx(-2 * real.sigmoid().log().mean().item())
    assert terms["rebuilt"].item() == pytest.approx(-(1 - fakes[:2].sigmoid()).log().mean().item())
    assert terms["sampled"].item() == pytest.approx(-(1 - fakes[2:].sigmoid()).log().mean().item(), abs=1e-6)
    game.discriminator = Given(torch.zeros(2), torch.zeros(4))
    assert sum(game.discriminator_loss(batch(2)).values()).item() == pytest.approx(4 * math.log(2))


def test_the_code_discriminator_takes_the_prior_for_real_and_codes_for_fake():
    """The first version of the paper has them the other way round, which its encoder's loss contradicts."""
    game, data = system("alpha-gan"), batch(2)
    of_prior, of_codes = torch.tensor([1.0, 2.0]), torch.tensor([0.5, -1.0])
    game.code_discriminator = Given(of_prior, of_codes)
    terms = game.code_discriminator_loss(data)
    assert torch.equal(game.code_discriminator.asked[1], game.encoder(data["image"]))
    assert terms["prior"].item() == pytest.approx(-of_prior.sigmoid().log().mean().item())
    assert terms["codes"].item() == pytest.approx(-(1 - of_codes.sigmoid()).log().mean().item())


def test_encoder_and_generator_minimise_the_error_of_rebuilding_and_log_ratios():
    """−log D + log(1 − D) is less the score."""
    game, data = system("alpha-gan", rebuilding=7.0), batch()
    codes = game.encoder(data["image"])
    rebuilt = game.generator(codes)
    error = 7 * (data["image"] - rebuilt).abs().mean()
    judged = game.code_discriminator(codes).sigmoid()
    terms = game.encoder_loss(data)
    assert set(terms) == {"rebuilding", "codes"}
    torch.testing.assert_close(terms["rebuilding"], error)
    torch.testing.assert_close(terms["codes"], (-judged.log() + (1 - judged).log()).mean())
    torch.manual_seed(3)
    terms = game.generator_loss(data)
    torch.manual_seed(3)
    judged = [game.discriminator(x).sigmoid() for x in (rebuilt, game.generator(torch.randn(4, 3)))]
    assert set(terms) == {"rebuilding", "rebuilt", "sampled"}
    torch.testing.assert_close(terms["rebuilding"], error)
    for name, d in zip(("rebuilt", "sampled"), judged, strict=True):
        torch.testing.assert_close(terms[name], (-d.log() + (1 - d).log()).mean())
