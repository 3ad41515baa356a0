"""Images of captions: the terms of the game, whose gradients go where, and a game that learns to read."""

import math
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import kallima
from kallima.data.batch import Batch
from kallima.data.spec import Image, Spec, Text
from kallima.objectives.matching import matching_aware
from kallima.recipe import get_recipe

WORDS = Text("word", ("left", "right", "bar"), 3)
SPEC = Spec({"image": Image(1, 16, 16), "text": WORDS})


def batch(codes: list[list[int]]) -> Batch:
    rng = torch.Generator().manual_seed(0)
    return Batch({"image": torch.rand(len(codes), 1, 16, 16, generator=rng) * 2 - 1, "text": torch.tensor(codes)})


def system(recipe: str = "gan-cls", **arguments: Any) -> Any:
    torch.manual_seed(0)
    return get_recipe(recipe).build(SPEC, width=8, latent_dim=4, reading_width=8, **arguments)


def test_the_terms_are_those_of_the_algorithm():
    right, fake, wrong = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.0]), torch.tensor([1.0, 3.0])
    terms = matching_aware(right, fake, wrong, torch.tensor([1.0, 0.0]))  # the second pair is right after all
    sigmoid = torch.sigmoid
    assert terms["real"].item() == pytest.approx(-sigmoid(right).log().mean().item())
    assert terms["fake"].item() == pytest.approx(-0.5 * (1 - sigmoid(fake)).log().mean().item())
    assert terms["wrong"].item() == pytest.approx(-0.5 * math.log(1 - sigmoid(wrong)[0].item()))
    assert matching_aware(right, fake, wrong, torch.zeros(2))["wrong"] == 0


def test_a_real_image_with_anothers_caption_is_told_as_false():
    own = system()
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def judge(examples: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        seen.append((examples, told))
        return examples.flatten(1).sum(1) * 0 + torch.arange(len(examples)).float()

    own.discriminator.judge.forward = judge
    data = batch([[2, 4, 0], [3, 4, 0], [3, 4, 0]])
    terms, notes = own.discriminator_loss(data)
    examples, told = seen[0]
    read = own.discriminator.reading(data["text"].float())
    assert torch.equal(examples[:3], data["image"])
    assert torch.equal(examples[6:], data["image"])
    torch.testing.assert_close(told, torch.cat([read, read, read.roll(1, 0)]))
    # the caption before the third is its own: only the first two are wrong
    assert terms["wrong"].item() == pytest.approx(0.5 * F.softplus(torch.tensor([6.0, 7.0])).mean().item())
    assert torch.equal(notes["condition"], data["text"].float())


def test_each_player_learns_to_read_for_itself():
    own = system()
    data = batch([[2, 4, 0], [3, 4, 0]])
    sum(own.discriminator_loss(data)[0].values()).backward()
    assert all(weight.grad is None for weight in own.reading.parameters())
    assert any(
        weight.grad is not None and weight.grad.abs().sum() > 0 for weight in own.discriminator.reading.parameters()
    )
    names = {phase.player.name: {id(p) for p in phase.player.parameters()} for phase in own.game()}
    assert {id(p) for p in own.reading.parameters()} <= names["generator"]
    assert {id(p) for p in own.discriminator.reading.parameters()} <= names["discriminator"]


def test_halfway_captions_lie_between_both_readings():
    own = system("gan-int", interpolated=2.0)
    data = batch([[2, 4, 0], [3, 4, 0]])
    made: list[torch.Tensor] = []
    judged: list[torch.Tensor] = []
    own.generator.register_forward_pre_hook(lambda _, inputs: made.append(inputs[0][:, own.parts["text"]]))
    own.discriminator.judge.register_forward_pre_hook(lambda _, inputs: judged.append(inputs[1]))
    terms = own.generator_loss(data)
    torch.testing.assert_close(made[1], 0.5 * (made[0] + made[0].flip(0)))
    torch.testing.assert_close(judged[1], 0.5 * (judged[0] + judged[0].flip(0)))
    assert set(terms) == {"adversarial", "interpolated"}
    assert set(system("gan-int", interpolated=0.0).generator_loss(data)) == {"adversarial"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bar on the left or on the right, bright or dim; "bright right" is never seen."""
    rng = np.random.default_rng(0)
    images, texts = rng.integers(0, 30, (384, 16, 16)).astype(np.uint8), []
    for number, image in enumerate(images):
        light, side = (("bright", "left"), ("dim", "left"), ("dim", "right"))[number % 3]
        start = 2 if side == "left" else 9
        image[:, start : start + 4] += {"bright": 220, "dim": 110}[light]
        texts.append(f"a {light} bar on the {side}")
    path = tmp_path_factory.mktemp("bars") / "bars.npz"
    np.savez(path, x=images, text=np.array(texts))
    return path


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    options: dict[str, Any] = {"sample_every": 0, "doctor": "off", "device": "cpu", "average": 0.95, "log_every": 100}
    options |= {"width": 8, "latent_dim": 8, "reading_width": 16, "steps": 250, "batch_size": 32}
    return kallima.train("gan-cls", data=data, out=data.parent / "run", **options).path


def test_images_show_what_the_caption_says(run: Path):
    """Left is told from right and bright from dim in nine of ten; an untrained generator is right in about half."""
    asked = ["a bright bar on the left", "a dim bar on the left", "a dim bar on the right"]
    samples = kallima.sample(run, 20, condition="; ".join(asked), device="cpu")[..., 0].astype(float)
    left, right = samples[:, :, 2:6].mean((1, 2)), samples[:, :, 9:13].mean((1, 2))
    sides, lights = left > right, np.maximum(left, right) > 180
    assert (sides == np.repeat([True, True, False], 20)).mean() > 0.9
    assert (lights == np.repeat([True, False, False], 20)).mean() > 0.9


def test_the_picture_shows_real_images_beside_what_is_made_of_their_captions(run: Path):
    from PIL import Image as Pillow

    with Pillow.open(run / "samples" / "00000250.png") as picture:
        assert picture.width > picture.height  # eight captions, ten across


def test_latents_hold_what_was_read(run: Path):
    own: Any = kallima.load(run, device="cpu")
    asked = own.conditions.meet({"text": "a dim bar on the left"}, 2)
    latents = own.latents(2, condition=asked, rng=torch.Generator().manual_seed(0))
    torch.testing.assert_close(latents[:, own.parts["text"]], own.told(asked))
    torch.testing.assert_close(
        own.decode(latents), own.sample(2, condition=asked, rng=torch.Generator().manual_seed(0))
    )


def test_images_show_what_is_heard_however_loud_it_is(tmp_path: Path):
    """A low tone is a bar on the left, a high one on the right: told from a file in nine of ten, 20 dB softer too."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 30, (256, 16, 16)).astype(np.uint8)
    sounds, time = np.zeros((256, 1024), np.int16), np.arange(1024) / 8000
    for number, image in enumerate(images):
        high = number % 2
        image[:, 2 + 7 * high : 6 + 7 * high] += 200
        loud, phase = rng.uniform(300, 12_000), rng.uniform(0, 6)
        sounds[number] = loud * np.sin(2 * np.pi * (300, 1500)[high] * time + phase) + rng.normal(0, 20, 1024)
    np.savez(tmp_path / "tones.npz", x=images, audio=sounds, rate=8000)
    options: dict[str, Any] = {"sample_every": 0, "doctor": "off", "device": "cpu", "average": 0.95, "log_every": 100}
    options |= {"width": 8, "latent_dim": 8, "reading_width": 16, "steps": 120, "batch_size": 32}
    run = kallima.train("sound-to-image", data=tmp_path / "tones.npz", out=tmp_path / "run", **options)
    for name, hertz in (("low", 300), ("high", 1500)):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes((8_000 * np.sin(2 * np.pi * hertz * time)).astype("<i2").tobytes())
    asked = [f"{tmp_path / name}.wav{gain}" for name in ("low", "high") for gain in ("", ", gain=-20")]
    samples = kallima.sample(run, 16, condition="; ".join(asked), device="cpu")[..., 0].astype(float)
    left = samples[:, :, 2:6].mean((1, 2)) > samples[:, :, 9:13].mean((1, 2))
    assert (left.reshape(4, 16).mean(1)[:2] > 0.85).all()
    assert (left.reshape(4, 16).mean(1)[2:] < 0.15).all()
