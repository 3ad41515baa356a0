"""Error rates, segmental SNR, PESQ and STOI, retrieval, F1 of several labels: hand cases and independent oracles."""

import itertools
import math

import numpy as np
import pytest
import sklearn.metrics
import torch

from kallima.errors import DataError, UsageError
from kallima.evaluation.multilabel import multilabel_f1
from kallima.evaluation.retrieval import cosine_similarities, mean_average_precision, precision_at
from kallima.evaluation.speech.quality import pesq, stoi
from kallima.evaluation.speech.segmental_snr import segmental_snr
from kallima.evaluation.speech.word_errors import character_error_rate, word_error_rate


def distance(a: list[str], b: list[str]) -> int:
    """Levenshtein's, by the textbook."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


class TestErrorRates:
    @pytest.fixture(autouse=True)
    def library(self) -> None:
        pytest.importorskip("jiwer", reason="needs the extra 'speech'")

    def test_by_hand(self) -> None:
        measure = word_error_rate(["the cat sit on mat", "a b c"], ["the cat sat on the mat", "a b"])
        assert measure.value == pytest.approx(3 / 8)
        assert measure.notes[0] == "1 wrong, 1 missed, 1 added of 8 words"
        assert word_error_rate([""], ["a b"]).value == 1
        assert word_error_rate([""], ["a b"]).spread is None
        assert word_error_rate(["a b c d"], ["x"]).value == 4
        assert character_error_rate(["kitten"], ["sitting"]).value == pytest.approx(3 / 7)
        assert character_error_rate(["ab"], ["a b"]).value == pytest.approx(1 / 3)

    def test_words_of_all_utterances_count_alike(self) -> None:
        rng = np.random.default_rng(0)
        draw = lambda: [" ".join(rng.choice(list("abc"), size=rng.integers(1, 9))) for _ in range(25)]  # noqa: E731
        heard, spoken = draw(), draw()
        for measure, split in ((word_error_rate, str.split), (character_error_rate, list)):
            errors = np.array([distance(split(s), split(h)) for h, s in zip(heard, spoken, strict=True)])
            lengths = np.array([len(split(s)) for s in spoken])
            found = measure(heard, spoken)
            assert found.value == pytest.approx(errors.sum() / lengths.sum(), rel=1e-12)
            replicates = [(errors.sum() - e) / (lengths.sum() - n) for e, n in zip(errors, lengths, strict=True)]
            assert found.spread == pytest.approx(math.sqrt(24 * np.var(replicates)), rel=1e-9)
            assert measure(heard[::-1], spoken[::-1]).value == pytest.approx(found.value, rel=1e-12)
            assert measure(spoken, spoken).value == 0

    def test_case_and_punctuation(self) -> None:
        assert word_error_rate(["hello,  World!"], ["Hello world"]).value == 1
        assert word_error_rate(["hello,  World!"], ["Hello world"], normalise=True).value == 0
        assert word_error_rate(["dont"], ["don't"], normalise=True).value == 1

    def test_what_is_refused(self) -> None:
        with pytest.raises(DataError, match=r"spoken texts\[1\] is empty"):
            word_error_rate(["a", "b"], ["a", ""])
        with pytest.raises(DataError, match=r"without punctuation\[0\] is empty"):
            word_error_rate(["a"], ["?!"], normalise=True)
        with pytest.raises(DataError, match="there are 1 transcriptions for 2 spoken texts"):
            character_error_rate(["a"], ["a", "b"])
        with pytest.raises(DataError, match="there are no transcriptions"):
            word_error_rate([], [])


def voice(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Harmonics of a wandering pitch in syllables of four a second."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / rate
    sound = sum(np.sin(k * phase) * np.exp(-(((120 * k - 700) / 900) ** 2)) for k in range(1, 25))
    return 0.1 * sound * np.clip(np.sin(2 * np.pi * 2 * t), 0, None) + 1e-4 * rng.standard_normal(len(t))


class TestSegmentalSnr:
    def test_known_noise(self) -> None:
        # a tenth of the signal itself as noise: 20 dB in every frame
        clean = np.random.default_rng(0).standard_normal(8_000)
        for gain, expected in ((0.1, 20), (1.0, 0), (1e-4, 35), (100, -10), (10 ** (-7 / 20), 7)):
            measure = segmental_snr([clean * (1 + gain)], [clean], 8_000)
            assert measure.value == pytest.approx(expected, abs=1e-9)
        assert segmental_snr([clean], [clean], 8_000).value == 35

    def test_white_noise_on_a_steady_tone(self) -> None:
        rate, rng = 16_000, np.random.default_rng(1)
        tone = math.sqrt(2) * np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate)
        noises = [0.1 * rng.standard_normal(len(tone)) for _ in range(12)]
        measure = segmental_snr([tone + n for n in noises], [tone] * 12, rate)
        # E 10 log₁₀ of a weighted sum of squares is a little above that of its mean
        assert measure.value == pytest.approx(20, abs=0.1)
        assert measure.spread < 0.05

    def test_frames_count_alike_not_their_energy(self) -> None:
        rate = 8_000
        loud, soft = np.random.default_rng(0).standard_normal((2, rate))
        clean = np.concatenate([100 * loud, soft])
        noisy = np.concatenate([100 * loud * 1.1, soft * 2])
        assert segmental_snr([noisy], [clean], rate).value == pytest.approx(10, abs=0.2)

    def test_silence_counts_as_the_floor_and_is_said(self) -> None:
        clean = np.zeros(2400)
        clean[:240] = 1
        noisy = clean + 1e-3
        measure = segmental_snr([noisy], [clean], 8_000)
        frames = (2400 - 240) // 60 + 1
        assert measure.value < 0
        assert f"of {frames} frames are held" in measure.notes[1]

    def test_what_is_refused(self) -> None:
        one = np.ones(1000)
        with pytest.raises(DataError, match="recording 0 has 900 samples, the clean one 1,000"):
            segmental_snr([one[:900]], [one], 8_000)
        with pytest.raises(DataError, match="recording 0 has 200 samples, a frame has 240"):
            segmental_snr([one[:200]], [one[:200]], 8_000)
        with pytest.raises(DataError, match="the clean recording 0 is silent"):
            segmental_snr([one], [0 * one], 8_000)
        with pytest.raises(DataError, match="1 of 1,000 samples of processed recording 0 hold NaN"):
            segmental_snr([np.where(np.arange(1000) == 3, math.nan, one)], [one], 8_000)
        with pytest.raises(DataError, match="there are no recordings"):
            segmental_snr([], [], 8_000)


class TestQuality:
    def test_stoi(self) -> None:
        library = pytest.importorskip("pystoi", reason="needs the extra 'speech'")
        clean = [voice(1.5, 10_000, seed) for seed in range(3)]
        rng = np.random.default_rng(5)
        noisy = [x + 0.1 * rng.standard_normal(len(x)) for x in clean]
        measure = stoi(noisy, clean, 10_000)
        each = [library.stoi(x, y, 10_000) for x, y in zip(clean, noisy, strict=True)]
        assert measure.value == pytest.approx(np.mean(each))
        assert measure.spread == pytest.approx(np.std(each, ddof=1) / math.sqrt(3))
        assert measure.value < stoi(clean, clean, 10_000).value == pytest.approx(1, abs=1e-6)
        assert stoi(clean, clean, 10_000, extended=True).value == pytest.approx(1, abs=1e-6)
        with pytest.raises(DataError, match="STOI cannot judge recording 0: too little speech"):
            stoi([x[:1000] for x in noisy], [x[:1000] for x in clean], 10_000)
        with pytest.raises(DataError, match="the clean recording 0 is silent"):
            stoi(noisy[:1], [0 * noisy[0]], 10_000)

    def test_pesq(self) -> None:
        pytest.importorskip("pesq", reason="needs the extra 'pesq'")
        clean = [voice(1.5, 8_000, seed) for seed in range(2)]
        noisy = [x + 0.05 * np.random.default_rng(5).standard_normal(len(x)) for x in clean]
        # the ceiling of the narrow band's mapping
        assert pesq(clean, clean, 8_000).value == pytest.approx(4.5488, abs=1e-3)
        assert 1 < pesq(noisy, clean, 8_000).value < 4
        assert pesq(clean, clean, 8_000).notes == ("narrow band, P.862, 8,000 samples a second",)
        with pytest.raises(DataError, match="the clean recording 0 is silent"):
            pesq([clean[0]], [0 * clean[0]], 8_000)
        with pytest.raises(DataError, match="PESQ cannot judge recording 0: "):
            pesq([x[:100] for x in clean], [x[:100] for x in clean], 8_000)

    def test_rates_of_pesq(self) -> None:
        with pytest.raises(UsageError, match="not at 22,050: resample first"):
            pesq([np.ones(9)], [np.ones(9)], 22_050)


class TestRetrieval:
    scores = np.array([[0.9, 0.8, 0.7, 0.1], [0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0, 4.0]])
    relevant = np.array([[1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]])

    def test_by_hand(self) -> None:
        measure = mean_average_precision(self.scores, self.relevant)
        assert measure.value == pytest.approx(((1 + 2 / 3) / 2 + 1 / 4) / 2)
        assert measure.notes[0] == "1 of 3 queries have no relevant item and are left out"
        assert [precision_at(self.scores, self.relevant, k).value for k in (1, 2, 3, 4)] == pytest.approx(
            [0.5, 0.25, (2 / 3) / 2, (2 / 4 + 1 / 4) / 2]
        )
        assert mean_average_precision(self.relevant[:2], self.relevant[:2]).value == 1

    def test_brute_force_and_scikit_learn(self) -> None:
        rng = np.random.default_rng(0)
        scores, relevant = rng.standard_normal((6, 15)), rng.random((6, 15)) < 0.3
        relevant[:, 0] = True
        by_loop = []
        for s, r in zip(scores, relevant, strict=True):
            order = np.argsort(-s)
            hits = np.cumsum(r[order])
            by_loop.append(np.mean([hits[i] / (i + 1) for i in range(15) if r[order][i]]))
        measure = mean_average_precision(scores, relevant)
        oracle = sklearn.metrics.average_precision_score(relevant.T, scores.T, average="macro")
        assert measure.value == pytest.approx(np.mean(by_loop)) == pytest.approx(oracle)
        assert measure.spread == pytest.approx(np.std(by_loop, ddof=1) / math.sqrt(6))

    def test_ties_are_the_mean_over_orders(self) -> None:
        scores, relevant = np.array([[3.0, 1, 1, 1, 0]]), np.array([[False, True, False, True, True]])
        for k in range(1, 6):
            orders = [(0, *middle, 4) for middle in itertools.permutations((1, 2, 3))]
            expected = np.mean([relevant[0, list(order)][:k].mean() for order in orders])
            assert precision_at(scores, relevant, k).value == pytest.approx(expected)

    def test_order_is_nothing(self) -> None:
        rng = np.random.default_rng(0)
        scores, relevant = rng.integers(4, size=(5, 20)).astype(float), rng.random((5, 20)) < 0.4
        order = rng.permutation(20)
        for measure in (mean_average_precision, lambda s, r: precision_at(s, r, 5)):
            assert measure(scores[:, order], relevant[:, order]).value == pytest.approx(measure(scores, relevant).value)

    def test_cosines(self) -> None:
        found = cosine_similarities(torch.tensor([[1.0, 0], [2, 2]]), np.array([[3.0, 0], [0, 1]]))
        assert found == pytest.approx(np.array([[1, 0], [math.sqrt(0.5), math.sqrt(0.5)]]))
        with pytest.raises(DataError, match="all zeros"):
            cosine_similarities(np.zeros((1, 2)), np.ones((1, 2)))

    def test_what_is_refused(self) -> None:
        with pytest.raises(DataError, match="relevance has shape"):
            mean_average_precision(self.scores, self.relevant[:2])
        with pytest.raises(DataError, match="yes or no for each item"):
            mean_average_precision(self.scores, self.relevant * 2)
        with pytest.raises(DataError, match="no query has a relevant item"):
            mean_average_precision(self.scores, 0 * self.relevant)
        with pytest.raises(DataError, match="precision at 5 of 4 items"):
            precision_at(self.scores, self.relevant, 5)
        with pytest.raises(DataError, match="3 of 3 scores of queries hold NaN"):
            precision_at(self.scores * math.nan, self.relevant, 1)


class TestMultilabel:
    def test_by_hand(self) -> None:
        truth = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]])
        found = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]])
        f1 = multilabel_f1(found, truth)
        assert f1.micro.value == pytest.approx(2 * 2 / (4 + 1 + 1))
        assert f1.macro.value == pytest.approx((1 + 2 / 3 + 0) / 3)
        assert f1.example.value == pytest.approx((0.5 + 1 + 1) / 3)
        assert f1.example.notes == ("1 examples with nothing true or predicted count as 1",)

    def test_scikit_learn_and_the_jackknife(self) -> None:
        rng = np.random.default_rng(0)
        truth = rng.random((40, 6)) < 0.3
        found = truth ^ (rng.random((40, 6)) < 0.2)
        truth[:, 5] = found[:, 5] = False  # a label never used
        oracle = lambda t, f: [  # noqa: E731
            sklearn.metrics.f1_score(t, f, average="micro"),
            sklearn.metrics.f1_score(t, f, average="macro", zero_division=np.nan),
            sklearn.metrics.f1_score(t, f, average="samples", zero_division=1.0),
        ]
        f1 = multilabel_f1(found, truth)
        assert [m.value for m in f1] == pytest.approx(oracle(truth, found))
        assert f1.macro.notes == ("1 labels that are never true nor predicted are left out",)
        replicates = np.array([oracle(np.delete(truth, i, 0), np.delete(found, i, 0)) for i in range(40)])
        assert [m.spread for m in f1] == pytest.approx(np.sqrt(39 * replicates.var(0)), rel=1e-9)
        shuffled = multilabel_f1(found[::-1], truth[::-1])
        assert [m.value for m in shuffled] == pytest.approx([m.value for m in f1])
        assert [m.value for m in multilabel_f1(truth, truth)] == [1, 1, 1]

    def test_what_is_refused(self) -> None:
        truth = np.eye(3, dtype=int)
        with pytest.raises(DataError, match="need to be yes or no"):
            multilabel_f1(truth * 0.7, truth)
        with pytest.raises(DataError, match=r"shape \(2, 3\), the labels \(3, 3\)"):
            multilabel_f1(truth[:2], truth)
        with pytest.raises(DataError, match="no label is true or predicted"):
            multilabel_f1(0 * truth, 0 * truth)
        with pytest.raises(DataError, match=r"need \(N, L\)"):
            multilabel_f1(truth[0], truth[0])
