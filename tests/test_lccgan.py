"""LCC-GAN: local coordinates against their definition, draws against their moments, the order of the stages."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import kallima
from kallima.data.batch import Batch
from kallima.data.spec import Image, Spec
from kallima.errors import UsageError
from kallima.layers.local_coordinates import FOLLOW, Coding, LocalCoordinates
from kallima.recipe import get_recipe
from tests.test_learning import QUIET

SPEC = Spec({"image": Image(1, 8, 8)})
CPU = torch.device("cpu")


def local(bases: Tensor, neighbours: int, locality: float = 0.0) -> LocalCoordinates:
    layer = LocalCoordinates(bases.shape[1], len(bases), neighbours, locality=locality).to(bases.dtype)
    layer.bases.data.copy_(bases)
    return layer


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(**arguments: Any) -> Any:
    torch.manual_seed(0)
    small = {"width": 8, "latent_dim": 4, "bases": 10, "neighbours": 3} | arguments
    return get_recipe("lcc-gan").build(SPEC, **small)


def test_coordinates_are_of_the_nearest_bases_alone_and_sum_to_one():
    bases, points = normal(30, 5), normal(50, 5, seed=1)
    coding = local(bases, 4, 0.1).code(points)
    torch.testing.assert_close(coding.weights.sum(1), torch.ones(50, dtype=torch.float64))
    for point, places in zip(points, coding.places, strict=True):
        nearest = ((bases - point) ** 2).sum(1).argsort()[:4]
        assert places.tolist() == nearest.tolist()


def test_a_point_in_the_affine_hull_of_its_bases_is_reconstructed():
    """Weights outside [0, 1] among them; a point off the hull is rebuilt as its projection on the hull."""
    bases = normal(4, 6)
    layer = local(bases, 4)
    weights = normal(40, 4, seed=1)
    weights += (1 - weights.sum(1, keepdim=True)) / 4
    points = weights @ bases
    coding = layer.code(points)
    torch.testing.assert_close(layer.combine(coding), points, atol=1e-3, rtol=0)  # what the ridge costs
    sorted_back = torch.zeros(40, 4, dtype=torch.float64).scatter(1, coding.places, coding.weights)
    torch.testing.assert_close(sorted_back, weights, atol=1e-3, rtol=0)
    normals = torch.linalg.qr((bases[1:] - bases[0]).T, mode="complete").Q[:, 3:]  # (6, 3), away from the hull
    off = points + normal(40, 3, seed=2) @ normals.T
    torch.testing.assert_close(layer.combine(layer.code(off)), points, atol=1e-3, rtol=0)


@pytest.mark.parametrize("locality", [0.01, 1.0])
def test_coordinates_minimise_their_objective_among_those_that_sum_to_one(locality: float):
    bases, points = normal(12, 5), normal(20, 5, seed=1)
    layer = local(bases, 4, locality)
    coding = layer.code(points)

    def objective(weights: Tensor) -> Tensor:
        near = bases[coding.places]
        residual = ((weights[:, :, None] * near).sum(1) - points).square().sum(1)
        return residual + locality * (weights**2 * (near - points[:, None]).square().sum(2)).sum(1)

    least = objective(coding.weights)
    for seed in range(20):
        direction = normal(20, 4, seed=seed)
        direction -= direction.mean(1, keepdim=True)  # stays among those that sum to one
        for step in (1e-2, -1e-2):
            assert (objective(coding.weights + step * direction) > least).all()


def test_a_point_on_a_basis_is_that_basis():
    bases = normal(9, 5)
    coding = local(bases, 3, 0.01).code(bases)
    assert coding.places[:, 0].tolist() == list(range(9))
    expected = torch.tensor([1.0, 0, 0], dtype=torch.float64).expand(9, 3)
    torch.testing.assert_close(coding.weights, expected, atol=1e-4, rtol=0)


def test_draws_combine_bases_that_are_near_to_one_another_by_weights_that_sum_to_one():
    """Bases in two planes far apart: whatever its weights, a draw lies in that of its basis, and never between."""
    bases = normal(10, 3).float()
    bases[:, 0] = torch.tensor([0.0] * 3 + [1000.0] * 7)
    drawn = local(bases, 3).draw(2000, CPU, torch.Generator().manual_seed(0))
    plane = (drawn[:, 0] / 1000).round()
    torch.testing.assert_close(drawn[:, 0], 1000 * plane, atol=1e-2, rtol=0)
    assert abs(plane.mean() - 0.7) < 0.05


def test_draws_have_the_mean_and_the_covariance_of_their_weights():
    bases = normal(4, 3).float()
    layer = local(bases, 4)
    layer.spread.fill_(0.7)
    drawn = layer.draw(200_000, CPU, torch.Generator().manual_seed(0))
    centred = bases - bases.mean(0)
    torch.testing.assert_close(drawn.mean(0), bases.mean(0), atol=0.01, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), 0.49 * centred.T @ centred, atol=0.03, rtol=0)


def test_every_basis_is_drawn_from_and_the_first_of_many_are_those_of_few():
    bases = 100 * torch.eye(7)
    layer = local(bases, 1)
    drawn = layer.draw(7000, CPU, torch.Generator().manual_seed(0))
    counts = (drawn / 100).round().sum(0)
    assert (counts - 1000).abs().max() < 150
    few = local(normal(9, 3).float(), 4).draw(16, CPU, torch.Generator().manual_seed(1))
    many = local(normal(9, 3).float(), 4).draw(64, CPU, torch.Generator().manual_seed(1))
    assert torch.equal(many[:16], few)


def test_bases_start_at_the_first_codes_and_the_spread_follows():
    layer = local(normal(5, 2).float(), 4)
    before = layer.bases.detach().clone()
    codes = torch.arange(14.0).reshape(7, 2)
    weights = torch.tensor([[1.0, 0, 0, 0]]).expand(3, 4)
    layer.remember(codes[:3], weights)
    assert torch.equal(layer.bases[:3], codes[:3])
    assert torch.equal(layer.bases[3:], before[3:])
    deviation = ((0.75**2 + 3 * 0.25**2) / 3) ** 0.5
    assert layer.spread.item() == pytest.approx(0.25 + FOLLOW * (deviation - 0.25))
    layer.remember(codes[3:], weights)
    assert torch.equal(layer.bases[3:], codes[3:5])
    seated = layer.bases.detach().clone()
    layer.remember(codes + 50, weights)
    assert torch.equal(layer.bases, seated)


def test_the_spread_is_that_of_normal_weights():
    """Weights as `draw` makes them are told apart from others: their deviation comes out as the spread they had."""
    layer = local(normal(9, 4).float(), 4)
    z = normal(50_000, 4, seed=3).float()
    weights = 0.25 + 0.6 * (z - z.mean(1, keepdim=True))
    for _ in range(300):
        layer.remember(torch.zeros(1, 4), weights)
    assert layer.spread.item() == pytest.approx(0.6, rel=0.01)


def test_the_loss_of_the_bases_is_the_papers():
    system = build(locality=0.3)
    batch = Batch({"image": torch.rand(6, 1, 8, 8) * 2 - 1})
    terms, notes = system.coding_loss(batch)
    codes = system.autoencoder.encoder(batch["image"])
    coding = system.prior.code(codes)
    bases = system.prior.bases
    residual = locality = 0.0
    for code, weights, places in zip(codes, coding.weights, coding.places, strict=True):
        residual += 0.5 * (code - sum(w * bases[p] for w, p in zip(weights, places, strict=True))).square().sum() / 6
        locality += sum(w.abs() * (code - bases[p]).square().sum() for w, p in zip(weights, places, strict=True)) / 6
    torch.testing.assert_close(terms["reconstruction"], residual)
    torch.testing.assert_close(terms["locality"], 0.3 * locality)
    torch.testing.assert_close(notes["codes"], codes)
    sum(terms.values()).backward()
    assert system.prior.bases.grad.abs().sum() > 0
    assert all(p.grad is None for p in system.autoencoder.parameters())


def test_the_stages_follow_one_another_and_leave_no_step_out():
    phases = build(autoencoder_share=0.3, coding_share=0.2).game()
    turns = [[phase.name for phase in phases if phase.has_turn(step, step / 10)] for step in range(11)]
    assert turns == [["autoencoder"]] * 3 + [["coding"]] * 2 + [["discriminator", "generator"]] * 6


def test_latents_are_drawn_near_the_bases_and_fakes_are_made_of_them():
    system = build()
    assert system.parts == {"z": slice(0, 4)}
    system.eval()
    latents = system.latents(16, rng=torch.Generator().manual_seed(0))
    assert torch.equal(latents, system.prior.draw(16, CPU, torch.Generator().manual_seed(0)))
    assert torch.equal(system.sample(16, rng=torch.Generator().manual_seed(0)), system.generator(latents))
    images = torch.rand(5, 1, 8, 8)
    codes = system.encode(images)
    assert torch.equal(codes, system.prior.combine(system.prior.code(system.autoencoder.encoder(images))))
    assert system.decode(codes).shape == system.reconstruct(images).shape == images.shape


def test_what_leaves_no_neighbours_or_no_game_is_refused():
    for neighbours in (1, 11):
        with pytest.raises(UsageError, match="--neighbours counts bases, from 2 to all 10 of them"):
            build(neighbours=neighbours)
    with pytest.raises(UsageError, match="leave a share to the game"):
        build(autoencoder_share=0.6, coding_share=0.4)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> kallima.Run:
    out = tmp_path_factory.mktemp("lcc") / "run"
    options: dict[str, Any] = {**QUIET, "width": 32, "average": 0.98, "learning_rate": 1e-3}
    options |= {"latent_dim": 16, "bases": 64}
    return kallima.train("lcc-gan", data="digits", steps=500, batch_size=32, out=out, **options)


def test_it_learns_digits_of_most_classes(run: kallima.Run):
    """Digits are 1.18 from the next digit on average, samples were 1.61; pixels drawn independently are 2.15 from the
    next digit, a grey image 3.0. One and the same digit over and over, as of a collapse, has one class.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    real = digits.images.reshape(-1, 64) / 16
    samples = kallima.sample(run, 300).reshape(-1, 64) / 255.0
    distance = np.sqrt(((samples[:, None] - real) ** 2).sum(2))
    among = np.sqrt(((real[:300, None] - real[300:]) ** 2).sum(2)).min(1).mean()
    assert distance.min(1).mean() < 1.6 * among
    classes = np.bincount(digits.target[distance.argmin(1)], minlength=10)
    assert (classes > 3).sum() >= 7, classes


def test_draws_lie_among_the_codes_of_the_data(run: kallima.Run):
    """A draw has a code of the data about as near as codes have one another; normal noise of the same size has not."""
    from sklearn.datasets import load_digits

    system: Any = kallima.load(run)
    images = torch.from_numpy(load_digits().images).float()[:, None] / 8 - 1
    with torch.no_grad():
        codes = system.autoencoder.eval().encoder(images)
        residual = (system.encode(images) - codes).square().sum(1).mean()
    apart = torch.cdist(codes, codes).fill_diagonal_(np.inf).amin(1).mean()
    drawn = system.latents(500, rng=torch.Generator().manual_seed(0))
    noise = normal(500, 16).float() * codes.std(0) + codes.mean(0)
    near, far = (torch.cdist(points, codes).amin(1).mean() for points in (drawn, noise))
    assert near < 1.5 * apart
    assert near < 0.75 * far
    assert residual < 0.2 * codes.var(0).sum(), "local coordinates tell most of a code"


def test_a_coding_combines_by_place():
    layer = local(torch.eye(3), 2)
    coding = Coding(torch.tensor([[0.25, 0.75]]), torch.tensor([[2, 0]]))
    assert torch.equal(layer.combine(coding), torch.tensor([[0.75, 0.0, 0.25]]))
