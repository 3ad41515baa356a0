"""InfoGAN: its bound on enumerated and closed forms, who moves on it, and that it finds clusters without labels."""

import math
from pathlib import Path

import pytest
import torch

import kallima
from kallima.data.batch import Batch
from kallima.data.spec import Image, Spec
from kallima.errors import UsageError
from kallima.layers.latent_codes import CodedPrior
from kallima.objectives.information import category_information, number_information
from kallima.system import Clusters, Decodes
from kallima.systems.adversarial.infogan import InfoGAN, infogan
from kallima.systems.adversarial.settings import Networks
from tests.test_learning import QUIET

SPEC = Spec({"image": Image(1, 8, 8)})
SMALL = Networks(width=8, latent_dim=4)
# p(x | c) of three categories and four examples, in eighths: each pair as often as it comes.
CHANNEL = torch.tensor([[8, 0, 0, 0], [0, 4, 3, 1], [1, 1, 3, 3]])


def build(**options) -> InfoGAN:
    torch.manual_seed(0)
    return infogan(SPEC, networks=SMALL, **options)


def batch() -> Batch:
    return Batch({"image": torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1})


def enumerated() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Categories (24, 3) and examples (24,), as often as in the channel, and the joint probabilities (3, 4)."""
    code, example = (place.repeat_interleave(CHANNEL.flatten()) for place in torch.ones(3, 4).nonzero().T)
    return torch.eye(3, dtype=torch.float64)[code], example, CHANNEL.double() / 24


def test_the_bound_of_a_category_is_the_information_where_the_reader_is_right_and_less_elsewhere():
    category, example, joint = enumerated()
    independent = joint.sum(1, keepdim=True) * joint.sum(0)
    information = torch.xlogy(joint, joint / independent).sum()
    posterior = joint / joint.sum(0)
    exact = category_information((posterior + 1e-300).log().T[example], category)
    torch.testing.assert_close(exact, information)
    assert information < math.log(3)
    logits = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    q = logits.softmax(1).T
    divergence = (torch.xlogy(posterior, posterior / q).sum(0) * joint.sum(0)).sum()
    torch.testing.assert_close(category_information(logits[example], category), information - divergence)


def test_the_bound_of_a_category_is_never_above_its_entropy():
    category = torch.eye(10)[torch.arange(50) % 10]
    torch.testing.assert_close(category_information(1000 * category, category), torch.tensor(math.log(10)))
    torch.testing.assert_close(category_information(torch.zeros(50, 10), category), torch.tensor(0.0))
    assert category_information(-5 * category, category) < 0


@pytest.mark.parametrize("bins", [1, 4, 32])
def test_the_bound_of_numbers_that_are_known_to_a_bin_has_the_gaussians_closed_form(bins: int):
    """x says in which of the bins c lies: I = log bins; the best Gaussian misses it by ½ log(2πe / 12)."""
    fine = 400
    number = (torch.arange(bins * fine, dtype=torch.float64) + 0.5) * 2 / (bins * fine) - 1
    mean = number.view(bins, fine).mean(1).repeat_interleave(fine)
    deviation = torch.full_like(number, 2 / bins / math.sqrt(12))
    both = [each[:, None].expand(-1, 2) for each in (mean, deviation.log(), number)]
    found = number_information(*both)
    gap = 0.5 * math.log(2 * math.pi * math.e / 12)
    torch.testing.assert_close(found, torch.tensor(2 * (math.log(bins) - gap), dtype=torch.float64), atol=1e-4, rtol=0)
    for factor in (0.7, 1.3):  # the deviation counts: neither a wider nor a narrower one is as good
        assert number_information(both[0], both[1] + math.log(factor), both[2]) < found - 0.05


def test_the_terms_are_the_bound_weighed_and_both_players_have_them():
    system = build(category_weight=0.5, number_weight=0.3, rise=1)
    latent = system.latents(6, rng=torch.Generator().manual_seed(0))
    with torch.no_grad():
        fake = system.generator(latent)
        read = system.discriminator.told(fake)
    system.coded = lambda count, moving=True: (latent, fake)
    density = torch.distributions.Normal(read[:, 10:12], read[:, 12:14].exp()).log_prob(latent[:, 14:16])
    chosen = read[:, :10].softmax(1).gather(1, latent[:, 4:14].argmax(1, keepdim=True)).log()
    for loss in (system.discriminator_loss, system.generator_loss):
        terms = loss(batch())[0]
        torch.testing.assert_close(terms["category"], -0.5 * (math.log(10) + chosen.mean()))
        torch.testing.assert_close(terms["numbers"], -0.3 * (2 * math.log(2) + density.sum(1).mean()))
    notes = system.generator_loss(batch())[1]
    torch.testing.assert_close(notes["information"], math.log(10) + chosen.mean())
    system.rise = 16.0
    for progress, weight in ((0.0, 0.5 / 16), (0.5, 0.5 / 4), (1.0, 0.5)):
        system.progress.fill_(progress)
        terms = system.generator_loss(batch())[0]
        torch.testing.assert_close(terms["category"], -weight * (math.log(10) + chosen.mean()))


def test_the_information_moves_the_generator_the_trunk_and_the_reader_but_never_the_score():
    system = build()
    for loss, movers in (
        (system.discriminator_loss, (system.discriminator.body, system.discriminator.branch)),
        (system.generator_loss, (system.generator,)),
    ):
        terms = loss(batch())[0]
        for name in ("category", "numbers"):
            system.zero_grad(set_to_none=True)
            terms[name].backward(retain_graph=True)
            for network in movers:
                assert all(weight.grad is not None for weight in network.parameters())
                assert any(weight.grad.abs().max() > 0 for weight in network.parameters())
            assert all(weight.grad is None for weight in system.discriminator.head.parameters())
    system.zero_grad(set_to_none=True)
    sum(system.discriminator_loss(batch())[0].values()).backward()
    assert all(weight.grad is None for weight in system.generator.parameters())


def test_latents_are_noise_a_category_and_numbers():
    prior = CodedPrior(noise=3, categories=5, numbers=2)
    parts = prior.parts
    assert parts == {"z": slice(0, 3), "category": slice(3, 8), "c1": slice(8, 9), "c2": slice(9, 10)}
    drawn = prior.draw(20_000, torch.device("cpu"), torch.Generator().manual_seed(0))
    assert drawn.shape == (20_000, prior.dimensions)
    z, category, numbers = drawn[:, :3], drawn[:, 3:8], drawn[:, 8:]
    assert torch.equal(category.sum(1), torch.ones(20_000))
    assert set(category.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(category.mean(0), torch.full((5,), 0.2), atol=0.01, rtol=0)
    torch.testing.assert_close(z.T.cov(), torch.eye(3), atol=0.05, rtol=0)
    assert numbers.abs().max() <= 1
    torch.testing.assert_close(numbers.T.cov(), torch.eye(2) / 3, atol=0.01, rtol=0)
    assert CodedPrior(3, 5, 0).draw(4, torch.device("cpu")).shape == (4, 8)


def test_it_decodes_and_clusters():
    system = build(categories=3, numbers=1)
    assert isinstance(system, Decodes)
    assert isinstance(system, Clusters)
    assert system.parts == {"z": slice(0, 4), "category": slice(4, 7), "c1": slice(7, 8)}
    found = system.cluster(batch()["image"])
    assert found.shape == (6, 3)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(6))
    assert system.judge(batch()["image"]).shape == (6,)


def test_without_numbers_there_is_the_category_alone():
    terms, _ = build(numbers=0).generator_loss(batch())
    assert list(terms) == ["adversarial", "category"]


@pytest.mark.parametrize("wrong", [{"categories": 1}, {"numbers": -1}, {"rise": 0.0}])
def test_what_is_no_code_is_refused(wrong: dict[str, int]):
    with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
        build(**wrong)


def test_its_categories_become_the_modes_of_a_ring(tmp_path: Path):
    """Seeds 0 and 1 told 8 and 6 of the 8 modes apart, with 2.07 of at most 2.08 nats; untrained 1 to 3, with 0."""
    torch.set_num_threads(1)
    options = {"categories": 8, "numbers": 0, "width": 64, "latent_dim": 4, "average": 0.98, "batch_size": 128}
    options |= {"category_weight": 1.0, "rise": 1.0}
    rates = {"learning_rate": 1e-3, "discriminator_learning_rate": 1e-3}
    run = kallima.train("infogan", data="ring", steps=500, out=tmp_path / "run", **options, **rates, **QUIET)
    system = kallima.load(run, device="cpu")
    assert isinstance(system, InfoGAN)
    latents = system.latents(1000, rng=torch.Generator().manual_seed(0))
    read = system.cluster(system.decode(latents))
    information = category_information(read, latents[:, system.parts["category"]])
    assert 1.7 < information <= math.log(8)
    angle = torch.arange(8) * math.pi / 4
    modes = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    assert len(system.cluster(modes).argmax(1).unique()) >= 5
