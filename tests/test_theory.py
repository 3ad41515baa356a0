"""Theory against closed forms: densities, D*, the overlap argument, the two KLs, eigenvalues, and what steps do."""

import io
import json
import math
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torch import Tensor

import kallima
from kallima.cli import main
from kallima.data.batch import Batch
from kallima.data.opening import open_source
from kallima.data.points import Dirac, Gaussian, Segment, TwoGaussians
from kallima.data.spec import Points, Spec
from kallima.errors import UsageError
from kallima.figures import Arrows, Curve, Dots, Field, Figure, Level, Panel
from kallima.job import Job
from kallima.networks.known_density import AffineGenerator, CurveGenerator
from kallima.networks.mlp import MLPDiscriminator
from kallima.objectives.adversarial import minimax
from kallima.picturing.points import in_the_plane, on_a_line
from kallima.recipe import get_recipe, recipes
from kallima.reporting.figure import draw_figure
from kallima.sampling.drawing import draw
from kallima.system import Illustrates, Judges, KnowsItsBest, Samples
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.settings import Play
from kallima.systems.theory.dirac_gan import TRAIL, DiracGAN, Trail
from kallima.systems.theory.kl_directions import KLDirections, blurred_log_density
from kallima.systems.theory.learning_process import LearningProcess
from kallima.systems.theory.optimistic import OptimisticDescent
from kallima.systems.theory.overlap import Overlap
from kallima.training.trainer import Trainer

LINE, PLANE = (Spec({"points": Points(dimensions)}) for dimensions in (1, 2))
THEORY = [name for name, recipe in recipes().items() if recipe.family == "theory"]


class Fresh:
    """A stream of fresh draws of a point set."""

    def __init__(self, source: Any, size: int):
        self.source, self.size, self.position, self.rng = source, size, 0, np.random.default_rng(7)

    def next(self) -> Batch:
        self.position += 1
        return Batch({"points": torch.from_numpy(self.source.draw(self.size, self.rng))})


class Normal:
    """Draws of N(0, 1) on a line."""

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        return rng.standard_normal((count, 1)).astype(np.float32)


def built(name: str, spec: Spec = LINE, seed: int = 0, **arguments: Any) -> Any:
    torch.manual_seed(seed)
    return get_recipe(name).build(spec, **arguments)


def played(system: Any, source: Any, steps: int, size: int = 16, phases: slice = slice(None)) -> Mapping[str, Tensor]:
    """Play a number of steps, of some phases only; return the last step's scalars."""
    trainer = Trainer(system, {"data": Fresh(source, size)}, steps=steps)
    trainer.phases = trainer.phases[phases]
    scalars: Mapping[str, Tensor] = {}
    for _ in range(steps):
        scalars = trainer.play()
    return scalars


def place(system: DiracGAN) -> np.ndarray:
    values = system.generator.value, system.discriminator.value
    return np.array([float(value[0].detach()) for value in values], dtype=np.float64)


class TestPoints:
    def test_two_gaussians_have_their_density_and_moments(self) -> None:
        source = open_source("mixture")
        assert isinstance(source, TwoGaussians)
        x = np.linspace(-6, 6, 4001)
        expected = 0.5 * stats.norm.pdf(x, -2, 0.5) + 0.5 * stats.norm.pdf(x, 2, 0.5)
        assert np.exp(source.log_density(x[:, None])) == pytest.approx(expected, rel=1e-9)
        drawn = source.draw(100_000, np.random.default_rng(0))
        assert drawn.shape == (100_000, 1)
        assert drawn.mean() == pytest.approx(0, abs=5 * 2.07 / math.sqrt(1e5))
        assert drawn.var() == pytest.approx(4.25, abs=0.05)

    def test_thin_sets_have_no_density(self) -> None:
        segment, dirac = open_source("segment"), open_source("dirac", split="test")
        assert isinstance(segment, Segment)
        assert isinstance(dirac, Dirac)
        points = np.stack([segment.read(i)["points"] for i in range(5_000)])
        assert not points[:, 0].any()
        assert stats.kstest(points[:, 1], "uniform").pvalue > 1e-3
        assert not dirac.read(3)["points"].any()
        assert segment.log_density(points) is None
        assert dirac.log_density(np.zeros((1, 1))) is None


class TestKnownDensities:
    def test_a_straight_generator_has_the_density_of_a_gaussian(self) -> None:
        torch.manual_seed(0)
        network = AffineGenerator(3)
        with torch.no_grad():
            network.factor += 0.4 * torch.randn(3, 3)
            network.mean += torch.randn(3)
        covariance = network.factor @ network.factor.T
        points = torch.randn(20, 3)
        expected = torch.distributions.MultivariateNormal(network.mean, covariance).log_prob(points)
        torch.testing.assert_close(network.log_density(points), expected, rtol=1e-4, atol=1e-4)
        made = network(torch.randn(200_000, 3))
        torch.testing.assert_close(made.T.cov(), covariance, rtol=0.05, atol=0.03)

    def test_a_straight_line_is_a_gaussian_too(self) -> None:
        network = CurveGenerator(width=4, depth=0)
        with torch.no_grad():
            network.output.weight.fill_(-1.5)
            network.output.bias.fill_(0.7)
        x = torch.linspace(-4, 5, 50)[:, None]
        expected = stats.norm.logpdf(x[:, 0].numpy(), 0.7, 1.5)
        assert network.log_density(x).detach().numpy() == pytest.approx(expected, abs=0.01)

    def test_a_folded_curve_has_the_density_of_its_draws(self) -> None:
        torch.manual_seed(3)
        network = CurveGenerator(width=16, depth=2)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter *= 3
        ends = network(torch.linspace(-6, 6, 9999)[:, None])[:, 0].detach()
        assert (ends.diff() > 0).any()
        assert (ends.diff() < 0).any()  # some places have several latents
        low, high = float(ends.min()) - 0.1, float(ends.max()) + 0.1
        edges = np.linspace(low, high, 41)
        fine = torch.linspace(low, high, 40 * 200 + 1)[:, None]
        heights = network.log_density((fine[1:] + fine[:-1]) / 2).exp().detach().numpy()
        mass = heights.reshape(40, 200).sum(1) * (high - low) / 8000
        assert mass.sum() == pytest.approx(1, abs=0.01)
        made = network(torch.randn(100_000, 1))[:, 0].detach().numpy()
        share = np.histogram(made, edges)[0] / 1e5
        assert share == pytest.approx(mass, abs=5 * math.sqrt(0.25 / 1e5) + 0.004)


class TestLearningProcess:
    def test_the_discriminator_alone_finds_the_best_there_is(self) -> None:
        """N(0, 1) against N(1, 1): D* = sigmoid(½ − x), V* = −1.1635 (by quadrature)."""
        torch.manual_seed(0)
        generator = AffineGenerator(1, mean=1.0, deviation=1.0)
        play = Play(discriminator_learning_rate=5e-3, schedule="cosine", average=0.0)
        judge = MLPDiscriminator((1,), width=32, depth=1)
        system = LearningProcess(LINE, generator, judge, objective=minimax, play=play)
        played(system, Normal(), 600, size=4096, phases=slice(1))
        x = torch.linspace(-2, 3, 200)[:, None]
        found = system.judge(x).sigmoid()
        log_p = torch.from_numpy(stats.norm.logpdf(x[:, 0].numpy())).float()
        best = system.best_score(log_p, system.log_density(x)).sigmoid()
        torch.testing.assert_close(best, (0.5 - x[:, 0]).sigmoid(), rtol=1e-4, atol=1e-5)
        assert (found - best).abs().max() < 0.03
        grid = np.linspace(-12, 13, 50_001)
        p, q = stats.norm.pdf(grid), stats.norm.pdf(grid, 1)
        verdict = system.judge(torch.from_numpy(grid[:, None]).float()).double().numpy()
        value = -(p * np.logaddexp(0, -verdict) + q * np.logaddexp(0, verdict)).sum() * (grid[1] - grid[0])
        assert value == pytest.approx(-1.1635, abs=0.01)
        assert value <= -1.1634  # nothing is above the best

    def test_the_generator_learns_both_modes_and_d_stays_near_its_best(self) -> None:
        system = built("learning-process")
        source = TwoGaussians()
        x = np.linspace(-6, 6, 2401)
        p, points = np.exp(source.log_density(x[:, None])), torch.from_numpy(x[:, None]).float()

        def distances() -> tuple[float, float]:
            q = system.log_density(points).double().exp().numpy()
            best = p / np.maximum(p + q, 1e-30)
            gap = np.abs(system.judge(points).sigmoid().numpy() - best)
            js = 0.5 * (p * np.log(2 * best + 1e-30) + q * np.log(2 * (1 - best) + 1e-30))
            return float(js.sum() * 0.005), float((gap * (p + q) / 2).sum() * 0.005)

        assert distances()[0] > 0.3  # of log 2 = 0.69
        played(system, source, 1_000, size=256)
        js, gap = distances()
        assert js < 0.1
        assert gap < 0.12

    def test_a_dense_generator_in_the_plane_is_refused(self) -> None:
        with pytest.raises(UsageError, match="known on a line only"):
            built("learning-process", PLANE, generator="dense")


class TestOverlap:
    @pytest.mark.parametrize("theta", [-1.0, 0.5, 2.0])
    def test_js_is_log_2_without_a_gradient_and_wasserstein_is_the_distance_with_one(self, theta: float) -> None:
        system = built("overlap", PLANE, start=theta)
        trainer = Trainer(system, {"data": Fresh(Segment(), 512)}, steps=120)
        lines = trainer.phases[1::2]
        trainer.phases = trainer.phases[::2]  # the judges alone
        scalars = [trainer.play() for _ in range(120)][-1]
        assert 0.99 * math.log(2) < float(scalars["notes/js"]) <= math.log(2) + 1e-6
        assert float(scalars["notes/wasserstein"]) == pytest.approx(abs(theta), rel=0.01)
        trainer.phases = lines
        scalars = trainer.play()
        assert float(scalars["original/gradient_norm"]) < 0.01
        assert float(scalars["wasserstein/gradient_norm"]) == pytest.approx(1, abs=1e-3)

    def test_one_line_walks_home_and_the_other_stands_still(self) -> None:
        system = built("overlap", PLANE)
        played(system, Segment(), 200, size=256)
        assert abs(float(system.wasserstein.theta.detach()[0])) < 0.03
        assert float(system.original.theta.detach()[0]) > 0.7

    def test_the_critic_is_never_steeper_than_one(self) -> None:
        system = built("overlap", PLANE)
        for steps in (1, 5, 20):
            played(system, Segment(), steps)
            assert system.critic.head.weight.norm() <= 1 + 1e-5


class TestKLDirections:
    def test_the_blurred_density_by_brute_force(self) -> None:
        points, centres = torch.randn(5, 2), torch.randn(9, 2)
        kernel = torch.distributions.MultivariateNormal(torch.zeros(2), 0.3**2 * torch.eye(2))
        expected = torch.stack([kernel.log_prob(x - centres).exp().mean().log() for x in points])
        torch.testing.assert_close(blurred_log_density(points, centres, 0.3), expected, rtol=1e-4, atol=1e-4)

    def test_the_forward_optimum_has_the_moments_of_the_data(self) -> None:
        system: KLDirections = built("kl-directions", PLANE)
        points = torch.from_numpy(Gaussian().draw(300, np.random.default_rng(0))) @ torch.tensor(
            [[2.0, 0.0], [1.0, 0.5]]
        )
        fit = system.gaussian("fits", "forward_kl")
        with torch.no_grad():
            fit.mean.copy_(points.mean(0))
            fit.factor.copy_(torch.linalg.cholesky(points.T.cov(correction=0)))
        terms, _ = system.forward_loss(Batch({"points": points}))
        slopes = torch.autograd.grad(terms["cross_entropy"], [fit.mean, fit.factor])
        assert all(slope.abs().max() < 1e-4 for slope in slopes)

    def test_all_four_fits_end_where_theory_says(self) -> None:
        """The optima by quadrature on a grid of Gaussians: forward (0, 2.06), reverse (2, 0.50), and its mirror."""
        source = TwoGaussians()
        x = np.linspace(-9, 9, 3001)
        log_p = source.log_density(x[:, None])
        step = x[1] - x[0]

        def kl(mean: float, deviation: float, *, forward: bool) -> float:
            log_q = stats.norm.logpdf(x, mean, deviation)
            first, second = (log_p, log_q) if forward else (log_q, log_p)
            return float((np.exp(first) * (first - second)).sum() * step)

        grid = [(m, s) for m in np.arange(0, 3.01, 0.1) for s in np.arange(0.3, 2.6, 0.05)]
        covering = min(grid, key=lambda q: kl(*q, forward=True))
        picking = min(grid, key=lambda q: kl(*q, forward=False))
        assert covering == pytest.approx((0, 2.05), abs=1e-6)  # √4.25 = 2.06
        assert picking == pytest.approx((2, 0.5), abs=1e-6)

        system: KLDirections = built("kl-directions")
        played(system, source, 500, size=256)
        for kind, allowed in (("fits", 0.06), ("generators", 0.25)):
            for name, optimum in (("forward_kl", (0, math.sqrt(4.25))), ("reverse_kl", picking)):
                q = system.gaussian(kind, name)
                found = float(q.mean.detach()[0]), float(q.factor.detach().abs()[0, 0])
                assert found == pytest.approx(optimum, abs=allowed), (kind, name)


class TestEigenvalues:
    @pytest.mark.parametrize("dimensions", [1, 2])
    @pytest.mark.parametrize("consensus", [0.0, 0.7])
    @pytest.mark.parametrize("gamma", [0.0, 0.3, 2.0])
    def test_differentiation_agrees_with_the_papers(self, gamma: float, consensus: float, dimensions: int) -> None:
        spec = Spec({"points": Points(dimensions)})
        for objective in ("minimax", "non-saturating"):
            system = built("dirac-gan", spec, r1=gamma, consensus=consensus, objective=objective)
            found = np.sort_complex(system.eigenvalues())
            expected = np.sort_complex(np.tile(system.theory(), dimensions))
            assert found == pytest.approx(expected, abs=1e-7)
        if not consensus:
            root = np.sqrt(complex(gamma**2 / 4 - 0.25))
            assert expected == pytest.approx(
                np.sort_complex(np.tile([-gamma / 2 + root, -gamma / 2 - root], dimensions))
            )

    def test_hand_values(self) -> None:
        def found(name: str, **arguments: float) -> np.ndarray:
            return np.sort_complex(built(name, **arguments).eigenvalues())

        assert found("dirac-gan") == pytest.approx([-0.5j, 0.5j], abs=1e-12)
        assert found("dirac-gan", r1=1.0) == pytest.approx([-0.5, -0.5], abs=1e-7)
        assert found("dirac-gan", r1=2.0) == pytest.approx([-1 - math.sqrt(0.75), -1 + math.sqrt(0.75)], abs=1e-9)
        assert found("bilinear-game") == pytest.approx([-1j, 1j], abs=1e-12)
        assert found("bilinear-game", consensus=0.5) == pytest.approx([-0.5 - 1j, -0.5 + 1j], abs=1e-12)

    def test_the_jacobian_by_finite_differences(self) -> None:
        system = built("dirac-gan", r1=0.8)
        h, rows = 1e-5, torch.eye(2, dtype=torch.float64)
        columns = [(system.field(h * row) - system.field(-h * row)) / (2 * h) for row in rows]
        found = np.sort_complex(np.linalg.eigvals(torch.stack(columns, 1).numpy()))
        assert found == pytest.approx(np.sort_complex(system.eigenvalues()), abs=1e-6)


class TestDynamics:
    ETA = 0.05

    def distance_after(self, steps: int, **arguments: Any) -> float:
        system = built("bilinear-game", learning_rate=self.ETA, start=(0.6, -0.8), **arguments)
        played(system, Dirac(), steps)
        return float(np.hypot(*place(system)))

    def test_simultaneous_steps_grow_by_exactly_what_theory_says(self) -> None:
        assert self.distance_after(200) == pytest.approx((1 + self.ETA**2) ** 100, rel=1e-4)

    def test_consensus_shrinks_by_exactly_what_theory_says(self) -> None:
        factor = math.hypot(1 - self.ETA * 0.5, self.ETA)
        assert self.distance_after(200, consensus=0.5) == pytest.approx(factor**200, rel=1e-3)

    def test_alternating_steps_stay_on_their_ellipse(self) -> None:
        system = built("bilinear-game", learning_rate=self.ETA, start=(0.6, -0.8), dynamics="alternating")

        def energy(theta: float, psi: float) -> float:
            return theta**2 + psi**2 - self.ETA * theta * psi

        played(system, Dirac(), 400)
        path = system.trail.path().double().numpy()
        assert len(path) == 401
        energies = [energy(*there) for there in path]
        assert energies == pytest.approx([energy(0.6, -0.8)] * 401, rel=1e-3)

    def test_optimistic_steps_shrink_as_their_recurrence_does(self) -> None:
        """z ← z − 2η A z + η A z₋₁, as one matrix on (z, z₋₁): its spectral radius is the rate."""
        turn, one, none = self.ETA * np.array([[0.0, -1.0], [1.0, 0.0]]), np.eye(2), np.zeros((2, 2))
        matrix = np.block([[one - 2 * turn, turn], [one, none]])
        radius = np.abs(np.linalg.eigvals(matrix)).max()
        assert radius < 1
        shrunk = self.distance_after(1_000, dynamics="optimistic") / self.distance_after(400, dynamics="optimistic")
        assert shrunk == pytest.approx(radius**600, rel=0.02)

    def test_two_optimistic_steps_by_hand(self) -> None:
        weight = torch.nn.Parameter(torch.tensor([1.0]))
        descent = OptimisticDescent([weight], 0.1)
        for gradient, expected in ((2.0, 1 - 0.4), (3.0, 0.6 - 0.6 + 0.2)):
            weight.grad = torch.tensor([gradient])
            descent.step()
            assert weight.item() == pytest.approx(expected)

    def test_dirac_gan_spirals_out_without_r1_and_in_with_it(self) -> None:
        reached = {}
        for gamma in (0.0, 1.0):
            system = built("dirac-gan", r1=gamma)
            played(system, Dirac(), 300)
            reached[gamma] = np.hypot(*place(system))
        assert reached[0.0] > 1.2 * math.sqrt(2)
        assert reached[1.0] < 1e-3

    def test_near_the_equilibrium_a_step_shrinks_by_its_eigenvalue(self) -> None:
        system = built("dirac-gan", r1=0.2, start=(1e-3, 0.0))
        played(system, Dirac(), 300)
        factor = abs(1 + 0.1 * system.theory()[0])
        assert np.hypot(*place(system)) == pytest.approx(1e-3 * factor**300, rel=0.3)  # up to where on its ellipse

    def test_the_trail_keeps_the_last_places_in_order(self) -> None:
        trail = Trail(0.0, 0.0)
        for step in range(1, TRAIL + 3):
            trail.add(torch.tensor([float(step)]), torch.tensor([0.0]))
        path = trail.path()[:, 0]
        assert len(path) == TRAIL
        assert path[0] == 3
        assert path[-1] == TRAIL + 2
        assert (path.diff() == 1).all()


class TestPictures:
    def test_every_mark_is_drawn_in_its_colour_and_equal_figures_are_equal(self) -> None:
        x = np.linspace(0, 1, 50)
        values = np.tile(x, (20, 1))
        marks = [
            Field("D", values),
            Curve("curve", x, x**2, "model"),
            Curve("area", x, x, "data", filled=True),
            Dots("cloud", np.random.default_rng(0).random((40, 2)), "rival"),
            Dots("mark", np.array([[0.5, 0.5]]), "theory", "cross"),
            Arrows(np.array([[0.2, 0.8]]), np.array([[0.0, 3.0]])),
            Level("half", values, 0.5, "judge", dashed=True),
            Level("nowhere", values, 5.0, "judge"),
        ]
        panel = Panel("title", "x", "y", (0, 1), (0, 1), marks)
        one, two = (np.asarray(draw_figure(Figure([panel, panel]), "step 3")) for _ in range(2))
        assert (one == two).all()
        for colour in ((0x26, 0x68, 0xA8), (0xD9, 0x72, 0x2E), (0x1F, 0x23, 0x28)):
            assert (np.abs(one.astype(int) - colour).sum(-1) < 12).any(), colour
        without = np.asarray(draw_figure(Figure([Panel("title", "x", "y", (0, 1), (0, 1), [])] * 2), "step 3"))
        assert without.shape == one.shape

    def test_the_axes_of_a_line_are_the_datas_alone(self) -> None:
        source = TwoGaussians()
        reference = source.draw(500, np.random.default_rng(0))
        figures = []
        for seed in (0, 1):
            system = built("learning-process", seed=seed)
            assert isinstance(system, KnowsItsBest)
            figures.append(on_a_line(system, draw(system, 500, seed=0), reference, source.log_density))
        ranges = [[(panel.x_range, panel.y_range) for panel in figure.panels] for figure in figures]
        assert ranges[0] == ranges[1]
        labels = [mark.label for panel in figures[0].panels for mark in panel.marks]
        assert "$p_G$, exact" in labels
        assert "the best, D*(x)" in labels
        best = figures[0].panels[1].marks[1]
        own = figures[0].panels[0].marks[2]
        assert isinstance(best, Curve)
        assert isinstance(own, Curve)
        p = np.exp(source.log_density(best.x[:, None]))
        assert best.y == pytest.approx(p / (p + own.y), abs=1e-3)

    def test_a_gan_on_points_shows_what_its_discriminator_thinks(self) -> None:
        points = Gaussian()
        for arguments in ({}, {"pack": 2}, {"minibatch_discrimination": 3}, {"spectral_norm": True}):
            system = built("gan", PLANE, width=8, **arguments)
            assert isinstance(system, GAN)
            assert isinstance(system, Judges)
            examples = torch.randn(6, 2)
            verdicts = system.judge(examples)
            assert verdicts.shape == (6,)
            torch.testing.assert_close(system.judge(examples[2:4]), verdicts[2:4])  # each alone
        samples = draw(system, 100, seed=0)
        figure = in_the_plane(system, samples, points.draw(100, np.random.default_rng(0)), points.log_density)
        assert not [mark for mark in figure.panels[0].marks if isinstance(mark, Level) and "*" in mark.label]
        field = figure.panels[0].marks[0]
        assert isinstance(field, Field)
        low, left = figure.panels[0].y_range[0], figure.panels[0].x_range[0]
        corner = system.judge(torch.tensor([[left, low]], dtype=torch.float32)).sigmoid()
        assert field.values[0, 0] == pytest.approx(float(corner), abs=1e-5)

    def test_points_in_units_of_their_own_are_judged_where_they_lie(self) -> None:
        spec = Spec({"points": Points(1, offset=(10.0,), scale=(4.0,))})
        system = built("learning-process", spec, generator="straight")
        samples, reference = draw(system, 4000, seed=0), np.linspace(0, 25, 100)[:, None]
        figure = on_a_line(system, samples, reference, None)
        own = figure.panels[0].marks[2]
        assert isinstance(own, Curve)
        expected = stats.norm.pdf(own.x, 10 + 4 * 2, 4 * 0.5)  # starts at N(2, ½²) in the batch's units
        assert own.y == pytest.approx(expected, abs=1e-4)


class TestCommands:
    def told(self) -> list[tuple[str, list[str]]]:
        texts = [(name, recipes()[name].description) for name in THEORY]
        texts += [("docs", (Path(__file__).parents[1] / "docs" / "theory.md").read_text("utf-8"))]
        return [
            (where, shlex.split(re.split(r"\s{3,}|`|#", line)[0])[2:])
            for where, text in texts
            for line in re.findall(r"kallima train [^\n]*", text)
        ]

    def test_every_command_that_is_told_can_be_given(self) -> None:
        told = self.told()
        assert {words[0] for where, words in told if where == "docs"} == set(THEORY)
        for name in THEORY:
            assert [words for where, words in told if where == name], name
        for _, words in told:
            options = dict(zip(words[1::2], words[2::2], strict=True))
            data = options.pop("--data")
            Job.resolve(words[0], data, {name[2:].replace("-", "_"): read(value) for name, value in options.items()})

    @pytest.mark.parametrize("name", THEORY)
    def test_each_trains_and_leaves_pictures_of_one_size(self, name: str, tmp_path: Path) -> None:
        words = next(words for where, words in self.told() if where == name)
        data = words[words.index("--data") + 1]
        run = kallima.train(name, data=data, out=tmp_path / "run", steps=4, sample_every=2, log_every=2)
        pictures = sorted((run.path / "samples").glob("*.png"))
        assert [picture.stem for picture in pictures] == ["00000002", "00000004"]
        contents = [picture.read_bytes() for picture in pictures]
        assert len({Image.open(io.BytesIO(content)).size for content in contents}) == 1
        assert contents[0] != contents[1]
        page = (run.path / "report.html").read_text("utf-8")
        assert page.count("data:image/png") == 2
        system = kallima.load(run)
        assert isinstance(system, Illustrates | Samples)
        recorded = {json.loads(line)["name"] for line in (run.path / "events.jsonl").read_text().splitlines()}
        assert any(name.startswith("notes/") for name in recorded)

    def test_the_family_is_listed_by_itself(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["recipes", "--family", "theory", "--json"]) == 0
        assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == THEORY
        assert main(["recipes", "--family", "theory"]) == 0
        out = capsys.readouterr().out
        assert all(f"{name} " in out for name in THEORY)
        assert "dcgan" not in out
        assert main(["recipes", "--family", "theroy"]) == 2
        assert "did you mean 'theory'?" in capsys.readouterr().err


def read(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return word


def test_overlap_and_dirac_need_no_sampling() -> None:
    for name in ("overlap", "dirac-gan", "bilinear-game", "kl-directions"):
        system = built(name)
        assert isinstance(system, Overlap | DiracGAN | KLDirections)
        assert isinstance(system, Illustrates)
        assert not isinstance(system, Samples)
