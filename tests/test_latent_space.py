"""The tools of latent spaces against closed forms: ways, traversals, planes, directions, truncation, projection."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from kallima.conditions import Conditions
from kallima.data.spec import Attributes, Image, Label, Spec
from kallima.errors import UsageError
from kallima.sampling.codes import chosen, codes_of, held
from kallima.sampling.directions import direction, mean_difference, probe_direction
from kallima.sampling.grids import plane, quantiles, traverse
from kallima.sampling.interpolation import between, lerp, slerp
from kallima.sampling.projection import nearest_starts, project
from kallima.sampling.truncation import resample, shrink
from kallima.system import Decodes, Encodes, System

D = 5


class Linear(System):
    """x = A l, of latents l = (z, category of 3, a switch, a number); its encoder is the pseudo-inverse."""

    def __init__(self, pixels: int = 4, *, blind: bool = False):
        super().__init__()
        self.parts = {"z": slice(0, D), "class": slice(D, D + 3), "on": slice(D + 3, D + 4), "c": slice(D + 4, D + 5)}
        self.shape, self.blind = (1, pixels, pixels), blind
        self.spec = Spec({"image": Image(1, pixels, pixels)})
        weights = torch.randn(pixels**2, D + 5, generator=torch.Generator().manual_seed(1)) / 4
        self.register_buffer("weights", weights)

    def game(self) -> list[Any]:
        return []

    @torch.no_grad()
    def latents(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
        z = torch.randn(count, D, generator=rng)
        category = torch.eye(3)[torch.randint(3, (count,), generator=rng)]
        switch = torch.randint(2, (count, 1), generator=rng).float()
        return torch.cat([z, category, switch, 2 * torch.rand(count, 1, generator=rng) - 1], 1)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        if self.blind:
            latents = latents.detach()
        return (latents @ self.weights.T).view(-1, *self.shape)

    @torch.no_grad()
    def encode(self, examples: Tensor) -> Tensor:
        return examples.flatten(1) @ torch.linalg.pinv(self.weights).T


@pytest.fixture
def system() -> Linear:
    return Linear()


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TestInterpolation:
    def test_slerp_by_hand(self):
        first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        third = slerp(first, second, torch.tensor([[1 / 3]]))
        torch.testing.assert_close(third, torch.tensor([[math.cos(math.pi / 6), math.sin(math.pi / 6)]]))

    def test_an_arc_has_constant_speed_and_keeps_the_length(self):
        first, second = (x / x.norm(dim=1, keepdim=True) * 7 for x in (draws(20, 6), draws(20, 6, seed=1)))
        way = between(first, second, 9, {"z": slice(0, 6)})
        torch.testing.assert_close(way.norm(dim=2), torch.full((20, 9), 7.0, dtype=torch.float64))
        angles = (way[:, 1:] * way[:, :-1]).sum(2).div(49).acos()
        whole = (first * second).sum(1).div(49).acos()
        torch.testing.assert_close(angles, (whole / 8)[:, None].expand(-1, 8))

    def test_both_kinds_of_way_begin_and_end_where_they_should(self):
        first, second = draws(4, 6), 3 * draws(4, 6, seed=1)
        for way in ("arc", "line"):
            found = between(first, second, 5, {"z": slice(0, 6)}, way=way)
            torch.testing.assert_close(found[:, 0], first)
            torch.testing.assert_close(found[:, -1], second)
        torch.testing.assert_close(found[:, 2], (first + second) / 2)

    @pytest.mark.parametrize("other", [[2.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [1.0, 1e-9]])
    def test_what_has_no_arc_goes_straight(self, other: list[float]):
        first, second, t = torch.tensor([[1.0, 0.0]]), torch.tensor([other]), torch.tensor([[0.25]])
        assert torch.equal(slerp(first, second, t), lerp(first, second, t))

    def test_an_arc_of_nearly_parallel_vectors_keeps_its_digits(self):
        first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[math.cos(1e-4), math.sin(1e-4)]])
        middle = slerp(first, second, torch.tensor([[0.5]]))
        torch.testing.assert_close(middle[0, 1].item(), math.sin(5e-5), rtol=1e-5, atol=0)

    def test_a_degenerate_row_leaves_the_others_alone(self):
        first, second = draws(3, 4), draws(3, 4, seed=1)
        alone = slerp(first[1:], second[1:], torch.full((2, 1), 0.3, dtype=torch.float64))
        first[0] = 0
        assert torch.equal(slerp(first, second, torch.full((3, 1), 0.3, dtype=torch.float64))[1:], alone)

    def test_only_noise_goes_on_an_arc(self):
        parts = {"z": slice(0, 2), "label": slice(2, 4)}
        first, second = torch.tensor([[1.0, 0.0, 1.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0, 1.0]])
        middle = between(first, second, 3, parts)[0, 1]
        torch.testing.assert_close(middle, torch.tensor([0.5**0.5, 0.5**0.5, 0.5, 0.5]))


class TestCodes:
    def test_the_prior_tells_what_each_part_is(self, system: Linear):
        found = {code.name: (code.kind, code.place) for code in codes_of(system)}
        assert found == {
            "class": ("category", slice(5, 8)),
            "on": ("switch", slice(8, 9)),
            "c": ("number", slice(9, 10)),
        }
        assert held(system).tolist() == [False] * D + [True] * 4 + [False]

    def test_what_each_goes_through(self, system: Linear):
        category, switch, number = codes_of(system)
        assert torch.equal(category.values(7, 2.0), torch.eye(3))
        assert switch.values(3, 2.0).tolist() == [[0], [0.5], [1]]
        assert number.values(3, 2.0).tolist() == [[-2], [0], [2]]

    def test_without_names_the_noise_is_left_out_unless_it_is_all(self, system: Linear):
        assert [code.name for code in chosen(system, None)] == ["class", "on", "c"]
        system.parts = {"z": slice(0, 10)}
        assert [code.name for code in chosen(system, None)] == [str(i) for i in range(8)]

    def test_coordinates_and_parts_can_be_named(self, system: Linear):
        assert [code.place for code in chosen(system, ["2", "c"])] == [slice(2, 3), slice(9, 10)]
        system.parts = {"z": slice(0, 3), "style": slice(3, 5)}
        system.latents = lambda count, rng=None: torch.randn(count, 5, generator=rng)  # type: ignore[method-assign,misc]
        assert [code.name for code in chosen(system, ["style"])] == ["style[0]", "style[1]"]
        assert [code.name for code in chosen(system, ["style[1]"])] == ["style[1]"]

    @pytest.mark.parametrize(("name", "message"), [("clas", "did you mean 'class'"), ("10", "coordinates 0 to 9")])
    def test_what_is_not_there_is_refused(self, system: Linear, name: str, message: str):
        with pytest.raises(UsageError, match=message):
            chosen(system, [name])

    def test_classes_and_conditions_are_known_by_name(self):
        spec = Spec({"image": Image(1, 4, 4), "label": Label(("a", "b", "c")), "attributes": Attributes(("on",))})
        system: Any = Linear()
        system.conditions, system.parts = Conditions(spec), {**system.parts}
        system.sample = lambda *words, **named: None
        system.parts = {"z": slice(0, D), "label": slice(5, 8), "on": slice(8, 9), "c": slice(9, 10)}
        assert codes_of(system)[0].classes == ("a", "b", "c")
        assert codes_of(system)[0].say(2) == "label: a … c"


class TestGrids:
    def test_a_traversal_changes_its_place_alone(self):
        latents, values = draws(3, 6), draws(4, 2, seed=1)
        found = traverse(latents, slice(1, 3), values)
        assert found.shape == (3, 4, 6)
        for row in range(3):
            for column in range(4):
                expected = latents[row].clone()
                expected[1:3] = values[column]
                assert torch.equal(found[row, column], expected)

    def test_the_corners_of_a_plane(self):
        x, y = torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([-5.0, 5.0])
        found = plane(torch.full((4,), 9.0), (slice(2, 3), slice(0, 1)), x, y)
        assert found.shape == (2, 3, 4)
        assert found[0, 0].tolist() == [5, 9, -1, 9]  # top left: the least x, the largest y
        assert found[0, 2].tolist() == [5, 9, 1, 9]
        assert found[1, 0].tolist() == [-5, 9, -1, 9]

    def test_quantiles_have_equal_shares_between_them(self):
        found = quantiles(torch.randn(100_000, generator=torch.Generator().manual_seed(0)), 10)
        normal = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(10) + 0.5) / 10)
        torch.testing.assert_close(found, normal, atol=0.02, rtol=0)
        assert quantiles(torch.arange(101.0), 2).tolist() == [25, 75]


class TestDirections:
    def test_a_linear_decoders_sums_are_exact(self, system: Linear):
        """What is made of a sum of latents is the sum of the mean pictures."""
        latents = system.latents(30, rng=torch.Generator().manual_seed(0))
        positive, negative, add = latents.split(10)
        made = system.decode(add.mean(0, keepdim=True) + direction(positive, negative))
        pictures = [system.decode(some).mean(0) for some in (positive, negative, add)]
        torch.testing.assert_close(made[0], pictures[0] - pictures[1] + pictures[2])

    def test_the_encoders_direction_is_the_one_that_made_them(self, system: Linear):
        latents, step = draws(20, 10).float(), torch.zeros(10)
        step[2] = 3.0
        with_it, without = system.encode(system.decode(latents + step)), system.encode(system.decode(latents))
        torch.testing.assert_close(mean_difference(with_it, without), step, atol=1e-4, rtol=0)

    def test_a_probe_ignores_what_varies_by_chance(self):
        """Dimension 0 differs by 2 with little spread, dimension 1 not at all but has much: chance moves its mean."""
        spread = torch.tensor([0.5, 30.0, 0.5])
        positive = draws(40, 3) * spread + torch.tensor([1.0, 0, 0])
        negative = draws(40, 3, seed=1) * spread - torch.tensor([1.0, 0, 0])
        probe, mean = probe_direction(positive, negative, ridge=1e-6), mean_difference(positive, negative)
        assert abs(probe[1]) < 0.1 < 1 < abs(mean[1])
        assert probe[0] == pytest.approx(2.0, abs=0.3)

    def test_a_probe_of_round_clouds_is_the_difference_of_means(self):
        axes = torch.cat([torch.eye(3), -torch.eye(3)]).double()
        step = torch.tensor([0.5, 0.0, -1.0], dtype=torch.float64)
        # the same cloud twice: its own variance is round, so the normal is the step itself
        torch.testing.assert_close(probe_direction(axes + step, axes), step, atol=1e-6, rtol=0)


class TestTruncation:
    def test_noise_shrinks_and_nothing_else(self, system: Linear):
        latents = system.latents(8, rng=torch.Generator().manual_seed(0))
        found = shrink(latents, 0.25, system.parts)
        torch.testing.assert_close(found[:, :D], latents[:, :D] / 4)
        assert torch.equal(found[:, D:], latents[:, D:])
        assert torch.equal(shrink(latents, 1.0, system.parts), latents)

    def test_resampled_noise_lies_within_and_has_the_cut_normals_variance(self, system: Linear):
        rng = torch.Generator().manual_seed(0)
        latents = system.latents(20_000, rng=rng)
        found = resample(system, latents, 1.0, rng)
        inside = latents[:, :D].abs() <= 1
        assert found[:, :D].abs().max() <= 1
        assert torch.equal(found[:, :D][inside], latents[:, :D][inside])
        assert torch.equal(found[:, D:], latents[:, D:])
        # of N(0, 1) within ±1: 1 − 2 φ(1) / (Φ(1) − Φ(−1))
        assert found[:, :D].var().item() == pytest.approx(0.2911, abs=0.005)

    def test_a_limit_that_nothing_meets_is_refused(self, system: Linear):
        with pytest.raises(UsageError, match="larger limit"):
            resample(system, system.latents(100), 1e-9)


class TestProjection:
    def test_a_linear_generators_latents_are_found(self, system: Linear):
        system.parts = {"z": slice(0, 10)}
        system.latents = lambda count, rng=None: torch.randn(count, 10, generator=rng)  # type: ignore[method-assign,misc]
        true = system.latents(3, rng=torch.Generator().manual_seed(5))
        starts = system.latents(6, rng=torch.Generator().manual_seed(6)).view(2, 3, 10)
        before = starts.clone()
        found = project(system, system.decode(true), starts, steps=1500, prior_weight=0.0)
        torch.testing.assert_close(found.latents, true, atol=1e-3, rtol=0)
        assert found.errors.max() < 1e-6
        assert torch.equal(starts, before)

    def test_what_is_held_stays_and_the_best_start_wins(self, system: Linear):
        true = system.latents(2, rng=torch.Generator().manual_seed(5))
        starts = true.repeat(3, 1, 1)
        starts[:, :, :D] += 0.5
        starts[[0, 2], :, D : D + 3] = starts[[0, 2], :, D : D + 3].roll(1, -1)  # of another class
        found = project(system, system.decode(true), starts, held=held(system), steps=600, prior_weight=0.0)
        assert torch.equal(found.latents[:, D : D + 4], true[:, D : D + 4])
        torch.testing.assert_close(found.latents, true, atol=1e-2, rtol=0)

    def test_descent_makes_the_best_of_what_is_held(self, system: Linear):
        """Held to another class than the image has, it ends at the least squares over all that is free."""
        true, start = (system.latents(1, rng=torch.Generator().manual_seed(seed)) for seed in (5, 6))
        start[:, D : D + 3] = true[:, D : D + 3].roll(1, -1)
        kept = held(system)
        found = project(system, system.decode(true), start[None], held=kept, steps=1500, prior_weight=1e-6)
        assert torch.equal(found.latents[:, kept], start[:, kept])
        rest = system.decode(true).flatten() - system.weights[:, kept] @ start[0, kept]
        least = torch.linalg.lstsq(system.weights[:, ~kept], rest).solution
        torch.testing.assert_close(found.latents[0, ~kept], least, atol=1e-2, rtol=0)

    def test_the_prior_weighs_as_it_says(self):
        """Of a linear generator the least of mean (A z − x)² + λ ½ mean z² has a closed form."""
        system, weight = Linear(2), 0.3
        true = system.latents(1, rng=torch.Generator().manual_seed(5))
        start = system.latents(1, rng=torch.Generator().manual_seed(6))[None]
        found = project(system, system.decode(true), start, steps=1500, prior_weight=weight)
        a, x = system.weights, system.decode(true).flatten()
        least = torch.linalg.solve(a.T @ a * 2 / 4 + weight / 10 * torch.eye(10), a.T @ x * 2 / 4)
        torch.testing.assert_close(found.latents[0], least, atol=1e-3, rtol=0)

    def test_starts_are_the_nearest_of_the_pool(self, system: Linear):
        pool = system.latents(40, rng=torch.Generator().manual_seed(3))
        targets = system.decode(pool[[7, 30]])
        starts = nearest_starts(system, targets, pool.repeat(2, 1, 1), 3)
        assert starts.shape == (3, 2, 10)
        assert torch.equal(starts[0], pool[[7, 30]])
        errors = (system.decode(pool) - targets[0]).flatten(1).square().mean(1)
        assert torch.equal(starts[2, 0], pool[errors.argsort()[2]])

    def test_a_decoder_that_gives_no_gradients_is_refused(self):
        system = Linear(blind=True)
        with pytest.raises(UsageError, match="no gradients come through what Linear decodes"):
            project(system, torch.zeros(1, 1, 4, 4), system.latents(1)[None])

    def test_progress_is_told(self, system: Linear):
        told: list[tuple[int, int]] = []
        latents = system.latents(1)
        project(system, system.decode(latents), latents[None], steps=3, progress=lambda *done: told.append(done))
        assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_linear_system_is_what_it_stands_for(system: Linear):
    assert isinstance(system, Decodes)
    assert isinstance(system, Encodes)
