"""What codecs are made of: divisive normalisation, densities and their tables, transforms, and the price of bits."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kallima.layers.factorised_density import FLOOR, FactorisedDensity
from kallima.layers.frequencies import SCALES, TOTAL, bin_between, normal_tables, scale_of, table_of, tabulate
from kallima.layers.gdn import GDN
from kallima.layers.reflection import reflect_to
from kallima.networks.transform_coding import Analysis, HyperAnalysis, HyperSynthesis, Synthesis
from kallima.objectives.rate_distortion import bits_per_pixel, normal_bin, traded_error


def shuffled_gdn(channels: int, *, inverse: bool = False) -> GDN:
    torch.manual_seed(0)
    layer = GDN(channels, inverse=inverse)
    with torch.no_grad():
        layer.root_beta.copy_(torch.randn(channels))
        layer.root_gamma.copy_(torch.randn(channels, channels))
    return layer


def bent_density(channels: int) -> FactorisedDensity:
    """A density whose every parameter is far from where it starts."""
    torch.manual_seed(1)
    density = FactorisedDensity(channels)
    with torch.no_grad():
        for parameter in density.parameters():
            parameter.add_(torch.randn_like(parameter))
    return density


def test_gdn_divides_by_how_busy_the_place_is():
    layer, x = shuffled_gdn(3), torch.randn(2, 3, 4, 5)
    found = layer(x)
    beta, gamma = layer.root_beta**2 + 1e-6, layer.root_gamma**2
    for i in range(3):
        busy = beta[i] + sum(gamma[i, j] * x[:, j] ** 2 for j in range(3))
        torch.testing.assert_close(found[:, i], x[:, i] / busy.sqrt())
    torch.testing.assert_close(shuffled_gdn(3, inverse=True)(x)[:, 0] * found[:, 0], x[:, 0] ** 2)


def test_one_channel_is_divided_and_multiplied_back_in_closed_form():
    forward, back = GDN(1), GDN(1, inverse=True)
    x = torch.linspace(-5, 5, 21).view(1, 1, 1, -1)
    y = forward(x)
    torch.testing.assert_close(y, x / torch.sqrt(1 + 0.1 * x**2 + 1e-6))
    # the inverse undoes it where γ' of the inverse is such that 1 + γ' y² = 1 + .1 x²: as a function of y alone
    exact = y / torch.sqrt(1 - 0.1 * y**2)
    torch.testing.assert_close(exact, x, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(back(y), y * torch.sqrt(1 + 0.1 * y**2 + 1e-6))
    small = 0.1 * x
    torch.testing.assert_close(back(forward(small)), small, atol=5e-3, rtol=0)


def test_what_gdn_divides_by_stays_positive_whatever_the_parameters():
    layer = shuffled_gdn(4)
    assert layer.gamma.min() >= 0
    with torch.no_grad():
        layer.root_beta.zero_()
        layer.root_gamma.zero_()
    assert layer.beta.min() > 0
    assert torch.isfinite(layer(torch.randn(1, 4, 2, 2))).all()
    fresh = GDN(3)
    fresh(torch.randn(2, 3, 4, 4)).square().sum().backward()
    assert fresh.root_gamma.grad is not None
    assert (fresh.root_gamma.grad != 0).all()  # nothing starts where it cannot move


def test_the_density_rises_and_its_bins_sum_to_one():
    density = bent_density(5)
    x = torch.linspace(-60, 60, 2001, dtype=torch.float64).expand(5, 1, -1)
    cumulative = torch.sigmoid(density.logits(x))[:, 0]
    assert (cumulative.diff(dim=1) >= 0).all()
    whole = torch.arange(-4000.0, 4001.0).view(1, 1, 1, -1).expand(1, 5, 1, -1)
    torch.testing.assert_close((density(whole) - FLOOR).sum((0, 2, 3)), torch.ones(5), atol=1e-4, rtol=0)
    shifted = density(whole + 0.3)
    torch.testing.assert_close((shifted - FLOOR).sum((0, 2, 3)), torch.ones(5), atol=1e-4, rtol=0)


def test_each_channel_is_judged_by_its_own_density():
    density = bent_density(3)
    y = 3 * torch.randn(2, 3, 4, 5)
    found = density(y)
    for i in range(3):
        edges = torch.stack([y[:, i] - 0.5, y[:, i] + 0.5]).flatten()
        below, above = torch.sigmoid(density.logits(edges.expand(3, 1, -1))[i, 0]).chunk(2)
        torch.testing.assert_close(found[:, i].flatten(), above - below + FLOOR, atol=1e-6, rtol=1e-4)


def test_bins_keep_their_digits_in_both_tails():
    for middle in (-40.0, -3.0, 0.0, 3.0, 40.0):
        lower, upper = torch.tensor(middle - 0.5), torch.tensor(middle + 0.5)
        exact = 1 / (1 + math.exp(-abs(middle) - 0.5)) - 1 / (1 + math.exp(-abs(middle) + 0.5))
        if abs(middle) > 30:  # e^-(m - ½) - e^-(m + ½), by hand
            exact = math.exp(-abs(middle) + 0.5) - math.exp(-abs(middle) - 0.5)
        assert bin_between(lower, upper).item() == pytest.approx(abs(exact), rel=1e-3, abs=0)


def test_the_normal_bin_is_the_difference_of_cumulatives():
    values, scales = torch.tensor([0.0, 0.4, -1.0, 3.0, -20.0]), torch.tensor([0.11, 0.5, 2.0, 1.0, 7.0])
    exact = [
        0.5 * (math.erf((v + 0.5) / (s * math.sqrt(2))) - math.erf((v - 0.5) / (s * math.sqrt(2))))
        for v, s in zip(values.tolist(), scales.tolist(), strict=True)
    ]
    torch.testing.assert_close(normal_bin(values, scales), torch.tensor(exact), atol=1e-7, rtol=1e-3)
    whole = torch.arange(-200.0, 201.0)
    assert normal_bin(whole + 0.25, torch.tensor(9.0)).sum().item() == pytest.approx(1, abs=1e-5)


def test_tables_are_the_probabilities_in_whole_numbers():
    first, counts = tabulate(-1, torch.tensor([0.25, 0.5, 0.125], dtype=torch.float64))
    assert first == -1
    assert counts.sum() == TOTAL
    torch.testing.assert_close(counts / TOTAL, torch.tensor([0.25, 0.5, 0.125, 0.125]), atol=1e-5, rtol=0)
    _, flat = tabulate(0, torch.full((2048,), 1 / 2048, dtype=torch.float64))
    assert flat.sum() == TOTAL
    assert flat[:-1].min() >= 510
    assert flat[:-1].max() <= 513
    _, never = tabulate(0, torch.tensor([1.0, 0.0], dtype=torch.float64))
    assert never.tolist() == [TOTAL - 2, 1, 1]


def test_a_density_that_lies_anywhere_has_a_table():
    density = bent_density(4)
    with torch.no_grad():
        density.biases[0][1] += 5000  # far below all that tables reach
        density.biases[0][2] -= 5000
    whole = torch.arange(-1024.0, 1025.0).view(1, 1, 1, -1).expand(1, 4, 1, -1)
    probabilities = density(whole)[0, :, 0]
    for i, (first, counts) in enumerate(density.tables()):
        assert counts.sum() == TOTAL
        assert counts.min() >= 1
        mine = probabilities[i, first + 1024 : first + 1024 + len(counts) - 1]
        assert (counts[:-1] / TOTAL - mine).abs().max() < 1e-4
        assert (mine.sum() > 1 - 1e-4) == (i in (0, 3))


def test_a_table_leaves_out_only_what_is_rare():
    edges = torch.arange(-50.5, 51.5, dtype=torch.float64)
    first, counts = table_of(-50, edges)  # logistic
    assert first > -20
    assert counts[-1] / TOTAL < 2e-5
    assert counts[-first] == counts.max()


def test_normal_tables_are_spaced_evenly_from_011_to_256():
    tables = normal_tables()
    assert len(tables) == SCALES == 64
    for level in (0, 17, 40, 63):
        first, counts = tables[level]
        scale = 0.11 * (256 / 0.11) ** (level / 63)
        assert scale_of(torch.tensor(float(level))).item() == pytest.approx(scale, rel=1e-5)
        values = torch.arange(first, first + len(counts) - 1)
        deviation = (counts[:-1] * values.square()).sum().item() / TOTAL
        expected = normal_bin(values.double(), torch.tensor(scale, dtype=torch.float64))
        torch.testing.assert_close(counts[:-1] / TOTAL, expected.float(), atol=3e-5, rtol=0)
        assert counts.sum() == TOTAL
        if scale > 1:
            assert deviation == pytest.approx(scale**2 + 1 / 12, rel=0.02)


def test_mirrors_go_back_and_forth_however_small_the_image_is():
    row = torch.arange(3.0).view(1, 1, 1, 3)
    assert reflect_to(row, 1, 9).flatten().tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0]
    assert torch.equal(reflect_to(row, 1, 3), row)
    assert reflect_to(torch.full((1, 2, 1, 1), 7.0), 4, 5).unique().tolist() == [7]
    image = torch.randn(2, 3, 6, 7)
    torch.testing.assert_close(reflect_to(image, 9, 11), F.pad(image, (0, 4, 0, 3), mode="reflect"))


@pytest.mark.parametrize("levels", [1, 3, 4])
def test_transforms_halve_and_double(levels: int):
    step = 2**levels
    images = torch.randn(2, 3, 2 * step, 3 * step)
    latents = Analysis(3, 5, width=4, levels=levels)(images)
    assert latents.shape == (2, 5, 2, 3)
    assert Synthesis(5, 3, width=4, levels=levels)(latents).shape == images.shape
    analysis, y = HyperAnalysis(5, 6, width=4), torch.randn(2, 5, 5, 9)
    first = analysis(y)
    assert first.shape == (2, 6, 2, 3)
    assert torch.equal(first, analysis(-y))  # how large latents are, not which way they point
    assert hyper(6, 5)(first).shape == (2, 5, 8, 12)


def hyper(inputs: int, channels: int) -> HyperSynthesis:
    torch.manual_seed(0)
    return HyperSynthesis(inputs, channels, width=16, levels=SCALES, first=18.0)


def test_levels_in_whole_numbers_are_the_networks_levels_rounded():
    network, said = hyper(6, 5), torch.randint(-9, 10, (2, 6, 4, 3))
    with torch.no_grad():
        network.layers[-1].weight.mul_(8)  # type: ignore[operator]
        plain = network(said.float())
    exact = network.exactly(said)
    assert exact.dtype == torch.int64
    assert len(exact.unique()) > 20
    assert (exact - plain).abs().max() < 0.55


def test_levels_in_whole_numbers_do_not_depend_on_the_order_of_sums():
    network, said = hyper(64, 7), torch.randint(-30, 31, (1, 64, 4, 4))
    order = torch.randperm(64)
    other = hyper(64, 7)
    with torch.no_grad():
        other.layers[0].weight.copy_(network.layers[0].weight[order])  # type: ignore[index, operator, union-attr]
    assert torch.equal(network.exactly(said), other.exactly(said[:, order]))
    levels = network.exactly(torch.full((1, 64, 2, 2), 1 << 40))
    assert levels.min() >= 0
    assert levels.max() < SCALES


def test_nothing_but_whole_numbers_is_multiplied(monkeypatch: pytest.MonkeyPatch):
    seen = []

    def spied(name: str) -> None:
        plain = getattr(F, name)

        def convolve(x: Tensor, weight: Tensor, bias: Tensor, *more: int, **options: int) -> Tensor:
            seen.append(x.dtype == torch.float64 and all(torch.equal(t, t.round()) for t in (x, weight, bias)))
            return plain(x, weight, bias, *more, **options)

        monkeypatch.setattr(F, name, convolve)

    spied("conv2d")
    spied("conv_transpose2d")
    hyper(6, 5).exactly(torch.randint(-9, 10, (2, 6, 4, 3)))
    assert seen == [True] * 3


def test_every_sum_of_the_whole_numbers_is_exact():
    """The largest sum that can occur is below 2^53, so float64 holds it without rounding."""
    for width in (64, 192, 320):
        for taps in (math.ceil(5 / 2) ** 2 * width, 9 * width):
            assert HyperSynthesis.MOST_ACTIVATION * HyperSynthesis.MOST_WEIGHT * taps < 2**53


def test_bits_and_errors_by_hand():
    probabilities = torch.tensor([[0.5, 0.25], [0.125, 1.0]])
    assert bits_per_pixel(probabilities, 2).item() == pytest.approx((3 / 2 + 3 / 2) / 2)
    made, images = torch.tensor([[[[-1.0, 0.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
    # pixels in [0, 1]: 0 for 1, and none wrong; a mean squared error of ½
    assert traded_error(made, images, 0.01).item() == pytest.approx(0.01 * 255**2 * 0.5)


def test_gradients_of_the_rate_are_those_of_finite_differences():
    density = bent_density(2).double()
    y = torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    scales = torch.rand(1, 2, 2, 3, dtype=torch.float64) + 0.3
    scales.requires_grad_()

    def rate(values: Tensor, deviations: Tensor) -> Tensor:
        return bits_per_pixel(density(values), 7) + bits_per_pixel(normal_bin(values, deviations), 7)

    assert torch.autograd.gradcheck(rate, (y, scales))
