"""Deep feature consistent autoencoders: what features are, what their distance is, whose weights move, and learning."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import kallima
from kallima.data.spec import Image, Label, Spec
from kallima.errors import DataError, UsageError
from kallima.networks.perceptual import SmallFeatures, VGG19Features
from kallima.objectives.perceptual import unlikeness
from kallima.recipe import get_recipe
from kallima.system import ScoresLikelihood
from kallima.training.trainer import Trainer
from tests.test_contract import Random
from tests.test_learning import QUIET

SPEC = Spec({"image": Image(1, 8, 8)})
LABELLED = Spec({"image": Image(1, 8, 8), "label": Label(("a", "b", "c"))})
PUBLISHED = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512, 512, 512, 512, "pool", 512)
"""The published network, up to the first convolution of its fifth block."""


def build(spec: Spec = SPEC, **arguments: Any) -> Any:
    torch.manual_seed(0)
    return get_recipe("dfc-vae").build(spec, width=16, latent_dim=3, **arguments)


def published(channels: tuple[Any, ...] = PUBLISHED) -> nn.Sequential:
    """A network that is laid out as the published one, with few of its numbers."""
    torch.manual_seed(1)
    layers: list[nn.Module] = []
    before = 3
    for each in channels:
        if each == "pool":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(before, each, 3, padding=1), nn.ReLU()]
            before = each
    return nn.Sequential(*layers)


def test_unlikeness_is_half_the_share_of_the_variance_that_is_missed():
    torch.manual_seed(0)
    wanted = [7 * torch.randn(5, 3, 4, 4) + torch.arange(3.0).view(3, 1, 1), 0.01 * torch.randn(5, 2, 2, 2)]
    means = [f.mean((0, 2, 3), keepdim=True).expand_as(f) for f in wanted]
    torch.testing.assert_close(torch.stack(unlikeness(wanted, means)), torch.tensor([0.5, 0.5]))
    halfway = [0.5 * (f + mean) for f, mean in zip(wanted, means, strict=True)]
    torch.testing.assert_close(torch.stack(unlikeness(wanted, halfway)), torch.tensor([0.125, 0.125]))
    own = unlikeness(wanted, [f + 1 for f in wanted])[0]
    centred = wanted[0] - means[0]
    torch.testing.assert_close(own, 0.5 / centred.square().mean())
    assert torch.stack(unlikeness([torch.ones(2, 1, 2, 2)], [torch.ones(2, 1, 2, 2)])).item() == 0  # nothing to tell


def test_the_loss_is_the_distance_of_features_and_the_divergence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    system = build(features="random", layers=(3, 1), likeness=50.0, beta=2.0)
    batch = Random(SPEC).next()
    terms = system.loss(batch)
    mean, log_variance = system.encoder(batch["image"]).chunk(2, 1)
    rebuilt = torch.tanh(system.decoder(mean) / 2)
    torch.testing.assert_close(rebuilt, system.reconstruct(batch["image"]))
    first, _, third = system.features.convolutions
    second = system.features.convolutions[1]
    for place, deep in ((1, True), (2, False)):
        maps = []
        for images in (batch["image"], rebuilt):
            found = first(images).relu()
            maps.append(third(second(found).relu()).relu() if deep else found)
        torch.testing.assert_close(terms[f"layer_{place}"], 50 * unlikeness([maps[0]], [maps[1]])[0])
    prior = torch.distributions.Normal(0.0, 1.0)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    cost = torch.distributions.kl_divergence(posterior, prior).sum(1).mean()
    torch.testing.assert_close(terms["divergence"], 2 * cost)


def test_features_of_the_published_layout_are_those_of_the_published_network(tmp_path: Path):
    whole = published()
    weights = {f"features.{name}": value for name, value in whole.state_dict().items()}
    save_file(weights, tmp_path / "vgg19.safetensors")
    torch.save(weights | {"classifier.0.bias": torch.zeros(3)}, tmp_path / "vgg19.pth")
    images = torch.rand(2, 3, 24, 20) * 2 - 1
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    entered = ((images + 1) / 2 - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    for name in ("vgg19.safetensors", "vgg19.pth"):
        network = VGG19Features(Image(3, 24, 20), str(tmp_path / name), layers=(5, 1, 2, 3, 4))
        found = network(images)
        # the ReLUs of conv1_1, conv2_1, conv3_1, conv4_1 and conv5_1 are the published layers 1, 6, 11, 20 and 29
        for maps, layer in zip(found, (29, 1, 6, 11, 20), strict=True):
            torch.testing.assert_close(maps, whole[: layer + 1](entered))
    grey = VGG19Features(Image(1, 24, 20), str(tmp_path / "vgg19.pth"))
    torch.testing.assert_close(grey(images[:, :1])[0], network(images[:, :1].expand(-1, 3, -1, -1))[1])


def test_a_file_that_is_no_such_network_is_one_line(tmp_path: Path):
    weights = {f"features.{name}": value for name, value in published(PUBLISHED[:4]).state_dict().items()}
    save_file(weights, tmp_path / "short.safetensors")
    with pytest.raises(DataError, match=r"no VGG-19 in torchvision's layout: features.7.weight is missing"):
        build(features=str(tmp_path / "short.safetensors"))
    other = {**weights, "features.5.weight": torch.zeros(64, 3, 3, 3)}
    save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match=r"features.5.weight is \(64, 3, 3, 3\), not \(128, 64, 3, 3\)"):
        build(features=str(tmp_path / "other.safetensors"))
    (tmp_path / "text.pth").write_text("these are no weights")
    (tmp_path / "text.safetensors").write_text("these are no weights")
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("text.pth", "text.safetensors", "list.pth"):
        with pytest.raises(DataError, match=f"{name} (cannot be read as weights|holds no VGG-19)"):
            build(features=str(tmp_path / name))
    with pytest.raises(UsageError, match=r"there is no file .*lables: --features is auto, labels, random or"):
        Trainer(build(features="lables"), {"data": Random(SPEC)}, steps=1)


def test_a_model_brings_its_features_along_where_the_file_is_gone(tmp_path: Path):
    weights = {f"features.{name}": value for name, value in published(PUBLISHED[:7]).state_dict().items()}
    file = tmp_path / "vgg19.safetensors"
    save_file(weights, file)
    trained = build(features=str(file))
    Trainer(trained, {"data": Random(SPEC)}, steps=1).play()
    file.unlink()
    loaded = build(features=str(file))
    loaded.load_state_dict(trained.state_dict())
    batch = Random(SPEC).next()
    torch.manual_seed(0)
    terms = trained.loss(batch)
    torch.manual_seed(0)
    torch.testing.assert_close(loaded.loss(batch), terms)
    assert torch.equal(loaded.features.convolutions[2].weight, weights["features.5.weight"])


def test_the_classifier_learns_first_and_stands_still_after():
    system = build(LABELLED, study=0.5)
    assert isinstance(system.features, SmallFeatures)
    trainer = Trainer(system, {"data": Random(LABELLED)}, steps=4)
    history = []
    for _ in range(4):
        scalars = trainer.play()
        state = [system.features.convolutions[0].weight, system.decoder.output.weight]
        history.append([value.clone() for value in state])
        assert ("features/classification" in scalars) == (len(history) <= 2)
        assert ("autoencoder/layer_3" in scalars) == (len(history) > 2)
    assert not torch.equal(history[0][0], history[1][0])
    assert torch.equal(history[1][0], history[3][0])
    assert torch.equal(history[0][1], history[1][1])
    assert not torch.equal(history[1][1], history[2][1])
    assert not system.frozen
    assert build().frozen  # no labels, so random
    assert not isinstance(system, ScoresLikelihood)


def test_values_out_of_range_are_one_line():
    with pytest.raises(UsageError, match="--study is a share"):
        build(study=1.0)
    with pytest.raises(UsageError, match="--features labels needs data with two classes"):
        build(features="labels")
    with pytest.raises(UsageError, match=r"--layers are numbers from 1 to 3 with these features, not \(1, 4\)"):
        build(layers=(1, 4))
    with pytest.raises(UsageError, match="VGG-19's block 5 needs grey or colour images of at least 16 pixels"):
        build(features="vgg19.pth", layers=(5,))


@pytest.mark.parametrize("features", ["labels", "random"])
def test_reconstructions_are_of_the_digit_by_features_that_have_to_be_right(features: str, tmp_path: Path):
    """An untrained model, or one whose codes are given up, makes one image of all digits."""
    options: dict[str, Any] = {"width": 64, "latent_dim": 8, "learning_rate": 3e-3, "features": features}
    run = kallima.train("dfc-vae", data="digits", steps=400, batch_size=64, out=tmp_path / "run", **QUIET, **options)
    model: Any = kallima.load(run, device="cpu")
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images / 8 - 1).float()[:, None]
    made = model.reconstruct(images)
    labels = torch.from_numpy(digits.target)
    centres = torch.stack([images[labels == k].mean(0) for k in range(10)])
    right = torch.cdist(made.flatten(1), centres.flatten(1)).argmin(1) == labels
    assert right.float().mean() > 0.7
    error = (made - images).square().mean()
    assert error < 0.6 * (images - images.mean(0)).square().mean()
    samples = model.sample(500, rng=torch.Generator().manual_seed(0))
    assert (samples.mean(0) - images.mean(0)).abs().mean() < 0.25
    if features == "labels":
        assert (model.features.logits(images).argmax(1) == labels).float().mean() > 0.8
