"""The order of examples: true permutations, pure functions, and nothing that shows a pattern."""

import subprocess
import sys

import numpy as np
import pytest

from kallima.data import order

WAYS = [order.permutation, lambda count, seed, epoch: order.scattered(np.arange(count), count, seed, epoch)]

FIRST = [1, 7, 9, 8, 4, 0, 6, 3, 2, 5]
SCATTERED = [9, 0, 1, 5, 2, 3, 4, 7, 6, 8]
BITS = [0, 6216405523665815615]


@pytest.mark.parametrize("permute", WAYS, ids=["sorted", "feistel"])
def test_both_ways_permute_every_count(permute):
    for count in range(1, 201):
        for epoch in range(3):
            assert sorted(permute(count, 7, epoch)) == list(range(count))


@pytest.mark.parametrize("permute", WAYS, ids=["sorted", "feistel"])
def test_an_element_is_as_likely_in_each_place(permute):
    count, epochs = 10, 2000
    orders = np.stack([permute(count, 5, epoch) for epoch in range(epochs)])
    for place in range(count):
        seen = np.bincount(orders[:, place], minlength=count)
        chi_squared = ((seen - epochs / count) ** 2 / (epochs / count)).sum()
        assert chi_squared < 33.7  # exceeded once in 10,000 by chance (9 degrees of freedom)
    after = np.stack([orders[:, :-1].ravel(), orders[:, 1:].ravel()])
    pairs = np.histogram2d(*after, bins=(np.arange(count + 1),) * 2)[0][~np.eye(count, dtype=bool)]
    expected = after.shape[1] / 90
    assert ((pairs - expected) ** 2 / expected).sum() < 89 + 5 * np.sqrt(2 * 89)


@pytest.mark.parametrize("permute", WAYS, ids=["sorted", "feistel"])
def test_successive_examples_are_uncorrelated(permute):
    count = 200_003
    values = permute(count, 3, 1).astype(float)
    for lag in (1, 2, 447, 448):  # 448 is the side of the Feistel square
        correlation = np.corrcoef(values[:-lag], values[lag:])[0, 1]
        assert abs(correlation) < 5 / np.sqrt(count)
    assert abs(np.corrcoef(values, permute(count, 3, 2))[0, 1]) < 5 / np.sqrt(count)
    assert abs(np.corrcoef(values, permute(count, 4, 1))[0, 1]) < 5 / np.sqrt(count)


def test_a_large_permutation_is_computed_in_place(monkeypatch):
    count = order.SORTED_LIMIT + 1
    monkeypatch.setattr(order, "permutation", None)  # must not be needed
    drawn = order.indices(count, 0, 0, count)
    assert np.array_equal(np.sort(drawn), np.arange(count))


def test_each_pass_is_a_permutation_of_its_own_and_any_part_is_the_same():
    count = 37
    whole = order.indices(count, 11, 0, 5 * count)
    passes = whole.reshape(5, count)
    assert (np.sort(passes, axis=1) == np.arange(count)).all()
    assert len({tuple(one) for one in passes}) == 5
    for start, stop in [(0, 1), (30, 50), (36, 38), (80, 185)]:
        assert np.array_equal(order.indices(count, 11, start, stop), whole[start:stop])
    assert np.array_equal(order.at(count, 11, np.arange(3, 180, 4)), whole[3:180:4])


def test_an_order_never_changes():
    # written down once: runs resume with a later version of everything
    assert order.indices(10, 0, 0, 10).tolist() == FIRST
    assert order.scattered(np.arange(10), 10, 0, 0).tolist() == SCATTERED
    assert order.random_bits(2**64 - 1, -1, counters=np.array([0, 2**62])).tolist() == BITS


def test_coins_are_fair_and_independent():
    occurrences = np.arange(100_000)
    first, second = order.coins(0, occurrences), order.coins(1, occurrences)
    for coins in (first, first == second, first[1:] == first[:-1], first[10:] == first[:-10]):
        assert abs(coins.mean() - 0.5) < 5 * 0.5 / np.sqrt(len(coins))
    assert np.array_equal(order.coins(0, occurrences[77:99]), first[77:99])
    crops = order.uniform(order.crop_bits(0, occurrences))
    assert 0 <= crops.min() < crops.max() < 1
    assert np.abs(np.sort(crops) - (occurrences + 0.5) / len(occurrences)).max() < 0.0075  # Kolmogorov-Smirnov
    assert abs(np.corrcoef(crops, first)[0, 1]) < 5 / np.sqrt(len(crops))


def test_embedded_sets_and_orders_do_without_torch():
    code = (
        "import sys; from kallima.data import glyphs, digits, points, order, cache;"
        "glyphs.Glyphs().read(0); digits.Digits().read(0); points.Ring().read(0);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'sklearn', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
