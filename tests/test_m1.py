"""M1, M1 + M2 and M2 without labels: terms by hand, the bound by an integral, whose turn it is, and learning."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Categorical, Normal

import kallima
from kallima.data.batch import Batch
from kallima.data.spec import Image, Label, Spec
from kallima.errors import UsageError
from kallima.objectives.importance import importance_weighted
from kallima.recipe import get_recipe
from kallima.training.trainer import Trainer
from tests.test_contract import Random
from tests.test_learning import QUIET

SPEC = Spec({"image": Image(1, 8, 8), "label": Label(("a", "b", "c"))})


def build(name: str, latent_dim: int = 2, **arguments: Any) -> Any:
    torch.manual_seed(0)
    return get_recipe(name).build(SPEC, width=12, latent_dim=latent_dim, **arguments)


def images_of(count: int = 5) -> torch.Tensor:
    return torch.rand(count, 1, 8, 8).round() * 2 - 1


def digits(folder: Path, classes: tuple[int, ...] = tuple(range(10))) -> Path:
    from sklearn.datasets import load_digits

    found = load_digits()
    chosen = np.isin(found.target, classes)
    white = np.uint8(255) * (found.images[chosen] > 8).astype(np.uint8)
    np.savez(folder / "digits.npz", images=white, labels=found.target[chosen])
    return folder / "digits.npz"


def errors_of(name: str, data: Path, steps: int, **options: Any) -> dict[str, float]:
    torch.set_num_threads(1)
    run = kallima.train(name, data=data, steps=steps, batch_size=64, out=data.parent / "run", **{**QUIET, **options})
    found = kallima.evaluate(run, metrics=["error", "baseline-error"], device="cpu")
    return {score.metric: score.value for score in found}


@pytest.mark.parametrize("name", ["m1", "m1-m2"])
def test_codes_are_learned_first_and_stand_still_while_classes_are(name: str):
    system = build(name, first=0.5)
    trainer = Trainer(system, {stream: Random(SPEC) for stream in ("data", "labelled")}, steps=4)
    lower = [system.encoder.output.weight, system.decoder.output.weight]
    upper = [system.classifier[-1].weight] if name == "m1" else [system.upper.sorter.output.weight]
    history = []
    for _ in range(4):
        trainer.play()
        history.append([value.detach().clone() for value in (*lower, *upper)])
    for place in (0, 1):
        assert not torch.equal(history[0][place], history[1][place])
        assert torch.equal(history[1][place], history[3][place])
    assert torch.equal(history[0][2], history[1][2])
    assert not torch.equal(history[2][2], history[3][2])


def test_certainty_is_the_entropy_of_each_less_that_of_all(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    system = build("m1", certainty=3.0)
    system.likelihood.target = lambda x: x
    images, known, labels = images_of(6), images_of(4), torch.tensor([2, 0, 1, 1])
    terms = system.classifier_loss(Batch({"image": images}), Batch({"image": known, "label": labels}))
    each = Categorical(logits=system.classifier(system.encoder(images)[:, :2]))
    whole = Categorical(probs=each.probs.mean(0))
    torch.testing.assert_close(terms["uncertainty"], 3 * (each.entropy().mean() - whole.entropy()))
    own = system.classify(known)[torch.arange(4), labels]
    torch.testing.assert_close(terms["classification"], -own.mean())
    assert list(build("m1", certainty=0.0).classifier_loss(*[Random(SPEC).next()] * 2)) == ["classification"]


def test_the_upper_model_reads_codes_and_the_lower_gets_no_gradient(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    system = build("m1-m2", classification=7.0, style=3, units=9)
    system.likelihood.target = lambda x: x
    images, known, labels = images_of(6), images_of(4), torch.tensor([2, 0, 1, 1])
    terms, notes = system.upper_loss(Batch({"image": images}), Batch({"image": known, "label": labels}))
    sum(terms.values()).backward()
    assert all(p.grad is None for p in [*system.encoder.parameters(), *system.decoder.parameters()])
    codes = system.encoder(images)[:, None, None, :2]
    assert 0 < notes["used"] <= math.log(3) + 1e-6
    upper, error = system.upper, 0.0
    log_q = upper.sorter(codes).log_softmax(1)
    for y in range(3):
        told = F.one_hot(torch.full((6,), y), 3).float()
        style = upper.encoder(codes, told)[:, :3]
        mean, log_variance = system.code_moments(style, told)
        log_p = Normal(mean, (0.5 * log_variance).exp()).log_prob(codes.flatten(1)).sum(1)
        error = error - (log_q[:, y].exp() * log_p).mean()
    torch.testing.assert_close(terms["reconstruction"], error)
    torch.testing.assert_close(system.classify(images), log_q)
    right = system.baseline.classify(known)[torch.arange(4), labels]
    alone = system.baseline_loss(Batch({"image": known, "label": labels}))
    torch.testing.assert_close(alone["classification"], -right.mean())


def test_the_bound_of_both_is_that_which_an_integral_gives():
    """With one number in either code, p(x) = Σ_y 1/K ∫∫ N(z₂; 0, 1) p(z₁ | y, z₂) p(x | z₁) can be had on a grid."""
    system, images = build("m1-m2", latent_dim=1, style=1, units=9), images_of(3)
    system.likelihood.target = lambda x: x
    for network in (system.encoder, system.upper.encoder):  # wide enough that few draws weigh much
        network.output.weight.data *= 0.1
        network.output.bias.data.copy_(torch.tensor([0.3, 0.4]))
    z2, z1 = (torch.linspace(-8, 8, 801) for _ in range(2))
    step = (z1[1] - z1[0]).item()
    density = torch.zeros(len(z1))
    for y in range(3):
        told = F.one_hot(torch.full((len(z2),), y), 3).float()
        with torch.no_grad():
            mean, log_variance = system.code_moments(z2[:, None], told)
        given = Normal(mean, (0.5 * log_variance).exp()).log_prob(z1[None]).exp()
        density += (Normal(0.0, 1.0).log_prob(z2).exp()[:, None] * given).sum(0) * step / 3
    assert density.sum().item() * step == pytest.approx(1, abs=1e-3)
    with torch.no_grad():
        logits = system.decoder(z1[:, None])
    truth = []
    for image in images:
        target = ((image + 1) / 2).expand_as(logits)
        log_p = -F.binary_cross_entropy_with_logits(logits, target, reduction="none").flatten(1).sum(1)
        truth.append((density.double() * log_p.double().exp()).sum() * step)
    torch.manual_seed(0)
    weights = system.log_weights_of(Batch({"image": images}), 3000)
    torch.testing.assert_close(importance_weighted(weights).double(), torch.stack(truth).log(), atol=0.1, rtol=0)


def test_a_latent_is_style_noise_and_class_and_comes_back_from_what_it_made():
    system = build("m1-m2", latent_dim=4, style=3, units=9)
    latents = system.latents(6, rng=torch.Generator().manual_seed(0))
    assert latents.shape == (6, 10)
    assert system.parts == {"z": slice(0, 7), "label": slice(7, 10)}
    assert torch.equal(latents[:, 7:].sum(1), torch.ones(6))
    asked = F.one_hot(torch.tensor([1, 2]), 3)
    assert torch.equal(system.latents(2, condition=asked)[:, 7:], asked.float())
    seen = []
    system.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = images_of()
    system.reconstruct(images)
    torch.testing.assert_close(seen[0], system.mean_codes(images))
    assert torch.equal(system.encode(images)[:, 7:].argmax(1), system.classify(images).argmax(1))


def test_values_out_of_range_are_one_line():
    with pytest.raises(UsageError, match="--labelled and --units count from 1"):
        build("m1", first=1.0)
    with pytest.raises(UsageError, match="--labelled, --style and --units count from 1"):
        build("m1-m2", style=0)
    with pytest.raises(UsageError, match="--clusters counts from 2"):
        build("m2-unsupervised", clusters=1)


def test_the_control_has_the_bound_of_m2_without_labels(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    control, supervised = build("m2-unsupervised", clusters=3), build("m2")
    supervised.load_state_dict(control.state_dict(), strict=False)
    control.likelihood.target = supervised.likelihood.target = lambda x: x
    known = Batch({"image": images_of(2), "label": torch.tensor([0, 1])})
    images = Batch({"image": images_of()})
    terms, notes = control.loss(images)
    others, _ = supervised.loss(images, known)
    torch.testing.assert_close(terms, {name: others[name] for name in terms})
    frequency = control.cluster(images["image"]).exp().mean(0)
    torch.testing.assert_close(notes["used"], Categorical(probs=frequency).entropy())


def test_without_a_mixture_the_class_falls_idle():
    """From a sorter that puts each image surely into some class, though into no class by what it shows."""
    from sklearn.datasets import load_digits

    images = torch.from_numpy(2 * (load_digits().images > 8).astype(np.float32) - 1)[:, None]

    class Digits(Random):
        def next(self) -> Batch:
            self.position += 1
            rng = torch.Generator().manual_seed(self.position)
            return Batch({"image": images[torch.randint(len(images), (64,), generator=rng)]})

    system = get_recipe("m2-unsupervised").build(SPEC, width=64, latent_dim=4, learning_rate=3e-3)
    with torch.no_grad():
        system.sorter.output.weight *= 15
        before = system.loss(Batch({"image": images}))[0]
    trainer = Trainer(system, {"data": Digits(SPEC)}, steps=200)
    for _ in range(200):
        trainer.play()
    with torch.no_grad():
        terms, notes = system.loss(Batch({"image": images}))
    assert before["category"] > 1.5
    assert terms["category"] < 0.1
    assert notes["used"].item() == pytest.approx(math.log(10), abs=0.02)
    assert terms["reconstruction"] + terms["divergence"] < 23  # and not by giving up all else


def test_few_labels_by_codes_beat_the_labels_by_pixels(tmp_path: Path):
    """Binary digits, two labels of each; the baseline sees the same ones."""
    options: dict[str, Any] = {"width": 128, "latent_dim": 6, "learning_rate": 3e-3, "labelled": 20, "units": 64}
    error = errors_of("m1", digits(tmp_path), 1200, **options, first=0.6, certainty=2.0)
    assert error["error"] < 0.9 * error["baseline-error"]
    assert error["error"] < 0.32


def test_one_label_of_each_class_is_enough_where_classes_are_apart(tmp_path: Path):
    """Zeros, threes, fours and sixes, a label each; the baseline sees the same codes."""
    options: dict[str, Any] = {"width": 128, "latent_dim": 6, "learning_rate": 3e-3, "labelled": 4, "units": 64}
    error = errors_of("m1-m2", digits(tmp_path, (0, 3, 4, 6)), 1200, **options, style=2, first=0.4, classification=3.0)
    assert error["error"] < 0.7 * error["baseline-error"]
    assert error["error"] < 0.2
