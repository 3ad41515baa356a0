"""Discretised mixtures of logistics, against sums over everything and against a mixture written out."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from kallima.decoding import Decoding
from kallima.objectives.logistic_mixture import conditionals, level_logits, log_probability, numbers


def said(count: int, channels: int, mixtures: int, *, seed: int = 0, spread: float = 1.0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return spread * torch.randn(count, numbers(channels, mixtures), generator=rng, dtype=torch.float64)


def of_pixels(by: Tensor, pixels: Tensor, levels: int) -> Tensor:
    """Return log p of pixels (N, C)."""
    return log_probability(conditionals(by, pixels, levels), pixels, levels).sum(-1)


def test_a_pixel_has_as_many_numbers_as_the_paper_says():
    assert numbers(3, 10) == 100
    assert numbers(1, 5) == 15


@pytest.mark.parametrize(("channels", "levels"), [(1, 256), (1, 2), (2, 7), (3, 5)])
def test_the_probabilities_of_all_levels_sum_to_one(channels: int, levels: int):
    every = torch.tensor(list(product(range(levels), repeat=channels)), dtype=torch.float64) * 2 / (levels - 1) - 1
    # narrow and far-off logistics too: the tails are open, so that nothing is lost
    for spread in (0.3, 1.0, 4.0):
        by = said(1, channels, 4, spread=spread).expand(len(every), -1)
        assert of_pixels(by, every, levels).exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_the_ends_take_all_that_lies_beyond():
    by = torch.tensor([[0.0, 1.5, -4.0]], dtype=torch.float64)  # one logistic, its mean beyond white
    logits = level_logits(conditionals(by, torch.zeros(1, 1, dtype=torch.float64), 256)[:, 0], 256)
    edge, scale = 254 / 255, math.exp(-4)
    assert logits[0, -1].exp().item() == pytest.approx(1 / (1 + math.exp((edge - 1.5) / scale)), rel=1e-9)
    assert logits[0, 0].item() == pytest.approx(-(1.5 + edge) / scale, rel=1e-6)


def test_the_channels_in_turn_are_the_mixture_as_a_whole():
    """Eqs. 2 and 3: one logistic for all three channels, whose means follow the channels before."""
    levels, mixtures, count = 6, 3, 20
    by = said(count, 3, mixtures)
    rng = torch.Generator().manual_seed(1)
    pixels = torch.randint(levels, (count, 3), generator=rng).double() * 2 / (levels - 1) - 1
    truth = []
    for row, (r, g, b) in zip(by.view(count, -1, mixtures), pixels.tolist(), strict=True):
        weights, total = row[0].softmax(0), 0.0
        for m in range(mixtures):
            alpha, beta, gamma = row[7:10, m].tanh().tolist()
            means = (row[1, m].item(), row[2, m].item() + alpha * r, row[3, m].item() + beta * r + gamma * g)
            each = weights[m].item()
            for x, mean, log_scale in zip((r, g, b), means, row[4:7, m].tolist(), strict=True):
                half, scale = 1 / (levels - 1), math.exp(log_scale)
                above = 1.0 if x > 1 - half else 1 / (1 + math.exp(-(x + half - mean) / scale))
                below = 0.0 if x < half - 1 else 1 / (1 + math.exp(-(x - half - mean) / scale))
                each *= above - below
            total += each
        truth.append(math.log(total))
    torch.testing.assert_close(of_pixels(by, pixels, levels), torch.tensor(truth, dtype=torch.float64))


def test_earlier_channels_know_nothing_of_later_ones():
    by, pixels = said(1, 3, 2), torch.zeros(1, 3, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: conditionals(by, x, 16), pixels)[0, :, :, 0].abs().sum(1)
    assert ((jacobian > 0) == torch.tensor([[False] * 3, [True, False, False], [True, True, False]])).all()


def test_draws_are_as_frequent_as_they_are_likely():
    mixture = conditionals(said(1, 1, 3), torch.zeros(1, 1, dtype=torch.float64), 8)[:, 0]
    logits = level_logits(mixture, 8)
    drawn = Decoding().draw(logits.expand(60_000, -1), torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.bincount(drawn, minlength=8) / 60_000, logits[0].exp().float(), atol=0.007, rtol=0)


def test_gradients_are_finite_however_wide_or_narrow():
    values = torch.tensor([[-1.0, 0.2, 1.0]])
    for extreme in (-200.0, 200.0):
        by = torch.full((1, numbers(3, 2)), extreme, requires_grad=True)
        log_p = of_pixels(by, values, 256)
        log_p.sum().backward()
        assert log_p.isfinite().all()
        assert by.grad is not None
        assert by.grad.isfinite().all()


def test_it_compiles_in_one_piece():
    by, pixels = said(4, 3, 2).float(), torch.rand(4, 3) * 2 - 1
    compiled = torch.compile(lambda x: of_pixels(x, pixels, 256), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(by), of_pixels(by, pixels, 256))
    torch._dynamo.reset()
