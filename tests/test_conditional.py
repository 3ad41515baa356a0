"""Games under conditions: what the networks make of a condition, and how a run is asked for what it was told of."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import kallima
from kallima.cli import main
from kallima.data.batch import Batch
from kallima.data.opening import open_source
from kallima.data.spec import Attributes, Image, Label, Points, Spec
from kallima.errors import DataError, UsageError
from kallima.layers.conditional_norm import ConditionalBatchNorm2d
from kallima.networks.conditional import ConcatenationDiscriminator, ProjectionDiscriminator
from kallima.networks.discriminator import Discriminator
from kallima.networks.mlp import MLPDiscriminator
from kallima.recipe import get_recipe
from kallima.sampling.drawing import draw
from tests.test_learning import QUIET

LABELLED = Spec({"image": Image(1, 8, 8), "label": Label(("a", "b", "c")), "attributes": Attributes(("bold",))})


def test_conditional_batch_norm_is_a_scale_and_a_shift_a_class():
    layer, x = ConditionalBatchNorm2d(2, 3), torch.randn(6, 2, 4, 4)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    out = layer(x, nn.functional.one_hot(labels, 3).float())
    normal = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    table = layer.scale_and_shift.weight  # (4, 3): scales, then shifts, a column a class
    for row, label in enumerate(labels):
        scale, shift = 1 + table[:2, label], table[2:, label]
        torch.testing.assert_close(out[row], normal[row] * scale[:, None, None] + shift[:, None, None])


def test_the_projection_is_the_inner_product_with_the_class_vector():
    judge = ProjectionDiscriminator(MLPDiscriminator((1, 4, 4), width=5, depth=1), 3)
    x, labels = torch.randn(4, 1, 4, 4), torch.tensor([2, 0, 1, 1])
    scores = judge(x, nn.functional.one_hot(labels, 3).float())
    features = judge.features(x)
    by_hand = [judge.head(f)[0] + judge.embedding.weight[:, y] @ f for f, y in zip(features, labels, strict=True)]
    torch.testing.assert_close(scores, torch.stack(by_hand))


def test_the_concatenation_shows_each_number_as_a_plane():
    class Recorder(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen = x
            return x.flatten(1)

    body = Recorder()
    judge = ConcatenationDiscriminator(Discriminator(body, nn.Linear(3 * 4, 1)))
    x, condition = torch.randn(2, 1, 2, 2), torch.tensor([[0.0, 1.0], [0.5, -2.0]])
    judge(x, condition)
    assert torch.equal(body.seen[:, :1], x)
    assert torch.equal(body.seen[:, 1:], condition[:, :, None, None].expand(2, 2, 2, 2))


@pytest.mark.parametrize("name", ["cgan", "projection-gan"])
def test_real_and_fake_are_judged_under_the_batchs_own_conditions(name: str):
    torch.manual_seed(0)
    system: Any = get_recipe(name).build(LABELLED, width=8, latent_dim=4)
    labels, bold = torch.tensor([0, 1, 2, 1]), torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    batch = Batch({"image": torch.rand(4, 1, 8, 8), "label": labels, "attributes": bold})
    asked = []
    system.generator.register_forward_pre_hook(lambda _, inputs: asked.append(inputs[0][:, 4:]))
    judged = []
    system.discriminator.register_forward_pre_hook(lambda _, inputs: judged.append(inputs[1]))
    _, notes = system.discriminator_loss(batch)
    system.generator_loss(batch)
    expected = torch.cat([nn.functional.one_hot(labels, 3).float(), bold], 1)
    assert len(asked) == 2
    assert all(torch.equal(each, expected) for each in asked)
    assert all(torch.equal(each, expected) for each in torch.cat(judged).split(4))
    assert torch.equal(notes["condition"], expected)


def test_a_condition_may_be_chosen_and_must_be_there():
    system: Any = get_recipe("cgan").build(LABELLED, width=8, condition_on=("attributes",))
    assert list(system.parts) == ["z", "bold"]
    with pytest.raises(DataError, match="needs 'values'"):
        get_recipe("cgan").build(LABELLED, condition_on=("values",))
    with pytest.raises(UsageError, match="did you mean 'label'"):
        get_recipe("cgan").build(LABELLED, condition_on=("lable",))
    with pytest.raises(UsageError, match="--pack has no place"):
        get_recipe("cgan").build(LABELLED, pack=2)


def test_points_can_be_conditional():
    spec = Spec({"points": Points(2), "label": Label(("left", "right"))})
    system: Any = get_recipe("cgan").build(spec, width=8, r1=1.0)
    batch = Batch({"points": torch.randn(4, 2), "label": torch.tensor([0, 1, 0, 1])})
    terms, _ = system.discriminator_loss(batch)
    assert terms["r1"] > 0
    assert draw(system, 5, seed=0, wishes={"label": "left"}).shape == (5, 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits under their labels."""
    out = tmp_path_factory.mktemp("conditional") / "run"
    options: dict[str, Any] = {**QUIET, "width": 16, "average": 0.98, "learning_rate": 1e-3}
    return kallima.train("projection-gan", data="digits", steps=400, batch_size=32, out=out, **options).path


def test_samples_are_of_the_class_that_is_asked_for(run: Path):
    """A nearest-centroid classifier of the real digits, itself right on 90 %, recognises the class; chance is 10 %."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    centres = np.stack([digits.images[digits.target == k].mean(0).ravel() for k in range(10)]) / 16
    samples = kallima.sample(run, 40, condition="label=*").astype(np.float64).reshape(400, -1) / 255
    nearest = ((samples[:, None] - centres) ** 2).sum(2).argmin(1)
    assert (nearest == np.repeat(np.arange(10), 40)).mean() > 0.6


def test_latents_are_the_same_under_every_condition_and_for_any_count(run: Path):
    system: Any = kallima.load(run)
    latents = []
    system.generator.register_forward_pre_hook(lambda _, inputs: latents.append(inputs[0].clone()))
    few = draw(system, 3, seed=5, wishes={"label": "3"})
    many = draw(system, 300, seed=5, wishes={"label": "7"})
    assert torch.equal(latents[0][:16, :64], latents[1][:16, :64])
    assert not torch.equal(latents[0][:16, 64:], latents[1][:16, 64:])
    assert np.array_equal(few, draw(system, 3, seed=5, wishes={"label": "3"}))
    assert many.shape == (300, 8, 8, 1)
    left_open = draw(system, 20, seed=5)
    assert np.array_equal(left_open[:4], draw(system, 4, seed=5))


def test_the_command_writes_rows_and_tells_what_was_asked(run: Path, tmp_path: Path):
    words = ["sample", str(run), "-n", "3", "--condition", "label=4; label=2"]
    assert main([*words, "--out", f"{tmp_path}/made/"]) == 0
    with (tmp_path / "made" / "metadata.csv").open() as table:
        assert [row["label"] for row in csv.DictReader(table)] == ["4"] * 3 + ["2"] * 3
    assert main([*words, "--out", str(tmp_path / "made.npz")]) == 0
    assert np.load(tmp_path / "made.npz")["label"].tolist() == ["4"] * 3 + ["2"] * 3
    assert open_source(str(tmp_path / "made")).fields["label"] == Label(("2", "4"))


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("label=Q", "label has no class 'Q'; there is 0, 1, 2"),
        ("lable=3", "nothing called 'lable' can be asked for; did you mean 'label'?"),
        ("label", "cannot read the condition 'label': write it as label=0"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], condition: str, message: str
):
    assert main(["sample", str(run), "--condition", condition, "--out", str(tmp_path / "x.png")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_unconditional_system_is_asked_in_vain(tmp_path: Path):
    other = kallima.train("gan", data="digits", steps=1, batch_size=8, width=8, out=tmp_path / "run", **QUIET)
    with pytest.raises(UsageError, match="GAN cannot be asked for anything"):
        kallima.sample(other, 2, condition="label=3")
