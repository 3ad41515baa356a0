"""CoGAN: what two domains share, whose fakes each discriminator sees, and pairs that come out of unpaired data."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

import kallima
from kallima.cli import main
from kallima.data.batch import Batch
from kallima.data.dataset import prepare
from kallima.data.opening import open_source
from kallima.data.spec import Image, Label, Spec
from kallima.data.view import View
from kallima.errors import DataError, UsageError
from kallima.networks.coupled import CoupledDiscriminator, CoupledGenerator
from kallima.recipe import get_recipe
from tests.test_learning import QUIET

SPEC = Spec({"image": Image(1, 16, 16), "domain": Label(("digits", "negatives"))})


def build(**arguments: Any) -> Any:
    torch.manual_seed(0)
    return get_recipe("cogan").build(SPEC, width=8, latent_dim=4, **arguments)


def batches(*counts: int) -> list[Batch]:
    torch.manual_seed(1)
    return [Batch({"image": torch.rand(n, 1, 16, 16), "domain": torch.full((n,), i)}) for i, n in enumerate(counts)]


def owners(module: torch.nn.Module, loss: Tensor) -> set[str]:
    """Name the children of a network that a loss moves, a domain's own layers each by its number."""
    module.zero_grad()
    loss.backward()
    moved = {name for name, p in module.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    return {".".join(name.split(".")[: 2 if name.startswith("own") else 1]) for name in moved}


@pytest.mark.parametrize("own_layers", [1, 2])
def test_the_first_layers_of_the_generators_are_shared_and_the_last_are_not(own_layers: int):
    generator = CoupledGenerator(4, Image(1, 16, 16), width=8, own_layers=own_layers)
    first, second = generator.both(torch.randn(3, 4))
    assert first.shape == second.shape == (3, 1, 16, 16)
    assert not torch.equal(first, second)
    assert owners(generator, first.square().sum()) == {"project", "shared", "own.0"}
    assert owners(generator, generator.both(torch.randn(3, 4))[1].square().sum()) == {"project", "shared", "own.1"}
    convolutions = [sum(isinstance(m, torch.nn.ConvTranspose2d) for m in own.modules()) for own in generator.own]
    assert convolutions == [own_layers] * 2


@pytest.mark.parametrize("own_layers", [1, 2])
def test_the_first_layers_of_the_discriminators_are_not_shared_and_the_last_are(own_layers: int):
    discriminator = CoupledDiscriminator(Image(1, 16, 16), width=8, own_layers=own_layers)
    images = torch.rand(3, 1, 16, 16), torch.rand(2, 1, 16, 16)
    scores = discriminator(*images)
    assert [len(each) for each in scores] == [3, 2]
    assert owners(discriminator, discriminator(*images)[0].sum()) == {"own.0", "shared"}
    assert owners(discriminator, discriminator(*images)[1].sum()) == {"own.1", "shared"}
    for each, own, image in zip(scores, discriminator.own, images, strict=True):
        torch.testing.assert_close(each, discriminator.shared(own(image))[:, 0])


def test_each_discriminator_sees_its_own_domain_and_the_loss_is_minus_half_the_value():
    system = build()
    for weight in system.parameters():  # as drawn, all images score so nearly alike that no mistake would show
        torch.nn.init.normal_(weight, 0, 0.3)
    first, second = batches(6, 6)
    torch.manual_seed(5)
    terms, notes = system.discriminator_loss(first, second)
    torch.manual_seed(5)
    fakes = system.generator.both(torch.randn(6, 4))
    judge = [lambda x, own=own: system.discriminator.shared(own(x))[:, 0] for own in system.discriminator.own]
    real = [judge[i](batch["image"]) for i, batch in enumerate((first, second))]
    fake = [judge[i](fakes[i]) for i in range(2)]
    value = sum(r.sigmoid().log().mean() + (1 - f.sigmoid()).log().mean() for r, f in zip(real, fake, strict=True))
    torch.testing.assert_close(sum(terms.values()), -value / 2)
    assert notes["accuracy"] == torch.cat([r > f for r, f in zip(real, fake, strict=True)]).float().mean()
    torch.manual_seed(5)
    (loss,) = system.generator_loss(first, second).values()
    torch.testing.assert_close(loss, torch.cat([softplus(-f) for f in fake]).mean())


def test_batches_of_different_sizes_are_met_by_as_many_fakes_of_each_domain():
    system = build()
    one, other = system.forge_both(*batches(5, 2))
    assert (len(one), len(other)) == (5, 2)
    assert all(torch.isfinite(v) for v in system.discriminator_loss(*batches(5, 2))[0].values())


def test_one_latent_gives_the_pair_and_a_sample_is_of_the_domain_asked_for():
    system = build()
    assert system.parts == {"z": slice(0, 4), "domain": slice(4, 6)}
    conditions = system.conditions.meet({"domain": "negatives"}, 8)
    latents = system.latents(8, condition=conditions, rng=torch.Generator().manual_seed(3))
    system.eval()
    first, second = system.generator.both(latents[:, :4])
    assert torch.equal(system.decode(latents), second)
    turned = torch.cat([latents[:, :4], conditions.flip(1)], 1)
    assert torch.equal(system.decode(turned), first)
    assert torch.equal(system.sample(8, condition=conditions, rng=torch.Generator().manual_seed(3)), second)


def test_unasked_samples_are_of_both_domains():
    system = build()
    latents = system.latents(400, rng=torch.Generator().manual_seed(0))
    assert abs(latents[:, 4].mean() - 0.5) < 0.08
    assert (latents[:, 4:].sum(1) == 1).all()


def test_what_does_not_fit_is_refused():
    three = Spec({"image": Image(1, 16, 16), "domain": Label(("a", "b", "c"))})
    with pytest.raises(DataError, match="cogan needs two domains, and the data has 3: a, b, c"):
        get_recipe("cogan").build(three)
    with pytest.raises(DataError, match=r"needs 'domain' \(Label\), but the data has only image .*trainA and trainB"):
        get_recipe("cogan").build(Spec({"image": Image(1, 16, 16)}))
    for own_layers in (0, 3):
        with pytest.raises(UsageError, match="--own-layers counts convolutions from 1 to the 2"):
            build(own_layers=own_layers)


@pytest.fixture(scope="module")
def negatives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits, every second one of them inverted: no picture is there in both domains."""
    path = tmp_path_factory.mktemp("negatives") / "negatives.npz"
    pixels = np.stack([example["image"][..., 0] for example in open_source("digits").examples()])
    domain = np.arange(len(pixels)) % 2
    pixels = np.where(domain[:, None, None] == 1, 255 - pixels, pixels)
    np.savez(path, x=pixels, domain=domain, domain_names=np.array(["digits", "negatives"]))
    return path


def test_each_stream_reads_one_domain(negatives: Path):
    dataset = prepare(open_source(negatives), View())
    read = {name: portion.of(dataset) for name, portion in build().streams.items()}
    assert {name: set(part.column("domain").tolist()) for name, part in read.items()} == {"first": {0}, "second": {1}}
    assert sum(map(len, read.values())) == len(dataset)


def test_it_learns_pairs_that_it_was_never_shown(negatives: Path, tmp_path: Path):
    """Of a pair of independent samples three pixels in four agree once the negative is turned back."""
    options: dict[str, Any] = {**QUIET, "width": 32, "average": 0.98, "learning_rate": 1e-3}
    run = kallima.train("cogan", data=negatives, steps=400, batch_size=32, out=tmp_path / "run", **options)
    digits, turned = (
        kallima.sample(run, 300, condition=f"domain={name}").astype(float) for name in ("digits", "negatives")
    )
    assert digits.mean() < 110, "a digit is white on black"
    assert len(np.unique((digits > 127).reshape(300, -1), axis=0)) > 150, "samples differ"
    agreement = ((digits > 127) == (255 - turned > 127)).mean()
    others = ((digits > 127) == (255 - np.roll(turned, 1, axis=0) > 127)).mean()
    assert agreement > 0.9
    assert agreement > others + 0.1
    picture = tmp_path / "pairs.png"
    assert main(["sample", str(run.path), "-n", "4", "--condition", "domain=*", "--out", str(picture)]) == 0
    assert picture.stat().st_size > 0
