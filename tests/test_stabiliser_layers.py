import math

import pytest
import torch
from torch import nn

from kallima.data.spec import Image
from kallima.errors import UsageError
from kallima.layers.gradient_reversal import reverse_gradient
from kallima.layers.historical_average import HistoricalAverage
from kallima.layers.minibatch_discrimination import MinibatchDiscrimination
from kallima.layers.packing import Pack
from kallima.layers.spectral import spectrally_normalised
from kallima.layers.virtual_batch_norm import VirtualBatchNorm, VirtuallyNormalised
from kallima.networks.dcgan import DCGANGenerator


def numbers(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# ---- gradient reversal


def test_reversal_is_the_identity_there_and_minus_lambda_back():
    x, weight = numbers(4, 3).requires_grad_(), numbers(4, 3, seed=1)
    y = reverse_gradient(x, 0.25)
    assert torch.equal(y, x)
    (gradient,) = torch.autograd.grad((y * weight).sum(), x)
    assert torch.equal(gradient, -0.25 * weight)
    (plain,) = torch.autograd.grad((reverse_gradient(x) * weight).sum(), x)
    assert torch.equal(plain, -weight)


def test_lambda_acts_once_and_only_on_what_comes_before():
    torch.manual_seed(0)
    before, after = nn.Linear(3, 2), nn.Linear(2, 1)
    x, strength = torch.randn(5, 3), torch.tensor(0.5)
    found = {}
    for name, between in (("plain", lambda h: h), ("reversed", lambda h: reverse_gradient(h, strength))):
        loss = after(between(before(x))).square().mean()
        found[name] = torch.autograd.grad(loss, [*before.parameters(), *after.parameters()])
    for plain, reverse in zip(found["plain"][:2], found["reversed"][:2], strict=True):
        assert torch.allclose(reverse, -0.5 * plain)
    for plain, reverse in zip(found["plain"][2:], found["reversed"][2:], strict=True):
        assert torch.equal(reverse, plain)


# ---- minibatch discrimination


def test_minibatch_discrimination_by_hand():
    layer = MinibatchDiscrimination(2, kernels=2, dimensions=3).double()
    x = numbers(5, 2)
    out = layer(x)
    assert out.shape == (5, 4)
    assert torch.equal(out[:, :2], x)
    weight = layer.project.weight.detach()
    for i in range(5):
        for kernel in range(2):
            rows = weight[3 * kernel : 3 * kernel + 3]
            closeness = sum(math.exp(-float((rows @ (x[i] - x[j])).abs().sum())) for j in range(5) if j != i)
            assert out[i, 2 + kernel].item() == pytest.approx(closeness)


def test_a_collapsed_batch_gives_itself_away_and_one_example_has_no_company():
    layer = MinibatchDiscrimination(4, kernels=3)
    collapsed = torch.randn(1, 4).expand(8, 4)
    assert torch.allclose(layer(collapsed)[:, 4:], torch.full((8, 3), 7.0))
    assert torch.equal(layer(torch.randn(1, 4))[:, 4:], torch.zeros(1, 3))
    x, order = torch.randn(8, 4), torch.randperm(8)
    assert torch.allclose(layer(x[order]), layer(x)[order], atol=1e-6)


# ---- packing


def test_packs_hold_neighbours_whole():
    images = torch.arange(6 * 3 * 2 * 2.0).view(6, 3, 2, 2)
    packed = Pack(2)(images)
    assert packed.shape == (3, 6, 2, 2)
    assert all(torch.equal(packed[k], torch.cat([images[2 * k], images[2 * k + 1]])) for k in range(3))
    points = torch.arange(12.0).view(6, 2)
    assert torch.equal(Pack(3)(points), points.view(2, 6))


def test_batches_that_make_no_packs_are_refused():
    with pytest.raises(UsageError, match="7 examples do not make packs of 2: use a batch size that 2 divides"):
        Pack(2)(torch.zeros(7, 2))


# ---- virtual batch normalisation


def by_the_paper(x, reference):
    """Each example's moments: R/(R + 1) of the reference's and 1/(R + 1) of its own, raw moments combined."""
    places = tuple(range(2, x.dim()))
    first, second = (x[:reference].pow(k).mean((0, *places)) for k in (1, 2))
    rows = []
    for index, example in enumerate(x):
        mean, square = first, second
        if index >= reference:
            own = example.flatten(1) if places else example[:, None]
            mean = (reference * first + own.mean(1)) / (reference + 1)
            square = (reference * second + own.square().mean(1)) / (reference + 1)
        shape = (-1, *[1] * len(places))
        rows.append((example - mean.view(shape)) / (square - mean.square() + 1e-5).sqrt().view(shape))
    return torch.stack(rows)


@pytest.mark.parametrize("shape", [(9, 3), (9, 3, 4), (9, 3, 4, 5)])
def test_virtual_batch_norm_by_the_formula(shape):
    dimensions = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)]
    x = 2 * numbers(*shape) + 1
    plain = VirtualBatchNorm(dimensions(3, affine=False), 4)
    assert torch.allclose(plain(x), by_the_paper(x, 4))
    norm = dimensions(3).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        norm.bias.copy_(torch.tensor([0.0, -1.0, 5.0]))
    affine = (1, 3, *[1] * (len(shape) - 2))
    expected = by_the_paper(x, 4) * norm.weight.view(affine) + norm.bias.view(affine)
    assert torch.allclose(VirtualBatchNorm(norm, 4)(x), expected)


def test_the_reference_alone_is_normalised_as_a_batch():
    x, norm = numbers(6, 3, 4, 4), nn.BatchNorm2d(3).double()
    assert torch.allclose(VirtualBatchNorm(norm, 6)(x), norm.train()(x))


def test_a_fake_depends_on_its_own_latent_alone():
    torch.manual_seed(0)
    plain = DCGANGenerator(5, Image(1, 16, 16), width=4).double()
    gains = [part.weight for part in plain.modules() if isinstance(part, nn.BatchNorm2d)]
    reference = numbers(8, 5)
    latents = numbers(6, 5, seed=1)
    meets = plain(latents)[:1]
    assert not torch.allclose(plain(latents[:2])[:1], meets)  # under batch normalisation it does not
    generator = VirtuallyNormalised(plain, reference)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in generator.modules())
    assert all(any(gain is parameter for parameter in generator.parameters()) for gain in gains)
    assert len(gains) == 2
    assert generator.latent_dim == 5
    together = generator(latents)
    assert together.shape == (6, 1, 16, 16)
    assert torch.allclose(torch.cat([generator(latents[k : k + 1]) for k in range(6)]), together)
    assert torch.allclose(generator.eval()(latents), together)
    (gradient,) = torch.autograd.grad(generator(leaf := latents.clone().requires_grad_())[0].sum(), leaf)
    assert gradient[0].abs().sum() > 0
    assert gradient[1:].abs().sum() == 0
    assert "reference_latents" in generator.state_dict()


# ---- historical averaging


def test_the_mean_of_all_weights_so_far():
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    history = HistoricalAverage(network.parameters())
    seen = []

    def flat():
        return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])

    assert history.penalty(network.parameters()).item() == 0
    seen.append(flat())
    for _ in range(5):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += torch.randn_like(parameter)
        mean = torch.stack(seen).mean(0)
        penalty = history.penalty(network.parameters())
        assert penalty.item() == pytest.approx(float((flat() - mean).square().sum()), rel=1e-5)
        gradients = torch.autograd.grad(penalty, list(network.parameters()))
        assert torch.allclose(torch.cat([g.flatten() for g in gradients]), 2 * (flat() - mean), atol=1e-6)
        history.update(network.parameters())
        seen.append(flat())
    assert int(history.count) == 6
    assert torch.allclose(history.mean, torch.stack(seen).mean(0), atol=1e-6)
    again = HistoricalAverage(nn.Linear(3, 2).parameters())
    again.load_state_dict(history.state_dict())
    assert torch.equal(again.mean, history.mean)
    assert not list(history.parameters())


def cycle(weight, steps):
    """min over x, max over y of x y, both pulled to their means; return the distance from (0, 0) after some steps."""
    players = [torch.ones(1, requires_grad=True) for _ in range(2)]
    histories = [HistoricalAverage([player]) for player in players]
    for _ in range(steps):
        x, y = players
        pulls = [weight * history.penalty([player]) for history, player in zip(histories, players, strict=True)]
        gradients = [torch.autograd.grad(x * y + pulls[0], x)[0], torch.autograd.grad(pulls[1] - x * y, y)[0]]
        with torch.no_grad():
            for player, gradient in zip(players, gradients, strict=True):
                player -= 0.05 * gradient
        for history, player in zip(histories, players, strict=True):
            history.update([player])
    return math.hypot(*(player.item() for player in players))


def test_averaging_turns_a_spiral_outwards_into_an_approach():
    assert cycle(0.0, 400) > math.sqrt(2)
    # the mean m moves as m' = (z − m) / t, and z follows it: 0 = −i z − 2w (z − m), so |z| falls as t^(−1 / (1 + 4w²))
    assert cycle(0.5, 400) / cycle(0.5, 1600) == pytest.approx(4 ** (1 / 2), rel=0.03)


# ---- spectral normalisation


def test_every_layer_is_divided_by_its_largest_singular_value():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.ConvTranspose2d(3, 5, 4, 2, 1), nn.Conv2d(5, 7, 3), nn.BatchNorm2d(7), nn.Flatten(), nn.Linear(7 * 16, 2)
    )
    assert spectrally_normalised(network) is network
    assert sum(parameter.numel() == 7 for parameter in network[2].parameters()) == 2  # left as it is
    x = torch.randn(2, 3, 3, 3)
    layers = [network[0], network[1], network[4]]
    with torch.no_grad():
        for layer in layers:
            layer.parametrizations.weight.original.normal_()
        for _ in range(50):
            network(x)
        for layer in layers:
            original = layer.parametrizations.weight.original
            matrix = original.transpose(0, 1) if layer is network[0] else original  # a row for each output
            assert matrix.shape[0] == {0: 5, 1: 7, 4: 2}[list(network).index(layer)]
            sigma = torch.linalg.matrix_norm(matrix.flatten(1), 2)
            estimate = (original / layer.weight).flatten()[0]
            assert float(estimate / sigma) == pytest.approx(1, abs=0.01)


def test_what_is_normalised_is_not_normalised_again():
    network = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)), nn.Linear(3, 1))
    for _ in range(2):
        spectrally_normalised(network)
        assert [len(layer.parametrizations["weight"]) for layer in network] == [1, 1]


# ---- all of them


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda x: reverse_gradient(x, 0.5), (4, 3)),
        (MinibatchDiscrimination(3, 2), (4, 3)),
        (Pack(2), (4, 3, 2, 2)),
        (VirtualBatchNorm(nn.BatchNorm2d(3), 2), (4, 3, 2, 2)),
        (spectrally_normalised(nn.ConvTranspose2d(3, 2, 3)), (4, 3, 2, 2)),
    ],
    ids=["reversal", "minibatch discrimination", "pack", "virtual", "spectral"],
)
def test_layers_compile_in_one_piece(layer, shape):
    if isinstance(layer, nn.Module):
        layer.eval()
    x = torch.randn(shape, requires_grad=True)
    whole = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for found, expected in (
        (whole(x), layer(x)),
        *zip(*(torch.autograd.grad(f(x).sin().sum(), x) for f in (whole, layer)), strict=True),
    ):
        torch.testing.assert_close(found, expected)
    torch._dynamo.reset()
