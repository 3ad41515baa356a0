"""Models of videos with exact likelihoods: causal, normalised, and the same whichever way they are gone through."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from kallima.data.batch import Batch
from kallima.data.spec import Spec, Video
from kallima.decoding import Decoding
from kallima.errors import UsageError
from kallima.layers.convlstm import ConvLSTM, FrameMemory
from kallima.recipe import get_recipe
from kallima.systems.autoregressive.ground import NaiveWalk
from kallima.training.trainer import Trainer

TINY = Spec({"video": Video(2, 1, 2, 2)})
GREY = Spec({"video": Video(3, 1, 4, 6)})
COLOUR = Spec({"video": Video(2, 3, 4, 2)})
RECIPES = ["convlstm", "video-pixel-network"]


def build(name: str, spec: Spec, seed: int = 0, **arguments):
    torch.manual_seed(seed)
    depth = {"depth": 2} if name == "video-pixel-network" else {}
    system = get_recipe(name).build(spec, **{"width": 6, "layers": 2, "patch": 2, **depth, **arguments})
    with torch.no_grad():
        for parameter in system.parameters():  # as if it had learned something
            parameter.add_(0.3 * torch.randn_like(parameter))
    return system.eval()


def test_a_layer_is_an_lstm_at_each_place():
    torch.manual_seed(0)
    layer = ConvLSTM(3, 4, kernel=1)
    cell = torch.nn.LSTMCell(3, 4)
    order = [0, 1, 3, 2]  # torch has input, forget, cell, output
    weights = layer.gates.weight[:, :, 0, 0].unflatten(0, (4, 4))[order].flatten(0, 1)
    with torch.no_grad():
        cell.weight_ih.copy_(weights[:, :3])
        cell.weight_hh.copy_(weights[:, 3:])
        cell.bias_ih.copy_(layer.gates.bias.unflatten(0, (4, 4))[order].flatten())
        cell.bias_hh.zero_()
    maps, output, state = torch.randn(2, 3, 5, 5), torch.randn(2, 4, 5, 5), torch.randn(2, 4, 5, 5)
    made, kept = layer(maps, output, state)
    flat = [each.movedim(1, -1).flatten(0, 2) for each in (maps, output, state)]
    wanted, held = cell(flat[0], (flat[1], flat[2]))
    torch.testing.assert_close(made.movedim(1, -1).flatten(0, 2), wanted)
    torch.testing.assert_close(kept.movedim(1, -1).flatten(0, 2), held)


def test_the_memory_of_a_frame_is_of_those_before_it_and_of_all_of_them():
    torch.manual_seed(0)
    memory = FrameMemory(1, 4, 4, width=3, depth=2, patch=2)
    frames = torch.randn(1, 4, 1, 4, 4, requires_grad=True)
    contexts = memory(frames)
    assert contexts.shape == (1, 4, 3, 4, 4)
    for place in range(4):
        (gradient,) = torch.autograd.grad(contexts[:, place].square().sum(), frames, retain_graph=True)
        assert [bool((gradient[0, each] != 0).all()) for each in range(4)] == [each < place for each in range(4)]
    with pytest.raises(UsageError, match="does not divide frames of 4×6"):
        FrameMemory(1, 6, 4, width=3, depth=1, patch=4)


@pytest.mark.parametrize("name", RECIPES)
def test_the_probabilities_of_all_videos_sum_to_one(name):
    system = build(name, TINY)
    every = torch.tensor(list(product((0, 1), repeat=8)))
    chances = system.log_weights_of(Batch({"video": system.examples_of(every)}), 1)[0].exp()
    assert chances.sum().item() == pytest.approx(1, abs=1e-5)
    assert chances.std() > 1e-3


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=["grey", "colour"])
def test_every_component_depends_on_earlier_ones_alone_and_each_has_a_say(name, spec):
    heard = torch.zeros(())
    for seed in range(4):  # of one network alone some units may be dead
        system = build(name, spec, seed=seed, levels=4).double()
        soft = torch.rand(1, system.count, dtype=torch.float64) * 3

        def logits(components: Tensor, system=system) -> Tensor:
            return system.parameters_of(components, None)[0].square().sum(1)

        heard = heard + torch.autograd.functional.jacobian(logits, soft)[:, 0].abs()  # (T, T): of, by
    heard = heard != 0
    earlier = torch.tril(torch.ones_like(heard), -1)
    assert not heard[~earlier].any()
    last = system.count // system.frames * (system.frames - 1)
    assert heard[:, :last].any(0).all()  # every component of a frame that another follows
    frame = torch.arange(system.count) // (system.count // system.frames)
    within = frame[:, None] == frame[None]
    if name == "convlstm":
        assert not heard[within].any()  # the pixels of a frame are independent
    else:
        # the component next to each, its own parts in their order, and the pixel above
        assert heard.diagonal(-1).float().mean() > 0.85
        across = system.columns * system.parts
        above = heard.diagonal(-across)[within.diagonal(-across)]
        assert above.all()
    assert heard[frame == 1][:, frame == 0].any(1).all()  # each looks back at the frame before


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=["grey", "colour"])
def test_the_way_with_what_is_kept_is_the_way_that_computes_all_again(name, spec):
    system = build(name, spec, levels=3)
    given = torch.zeros(3, system.count, dtype=torch.int64)
    fixed = torch.zeros_like(given, dtype=torch.bool)
    with torch.no_grad():
        walks = [system.walk(3, None), NaiveWalk(system, 3, None)]
        one, other = (system.follow(walk, given, fixed, Decoding(), torch.Generator().manual_seed(5)) for walk in walks)
        assert torch.equal(one, other)
        at_once, walk = system.parameters_of(one, None), system.walk(3, None)
        for place in range(system.count):
            torch.testing.assert_close(walk.parameters(), at_once[:, place], atol=1e-4, rtol=1e-4)
            walk.take(one[:, place])
    told = system.log_probabilities(one, at_once).sum(1)
    batch = Batch({"video": system.examples_of(one)})
    torch.testing.assert_close(system.log_weights_of(batch, 1)[0], told)


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_known_of_a_video_stays(name):
    system = build(name, GREY)
    examples = system.examples_of(torch.randint(2, (4, system.count)))
    known = torch.rand(4, 3, 4, 6) < 0.5
    made = system.complete(examples, known, rng=torch.Generator().manual_seed(0))
    assert torch.equal(made[:, :, 0][known], examples[:, :, 0][known])
    assert (made != examples).any()
    again = system.sample(2, rng=torch.Generator().manual_seed(1))
    assert again.shape == (2, 3, 1, 4, 6)
    assert set(again.unique().tolist()) == {-1.0, 1.0}


def test_components_are_frame_by_frame_row_by_row_channel_by_channel():
    system = build("convlstm", COLOUR, levels=256)
    video = torch.from_numpy(np.arange(48).reshape(1, 2, 4, 2, 3)).movedim(-1, 2) / 127.5 - 1
    assert system.components_of(video).tolist() == [list(range(48))]
    torch.testing.assert_close(system.examples_of(system.components_of(video)), video.float(), check_dtype=False)


class Forks:
    """A white row in the middle of black, then above or below it by chance: one bit of news in two frames."""

    def __init__(self) -> None:
        self.position = 0

    def next(self, count: int = 32) -> Batch:
        self.position += 1
        rng = torch.Generator().manual_seed(self.position)
        video = torch.full((count, 2, 1, 4, 4), -1.0)
        video[:, 0, 0, 1:3] = 1
        up = torch.randint(2, (count,), generator=rng).bool()
        video[up, 1, 0, 0] = 1
        video[~up, 1, 0, 3] = 1
        return Batch({"video": video})

    def seek(self, position: int) -> None:
        self.position = position


def test_where_the_future_forks_only_pixels_that_see_one_another_agree():
    spec = Spec({"video": Video(2, 1, 4, 4)})
    nats = {}
    for name in RECIPES:
        torch.manual_seed(0)
        more = {"depth": 2} if name == "video-pixel-network" else {}
        system = get_recipe(name).build(spec, width=8, layers=1, learning_rate=1e-2, **more)
        steps = 80 if more else 20  # as few as you like: it cannot do better
        trainer = Trainer(system, {"data": Forks()}, steps=steps)
        for _ in range(steps):
            trainer.play()
        nats[name] = -system.log_weights_of(Forks().next(100), 1).mean().item()
    # the fork is one bit, log 2 = 0.69 nats; eight pixels that go by themselves pay it each
    assert nats["video-pixel-network"] < 1.0
    assert nats["convlstm"] > 8 * 0.68
