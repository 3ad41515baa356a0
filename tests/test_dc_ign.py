"""DC-IGN: clips in which one thing changes, a code of which one number may, and the gradients that make it so."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kallima.data.batch import Batch
from kallima.data.glyphs import CHARACTERS, Glyphs
from kallima.data.spec import Label, Spec, Video
from kallima.data.turned_glyphs import FRAMES, LETTERS, RANGES, TurnedGlyphs, seen
from kallima.errors import DataError, UsageError
from kallima.recipe import get_recipe
from kallima.training.trainer import Trainer


def middle(picture: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    ink = picture[:, :, 0].astype(float)
    return np.array([(columns * ink).sum(), (rows * ink).sum()]) / ink.sum()


def test_a_glyph_is_turned_moved_and_made_smaller_as_is_said():
    glyph = Glyphs().read(3)["image"]
    assert np.array_equal(seen(glyph, 0, 0, 1), glyph)
    assert np.array_equal(seen(glyph, 0, 3, 1)[:, 3:], glyph[:, :-3])
    assert np.array_equal(seen(glyph, 90, 0, 1), np.rot90(glyph))  # anticlockwise
    whole, half = glyph.astype(float).sum(), seen(glyph, 0, 0, 0.5).astype(float).sum()
    assert half / whole == pytest.approx(0.25, rel=0.1)
    assert middle(seen(glyph, 30, -4, 0.8))[0] < middle(glyph)[0]


def test_one_thing_changes_in_a_clip_and_the_label_says_which():
    source = TurnedGlyphs("test")
    low, high = np.array(RANGES).T
    starts = []
    for index in range(80):
        example, factors = source.read(index), source.factors(index)
        assert example["video"].shape == (FRAMES, 32, 32, 1)
        changing = [bool(np.ptp(column)) for column in factors.T] + [len(set(source.letters(index))) > 1]
        assert changing == [each == example["label"] for each in range(4)]
        assert (factors >= low).all()
        assert (factors <= high).all()
        assert np.ptp(np.diff(factors, axis=0), axis=0).max() < 1e-9  # in equal steps
        starts.append(factors[0])
        assert all(CHARACTERS[Glyphs("test").label(int(each))] in LETTERS for each in source.letters(index)[:2])
    assert (np.std(starts, 0) > 0.2 * (high - low)).all()
    assert source.fingerprint() == TurnedGlyphs("test").fingerprint() != TurnedGlyphs("train").fingerprint()


SPEC = Spec({"video": Video(4, 1, 8, 8), "label": Label(("right", "down", "thing"))})


class Said(nn.Module):
    """Says what it was told to, whatever it sees."""

    def __init__(self, moments: Tensor):
        super().__init__()
        self.moments = nn.Parameter(moments)

    def forward(self, images: Tensor) -> Tensor:
        return self.moments


def stubbed(moments: Tensor, **arguments):
    torch.manual_seed(0)
    system = get_recipe("dc-ign").build(SPEC, latent_dim=5, **arguments)
    system.encoder = Said(moments)
    return system


def clips(labels: list[int]) -> Batch:
    rng = torch.Generator().manual_seed(0)
    video = torch.randint(2, (len(labels), 4, 1, 8, 8), generator=rng) * 2.0 - 1
    return Batch({"video": video, "label": torch.tensor(labels)})


OWN = torch.tensor([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 1, 1]]).bool()


def test_each_class_has_a_number_and_the_last_has_the_others():
    system = get_recipe("dc-ign").build(SPEC, latent_dim=5)
    assert torch.equal(system.belongs(torch.arange(3)), OWN)


def test_the_gradient_of_what_should_stay_is_its_distance_from_the_mean():
    means = torch.randn(12, 5, generator=torch.Generator().manual_seed(1))
    moments = torch.cat([means, torch.full((12, 5), -40.0)], 1)  # next to no noise
    batch = clips([0, 1, 2])
    system = stubbed(moments, beta=0.0, invariance=0.7)
    terms, _ = system.loss(batch)
    (rebuilding,) = torch.autograd.grad(terms["reconstruction"], system.encoder.moments, retain_graph=True)
    (staying,) = torch.autograd.grad(terms["invariance"], system.encoder.moments)
    own = OWN.repeat_interleave(4, 0)
    assert (rebuilding[:, :5][own] != 0).all()
    assert (rebuilding[:, :5][~own] == 0).all()
    away = means - means.unflatten(0, (3, 4)).mean(1, keepdim=True).expand(3, 4, 5).flatten(0, 1)
    torch.testing.assert_close(staying[:, :5], torch.where(own, 0.0, 0.7 * away / 12), atol=1e-6, rtol=1e-4)


def test_frames_are_rebuilt_from_what_their_clip_has_in_common():
    means = torch.randn(12, 5)
    batch = clips([0, 1, 2])
    losses = []
    for change in (0.0, 0.5):
        moved = means.clone().unflatten(0, (3, 4))
        nudge = torch.tensor([change, -change, 0.0, 0.0])[:, None]  # leaves each mean as it is
        moved += torch.where(OWN[:, None], 0.0, nudge)
        system = stubbed(torch.cat([moved.flatten(0, 1), torch.full((12, 5), -40.0)], 1))
        torch.manual_seed(0)
        losses.append({name: term.item() for name, term in system.loss(batch)[0].items()})
    assert losses[0]["reconstruction"] == pytest.approx(losses[1]["reconstruction"], rel=1e-5)
    assert losses[0]["invariance"] != pytest.approx(losses[1]["invariance"])


def test_the_divergence_is_that_from_the_prior():
    means, log_variances = torch.randn(12, 5), torch.randn(12, 5)
    system = stubbed(torch.cat([means, log_variances], 1), beta=2.0)
    found = system.loss(clips([0, 1, 2]))[0]["divergence"]
    normal = torch.distributions.Normal(means, (0.5 * log_variances).exp())
    wanted = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(found, 2 * wanted)


class Shown(nn.Module):
    """Remembers the codes that it is given."""

    def forward(self, codes: Tensor) -> Tensor:
        self.codes = codes
        return torch.zeros(len(codes), 1, 8, 8)


def test_in_a_sample_changes_what_was_asked_for_and_the_rest_stays():
    system = get_recipe("dc-ign").build(SPEC, latent_dim=5)
    system.decoder = Shown()
    system.sample(6, condition=torch.eye(3).repeat(2, 1), rng=torch.Generator().manual_seed(0))
    codes = system.decoder.codes.unflatten(0, (6, 4))
    changing = codes.diff(dim=1).abs().amax(1) > 0
    assert torch.equal(changing, OWN.repeat(2, 1))
    assert codes[0, :, 0].tolist() == pytest.approx([-1.5, -0.5, 0.5, 1.5])
    assert codes[:, 0].std() > 0.3


def test_data_that_tells_nothing_is_refused():
    with pytest.raises(DataError, match="do not tell what changes"):
        get_recipe("dc-ign").build(Spec({"video": Video(4, 1, 8, 8), "label": Label(("one",))}))
    with pytest.raises(UsageError, match="--latent-dim must be above 2"):
        get_recipe("dc-ign").build(SPEC, latent_dim=2)


class Bars:
    """A white block of 3 × 3 pixels that goes right, goes down, or is of another kind in each frame."""

    def __init__(self) -> None:
        self.position = 0

    def next(self, count: int = 24) -> Batch:
        self.position += 1
        rng = torch.Generator().manual_seed(self.position)
        label = torch.arange(count) % 3
        place = torch.randint(6, (count, 2, 4), generator=rng)
        kind = torch.randint(2, (count, 4), generator=rng)
        place = torch.where(torch.stack([label != 0, label != 1], 1)[..., None], place[..., :1], place)
        kind = torch.where((label != 2)[:, None], kind[:, :1], kind)
        return Batch({"video": blocks(place[:, 0], place[:, 1], kind), "label": label})

    def seek(self, position: int) -> None:
        self.position = position


def blocks(x: Tensor, y: Tensor, kind: Tensor) -> Tensor:
    """Draw blocks whole, or with a hole, at places (…): (…, 1, 8, 8)."""
    rows, columns = torch.arange(8)[:, None], torch.arange(8)
    right, down = (columns - x[..., None, None]), (rows - y[..., None, None])
    inside = (right >= 0) & (right < 3) & (down >= 0) & (down < 3)
    hole = (right == 1) & (down == 1) & (kind == 1)[..., None, None]
    return ((inside & ~hole) * 2.0 - 1)[..., None, :, :]


def test_each_number_comes_to_hold_what_changes_in_its_clips():
    torch.manual_seed(0)
    system = get_recipe("dc-ign").build(SPEC, latent_dim=4, width=64, learning_rate=3e-3, invariance=20.0, beta=0.3)
    trainer = Trainer(system, {"data": Bars()}, steps=260)
    for _ in range(260):
        trainer.play()
    rng = torch.Generator().manual_seed(7)
    x, y = torch.randint(6, (2, 400), generator=rng)
    codes = system.codes_of(blocks(x, y, torch.randint(2, (400,), generator=rng)))
    explained = np.corrcoef(torch.stack([codes[:, 0], codes[:, 1], x, y]).numpy())[:2, 2:] ** 2
    assert explained[0, 0] > 0.7
    assert explained[1, 1] > 0.7
    assert explained[0, 1] < 0.2
    assert explained[1, 0] < 0.2
