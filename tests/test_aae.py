"""Adversarial autoencoders: priors, what each discriminator is shown, who minimises what, and that codes follow."""

import math
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

import kallima
from kallima.data.batch import Batch
from kallima.data.spec import Image, Label, Points, Spec
from kallima.errors import UsageError
from kallima.evaluation.gaussian_mmd import mmd
from kallima.evaluation.latent.clustering import named_accuracy
from kallima.layers.code_priors import PetalPrior, SwissRollPrior
from kallima.layers.latent import NormalPrior
from kallima.recipe import get_recipe
from kallima.system import Classifies, Clusters, Conditional, Decodes, Encodes, Reconstructs, Samples
from kallima.systems.adversarial.aae import AdversarialAutoencoder, CodedGame
from kallima.systems.adversarial.aae_categories import ClusteringAAE, SemiSupervisedAAE
from kallima.systems.adversarial.settings import Play
from tests.test_learning import QUIET

CPU = torch.device("cpu")
SPEC = Spec({"points": Points(4), "label": Label(("a", "b", "c"))})
SMALL: dict[str, Any] = {"width": 8, "depth": 1, "latent_dim": 2, "code_units": 8}


def build(name: str, spec: Spec = SPEC, **options: Any) -> Any:
    torch.manual_seed(0)
    return get_recipe(name).build(spec, **{**SMALL, **options})


def batch_of(count: int = 6) -> Batch:
    torch.manual_seed(1)
    return Batch({"points": torch.randn(count, 4), "label": torch.arange(count) % 3})


# --- priors ---


def test_petals_lie_around_as_they_say():
    prior = PetalPrior(petals=5, radius=2.0, length=0.3, breadth=0.05)
    points = prior.draw(20_000, CPU, torch.Generator().manual_seed(0)).double()
    angle = torch.atan2(points[:, 1], points[:, 0])
    petal = (angle / (2 * math.pi / 5)).round().long() % 5
    assert torch.bincount(petal, minlength=5).tolist() == pytest.approx([4000] * 5, abs=250)
    axis = petal * (2 * math.pi / 5)
    outwards = points[:, 0] * axis.cos() + points[:, 1] * axis.sin()
    across = points[:, 1] * axis.cos() - points[:, 0] * axis.sin()
    assert [outwards.mean(), outwards.std()] == pytest.approx([2.0, 0.3], abs=0.01)
    assert [across.mean(), across.std()] == pytest.approx([0.0, 0.05], abs=0.002)


def test_the_swiss_roll_is_a_spiral_evenly_filled():
    prior = SwissRollPrior(inner=0.5, outer=2.0, turns=1.5, noise=0.0)
    points = prior.draw(20_000, CPU, torch.Generator().manual_seed(0)).double()
    radius = points.norm(dim=1)
    turn = (radius - 0.5) / 1.5 * 3 * math.pi
    torch.testing.assert_close(points, radius[:, None] * torch.stack([turn.cos(), turn.sin()], 1), atol=1e-4, rtol=0)
    share = ((radius**2 - 0.25) / 3.75).sort().values  # uniform where the length is evenly filled
    assert (share - torch.linspace(0, 1, 20_000)).abs().max() < 1.63 / math.sqrt(20_000)  # Kolmogorov-Smirnov, 1 %
    noisy = SwissRollPrior(inner=0.5, outer=2.0, noise=0.1).draw(20_000, CPU, torch.Generator().manual_seed(0))
    assert (noisy - points).std().item() == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize("prior", [PetalPrior(), SwissRollPrior()])
def test_priors_in_the_plane_have_the_normal_priors_size_and_repeat(prior: PetalPrior | SwissRollPrior):
    points = prior.draw(4000, CPU, torch.Generator().manual_seed(0))
    assert points.std(0).tolist() == pytest.approx([1, 1], abs=0.15)
    assert torch.equal(points, prior.draw(4000, CPU, torch.Generator().manual_seed(0)))
    torch.manual_seed(0)
    one, other = prior.draw(10, CPU), prior.draw(10, CPU)
    assert not torch.equal(one, other)


def test_a_prior_in_the_plane_wants_codes_in_the_plane():
    assert isinstance(build("aae", prior="petals").prior, PetalPrior)
    assert isinstance(build("aae", prior="swiss-roll").prior, SwissRollPrior)
    with pytest.raises(UsageError, match=r"^the prior 'petals' lies in the plane, .* 8 numbers: --latent-dim 2$"):
        get_recipe("aae").build(SPEC, prior="petals")


# --- the games ---


class Sum(nn.Module):
    """A score: a learnt multiple of the sum of what it sees."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x.sum(1)


class Known(CodedGame):
    """A game without more to it."""


def linear(inputs: int, outputs: int) -> Any:
    layer: Any = nn.Linear(inputs, outputs, bias=False)
    layer.latent_dim = 2
    return layer


def test_who_minimises_what_by_hand():
    torch.manual_seed(0)
    encoder, decoder = linear(4, 5), linear(5, 4)
    judges = [Sum(0.7), Sum(0.3)]
    judges[1].forward = lambda y: y @ torch.tensor([1.0, -2.0, 0.5])  # type: ignore[method-assign]
    options: dict[str, Any] = {"prior": NormalPrior(2), "categories": 3, "adversarial_weight": 0.25, "play": Play()}
    system = Known(SPEC, encoder, decoder, judges, **options)
    batch = batch_of()
    x = batch["points"]
    outputs = encoder(x)
    z, y = outputs[:, :2], outputs[:, 2:].softmax(1)
    scores = {"": 0.7 * z.sum(1), "category_": y @ torch.tensor([1.0, -2.0, 0.5])}
    torch.manual_seed(5)
    prior = system.draw(len(batch))
    of_prior = {"": 0.7 * prior[:, :2].sum(1), "category_": prior[:, 2:] @ torch.tensor([1.0, -2.0, 0.5])}

    torch.manual_seed(5)
    terms, notes = cast(Any, system.discriminator_loss(batch))
    for part in scores:
        torch.testing.assert_close(terms[f"{part}real"], F.softplus(-of_prior[part]).mean())
        torch.testing.assert_close(terms[f"{part}fake"], F.softplus(scores[part]).mean())
    assert notes["accuracy"] == (of_prior[""] > scores[""]).float().mean()
    sum(terms.values()).backward()
    assert encoder.weight.grad is None, "no gradient of the discriminator's reaches the encoder"
    assert judges[0].factor.grad is not None

    terms = system.generator_loss(batch)
    rebuilt = decoder(torch.cat([z, y], 1))
    torch.testing.assert_close(terms["reconstruction"], (rebuilt - x).square().mean())
    for part in scores:
        torch.testing.assert_close(terms[f"{part}adversarial"], 0.25 * F.softplus(-scores[part]).mean())
    assert len(terms) == 3
    sum(terms.values()).backward()
    assert encoder.weight.grad is not None
    assert decoder.weight.grad is not None


def test_the_few_labels_are_learnt_and_no_others_are_read():
    system = build("aae-semi-supervised", supervised_weight=0.5, input_noise=0.0, style_noise=0.0, labelled=5)
    batch, labelled = batch_of(), Batch({"points": torch.randn(3, 4), "label": torch.tensor([2, 0, 2])})
    terms = system.autoencoder_loss(batch, labelled)
    # examples of a batch meet in its normalisation: those with a label are coded together with the others
    together = system.encoder(torch.cat([batch["points"], labelled["points"]]))
    log_probabilities = together[6:, 2:].log_softmax(1)
    expected = -0.5 * log_probabilities[torch.arange(3), labelled["label"]].mean()
    assert terms["classification"].item() == pytest.approx(expected.item(), rel=1e-5)
    for name, value in system.autoencoding(batch["points"], system.decided(together[:6])).items():
        torch.testing.assert_close(terms[name], value)
    others = Batch({"points": batch["points"], "label": (batch["label"] + 1) % 3})
    again = system.autoencoder_loss(others, labelled)
    assert all(torch.equal(terms[name], again[name]) for name in terms)
    assert system.streams["labelled"].few == 5
    assert system.streams["labelled"].batch_size == 5
    assert [phase.reads for phase in system.game()] == [("data",), ("data", "labelled")]


def test_the_encoder_alone_sees_noise_and_only_while_it_learns():
    system = build("aae-clustering", input_noise=0.5, clusters=3)
    seen: list[Tensor] = []
    system.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    batch = Batch({"points": torch.zeros(500, 4)})
    system.generator_loss(batch)
    system.discriminator_loss(batch)
    system.encode(batch["points"])
    system.cluster(batch["points"])
    assert [part.std().item() for part in seen] == pytest.approx([0.5, 0.5, 0, 0], abs=0.03)


def test_a_style_is_drawn_around_its_mean_while_it_learns_and_is_its_mean_after():
    system = build("aae-clustering", input_noise=0.0, style_noise=0.5, clusters=3)
    seen: dict[str, list[Tensor]] = {}
    judges: Any = system.discriminator
    for name, network in {"style": judges[0], "category": judges[1], "decoder": system.generator}.items():
        kept = seen.setdefault(name, [])
        network.register_forward_pre_hook(lambda _, inputs, kept=kept: kept.append(inputs[0].detach()))
    batch = Batch({"points": torch.randn(1, 4).expand(4000, 4)})  # examples that are all alike
    means = system.code(batch["points"]).detach()
    system.discriminator_loss(batch)
    system.generator_loss(batch)
    (_, judged, passing), (_, *categories), (decoded,) = seen["style"], seen["category"], seen["decoder"]
    for z in (judged, passing):
        torch.testing.assert_close(z.mean(0), means[0, :2], atol=0.03, rtol=0)
        assert z.std(0).tolist() == pytest.approx([0.5, 0.5], abs=0.03)
    assert all(torch.equal(y, means[:, 2:]) for y in categories)
    assert torch.equal(decoded, torch.cat([passing, means[:, 2:]], 1))  # what is rebuilt from is what is judged
    assert torch.equal(system.encode(batch["points"]), system.encode(batch["points"]))


@pytest.mark.parametrize("name", ["aae-semi-supervised", "aae-clustering"])
def test_each_layer_of_an_encoder_with_a_category_is_normalised(name: str):
    system = build(name, depth=2)
    x = 3 * torch.randn(500, 4) + 5
    seen: list[Tensor] = []
    for layer in system.encoder.modules():
        if isinstance(layer, nn.BatchNorm1d):
            layer.register_forward_hook(lambda _, inputs, output: seen.append(output))
    system.encoder(x)
    assert [part.shape[1] for part in seen[:2]] == [8, 8]
    assert len(seen) == 3
    for part in seen:
        assert part.mean(0).abs().max() < 1e-4
        assert (part.var(0, unbiased=False) > 0.9).all()


# --- what can be done with them ---


@pytest.mark.parametrize("name", ["aae", "aae-semi-supervised", "aae-clustering"])
def test_codes_are_latents_and_latents_are_as_the_prior_has_them(name: str):
    system = build(name)
    categories = {"aae": 0, "aae-semi-supervised": 3, "aae-clustering": 16}[name]
    part = {"aae": "z", "aae-semi-supervised": "label", "aae-clustering": "category"}[name]
    assert isinstance(system, (Samples, Decodes, Encodes, Reconstructs))
    assert isinstance(system, Classifies) == isinstance(system, Conditional) == (name == "aae-semi-supervised")
    assert isinstance(system, Clusters) == (name == "aae-clustering")
    x = batch_of()["points"]
    codes = system.encode(x)
    latents = system.latents(4800, rng=torch.Generator().manual_seed(0))
    assert codes.shape[1] == latents.shape[1] == 2 + categories
    assert torch.equal(system.reconstruct(x), system.decode(codes))
    assert mmd(torch.randn(1000, 2), latents[:1000, :2], permutations=1).value < 0.003
    if categories:
        place = system.parts[part]
        torch.testing.assert_close(codes[:, place].sum(1), torch.ones(6))
        assert torch.equal(latents[:, place].sum(1), torch.ones(4800))
        assert torch.equal(latents[:, place].amax(1), torch.ones(4800))
        assert latents[:, place].mean(0).tolist() == pytest.approx([1 / categories] * categories, abs=0.03)
        said = system.classify(x) if name == "aae-semi-supervised" else system.cluster(x)
        torch.testing.assert_close(said.exp(), codes[:, place])


def test_samples_are_of_the_class_that_was_asked_for():
    system = build("aae-semi-supervised")
    asked = system.conditions.meet({"label": "b"}, 5, torch.Generator().manual_seed(0))
    latents = system.latents(5, condition=asked, rng=torch.Generator().manual_seed(1))
    free = system.latents(5, rng=torch.Generator().manual_seed(1))
    assert torch.equal(latents[:, system.parts["label"]], asked)
    assert torch.equal(latents[:, :2], free[:, :2])


def test_what_makes_no_sense_is_refused():
    with pytest.raises(UsageError, match="aae-clustering"):
        build("aae-semi-supervised", labelled=0)
    with pytest.raises(UsageError, match="from 2"):
        build("aae-clustering", clusters=1)
    assert isinstance(build("aae"), AdversarialAutoencoder)
    image = Spec({"image": Image(1, 8, 8), "label": Label(("a", "b"))})
    assert isinstance(build("aae-semi-supervised", image, generator="dcgan"), SemiSupervisedAAE)
    assert isinstance(build("aae-clustering", image), ClusteringAAE)


# --- learning ---

ON_DIGITS: dict[str, Any] = {"data": "digits", "batch_size": 64, "average": 0.98, "width": 64, "code_units": 64}


def digits() -> tuple[Tensor, Tensor]:
    """The digits as a batch has them, in [-1, 1], and their labels."""
    data = load_digits()
    return torch.from_numpy(data.images).float()[:, None] / 8 - 1, torch.from_numpy(data.target)


def trained(recipe: str, out: Path, **options: Any) -> Any:
    torch.set_num_threads(1)
    return kallima.load(kallima.train(recipe, **QUIET, **{**ON_DIGITS, **options}, out=out))


def test_codes_come_to_follow_the_prior_at_little_cost(tmp_path: Path):
    found = {}
    images, _ = digits()
    for weight in (0.0, 0.1):
        out = tmp_path / str(weight)
        system = trained("aae", out, steps=400, adversarial_weight=weight, latent_dim=2)
        prior = system.latents(len(images), rng=torch.Generator().manual_seed(0))
        distance = mmd(prior, system.encode(images), permutations=1).value
        found[weight] = distance, (system.reconstruct(images) - images).square().mean().item()
    assert found[0.0][0] > 0.006  # normalised as they are, codes that nobody judges come rather close by themselves
    assert found[0.1][0] < 0.003
    assert found[0.0][1] < 0.7 * images.var(0).mean().item()
    assert found[0.1][1] < 1.3 * found[0.0][1]


def test_few_labels_name_most_digits(tmp_path: Path):
    system = trained("aae-semi-supervised", tmp_path / "run", steps=500, labelled=50, latent_dim=2)
    images, labels = digits()
    right = (system.classify(images).argmax(1) == labels).float().mean().item()
    assert right > 0.85
    asked = F.one_hot(torch.arange(10).repeat(20), 10).float()
    made = system.sample(200, condition=asked, rng=torch.Generator().manual_seed(0))
    recovered = (system.classify(made).argmax(1) == asked.argmax(1)).float().mean().item()
    assert recovered > 0.3


def test_clusters_are_made_of_digits(tmp_path: Path):
    system = trained("aae-clustering", tmp_path / "run", steps=400, latent_dim=2)
    images, labels = digits()
    clusters = system.cluster(images).argmax(1)
    assert named_accuracy(labels.numpy(), clusters.numpy()).value > 0.7
    assert (torch.bincount(clusters, minlength=16) > 20).sum() >= 12
