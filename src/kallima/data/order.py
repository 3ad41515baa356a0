"""The order of examples: a pure function of the seed and of how often an example was drawn before.

Draws are counted through the whole training: occurrence 0 is the first example read, occurrence `count` opens the
second pass over the data. There is no state to save, and everything here is integer arithmetic of our own, so an order
is the same on every machine and for every version of torch and numpy.
"""

from functools import lru_cache

import numpy as np

SORTED_LIMIT = 1 << 20  # above it a permutation is computed place by place instead of held in memory
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ROUNDS = 6  # of the Feistel network; four leave a serial correlation

# What random bits are for: the first word after the seed.
_PERMUTATION, _FLIP, _CROP = 1, 2, 3


def _mix(value: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014): a bijection of 64 bits that looks random."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def random_bits(seed: int, *words: int, counters: np.ndarray) -> np.ndarray:
    """Return 64 random bits for each counter: uint64, in the counters' shape.

    `words` tell apart what is drawn from one seed; each of them and the seed count modulo 2⁶⁴.
    """
    key = np.zeros(1, np.uint64)  # an array, for numpy warns of overflow in scalars
    for word in (seed, *words):
        key = _mix((key + np.uint64(word & 0xFFFFFFFFFFFFFFFF)) * _GOLDEN + _GOLDEN)
    counted = np.atleast_1d(np.asarray(counters)).astype(np.uint64)
    return _mix(_mix(key + counted * _GOLDEN) + key).reshape(np.shape(counters))


def uniform(bits: np.ndarray) -> np.ndarray:
    """Turn random bits into float64 numbers in [0, 1)."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


@lru_cache(maxsize=4)
def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return a uniform permutation of range(count) for the epoch: int64, read-only; by sorting on random keys."""
    keys = random_bits(seed, _PERMUTATION, epoch, counters=np.arange(count))
    order = np.argsort(keys, kind="stable")
    order.flags.writeable = False
    return order


def scattered(places: np.ndarray, count: int, seed: int, epoch: int) -> np.ndarray:
    """Return what a pseudorandom permutation of range(count) has at `places`, without holding the permutation.

    A Feistel network on pairs (left, right) with left < a and right < b, where a·b is barely `count` or more (Black &
    Rogaway 2002): values that fall outside range(count) go round again, which leaves a bijection.
    """
    a = int(np.ceil(np.sqrt(count)))
    b = -(-count // a)
    values = np.array(places, dtype=np.int64)
    todo = np.arange(values.size)
    while todo.size:
        left, right = np.divmod(values[todo], b)
        for turn in range(_ROUNDS):
            known, modulus = (right, a) if turn % 2 == 0 else (left, b)
            shift = random_bits(seed, _PERMUTATION, epoch, turn, counters=known) % np.uint64(modulus)
            if turn % 2 == 0:
                left = (left + shift.astype(np.int64)) % a
            else:
                right = (right + shift.astype(np.int64)) % b
        values[todo] = left * b + right
        todo = todo[values[todo] >= count]
    return values


def at(count: int, seed: int, occurrences: np.ndarray) -> np.ndarray:
    """Return which of `count` examples is read at each occurrence: int64 (N,). Each pass has its own permutation."""
    epochs, places = np.divmod(np.asarray(occurrences, dtype=np.int64), count)
    result = np.empty(len(places), np.int64)
    for epoch in np.unique(epochs):
        chosen = epochs == epoch
        if count <= SORTED_LIMIT:
            result[chosen] = permutation(count, seed, int(epoch))[places[chosen]]
        else:
            result[chosen] = scattered(places[chosen], count, seed, int(epoch))
    return result


def indices(count: int, seed: int, start: int, stop: int) -> np.ndarray:
    """Return which of `count` examples are read at the occurrences from `start` to before `stop`: int64."""
    return at(count, seed, np.arange(start, stop))


def coins(seed: int, occurrences: np.ndarray) -> np.ndarray:
    """Return a fair coin an occurrence, for flips: bool (N,)."""
    return (random_bits(seed, _FLIP, counters=occurrences) >> np.uint64(63)).astype(bool)


def crop_bits(seed: int, occurrences: np.ndarray) -> np.ndarray:
    """Return the random bits that place each occurrence's crop: uint64 (N,)."""
    return random_bits(seed, _CROP, counters=occurrences)
