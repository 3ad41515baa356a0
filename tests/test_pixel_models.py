"""What every pixel model keeps: probabilities that sum to one, strict order, and a way that agrees with the whole."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from kallima.data.batch import Batch
from kallima.data.spec import Image, Label, Spec
from kallima.decoding import PLAIN, Decoding
from kallima.errors import DataError, UsageError
from kallima.recipe import get_recipe
from kallima.systems.autoregressive.alphabets import Levels, Palette
from kallima.systems.autoregressive.ground import NaiveWalk
from kallima.systems.autoregressive.pixels import ImageModel, PixelModel
from kallima.systems.autoregressive.sequences import Sequence

COLOURS = ((255, 255, 255), (255, 0, 0), (0, 0, 0), (255, 0, 1), (0, 128, 255))
SPECS = {
    "grey": Spec({"image": Image(1, 3, 3)}),
    "rgb": Spec({"image": Image(3, 3, 4)}),
    "palette": Spec({"image": Image(3, 4, 3, COLOURS)}),
    "labelled": Spec({"image": Image(1, 4, 4), "label": Label(("a", "b", "c"))}),
}
SMALL: dict[str, dict[str, Any]] = {
    "pixel-cnn": {"width": 15, "depth": 2},
    "gated-pixel-cnn": {"width": 15, "depth": 2, "kernel": 3},
    "pixel-rnn": {"width": 12, "depth": 2},
    "pixel-cnn-pp": {"width": 8, "depth": 2, "mixtures": 3},
    "row-lstm": {"width": 18, "depth": 2},
    "diagonal-bilstm": {"width": 15, "depth": 2},
    "pixel-transformer": {"width": 12, "depth": 2, "heads": 3},
}
LEVELS: dict[str, dict[str, int]] = {"grey": {"levels": 2}, "rgb": {"levels": 3}, "palette": {}}
every_model = pytest.mark.parametrize("name", SMALL)
# every model where the pixels are black or white, have three channels of three levels, or are of few colours
DATA = [
    (name, data) for name in SMALL for data in ("grey", "rgb", "palette") if (name, data) != ("pixel-cnn-pp", "palette")
]


# those of which a recipe is told conditions, and what the same model is called without
CONDITIONAL = {"conditional-pixel-cnn": "gated-pixel-cnn"}


def build(name: str, spec: Spec, *, seed: int = 0, **arguments: Any) -> Any:
    torch.manual_seed(seed)
    model = get_recipe(name).build(spec, **{**SMALL[CONDITIONAL.get(name, name)], **arguments})
    with torch.no_grad():  # so that nothing is small by initialisation
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter) * parameter.std().nan_to_num(1).clamp_min(0.1))
    return model.eval()


def small(name: str, data: str) -> Any:
    return build(name, SPECS[data], **LEVELS[data])


def every_image(count: int, choices: int) -> Tensor:
    return torch.tensor(list(product(range(choices), repeat=count)))


@torch.no_grad()
def log_probabilities(model: ImageModel, components: Tensor, condition: Tensor | None = None) -> Tensor:
    return model.log_probabilities(components, model.parameters_of(components, condition)).sum(1)


@every_model
def test_the_probabilities_of_all_binary_images_sum_to_one(name: str):
    model = build(name, SPECS["grey"], levels=2)
    total = log_probabilities(model, every_image(9, 2)).double().exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-5)


@every_model
def test_the_probabilities_of_all_small_images_of_colours_sum_to_one(name: str):
    colours = build(name, Spec({"image": Image(3, 1, 2)}), levels=3)
    total = log_probabilities(colours, every_image(6, 3)).double().exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", [name for name, data in DATA if data == "palette"])
def test_the_probabilities_of_all_small_images_of_a_palette_sum_to_one(name: str):
    places = build(name, Spec({"image": Image(3, 2, 2, COLOURS)}))
    total = log_probabilities(places, every_image(4, 5)).double().exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-5)


def influence(model: ImageModel, condition: Tensor | None = None) -> Tensor:
    """Return how strongly component i of what the network sees moves the parameters of component j: (T, T)."""
    torch.manual_seed(1)
    components = torch.randint(model.alphabet.choices, (1, model.count))
    if isinstance(model, PixelModel):
        planes = model.planes_of(components).detach()
        jacobian = torch.autograd.functional.jacobian(lambda given: model.parameters_at(given, condition)[0], planes)
        strength = jacobian[:, :, 0].abs().sum(1)  # (T, P, H, W)
        strength = strength.movedim(1, -1).flatten(1)  # the planes of a pixel last
        return strength.unflatten(1, (model.count, -1)).sum(2).T
    assert isinstance(model, Sequence)
    before = model.before(components).detach()  # of each place, the component before it
    jacobian = torch.autograd.functional.jacobian(lambda given: model.says(given, condition)[0], before)[:, :, 0]
    strength = jacobian.abs().sum((1, 3)).T
    return torch.cat([strength[1:], torch.zeros(1, model.count)])


@pytest.mark.parametrize(("name", "data"), DATA)
def test_each_component_has_a_say_in_later_ones_alone(name: str, data: str):
    model = small(name, data)
    strength = influence(model)
    assert (strength.tril() == 0).all(), "a component is seen by itself or by an earlier one"
    assert (strength.diagonal(1) > 0).all(), "a component has no say in the next"


@pytest.mark.parametrize(("name", "data"), DATA)
def test_the_walk_agrees_with_the_whole_at_every_step(name: str, data: str):
    model = small(name, data)
    given = torch.zeros(5, model.count, dtype=torch.int64)
    agree(model, given, None)


@torch.no_grad()
def agree(model: ImageModel, given: Tensor, condition: Tensor | None) -> None:
    """Walk in both ways with one noise; parameters and components are the same at every step."""
    count = len(given)
    walk, naive = model.walk(count, condition), NaiveWalk(model, count, condition)
    rng = torch.Generator().manual_seed(3)
    made = []
    for place in range(model.count):
        quick, slow = walk.parameters(), naive.parameters()
        torch.testing.assert_close(quick, slow, atol=1e-4, rtol=1e-4, msg=lambda m, p=place: f"at {p}: {m}")
        state = rng.get_state()
        component = model.choose(quick, PLAIN, rng)
        rng.set_state(state)
        assert torch.equal(component, model.choose(slow, PLAIN, rng))
        made.append(component)
        walk.take(component)
        naive.take(component)
    whole = torch.stack(made, 1)
    assert len(torch.unique(whole, dim=0)) > 1


@pytest.mark.parametrize("name", CONDITIONAL)
def test_conditional_models_keep_all_of_it_under_every_condition(name: str):
    model = build(name, Spec({"image": Image(1, 3, 3), "label": Label(("a", "b", "c"))}), levels=2)
    totals = []
    for condition in torch.eye(3):
        each = log_probabilities(model, every_image(9, 2), condition.expand(512, 3)).double()
        assert each.exp().sum().item() == pytest.approx(1, abs=1e-5)
        totals.append(each)
    assert (totals[0] - totals[1]).abs().max() > 0.02, "the condition has no say"
    agree(model, torch.zeros(6, 9, dtype=torch.int64), torch.eye(3).repeat(2, 1))
    strength = influence(model, torch.eye(3)[:1])
    assert (strength.tril() == 0).all()
    assert (strength.diagonal(1) > 0).all()


@pytest.mark.parametrize(("name", "data"), DATA)
def test_cached_and_naive_samples_are_the_same_image_for_image(name: str, data: str):
    model = small(name, data)
    given = torch.zeros(4, model.count, dtype=torch.int64)
    free = torch.zeros(4, model.count, dtype=torch.bool)
    with torch.no_grad():
        one, other = (
            model.follow(way, given, free, Decoding(temperature=0.8, top_k=3), torch.Generator().manual_seed(5))
            for way in (model.walk(4, None), NaiveWalk(model, 4, None))
        )
    assert torch.equal(one, other)


@pytest.mark.parametrize(("name", "data"), DATA)
def test_a_completion_keeps_what_is_known_and_scores_the_sum_of_its_conditionals(name: str, data: str):
    model = small(name, data)
    torch.manual_seed(2)
    examples = model.examples_of(torch.randint(model.alphabet.choices, (4, model.count)))
    known = torch.rand(4, model.rows, model.columns) < 0.5
    made = model.complete(examples, known, rng=torch.Generator().manual_seed(4))
    again = model.complete(examples, known, rng=torch.Generator().manual_seed(5))
    kept = known[:, None].expand_as(examples)
    assert torch.equal(made[kept], examples[kept])
    assert not torch.equal(made, again)
    components = model.components_of(made)
    walk, total = model.walk(4, None), torch.zeros(4)
    with torch.no_grad():
        for place in range(model.count):
            said = walk.parameters()[:, None]
            total += model.log_probabilities(components[:, place : place + 1], said)[:, 0]
            walk.take(components[:, place])
    torch.testing.assert_close(total, model.log_weights_of(Batch({"image": made}), 3)[0], atol=1e-4, rtol=1e-4)


def test_levels_come_back_as_they_were():
    for levels in (2, 3, 256):
        letters = Levels(Image(3, 2, 2), levels)
        places = torch.randint(levels, (5, 2, 2, 3))
        assert torch.equal(letters.read(letters.write(places)), places)
    stored = torch.arange(256).view(1, 1, 16, 16)
    assert torch.equal(Levels(Image(1, 16, 16), 256).read(stored / 127.5 - 1)[..., 0], stored[:, 0])
    black = Levels(Image(1, 16, 16), 2).read(stored / 127.5 - 1).flatten()
    assert torch.equal(black, (torch.arange(256) >= 128).long())


def test_a_palette_finds_each_colour_and_says_which_it_does_not_have():
    palette = Palette(COLOURS)
    places = torch.arange(5).view(1, 1, 5, 1)
    images = palette.write(places)
    assert torch.equal(((images + 1) * 127.5).round().movedim(1, -1)[0, 0], torch.tensor(COLOURS, dtype=torch.float32))
    assert torch.equal(palette.read(images), places)
    assert not palette.strange(images).any()
    images[0, 2, 0, 1] = 5 / 127.5 - 1  # (255, 0, 5)
    assert palette.strange(images).tolist() == [[[False, True, False, False, False]]]


def test_images_of_other_colours_are_refused():
    model = small("pixel-cnn", "palette")
    images = model.examples_of(torch.zeros(1, model.count, dtype=torch.int64))
    images[0, 0, 0, 0] = 0.3
    with pytest.raises(DataError, match=r"8\.3% of the pixels have a colour that is none of the 5"):
        model.log_weights_of(Batch({"image": images}), 1)
    known = torch.ones(1, 4, 3, dtype=torch.bool)
    with pytest.raises(DataError, match="palette"):
        model.complete(images, known)
    known[0, 0, 0] = False
    assert model.complete(images, known).shape == images.shape


def test_what_makes_no_sense_is_refused():
    with pytest.raises(UsageError, match="--levels must be from 2 to 256, not 1"):
        build("pixel-cnn", SPECS["grey"], levels=1)
    with pytest.raises(UsageError, match="--kernel is an odd number from 3, not 4"):
        build("pixel-cnn", SPECS["grey"], kernel=4)
    with pytest.raises(UsageError, match="--width must be at least 3"):
        build("pixel-cnn", SPECS["rgb"], width=2)


def test_the_defaults_fit_the_data():
    assert build("pixel-cnn", SPECS["grey"]).alphabet.choices == 2
    assert build("pixel-cnn", SPECS["rgb"]).alphabet.choices == 256
    assert build("pixel-cnn", SPECS["palette"]).alphabet.choices == 5
    assert build("pixel-cnn", SPECS["palette"], levels=4).count == 36


def test_a_gated_pixel_cnn_sees_all_of_the_rows_above_and_a_pixel_cnn_has_its_blind_triangle():
    spec = Spec({"image": Image(1, 5, 11)})
    middle = 3 * 11 + 5  # the parameters of pixel (3, 5)
    sees = {}
    for name in ("pixel-cnn", "gated-pixel-cnn"):
        model = build(name, spec, levels=2, depth=2, kernel=3)
        sees[name] = (influence(model)[:, middle] > 0).view(5, 11)
    # by the geometry: each 3×3 takes one step up and one to the right at most, the first of the gated one two rows up
    square = torch.zeros(5, 11, dtype=torch.bool)
    for row in range(4):
        up = 3 - row
        square[row] = (torch.arange(11) >= 5 - 3) & (torch.arange(11) <= 5 + up) if up else False
    square[3, 2:5] = True
    assert torch.equal(sees["pixel-cnn"], square)
    assert (sees["gated-pixel-cnn"][:3, 2:9]).all(), "the triangle to the upper right is seen"
