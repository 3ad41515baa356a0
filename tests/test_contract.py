"""What every recipe keeps, whichever system it builds. A new recipe is found here by itself."""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import kallima
from kallima.data.batch import Batch
from kallima.data.spec import Attributes, Audio, Image, Label, Points, Spec, Text, Values, Video
from kallima.errors import DataError
from kallima.recipe import Recipe, recipes
from kallima.sampling.drawing import draw
from kallima.system import Conditional, Decodes, Samples, System
from kallima.training import checkpoint
from kallima.training.trainer import Trainer

SPECS = {
    "points": Spec({"points": Points(2)}),
    "grey": Spec({"image": Image(1, 8, 8)}),
    "labelled colour": Spec({"image": Image(3, 16, 16), "label": Label(("a", "b", "c"))}),
    "described": Spec(
        {
            "image": Image(1, 16, 16),
            "attributes": Attributes(("bold", "italic")),
            "values": Values(("age",), (40.0,), (12.0,)),
            "domain": Label(("first", "second")),
        }
    ),
    "texts": Spec({"text": Text("character", tuple("abcde"), 6), "label": Label(("a", "b"))}),
    "sounds": Spec({"audio": Audio(8000, 40), "label": Label(("a", "b"))}),
    "views": Spec({"video": Video(2, 1, 8, 8), "values": Values(("turn",), (0.0,), (2.0,))}),
    "videos": Spec({"video": Video(3, 1, 8, 8), "label": Label(("a", "b"))}),
}
# Images with a text or a sound beside them: for the recipes that ask for both.
PAIRS = {
    "captioned": Spec({"image": Image(3, 16, 16), "text": Text("word", tuple("abcde"), 6)}),
    "heard": Spec({"image": Image(1, 16, 16), "audio": Audio(8000, 800)}),
}
# What a recipe is at home on only where a case below says so.
PALETTE = Spec({"image": Image(3, 4, 4, ((0, 0, 0), (255, 0, 0), (255, 255, 255))), "label": Label(("a", "b"))})
SMALL = {"width": 8, "latent_dim": 4, "depth": 1}
# Each switch that changes what a step does, on the recipe and the data where it is at home.
SWITCHES: list[tuple[str, str, dict[str, Any]]] = [
    ("gan", "points", {"label_smoothing": 0.1}),
    ("gan", "points", {"instance_noise": 0.5, "noise_until": 0.5}),
    ("gan", "points", {"spectral_norm": True, "r1": 1.0}),
    ("gan", "points", {"r1": 1.0, "r2": 2.0, "lazy": 2}),
    ("gan", "points", {"historical_averaging": 0.1}),
    ("gan", "points", {"consensus": 0.1}),
    ("gan", "points", {"pack": 2, "minibatch_discrimination": 3}),
    ("gan", "points", {"optimizer": "optimistic-adam"}),
    ("gan", "points", {"simultaneous": True, "optimizer": "sgd"}),
    ("gan", "points", {"discriminator_steps": 2, "generator_steps": 2, "optimizer": "rmsprop"}),
    ("gan", "points", {"weight_clip": 0.05}),
    ("dcgan", "grey", {"virtual_batch_norm": True}),
    ("dcgan", "labelled colour", {"augment": "diffaugment"}),
    ("sngan", "labelled colour", {"augment": "ada"}),
    ("gan", "grey", {"generator": "dcgan", "discriminator": "resnet"}),
    ("r3gan", "grey", {}),
    ("stylegan2", "labelled colour", {"condition_on": ("label",)}),
    ("f-gan", "points", {"divergence": "jeffrey", "minimax": True}),
    ("ebgan", "points", {"pulling_away": 0.0}),
    ("gogan", "points", {"stages": 3}),
    ("sinkhorn", "points", {"learned_cost": True}),
    ("wavenet", "sounds", {"window": 7}),
    ("wavenet", "sounds", {"output": "mixture"}),
    ("conditional-wavenet", "sounds", {"window": 7}),
    ("pixel-rnn", "few colours", {}),
    ("pixel-cnn", "few colours", {}),
]


@dataclass(frozen=True)
class Case:
    """A recipe, what it is told, and the data it is built for."""

    recipe: Recipe
    spec: Spec
    arguments: Mapping[str, Any]


def places(recipe: Recipe) -> dict[str, Spec]:
    """Return the data that a recipe is at home on: one of each of its needs, all where it is a class's only recipe."""
    known = SPECS | PAIRS
    fits = [
        [
            name
            for name, spec in (known if {"text", "audio"} & set(needs) and "image" in needs else SPECS).items()
            if all(isinstance(spec.get(f), kind) for f, kind in needs.items())
        ]
        for needs in recipe.needs
    ]
    alone = sum(other.returns == recipe.returns for other in recipes().values()) == 1
    return {name: known[name] for names in fits for name in (names if alone else names[:1])}


CASES = [
    pytest.param(Case(recipe, spec, {}), id=f"{recipe.name} on {name}")
    for recipe in recipes().values()
    for name, spec in places(recipe).items()
] + [
    pytest.param(
        Case(recipes()[name], {**SPECS, "few colours": PALETTE}[data], arguments),
        id=f"{name} on {data} with {' '.join(arguments)}",
    )
    for name, data, arguments in SWITCHES
]
every_case = pytest.mark.parametrize("case", CASES)
# Compiling takes seconds: once for each class, and for each switch. Objectives are compiled in tests of their own.
every_kind = pytest.mark.parametrize(
    "case",
    [
        *{case.values[0].recipe.returns: case for case in reversed(CASES) if not case.values[0].arguments}.values(),
        *(case for case in CASES if case.values[0].arguments),
    ],
)
every_recipe = pytest.mark.parametrize("recipe", [pytest.param(r, id=name) for name, r in recipes().items()])


def build(case: Case, seed: int = 0) -> System:
    torch.manual_seed(seed)
    known = {parameter.name for parameter in case.recipe.parameters}
    small = {name: value for name, value in SMALL.items() if name in known}
    return case.recipe.build(case.spec, **small, **case.arguments)


class Random:
    """A stream of noise that fits a spec; batch k is always the same."""

    def __init__(self, spec: Spec, size: int = 4):
        self.spec, self.size, self.position = spec, size, 0

    def next(self) -> Batch:
        rng = torch.Generator().manual_seed(self.position)
        self.position += 1
        fields: dict[str, Tensor] = {}
        for name, field in self.spec.items():
            if isinstance(field, Image) and field.palette is not None:
                colours = torch.tensor(field.palette) / 127.5 - 1
                places = torch.randint(len(colours), (self.size, field.height, field.width), generator=rng)
                fields[name] = colours[places].movedim(-1, 1)
            elif isinstance(field, Image):
                fields[name] = torch.rand(self.size, field.channels, field.height, field.width, generator=rng) * 2 - 1
            elif isinstance(field, Points):
                fields[name] = torch.randn(self.size, field.dimensions, generator=rng)
            elif isinstance(field, Attributes):
                fields[name] = torch.randint(2, (self.size, len(field.names)), generator=rng).float()
            elif isinstance(field, Values):
                fields[name] = torch.randn(self.size, len(field.names), generator=rng)
            elif isinstance(field, Label):
                fields[name] = torch.randint(len(field.classes), (self.size,), generator=rng)
            elif isinstance(field, Text):
                own = torch.randint(1, field.shape[0], (self.size, 1), generator=rng)
                codes = torch.randint(1, field.codes, (self.size, *field.shape), generator=rng)
                fields[name] = codes.masked_fill(torch.arange(field.shape[0]) >= own, 0)
            elif isinstance(field, Audio):
                fields[name] = torch.rand(self.size, *field.shape, generator=rng) * 2 - 1
                fields[f"{name}_length"] = torch.randint(1, field.shape[0] + 1, (self.size,), generator=rng)
            elif isinstance(field, Video):
                fields[name] = torch.rand(self.size, *field.shape, generator=rng) * 2 - 1
        return Batch(fields)

    def seek(self, position: int) -> None:
        self.position = position


def trainer_for(system: System, spec: Spec, steps: int = 6) -> Trainer:
    return Trainer(system, {name: Random(spec) for name in system.streams}, steps=steps)


def terms_of(result: Any) -> Mapping[str, Tensor]:
    return result[0] if isinstance(result, tuple) else result


def tensors(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items() if name not in ("progress", "step")}


def moved(before: dict[str, Tensor], module: torch.nn.Module) -> set[str]:
    now = module.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, now[name])}


@every_case
def test_steps_are_finite_and_each_phase_moves_its_player_and_nothing_else(case: Case):
    system = build(case)
    trainer = trainer_for(system, case.spec)
    phases = trainer.phases
    for phase in phases:
        trainer.phases = [phase]
        trainer.step = next(step for step in range(trainer.steps) if phase.has_turn(step, step / trainer.steps))
        own = {id(p) for p in phase.player.parameters()}
        own |= {id(b) for module in phase.player.modules for b in module.buffers()}
        named = [*system.named_parameters(), *system.named_buffers()]
        foreign = {name for name, tensor in named if id(tensor) not in own}
        before = tensors(system)
        scalars = trainer.play()
        assert all(torch.isfinite(value) for value in scalars.values()), scalars
        changed = moved(before, system)
        assert changed, f"{phase.name} moves nothing"
        assert not changed & foreign, f"{phase.name} moves {changed & foreign}"


@every_case
def test_every_parameter_is_owned_by_one_player_or_declared_frozen(case: Case):
    system = build(case)
    owners: dict[int, set[str]] = {}
    for phase in system.game():
        for parameter in phase.player.parameters():
            owners.setdefault(id(parameter), set()).add(phase.player.name)
    frozen = {id(p) for module in system.frozen for p in module.parameters()}
    for name, parameter in system.named_parameters():
        owned = len(owners.get(id(parameter), ()))
        assert (owned == 1) != (id(parameter) in frozen), name


@every_case
def test_samples_have_the_promised_shape_range_and_repeatability(case: Case):
    system = build(case)
    if not isinstance(system, Samples):
        pytest.skip(f"{case.recipe.name} does not sample")
    system.train()
    modes = [module.training for module in system.modules()]
    torch.manual_seed(1)
    one, other, third = (system.sample(5, rng=torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, other)
    assert not torch.equal(one, third)
    assert not one.requires_grad
    assert not one.is_inference()  # samples can be learned from
    assert [module.training for module in system.modules()] == modes
    field = case.spec[case.spec.medium]
    assert one.shape == (5, *field.shape)
    if isinstance(field, Text):
        assert one.dtype == torch.int64
        assert one.min() >= 0
        assert one.max() < field.codes
    elif not isinstance(field, Points):
        assert one.min() >= -1
        assert one.max() <= 1
    if isinstance(field, Image):
        assert draw(system, 3, seed=0).dtype == np.uint8
        assert draw(system, 3, seed=0).shape == (3, field.height, field.width, field.channels)
    assert np.array_equal(draw(system, 7, seed=2)[:3], draw(system, 3, seed=2))


def test_what_can_be_asked_for_has_a_place_in_the_latents():
    told = 0
    for case in (case.values[0] for case in CASES if not case.values[0].arguments):
        system = build(case)
        if not (isinstance(system, Decodes) and isinstance(system, Conditional)):
            continue
        told += 1
        own = {name: part.place for name, part in system.conditions.parts.items()}
        reading = getattr(system, "reading", None)  # what is read or heard stands there as it was understood
        for name, place in (own if reading is None else reading.places).items():
            assert name in system.parts, f"{case.recipe.name} has no place for {name}"
            assert system.parts[name].stop - system.parts[name].start == place.stop - place.start, case.recipe.name
        assert max(part.stop for part in system.parts.values()) == system.latents(1).shape[1], case.recipe.name
    assert told >= 10


@every_case
def test_a_checkpoint_on_disk_resumes_bit_for_bit(case: Case, tmp_path: Path):
    straight = trainer_for(build(case), case.spec)
    for _ in range(4):
        straight.play()
    first = trainer_for(build(case), case.spec)
    for _ in range(2):
        first.play()
    place = checkpoint.save(tmp_path, first.state(), {"identity": {}})
    second = trainer_for(build(case, seed=9), case.spec)
    second.load(checkpoint.load(place)[0])
    for _ in range(2):
        second.play()
    assert moved(tensors(straight.system), second.system) == set()
    assert moved(tensors(straight.average.system), second.average.system) == set()


@every_case
def test_averaged_weights_follow_but_differ(case: Case):
    trainer = trainer_for(build(case), case.spec)
    averaged = [player for player in trainer.players if player.average]
    if not averaged:
        pytest.skip(f"{case.recipe.name} averages nothing")
    for _ in range(3):
        trainer.play()
    assert moved(tensors(trainer.system), trainer.average.system)
    assert not trainer.average.system.training


@every_kind
def test_losses_compile_in_one_piece(case: Case):
    eager, compiled = build(case), build(case)
    batch = Random(case.spec).next()
    for phase, other in zip(eager.game(), compiled.game(), strict=True):
        torch.manual_seed(0)
        terms = terms_of(phase.loss(*[batch] * len(phase.reads)))
        torch.manual_seed(0)
        whole = torch.compile(other.loss, backend="aot_eager", fullgraph=True, dynamic=False)
        again = terms_of(whole(*[batch] * len(phase.reads)))
        assert list(terms) == list(again)
        for name in terms:
            torch.testing.assert_close(terms[name], again[name])
    torch._dynamo.reset()


@every_kind
def test_a_step_in_half_precision_stays_near_the_whole_one(case: Case):
    terms = {}
    for precision in ("32", "bf16"):
        streams = {name: Random(case.spec) for name in build(case).streams}
        trainer = Trainer(build(case), streams, steps=6, precision=precision)
        terms[precision] = trainer.play()
    assert terms["32"].keys() == terms["bf16"].keys()
    for name, value in terms["32"].items():
        assert torch.isfinite(terms["bf16"][name]), name
        if not name.endswith("gradient_norm") and name != "path/path_length":  # the latter a variance of two lengths
            assert abs(terms["bf16"][name] - value) <= 0.1 * abs(value) + 0.1, name


@every_recipe
def test_the_card_is_complete(recipe: Recipe):
    assert len(recipe.card) > 400
    assert any(sign in recipe.card for sign in "=−∑E"), "a card has equations"
    assert "arXiv" in recipe.paper or "doi" in recipe.paper.lower()
    assert 20 < len(recipe.summary) <= 120
    for parameter in recipe.parameters:
        assert parameter.help, f"--{parameter.name} has no help"


@every_recipe
def test_data_that_lacks_a_field_is_refused_with_the_remedy(recipe: Recipe):
    lacking = Spec({"label": Label(("a", "b"))})
    with pytest.raises(DataError, match=r"needs .* but the data has only label \(Label\): "):
        recipe.build(lacking)


@every_recipe
def test_the_command_line_lists_it_and_its_arguments(recipe: Recipe, capsys: pytest.CaptureFixture[str]):
    from kallima.cli import main

    assert main(["recipes", "--json"]) == 0
    assert recipe.name in {entry["name"] for entry in json.loads(capsys.readouterr().out)}
    assert main(["show", recipe.name]) == 0
    shown = capsys.readouterr().out
    assert recipe.paper in shown
    assert all(parameter.flag in shown for parameter in recipe.parameters)


def test_the_public_names_are_documented():
    for name in kallima.__all__:
        if callable(member := getattr(kallima, name)):
            assert inspect.getdoc(member), name
