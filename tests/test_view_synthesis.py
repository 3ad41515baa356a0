"""Views of cards in space, and the two ways to show the other one."""

import numpy as np
import pytest
import torch
from torch import Tensor

from kallima.data.batch import Batch
from kallima.data.glyph_views import DISTANCE, GlyphViews, card_places, turned
from kallima.data.glyphs import CHARACTERS, Glyphs
from kallima.data.spec import Spec, Values, Video
from kallima.errors import DataError
from kallima.networks.views import warped
from kallima.recipe import get_recipe
from kallima.training.trainer import Trainer


def test_the_eye_sees_the_card_where_it_looks():
    u, v = np.meshgrid(np.linspace(-0.9, 0.9, 7), np.linspace(-0.9, 0.9, 5))
    for angle in (-60, -20, 0, 35):
        x, y = card_places(u, v, angle)
        across, away = x * np.cos(np.deg2rad(angle)), x * np.sin(np.deg2rad(angle))
        assert DISTANCE * across / (DISTANCE + away) == pytest.approx(u, abs=1e-12)
        assert DISTANCE * y / (DISTANCE + away) == pytest.approx(v, abs=1e-12)


def test_a_card_that_is_not_turned_is_itself_and_its_mirror_image_turns_the_other_way():
    card = Glyphs().read(5)["image"]
    assert np.array_equal(turned(card, 0), card)
    assert np.array_equal(turned(card[:, ::-1], -40), turned(card, 40)[:, ::-1])
    white = np.full((32, 32, 1), 255, np.uint8)
    rows = (turned(white, 50)[:, :, 0] > 127).sum(0)
    seen = np.flatnonzero(rows)
    assert len(seen) < 32 * 0.75  # narrower
    assert rows[seen[0]] > rows[seen[-1]] + 5  # the right edge is further away
    assert rows[seen[0]] == 32


def test_pairs_are_of_one_glyph_and_the_value_is_the_angle_between():
    source = GlyphViews("test")
    examples = [source.read(index) for index in range(60)]
    turns = np.array([each["values"][0] for each in examples])
    assert set(turns % 10) == {0}
    assert abs(turns).max() <= 120
    field = source.fields["values"]
    spread = GlyphViews("train")._drawn
    assert np.diff(spread[:, 1:], axis=1).std() == pytest.approx(field.scale[0], rel=0.03)
    for each, (glyph, *angles) in zip(examples, source._drawn, strict=False):
        card = Glyphs("test").read(int(source._chosen[glyph]))["image"]
        assert all(np.array_equal(frame, turned(card, at)) for frame, at in zip(each["video"], angles, strict=True))
        assert each["values"][0] == angles[1] - angles[0]
    assert sum((each["video"][0] != each["video"][1]).any() for each in examples) > 40
    assert source.fingerprint() == GlyphViews("test").fingerprint() != GlyphViews("train").fingerprint()


def test_no_character_is_in_both_splits():
    seen = []
    for split in ("train", "test"):
        source = GlyphViews(split)
        chosen = source._chosen[source._drawn[:, 0]]
        seen.append({Glyphs(split).label(int(index)) for index in chosen[:2000]})
    assert not seen[0] & seen[1]
    assert len(seen[0] | seen[1]) == len(CHARACTERS)


def test_a_flow_looks_pixels_up():
    pictures = torch.rand(2, 3, 6, 7)
    flow = torch.zeros(2, 2, 6, 7)
    torch.testing.assert_close(warped(pictures, flow), pictures)
    flow[0, 0], flow[1, 1] = 2, -1
    moved = warped(pictures, flow)
    torch.testing.assert_close(moved[0, :, :, :5], pictures[0, :, :, 2:])
    torch.testing.assert_close(moved[0, :, :, 5:], pictures[0, :, :, 6:].expand(3, 6, 2))  # the border goes on
    torch.testing.assert_close(moved[1, :, 1:], pictures[1, :, :-1])
    halfway = warped(pictures, torch.tensor([0.5, 0.0])[None, :, None, None].expand(2, 2, 6, 7))
    torch.testing.assert_close(halfway[..., :-1], (pictures[..., :-1] + pictures[..., 1:]) / 2)


def test_the_flow_has_the_gradient_of_what_it_looks_up():
    rng = torch.Generator().manual_seed(0)
    pictures = torch.rand(1, 2, 5, 5, generator=rng, dtype=torch.float64)
    flow = torch.rand(1, 2, 5, 5, generator=rng, dtype=torch.float64) * 0.8 + 0.1  # between pixels
    assert torch.autograd.gradcheck(lambda each: warped(pictures, each)[..., :4, :4], flow.requires_grad_())


SHIFTS = Spec({"video": Video(2, 1, 8, 8), "values": Values(("right",), (0.0,), (1.0,))})


class Shifts:
    """Noise that is shifted by −1, 0 or 1 pixel, round about."""

    def __init__(self) -> None:
        self.position = 0

    def next(self, count: int = 32) -> Batch:
        self.position += 1
        rng = torch.Generator().manual_seed(self.position)
        first = torch.randint(2, (count, 1, 8, 8), generator=rng) * 2.0 - 1
        shift = torch.randint(-1, 2, (count,), generator=rng)
        second = torch.stack([each.roll(int(by), -1) for each, by in zip(first, shift, strict=True)])
        return Batch({"video": torch.stack([first, second], 1), "values": shift[:, None].float()})

    def seek(self, position: int) -> None:
        self.position = position


def error_after_training(recipe: str, steps: int) -> float:
    torch.manual_seed(0)
    system = get_recipe(recipe).build(SHIFTS, width=8, code=16, learning_rate=5e-3)
    trainer = Trainer(system, {"data": Shifts()}, steps=steps)
    for _ in range(steps):
        trainer.play()
    stream = Shifts()
    stream.seek(10**6)
    batch = stream.next(200)
    known = torch.tensor([True, False])[None, :, None, None].expand(200, 2, 8, 8)
    made = system.complete(batch["video"], known, condition=system.conditions.vectors(batch))
    assert torch.equal(made[:, 0], batch["video"][:, 0])
    inner = slice(1, -1)  # what comes round the border is not beside it
    return (made[:, 1, ..., inner] - batch["video"][:, 1, ..., inner]).abs().mean().item()


def test_what_can_be_looked_up_need_not_be_learned_by_heart():
    flow, direct = error_after_training("view-flow", 150), error_after_training("view-direct", 150)
    assert flow < 0.45  # noise that was never seen: nothing but a shift helps
    assert flow < direct / 2


def pair(count: int) -> tuple[Tensor, Tensor]:
    examples = torch.rand(count, 2, 1, 8, 8) * 2 - 1
    return examples, torch.tensor([True, False])[None, :, None, None].expand(count, 2, 8, 8).clone()


@pytest.mark.parametrize("recipe", ["view-flow", "view-direct"])
def test_the_view_follows_the_condition_and_what_is_known_stays(recipe):
    torch.manual_seed(0)
    system = get_recipe(recipe).build(SHIFTS, width=8, code=16)
    examples, known = pair(6)
    known[:, 1, 3] = True
    near, far = (system.complete(examples, known, condition=torch.full((6, 1), turn)) for turn in (0.1, 3.0))
    assert torch.equal(near[:, 0], examples[:, 0])
    assert torch.equal(near[:, 1, :, 3], examples[:, 1, :, 3])
    assert (near[:, 1] - far[:, 1]).abs().max() > 1e-3
    assert near.abs().max() <= 1
    one, other = (system.complete(examples, known, rng=torch.Generator().manual_seed(seed)) for seed in (1, 1))
    assert torch.equal(one, other)  # the condition drawn with the generator
    blank = system.complete(examples, torch.zeros_like(known))
    assert (blank[:, 0] == -1).all()


def test_videos_of_more_frames_are_refused():
    spec = Spec({**SHIFTS.fields, "video": Video(3, 1, 8, 8)})
    with pytest.raises(DataError, match="these videos have 3"):
        get_recipe("view-flow").build(spec)
