"""The ground of autoregressive models, held against a model so small that everything can be listed."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from kallima.data.batch import Batch
from kallima.data.spec import Image, Spec
from kallima.decoding import Decoding
from kallima.systems.autoregressive.ground import Autoregressive, NaiveWalk
from kallima.systems.descent import Descent


class Table(Autoregressive):
    """Binary 2×2 images, each pixel's logit a row of numbers by all that came before."""

    def __init__(self) -> None:
        super().__init__(Spec({"image": Image(1, 2, 2)}), count=4, descent=Descent())
        self.rows = nn.Embedding(16, 2)  # by the number 1b of the bits b before

    def components_of(self, examples: Tensor) -> Tensor:
        return (examples.flatten(1) > 0).long()

    def examples_of(self, components: Tensor) -> Tensor:
        return components.view(-1, 1, 2, 2) * 2.0 - 1

    def parameters_of(self, components: Tensor, condition: Tensor | None) -> Tensor:
        before = [torch.ones_like(components[:, 0])]
        for place in range(3):
            before.append(2 * before[-1] + components[:, place])
        return self.rows(torch.stack(before, 1))

    def walk(self, count: int, condition: Tensor | None) -> "Walk":
        return Walk(self, count)


class Walk:
    def __init__(self, model: Table, count: int):
        self.model, self.state = model, torch.ones(count, dtype=torch.int64)

    def parameters(self) -> Tensor:
        return self.model.rows(self.state)

    def take(self, components: Tensor) -> None:
        self.state = (2 * self.state + components) % 16


@pytest.fixture
def model() -> Table:
    torch.manual_seed(0)
    return Table()


EVERY = torch.tensor(list(product((0, 1), repeat=4)))


def probabilities(model: Table) -> Tensor:
    batch = Batch({"image": model.examples_of(EVERY)})
    return model.log_weights_of(batch, 7)[0].exp()


def test_the_probabilities_of_all_images_sum_to_one(model: Table):
    assert probabilities(model).sum() == pytest.approx(1, abs=1e-6)


def test_samples_are_as_likely_as_the_model_says(model: Table):
    made = model.components_of(model.sample(40_000, rng=torch.Generator().manual_seed(1)))
    numbers = (made * torch.tensor([8, 4, 2, 1])).sum(1)
    torch.testing.assert_close(torch.bincount(numbers, minlength=16) / 40_000, probabilities(model), atol=0.008, rtol=0)


def test_the_naive_way_gives_the_same_samples(model: Table):
    given, fixed = torch.zeros(9, 4, dtype=torch.int64), torch.zeros(9, 4, dtype=torch.bool)
    ways = [model.walk(9, None), NaiveWalk(model, 9, None)]
    one, other = (model.follow(way, given, fixed, Decoding(), torch.Generator().manual_seed(3)) for way in ways)
    assert torch.equal(one, other)


def test_a_completion_keeps_what_is_known_and_draws_the_rest_given_it(model: Table):
    examples = model.examples_of(torch.tensor([[1, 0, 0, 0]])).expand(20_000, -1, -1, -1)
    known = torch.tensor([[True, False], [False, False]]).expand(20_000, -1, -1)
    told = []
    made = model.components_of(
        model.complete(examples, known, rng=torch.Generator().manual_seed(2), progress=lambda *now: told.append(now))
    )
    assert (made[:, 0] == 1).all()
    numbers = (made * torch.tensor([8, 4, 2, 1])).sum(1)
    given = probabilities(model)[8:] / probabilities(model)[8:].sum()
    torch.testing.assert_close(torch.bincount(numbers, minlength=16)[8:] / 20_000, given, atol=0.012, rtol=0)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_different_masks_go_together_in_one_batch(model: Table):
    examples = model.examples_of(torch.tensor([[1, 1, 1, 1], [0, 0, 0, 0]]))
    known = torch.tensor([[[True, True], [True, False]], [[False, False], [False, True]]])
    made = model.complete(examples, known, rng=torch.Generator().manual_seed(0))
    assert (made[0].flatten()[:3] == 1).all()
    assert made[1].flatten()[3] == -1
