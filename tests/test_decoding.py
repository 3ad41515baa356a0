"""How the next piece is chosen: temperature, the likeliest few, the nucleus."""

import pytest
import torch

from kallima.decoding import PLAIN, Decoding
from kallima.errors import UsageError

LOGITS = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()


def shares(decoding: Decoding, draws: int = 40_000) -> torch.Tensor:
    chosen = decoding.draw(LOGITS.expand(draws, 4), torch.Generator().manual_seed(0))
    return torch.bincount(chosen, minlength=4) / draws


def test_plainly_it_draws_as_likely_as_the_model_says():
    torch.testing.assert_close(shares(PLAIN), LOGITS.exp(), atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("decoding", "expected"),
    [
        (Decoding(temperature=0.5), torch.tensor([0.25, 0.09, 0.0225, 0.0025]) / 0.365),
        (Decoding(temperature=0), torch.tensor([1.0, 0, 0, 0])),
        (Decoding(top_k=2), torch.tensor([0.625, 0.375, 0, 0])),
        (Decoding(top_k=9), LOGITS.exp()),
        (Decoding(top_p=0.5), torch.tensor([1.0, 0, 0, 0])),  # the likeliest has enough alone
        (Decoding(top_p=0.51), torch.tensor([0.625, 0.375, 0, 0])),
        (Decoding(top_p=0.9), torch.tensor([0.5, 0.3, 0.15, 0]) / 0.95),
        (Decoding(top_p=1.0), LOGITS.exp()),
        (Decoding(top_k=1, top_p=0.01, temperature=3), torch.tensor([1.0, 0, 0, 0])),
    ],
)
def test_what_is_left_keeps_its_proportions(decoding: Decoding, expected: torch.Tensor):
    torch.testing.assert_close(decoding.sharpened(LOGITS).softmax(-1), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(shares(decoding), expected, atol=0.01, rtol=0)


def test_the_nucleus_is_found_in_each_row_whatever_the_order():
    logits = torch.randn(50, 9, generator=torch.Generator().manual_seed(1))
    kept = Decoding(top_p=0.7).sharpened(logits).isfinite()
    for row, own in zip(logits.softmax(-1), kept, strict=True):
        assert row[own].sum() >= 0.7
        assert row[own].sum() - row[own].min() < 0.7
        assert row[own].min() >= (row[~own].max() if (~own).any() else 0)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"temperature": -1}, "--temperature must be from 0"),
        ({"top_k": 0}, "--top-k must be at least 1"),
        ({"top_p": 0.0}, "--top-p must be above 0"),
        ({"beams": 0}, "--beams must be at least 1"),
        ({"beams": 3, "top_k": 5}, "--beams searches"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict, named: str):
    with pytest.raises(UsageError, match=named):
        Decoding(**wrong)
