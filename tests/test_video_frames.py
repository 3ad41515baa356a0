"""Next frames: what is compared, what is foretold from what, and why an adversary is sharper than a squared error."""

import pytest
import torch
from torch import Tensor

from kallima.data.batch import Batch
from kallima.data.spec import Spec, Video
from kallima.errors import UsageError
from kallima.objectives.frames import gradient_difference, laplacian_energy
from kallima.recipe import get_recipe
from kallima.training.trainer import Trainer


def test_the_gradient_difference_by_hand():
    real = torch.tensor([[[[0.0, 1.0], [0.0, 3.0]]]])
    made = torch.tensor([[[[0.0, -2.0], [1.0, 1.0]]]])
    # along a row |1| and |3| against |2| and |0|; along a column |0| and |2| against |1| and |3|
    assert gradient_difference(made, real).item() == pytest.approx((1 + 3) / 2 + (1 + 1) / 2)
    assert gradient_difference(made, real, power=2).item() == pytest.approx((1 + 9) / 2 + (1 + 1) / 2)
    assert gradient_difference(-real, real) == 0
    assert gradient_difference(real + 7, real) == 0


def test_the_laplacian_energy_of_a_ramp_a_point_and_a_wave():
    x = torch.arange(12.0)
    ramp = (x + 3 * x[:, None])[None, None]
    assert laplacian_energy(ramp).abs().max() < 1e-9
    point = torch.zeros(2, 1, 5, 5)
    point[1, 0, 2, 2] = 2.0
    assert laplacian_energy(point).tolist() == [0.0, pytest.approx((8**2 + 4 * 2**2) / 9)]
    wave = torch.cos(0.7 * x).expand(1, 1, 12, 12)  # its Laplacian is (2 − 2 cos 0.7) times itself
    expected = (2 - 2 * torch.cos(torch.tensor(0.7))) ** 2 * wave[..., 1:-1, 1:-1].square().mean()
    torch.testing.assert_close(laplacian_energy(wave), expected[None])


VIDEOS = Spec({"video": Video(5, 1, 8, 8)})


def counting(count: int) -> Tensor:
    """Videos that are 0.1 (t + 1) throughout frame t."""
    return (0.1 * torch.arange(1.0, 6.0))[None, :, None, None, None].expand(count, 5, 1, 8, 8)


def test_moments_are_frames_and_those_before_them():
    system = get_recipe("frame-mse").build(VIDEOS, context=3, width=4)
    before, frame = system.moments(counting(500))
    now = (frame[:, 0, 0, 0] * 10).round().long()
    assert set(now.tolist()) == {2, 3, 4, 5}
    for step in range(1, 4):
        value = 0.1 * (now - step)
        wanted = torch.where(value > 0.05, value, -1.0)  # black before the first
        torch.testing.assert_close(before[:, 3 - step, 0, 0, 0], wanted)


class Stub(torch.nn.Module):
    """Foretells half of the last frame and a quarter of that before it."""

    def forward(self, before: Tensor) -> Tensor:
        return 0.5 * before[:, -1] + 0.25 * before[:, -2]


def test_what_is_foretold_is_taken_for_given_and_what_is_known_stays():
    system = get_recipe("frame-mse").build(VIDEOS, context=2, width=4)
    system.predictor = Stub()
    examples = torch.zeros(1, 5, 1, 8, 8)
    examples[:, 0], examples[:, 1] = 0.8, 0.4
    examples[:, 3, :, 2, 2] = -0.7
    known = torch.zeros(1, 5, 8, 8, dtype=torch.bool)
    known[:, :2] = True
    known[:, 3, 2, 2] = True
    told = []
    made = system.complete(examples, known, progress=lambda done, total: told.append((done, total)))
    x = [0.8, 0.4]
    for _ in range(3):
        x.append(0.5 * x[-1] + 0.25 * x[-2])
    assert made[0, :, 0, 0, 0].tolist() == pytest.approx(x)
    assert made[0, 3, 0, 2, 2] == pytest.approx(-0.7)
    assert made[0, 4, 0, 2, 2] == pytest.approx(-0.35 + 0.25 * x[2])
    assert told == [(place, 5) for place in range(1, 6)]
    blank = system.complete(examples, torch.zeros_like(known))
    assert blank[0, 0, 0, 0, 0] == pytest.approx(-0.75)  # of blackness
    assert torch.equal(system.complete(examples, torch.ones_like(known)), examples)


def test_what_is_foretold_has_the_range_of_pixels():
    torch.manual_seed(0)
    system = get_recipe("frame-mse").build(VIDEOS, width=4)
    torch.nn.init.normal_(system.predictor.leave[1].weight, 0, 50)
    made = system.complete(torch.randn(4, 5, 1, 8, 8).clamp(-1, 1), torch.zeros(4, 5, 8, 8, dtype=torch.bool))
    assert made.abs().max() == 1


def test_terms_and_players_of_both_recipes():
    plain = get_recipe("frame-mse").build(VIDEOS, width=4)
    assert [phase.name for phase in plain.game()] == ["predictor"]
    both = get_recipe("frame-adversarial").build(VIDEOS, width=4, adversarial=0.5, sharpness=0.25)
    assert [phase.name for phase in both.game()] == ["discriminator", "predictor"]
    batch = Batch({"video": torch.rand(4, 5, 1, 8, 8) * 2 - 1})
    assert list(plain.predictor_loss(batch)) == ["squared"]
    terms = []
    for changes in ({}, {"adversarial": 1.0}, {"sharpness": 1.0}):
        for name, value in changes.items():
            setattr(both, name, value)
        both.eval()
        torch.manual_seed(1)
        terms.append({name: term.item() for name, term in both.predictor_loss(batch).items()})
    first, second, third = terms
    assert second["adversarial"] == pytest.approx(2 * first["adversarial"], rel=1e-4)
    assert third["gradient_difference"] == pytest.approx(4 * first["gradient_difference"], rel=1e-4)
    assert first["squared"] == second["squared"] == third["squared"]
    with pytest.raises(UsageError, match="--context counts frames"):
        get_recipe("frame-mse").build(VIDEOS, context=0)


def test_the_adversary_knows_what_came_before():
    torch.manual_seed(0)
    system = get_recipe("frame-adversarial").build(VIDEOS, context=2, width=4)
    pair = torch.rand(3, 3, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(system.discriminator(pair).sum(), pair)
    assert (gradient.abs().sum((0, 2, 3)) > 0).all()


class Stream:
    """Batches of what `draw` makes of a generator."""

    def __init__(self, draw, size: int = 32):
        self.draw, self.size, self.position = draw, size, 0

    def next(self) -> Batch:
        self.position += 1
        return Batch({"video": self.draw(self.size, torch.Generator().manual_seed(self.position))})

    def seek(self, position: int) -> None:
        self.position = position


def dots(count: int, rng: torch.Generator) -> Tensor:
    """A white pixel that goes on by what it went, round about: (count, 5, 1, 8, 8)."""
    x, y = torch.randint(8, (2, count), generator=rng)
    across, down = torch.randint(-1, 2, (2, count), generator=rng)
    video = torch.full((count, 5, 1, 8, 8), -1.0)
    each = torch.arange(count)
    for frame in range(5):
        video[each, frame, 0, (y + down * frame) % 8, (x + across * frame) % 8] = 1
    return video


def trained(recipe: str, spec: Spec, draw, steps: int, **arguments):
    torch.manual_seed(0)
    system = get_recipe(recipe).build(spec, **arguments)
    trainer = Trainer(system, {"data": Stream(draw)}, steps=steps)
    for _ in range(steps):
        trainer.play()
    return system


def test_it_learns_to_go_on_with_a_movement():
    system = trained("frame-mse", VIDEOS, dots, 150, context=2, width=12, depth=2, learning_rate=5e-3)
    videos = dots(200, torch.Generator().manual_seed(10**6))
    known = torch.ones(200, 5, 8, 8, dtype=torch.bool)
    known[:, 4] = False
    made = system.complete(videos, known)
    error = (made[:, 4] - videos[:, 4]).square().mean()
    still = (videos[:, 3] - videos[:, 4]).square().mean()
    black = (videos[:, 4] + 1).square().mean()
    assert error < 0.5 * min(still, black)


def forks(count: int, rng: torch.Generator) -> Tensor:
    """Two frames: a bar in the middle, then one left or right of it by chance: (count, 2, 1, 8, 8)."""
    video = torch.full((count, 2, 1, 8, 8), -1.0)
    video[:, 0, 0, :, 3:5] = 1
    left = torch.randint(2, (count,), generator=rng).bool()
    video[left, 1, 0, :, 1:3] = 1
    video[~left, 1, 0, :, 5:7] = 1
    return video


def test_where_the_future_forks_the_squared_error_blurs_and_the_adversary_decides():
    spec = Spec({"video": Video(2, 1, 8, 8)})
    arguments = {"context": 1, "width": 8, "depth": 1, "learning_rate": 1e-3}
    sharp = []
    for recipe, more in (("frame-mse", {}), ("frame-adversarial", {"adversarial": 0.3, "sharpness": 0.0})):
        system = trained(recipe, spec, forks, 120, **arguments, **more)
        videos = forks(8, torch.Generator().manual_seed(10**6))
        known = torch.tensor([True, False])[None, :, None, None].expand(8, 2, 8, 8)
        made = system.complete(videos, known)[:, 1]
        sharp.append((laplacian_energy(made).mean() / laplacian_energy(videos[:, 1]).mean()).item())
    assert sharp[0] < 0.65
    assert sharp[1] > 0.8
