"""Models of text: exact on every short string, causal, equal step by step, and the search for the likeliest."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import Tensor

from kallima.data.batch import Batch
from kallima.data.spec import Label, Spec, Text
from kallima.data.tokens import END, UNKNOWN
from kallima.decoding import PLAIN, Decoding
from kallima.errors import UsageError
from kallima.layers.lstm import LSTM
from kallima.networks.causal_transformer import CausalTransformer
from kallima.recipe import get_recipe
from kallima.systems.autoregressive.ground import NaiveWalk
from kallima.systems.autoregressive.text import GLANCE, TextModel
from kallima.training.trainer import Trainer

LENGTH = 4
SHORT = Spec({"text": Text("character", ("a", "b"), LENGTH), "label": Label(("low", "high"))})
LONG = Spec({"text": Text("character", tuple("abcdef"), 3 * GLANCE), "label": Label(("low", "high"))})
RECIPES = ("lstm-lm", "transformer-lm", "conditional-lstm-lm", "conditional-transformer-lm")
SIZES = {"width": 16, "depth": 2}
every_model = pytest.mark.parametrize("name", RECIPES)

# Every text of four codes: up to its end, after which only ends follow.
EVERY = torch.tensor(
    [codes for codes in product(range(4), repeat=LENGTH) if all(b == END for a, b in pairwise(codes) if a == END)]
)


def build(name: str, spec: Spec = SHORT, **arguments: float) -> TextModel:
    """A model with large random weights, so that what it says depends on what it has read."""
    torch.manual_seed(0)
    model = get_recipe(name).build(spec, **SIZES, **arguments)
    assert isinstance(model, TextModel)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3.0)
            else:
                parameter.add_(0.3 * torch.randn(parameter.shape))
        model.vocabulary.vectors.normal_(std=0.5)
        if model.told is not None:
            model.told.weight.normal_()
    return model.eval()


def told(model: TextModel, count: int) -> Tensor | None:
    """A condition a text, by turns."""
    return torch.eye(2)[torch.arange(count) % 2] if model.conditional else None


def batch_of(codes: Tensor, label: int = 0) -> Batch:
    return Batch({"text": codes, "label": torch.full((len(codes),), label)})


def probabilities(model: TextModel, label: int = 0) -> Tensor:
    return model.log_weights_of(batch_of(EVERY, label), 1)[0].exp()


@every_model
@pytest.mark.parametrize("label", [0, 1])
def test_the_probabilities_of_all_short_texts_sum_to_one(name: str, label: int):
    assert probabilities(build(name), label).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", RECIPES[2:])
def test_a_condition_has_its_say(name: str):
    model = build(name)
    assert (probabilities(model, 0) - probabilities(model, 1)).abs().sum() > 0.1


@every_model
def test_nothing_counts_after_the_end(name: str):
    model = build(name)
    text = torch.tensor([[2, END, END, END]])
    parameters = model.parameters_of(text, told(model, 1))
    steps = model.log_probabilities(text, parameters)[0]
    assert (steps[:2] < 0).all()
    assert (steps[2:] == 0).all()
    broken = torch.tensor([[2, END, 3, END]])  # goes on after its end
    assert model.log_weights_of(batch_of(broken), 1)[0] == -torch.inf


@every_model
def test_the_loss_is_the_mean_of_nats_a_text_and_its_gradient_is_finite(name: str):
    model = build(name)
    batch = batch_of(EVERY[[3, 9, 40]], 1)
    result = model.loss(batch)
    terms = result[0] if isinstance(result, tuple) else result
    assert terms["likelihood"].item() == pytest.approx(-model.log_weights_of(batch, 1).mean().item(), rel=1e-5)
    terms["likelihood"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@every_model
def test_every_code_depends_on_all_before_it_and_on_none_after(name: str):
    model = build(name)
    codes = torch.tensor([[2, 3, 3, 2]])
    leaf: list[Tensor] = []
    # E[x] written as a matrix product, so that autograd can be asked about each code
    model.vocabulary.forward = lambda x: (  # type: ignore[method-assign]
        leaf.append(torch.eye(4)[x].requires_grad_()) or leaf[-1] @ model.vocabulary.vectors
    )
    logits = model.logits_of(torch.cat([torch.zeros(1, 1, dtype=torch.int64), codes[:, :-1]], 1), told(model, 1))
    for place in range(LENGTH):
        seen = torch.autograd.grad(logits[0, place].square().sum(), leaf[0], retain_graph=True)[0][0].abs().sum(1)
        assert (seen[: place + 1] > 1e-6).all(), place  # the border, then the codes before this one
        assert (seen[place + 1 :] == 0).all(), place


@every_model
@pytest.mark.parametrize("spec", [SHORT, LONG])
def test_walking_is_computing_everything_at_once(name: str, spec: Spec):
    model = build(name, spec)
    count = 6
    rng = torch.Generator().manual_seed(1)
    ways = [model.walk(count, told(model, count)), NaiveWalk(model, count, told(model, count))]
    total = torch.zeros(count)
    made = []
    with torch.no_grad():
        for _ in range(model.count):
            ours, naive = (way.parameters() for way in ways)
            torch.testing.assert_close(ours, naive, atol=1e-4, rtol=1e-4)
            codes = model.choose(ours, PLAIN, rng)
            total += ours.log_softmax(1).gather(1, codes[:, None])[:, 0]
            made.append(codes)
            for way in ways:
                way.take(codes)
        texts = torch.stack(made, 1)
        every = model.parameters_of(texts, told(model, count))
        likelihood = model.log_probabilities(texts, every).sum(1)
    torch.testing.assert_close(total, likelihood, atol=1e-3, rtol=1e-4)


@every_model
def test_the_naive_way_gives_the_same_texts(name: str):
    model = build(name, LONG)
    given, fixed = torch.zeros(8, model.count, dtype=torch.int64), torch.zeros(8, model.count, dtype=torch.bool)
    given[:, :3], fixed[:, :3] = 4, True
    with torch.no_grad():
        one, other = (
            model.follow(way, given, fixed, Decoding(top_k=5), torch.Generator().manual_seed(3))
            for way in (model.walk(8, told(model, 8)), NaiveWalk(model, 8, told(model, 8)))
        )
    assert torch.equal(one, other)
    assert len({tuple(text.tolist()) for text in one}) > 1


@every_model
def test_samples_are_as_likely_as_the_model_says_of_known_tokens(name: str):
    model = build(name)
    condition = torch.eye(2)[:1].expand(20_000, -1) if model.conditional else None
    made = model.sample(20_000, condition=condition, rng=torch.Generator().manual_seed(1))
    assert (made != UNKNOWN).all()
    places = 4 ** torch.arange(LENGTH - 1, -1, -1)
    shares = torch.bincount((made * places).sum(1), minlength=4**LENGTH)[(EVERY * places).sum(1)] / len(made)
    # each known token as likely as the model says beside the others known
    with torch.no_grad():
        logits = model.parameters_of(EVERY, None if condition is None else condition[: len(EVERY)])
        logits[..., UNKNOWN] = -torch.inf
        expected = model.log_probabilities(EVERY, logits).sum(1).exp()
    torch.testing.assert_close(shares, expected, atol=0.015, rtol=0)
    ended = (made == END).cumsum(1) > 0
    assert (made[ended] == END).all()


@every_model
def test_what_has_ended_does_not_begin_again(name: str):
    model = build(name)
    for way in (model.walk(1, told(model, 1)), NaiveWalk(model, 1, told(model, 1))):
        for code in (END, 3):  # a code that is given after the end
            way.take(torch.tensor([code]))
        assert torch.equal(way.parameters()[0], model.end)


@every_model
def test_a_completion_keeps_its_beginning(name: str):
    model = build(name, LONG)
    given = torch.randint(2, 8, (5, model.count), generator=torch.Generator().manual_seed(0))
    known = torch.arange(model.count) < torch.tensor([0, 1, 7, 20, 40])[:, None]
    for decoding in (Decoding(), Decoding(temperature=0.0), Decoding(beams=3)):
        made = model.complete(given, known, condition=told(model, 5), rng=torch.Generator(), decoding=decoding)
        assert torch.equal(made[known], given[known])
        assert (made[~known] != UNKNOWN).all()


@every_model
@pytest.mark.parametrize("asked", [False, True])  # whether a distribution is asked for before the choice of texts
def test_a_way_goes_on_from_the_texts_that_are_chosen(name: str, asked: bool):
    model = build(name, LONG)
    texts = torch.randint(2, 8, (4, model.count), generator=torch.Generator().manual_seed(0))
    texts[3, 3:] = END
    chosen, told_all = torch.tensor([3, 1, 1, 0, 2]), told(model, 4)
    walk = model.walk(4, told_all)
    with torch.no_grad():
        for place in range(6):
            walk.take(texts[:, place])
        if asked:
            walk.parameters()
        walk.select(chosen)
        expected = model.parameters_of(texts[chosen], None if told_all is None else told_all[chosen])
        for place in range(6, 9):
            torch.testing.assert_close(walk.parameters(), expected[:, place], atol=1e-4, rtol=1e-4)
            walk.take(texts[chosen, place])


class TestBeams:
    """The search, held against the list of all texts."""

    @staticmethod
    def likeliest(model: TextModel, start: tuple[int, ...], label: int) -> Tensor:
        known = (EVERY[:, len(start) :] != UNKNOWN).all(1) & (EVERY[:, : len(start)] == torch.tensor(start)).all(1)
        return EVERY[probabilities(model, label).masked_fill(~known, 0).argmax()]

    @every_model
    @pytest.mark.parametrize("start", [(), (3,), (2, 2)])
    def test_as_many_beams_as_beginnings_find_the_likeliest_of_all(self, name: str, start: tuple[int, ...]):
        model = build(name)
        given = torch.zeros(2, LENGTH, dtype=torch.int64)
        given[:, : len(start)] = torch.tensor(start, dtype=torch.int64)
        known = (torch.arange(LENGTH) < len(start)).expand(2, -1)
        told_both = torch.eye(2) if model.conditional else None
        made = model.complete(given, known, condition=told_both, decoding=Decoding(beams=4**LENGTH))
        for label in (0, 1):
            assert torch.equal(made[label], self.likeliest(model, start, label if model.conditional else 0))

    def test_greed_misses_what_beams_find(self):
        found = 0
        for seed in range(20):
            model = build("lstm-lm")
            torch.manual_seed(seed)
            torch.nn.init.normal_(model.vocabulary.vectors)
            blank, none = torch.zeros(1, LENGTH, dtype=torch.int64), torch.zeros(1, LENGTH, dtype=torch.bool)
            greedy, searched = (
                model.complete(blank, none, decoding=way) for way in (Decoding(temperature=0.0), Decoding(beams=16))
            )
            one, other = (model.log_weights_of(batch_of(text), 1)[0] for text in (greedy, searched))
            assert other >= one - 1e-5
            found += bool(other > one + 1e-3)
        assert found > 3

    def test_what_is_given_later_decides_what_comes_before(self):
        model = build("transformer-lm")
        given, known = torch.tensor([[0, 0, 3, 0]]), torch.tensor([[False, False, True, False]])
        made = model.complete(given, known, decoding=Decoding(beams=4**LENGTH))[0]
        fits = (EVERY[:, 2] == 3) & (EVERY != UNKNOWN).all(1)
        assert torch.equal(made, EVERY[probabilities(model).masked_fill(~fits, 0).argmax()])


def test_an_lstm_is_torchs():
    torch.manual_seed(0)
    ours, theirs = LSTM(5, 8, 2), torch.nn.LSTM(5, 8, 2, batch_first=True)
    with torch.no_grad():
        for layer in range(2):
            for name, value in zip(("weight_ih", "weight_hh", "bias_ih"), ours.weights[3 * layer :], strict=False):
                getattr(theirs, f"{name}_l{layer}").copy_(value)
            getattr(theirs, f"bias_hh_l{layer}").zero_()
        x = torch.randn(3, 7, 5)
        torch.testing.assert_close(ours(x)[0], theirs(x)[0])
        assert (ours.weights[2][8:16] == 1).all()  # the forget gates
        with pytest.raises(ValueError, match="is not one of 3 sequences"):
            ours(x, ours.start(2))


def test_a_transformer_attends_by_hand():
    torch.manual_seed(0)
    body = CausalTransformer(6, 1, 2)
    x = torch.randn(1, 5, 6)
    block = body.blocks[0]
    with torch.no_grad():
        q, k, v = block.ask(block.norms[0](x[0])).chunk(3, 1)
        heads = []
        for part in (slice(0, 3), slice(3, 6)):
            weight = (q[:, part] @ k[:, part].T / 3**0.5).masked_fill(torch.ones(5, 5).triu(1) > 0, -torch.inf)
            heads.append(weight.softmax(1) @ v[:, part])
        mid = x[0] + block.add(torch.cat(heads, 1))
        out = mid + block.narrow(torch.nn.functional.gelu(block.widen(block.norms[1](mid))))
        torch.testing.assert_close(body(x)[0], body.norm(out))


def test_heads_share_the_width_evenly():
    with pytest.raises(UsageError, match="--width 16 cannot be shared by --heads 3"):
        build("transformer-lm", heads=3)


@pytest.mark.parametrize(("name", "rate"), [("lstm-lm", 0.03), ("transformer-lm", 0.01)])
def test_it_learns_a_grammar_and_writes_by_it(name: str, rate: float):
    """Of 1, 3 or 5 letters, each the next of the alphabet, then the end: log 6 + log 3 nats a text and no less."""
    spec = Spec({"text": Text("character", tuple("abcdef"), 7)})
    rng = np.random.default_rng(0)

    class Stream:
        def next(self, count: int = 32) -> Batch:
            lengths, starts = rng.choice([1, 3, 5], count), rng.integers(0, 6, count)
            codes = 2 + (starts[:, None] + np.arange(7)) % 6
            return Batch({"text": torch.from_numpy(np.where(np.arange(7) < lengths[:, None], codes, END))})

    torch.manual_seed(0)
    model = get_recipe(name).build(spec, width=32, depth=1, dropout=0.0, learning_rate=rate)
    trainer = Trainer(model, {"data": Stream()}, steps=200)  # type: ignore[dict-item]
    for _ in range(200):
        trainer.play()
    least = np.log(6) + np.log(3)
    nats = -model.log_weights_of(Stream().next(500), 1).mean().item()
    assert least - 0.1 < nats < least + 0.15
    made = model.sample(200, rng=torch.Generator().manual_seed(0)).numpy()
    lengths = (made != END).sum(1)
    grown = [
        np.array_equal(text[:n], 2 + (text[0] - 2 + np.arange(n)) % 6) for text, n in zip(made, lengths, strict=True)
    ]
    assert np.mean(grown) > 0.9
    assert np.isin(lengths, (1, 3, 5)).mean() > 0.9
    assert np.bincount(made[:, 0], minlength=8)[2:].min() > 15  # every letter begins some
