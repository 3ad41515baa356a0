"""BLEU, self-BLEU, distinct-n, ROUGE and perplexity: worked examples, hand values, the libraries' own figures."""

import math

import numpy as np
import pytest

from kallima.errors import DataError, UsageError
from kallima.evaluation.text.distinct import distinct
from kallima.evaluation.text.perplexity import perplexity

sacrebleu = pytest.importorskip("sacrebleu", reason="needs the extra 'text'")
pytest.importorskip("rouge_score", reason="needs the extra 'text'")

from kallima.evaluation.text.bleu import bleu, self_bleu  # noqa: E402
from kallima.evaluation.text.rouge import rouge  # noqa: E402

# the worked example of sacrebleu's README
SYSTEM = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
REFERENCES = [
    ["The dog bit the man.", "The dog had bit the man."],
    ["It was not unexpected.", "No one was surprised."],
    ["The man bit him first.", "The man had bitten the dog."],
]


def sentences(count: int, seed: int = 0, least: int = 4) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(list("abcde"), size=rng.integers(least, 12))) for _ in range(count)]


class TestBleu:
    def test_the_worked_example(self) -> None:
        measure = bleu(SYSTEM, REFERENCES)
        assert measure.value == pytest.approx(48.530827, abs=1e-6)
        assert measure.notes[0] == "up to 4-grams, tokens 13a, case kept, smoothing exp"
        assert measure.notes[2] == "2 references a text"

    @pytest.mark.parametrize("smoothing", ["exp", "floor", "add-k", "none"])
    @pytest.mark.parametrize("order", [2, 4])
    def test_the_corpus_figure_of_the_library(self, smoothing: str, order: int) -> None:
        generated, truth = sentences(20, 1, 1), sentences(20, 2)
        oracle = sacrebleu.metrics.BLEU(smooth_method=smoothing, max_ngram_order=order, tokenize="none")
        expected = oracle.corpus_score(generated, [truth]).score
        found = bleu(generated, truth, order=order, smoothing=smoothing, tokens="none")
        assert found.value == pytest.approx(expected, rel=1e-12)

    def test_the_error_is_that_of_deleting_each_text(self) -> None:
        generated, truth = sentences(9, 1), sentences(9, 2)
        without = lambda x, i: x[:i] + x[i + 1 :]  # noqa: E731
        oracle = sacrebleu.metrics.BLEU()
        replicates = [oracle.corpus_score(without(generated, i), [without(truth, i)]).score for i in range(9)]
        measure = bleu(generated, truth)
        assert measure.spread == pytest.approx(math.sqrt(8 * np.var(replicates)), rel=1e-9)
        assert measure.spread_method == "jackknife over texts"

    def test_identity_order_and_case(self) -> None:
        truth = sentences(30, 1)
        assert bleu(truth, truth).value == pytest.approx(100)
        assert bleu(sentences(30, 2)[::-1], truth[::-1]).value == pytest.approx(bleu(sentences(30, 2), truth).value)
        upper = [text.upper() for text in truth]
        assert bleu(upper, truth).value < 10
        assert bleu(upper, truth, lowercase=True).value == pytest.approx(100)
        assert bleu([""] * 2, truth[:2]).value == 0
        assert bleu(["a b"], ["a b"], order=2).value == pytest.approx(100)

    def test_what_is_refused(self) -> None:
        with pytest.raises(DataError, match="there are no generated texts"):
            bleu([], [])
        with pytest.raises(DataError, match="the generated texts are one text"):
            bleu("a b", ["a b"])
        with pytest.raises(DataError, match="there are 2 references for 1 generated texts"):
            bleu(["a"], ["a", "b"])
        with pytest.raises(DataError, match=r"references\[0\]\[0\] is empty"):
            bleu(["a"], [" "])
        with pytest.raises(DataError, match=r"generated texts\[0\] is float"):
            bleu([math.nan], ["a"])
        with pytest.raises(UsageError, match="no smoothing 'chen'; there are exp"):
            bleu(["a"], ["a"], smoothing="chen")
        with pytest.raises(UsageError, match="no tokenisation 'words'; there are 13a"):
            bleu(["a"], ["a"], tokens="words")


class TestSelfBleu:
    @pytest.mark.parametrize("order", [2, 4])
    @pytest.mark.parametrize("tokens", ["13a", "char"])
    def test_brute_force(self, order: int, tokens: str) -> None:
        generated = [*sentences(12, 3), "Ends, oddly. Not?", "a a a a a b", "a a a b"]
        oracle = sacrebleu.metrics.BLEU(max_ngram_order=order, effective_order=True, tokenize=tokens)
        each = [
            oracle.sentence_score(text, generated[:i] + generated[i + 1 :]).score for i, text in enumerate(generated)
        ]
        measure = self_bleu(generated, order=order, tokens=tokens)
        assert measure.value == pytest.approx(np.mean(each), rel=1e-9)
        assert measure.spread == pytest.approx(np.std(each, ddof=1) / math.sqrt(15), rel=1e-9)

    def test_copies_and_strangers(self) -> None:
        assert self_bleu(["the cat sat down"] * 5).value == pytest.approx(100)
        assert self_bleu(["a b c d e", "f g h i j"], smoothing="none").value == 0
        alike, unlike = sentences(40, 1), [" ".join(f"{i}-{j}" for j in range(6)) for i in range(40)]
        assert self_bleu(alike, tokens="none").value > 10 * self_bleu(unlike, tokens="none").value

    def test_order_is_nothing(self) -> None:
        generated = sentences(20, 1)
        assert self_bleu(generated[::-1]).value == pytest.approx(self_bleu(generated).value, rel=1e-12)

    def test_what_is_refused(self) -> None:
        with pytest.raises(DataError, match="two or more"):
            self_bleu(["a b"])
        with pytest.raises(DataError, match=r"generated texts\[1\] is empty"):
            self_bleu(["a b", ""])
        with pytest.raises(UsageError, match="BLEU of 0-grams is none"):
            self_bleu(["a b", "c"], order=0)


class TestDistinct:
    def test_by_hand(self) -> None:
        generated = ["a b a b", "b a"]
        assert distinct(generated, 1).value == pytest.approx(2 / 6)
        assert distinct(generated, 2).value == pytest.approx(2 / 4)  # ab ba ab | ba
        assert distinct(generated, 4).value == 1
        assert distinct(["A a"], 1).value == 1
        assert distinct(["A a"], 1, lowercase=True).value == 0.5
        assert distinct(generated, 1).notes == ("of 6 1-grams in 2 texts, split at blanks, case kept",)

    def test_the_error_is_that_of_deleting_each_text(self) -> None:
        generated = sentences(15, 1)
        replicates = [distinct(generated[:i] + generated[i + 1 :], 2).value for i in range(15)]
        assert distinct(generated, 2).spread == pytest.approx(math.sqrt(14 * np.var(replicates)), rel=1e-9)
        assert distinct(generated[::-1], 2).value == distinct(generated, 2).value

    def test_what_is_refused(self) -> None:
        with pytest.raises(DataError, match="no text has 3 words"):
            distinct(["a b"], 3)
        with pytest.raises(DataError, match=r"generated texts\[0\] is empty"):
            distinct(["  "], 1)
        with pytest.raises(UsageError, match="distinct-0 is none"):
            distinct(["a"], 0)


class TestRouge:
    def test_by_hand(self) -> None:
        generated, truth = ["the cat sat on the mat"], ["the cat lay on a mat today"]
        # shared words: the cat on mat; shared pairs: the cat; common subsequence: the cat on mat
        f1 = lambda hits, made, asked: 2 * (hits / made) * (hits / asked) / (hits / made + hits / asked)  # noqa: E731
        assert rouge(generated, truth, "rouge1").value == pytest.approx(f1(4, 6, 7))
        assert rouge(generated, truth, "rouge2").value == pytest.approx(f1(1, 5, 6))
        assert rouge(generated, truth, "rougeL").value == pytest.approx(f1(4, 6, 7))
        assert rouge(["mat the"], ["the mat"], "rougeL").value == 0.5

    def test_identity_several_references_and_the_mean(self) -> None:
        assert rouge(SYSTEM, SYSTEM).value == 1
        assert rouge(["a b", "c d"], [["x", "a b"], ["c e"]], "rouge1").value == 0.75
        measure = rouge(["a b", "c d"], ["a b", "c e"], "rouge1")
        assert measure.spread == pytest.approx(0.25)
        assert rouge(["", "c d"], ["a b", "c d"], "rouge1").value == 0.5

    def test_stems_and_scripts(self) -> None:
        assert rouge(["testing cats"], ["tested cat"], "rouge1").value == 0
        assert rouge(["testing cats"], ["tested cat"], "rouge1", stem=True).value == 1
        with pytest.raises(DataError, match=r"references\[0\] has no word that counts: give ascii_only=False"):
            rouge(["кошка"], ["кошка"])
        assert rouge(["Кошка спит"], ["кошка ест"], "rouge1", ascii_only=False).value == 0.5

    def test_what_is_refused(self) -> None:
        with pytest.raises(UsageError, match="no ROUGE 'rouge-l'; there are rouge1"):
            rouge(["a"], ["a"], "rouge-l")
        with pytest.raises(DataError, match=r"references\[0\] has no word that counts$"):
            rouge(["a"], ["?!"])
        with pytest.raises(UsageError, match="the stemmer is for English"):
            rouge(["a"], ["a"], stem=True, ascii_only=False)


class TestPerplexity:
    def test_uniform_over_a_vocabulary(self) -> None:
        measure = perplexity([np.full(n, -math.log(50)) for n in (3, 9, 1)])
        assert measure.value == pytest.approx(50, rel=1e-12)
        assert measure.spread == pytest.approx(0, abs=1e-9)
        assert measure.notes == ("a token, over 13 of 3 texts",)

    def test_tokens_count_alike_and_units_divide(self) -> None:
        given = [np.log([0.5, 0.25]), np.log([0.125])]
        assert perplexity(given).value == pytest.approx(2 ** (6 / 3))
        assert perplexity(given, units=[4, 2]).value == pytest.approx(2)
        assert perplexity(given[::-1]).value == pytest.approx(4)
        assert perplexity(given).spread == pytest.approx(math.sqrt(np.var([8.0, 2**1.5])))

    def test_spread_is_that_of_fresh_draws(self) -> None:
        rng = np.random.default_rng(0)
        draws = [perplexity([-rng.exponential(size=rng.integers(1, 20)) for _ in range(100)]) for _ in range(60)]
        assert np.mean([d.spread for d in draws]) == pytest.approx(np.std([d.value for d in draws]), rel=0.3)
        assert np.mean([d.value for d in draws]) == pytest.approx(math.e, rel=0.02)

    def test_what_is_refused(self) -> None:
        with pytest.raises(DataError, match="there are no texts"):
            perplexity([])
        with pytest.raises(DataError, match="there are 0 log-probabilities of text 1"):
            perplexity([np.zeros(2), np.zeros(0)])
        with pytest.raises(DataError, match=r"text 0 has a log-probability of 0\.5"):
            perplexity([np.array([0.5])])
        with pytest.raises(DataError, match="1 of 2 log-probabilities of text 0 hold NaN or infinity"):
            perplexity([np.array([-math.inf, 0])])
        with pytest.raises(DataError, match="there are 2 units for 1 texts"):
            perplexity([np.zeros(2)], units=[1, 2])


def test_a_missing_library_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu.metrics", None)
    with pytest.raises(UsageError, match=r"pip install 'kallima\[text\]'"):
        bleu(["a"], ["a"])
