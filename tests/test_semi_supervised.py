"""Semi-supervised learning: the K + 1 identity, the losses by hand, and that images without labels help."""

from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import kallima
from kallima.data.batch import Batch
from kallima.data.spec import Image, Label, Spec
from kallima.errors import UsageError
from kallima.layers.gaussian_noise import GaussianNoise
from kallima.layers.modes import evaluating
from kallima.layers.weight_norm import WeightNormalisedLinear
from kallima.system import Classifies, Samples
from kallima.systems.adversarial.semi_supervised import SemiSupervisedGAN, semi_supervised
from tests.test_learning import QUIET

SPEC = Spec({"image": Image(1, 8, 8), "label": Label(("a", "b", "c"))})


def build(**options) -> SemiSupervisedGAN:
    torch.manual_seed(0)
    return semi_supervised(SPEC, width=16, latent_dim=4, **options)


def batch(seed: int, count: int = 6) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    image = torch.rand(count, 1, 8, 8, generator=rng) * 2 - 1
    return Batch({"image": image, "label": torch.randint(3, (count,), generator=rng)})


def test_the_score_is_that_of_a_softmax_over_one_class_more_whose_logit_is_0():
    network, image = build().discriminator.eval(), 20 * batch(0)["image"]
    logits = network.logits(image).double()
    softmax = torch.cat([logits, torch.zeros(6, 1)], 1).softmax(1)
    torch.testing.assert_close(torch.sigmoid(network(image)).double(), 1 - softmax[:, -1], rtol=1e-5, atol=1e-7)
    given_real = softmax[:, :3] / (1 - softmax[:, 3:])
    torch.testing.assert_close(network.classify(image).double().exp(), given_real, rtol=1e-5, atol=1e-7)


def test_logits_that_would_overflow_have_a_score():
    network = build().discriminator.eval()
    network.head = nn.Identity()
    network.body = nn.Identity()
    torch.testing.assert_close(network(torch.tensor([[1e4, 0.0], [-1e4, -2e4]])), torch.tensor([1e4, -1e4]))


def test_the_losses_are_those_of_the_paper():
    system, data, labelled = build(unlabelled_weight=0.5), batch(1), batch(2, 4)
    with evaluating(system):  # without noise
        fake = system.forge(6).detach()
        system.forge = lambda count: fake
        network = system.discriminator

        def softmax(image):
            logits = network.logits(image)
            return torch.cat([logits, torch.zeros(len(logits), 1)], 1).softmax(1)

        known, real, forged = (softmax(image) for image in (labelled["image"], data["image"], fake))
        right = known[range(4), labelled["label"]] / known[:, :3].sum(1)
        terms, _ = system.discriminator_loss(data, labelled)
        torch.testing.assert_close(terms["classification"], -right.log().mean())
        torch.testing.assert_close(terms["real"], -0.5 * (1 - real[:, 3]).log().mean())
        torch.testing.assert_close(terms["fake"], -0.5 * forged[:, 3].log().mean())
        assert len(terms) == 3
        own = system.generator_loss(data)
        means = network.body(data["image"]).mean(0), network.body(fake).mean(0)
        torch.testing.assert_close(own["adversarial"], (means[0] - means[1]).square().sum())
        base = system.baseline_loss(labelled)
        torch.testing.assert_close(base["classification"], terms["classification"])  # the same first weights


def test_labels_are_read_of_the_labelled_alone():
    system, data, labelled = build(), batch(1), batch(2, 4)
    nobody_knows = Batch({"image": data["image"]})
    for loss in (lambda seen: system.discriminator_loss(seen, labelled)[0], system.generator_loss):
        torch.manual_seed(5)
        one = loss(data)
        torch.manual_seed(5)
        other = loss(nobody_knows)
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_streams_are_all_examples_and_few_labelled_ones():
    streams = build(labelled=30).streams
    assert streams["data"].few is None
    assert (streams["labelled"].few, streams["labelled"].batch_size) == (30, 30)
    assert build(labelled=300, labelled_batch_size=50).streams["labelled"].batch_size == 50
    phases = {phase.name: phase.reads for phase in build().game()}
    assert phases == {"discriminator": ("data", "labelled"), "generator": ("data",), "baseline": ("labelled",)}
    with pytest.raises(UsageError, match="--labelled"):
        build(labelled=0)


def test_the_baseline_is_the_same_network_apart():
    system = build()
    own, other = system.discriminator.state_dict(), system.baseline.state_dict()
    assert own.keys() == other.keys()
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert not {id(p) for p in system.discriminator.parameters()} & {id(p) for p in system.baseline.parameters()}
    for able in (system, system.baseline):
        assert isinstance(able, Classifies)
    assert isinstance(system, Samples)
    image = batch(0)["image"]
    assert torch.equal(system.classify(image), system.classify(image))  # no noise
    assert system.judge(image).shape == (6,)


def test_hidden_layers_keep_the_mean_square_of_their_inputs_whatever_the_length_of_their_weights():
    torch.manual_seed(0)
    layer = WeightNormalisedLinear(400, 300)
    inputs = torch.randn(1000, 400)
    outputs = layer(inputs).relu()
    assert outputs.square().mean().item() == pytest.approx(1.0, rel=0.05)
    with torch.no_grad():
        layer.direction *= 7
    torch.testing.assert_close(layer(inputs).relu(), outputs, rtol=1e-4, atol=1e-5)
    layer = WeightNormalisedLinear(2, 1, scaled=True)
    with torch.no_grad():
        layer.direction.copy_(torch.tensor([[3.0, 4.0]]))
        layer.scale.fill_(10.0)
        layer.bias.fill_(1.0)
    torch.testing.assert_close(layer(torch.tensor([[1.0, 2.0]])), torch.tensor([[10 * 11 / 5 + 1]]))


def test_noise_is_for_training():
    noise, zeros = GaussianNoise(0.3), torch.zeros(20_000)
    assert noise(zeros).std().item() == pytest.approx(0.3, rel=0.05)
    assert torch.equal(noise.eval()(zeros), zeros)


def test_it_learns_the_digits_from_few_labels_and_what_digits_look_like_from_the_rest(tmp_path: Path):
    torch.set_num_threads(1)
    options = {"steps": 300, "batch_size": 50, "width": 128, "labelled": 50, "average": 0.98}
    run = kallima.train("semi-supervised", data="digits", out=tmp_path / "run", **options, **QUIET)
    scores = kallima.evaluate(run, metrics=["error", "baseline-error"], device="cpu")
    found = {score.metric: score.value for score in scores}
    assert found["error"] < 0.4  # 0.9 by chance
    assert found["baseline-error"] < 0.4
    system = kallima.load(run, device="cpu")
    assert isinstance(system, SemiSupervisedGAN)
    digits = torch.from_numpy(load_digits().images[:200] / 8 - 1).float()[:, None]
    mixed = digits.flatten(1)[:, torch.randperm(64, generator=torch.Generator().manual_seed(0))].view_as(digits)
    assert (system.judge(digits) > system.judge(mixed)).float().mean() > 0.9
