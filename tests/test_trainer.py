"""The trainer on games small enough to be played by hand."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from kallima.data.batch import Batch
from kallima.optimizers import adam
from kallima.system import Phase, Player, System
from kallima.training.trainer import Trainer


def plain_descent(rate: float):
    return lambda parameters, **engine: torch.optim.SGD(parameters, lr=rate)


class Counted:
    """A stream whose batch number k holds the numbers k·n … k·n + n − 1, scaled down."""

    def __init__(self, size: int = 4):
        self.size, self.position = size, 0

    def next(self) -> Batch:
        values = torch.arange(self.position * self.size, (self.position + 1) * self.size, dtype=torch.float32)
        self.position += 1
        return Batch({"points": values.reshape(-1, 1) / 10})

    def seek(self, position: int) -> None:
        self.position = position


class Number(nn.Module):
    def __init__(self, value: float):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))


class Bilinear(System):
    """min over x, max over y of x·y."""

    def __init__(self, simultaneous: bool, rate: float = 0.1):
        super().__init__()
        self.x, self.y, self.rate = Number(1.0), Number(1.0), rate
        self.simultaneous = simultaneous  # type: ignore[misc]

    def game(self):
        x = Player("x", self.x, optimizer=plain_descent(self.rate))
        y = Player("y", self.y, optimizer=plain_descent(self.rate))
        product: Callable[[], Tensor] = lambda: self.x.value * self.y.value  # noqa: E731
        return [
            Phase("x", x, lambda: {"product": product()}, reads=()),
            Phase("y", y, lambda: {"product": -product()}, reads=()),
        ]


def test_alternating_players_see_each_others_last_move():
    system = Bilinear(simultaneous=False)
    trainer = Trainer(system, {}, steps=2)
    trainer.play()
    x = 1.0 - 0.1 * 1.0
    assert system.x.value.item() == pytest.approx(x)
    assert system.y.value.item() == pytest.approx(1.0 + 0.1 * x)


def test_simultaneous_players_do_not_and_spiral_outwards():
    system = Bilinear(simultaneous=True)
    trainer = Trainer(system, {}, steps=10)
    for _ in range(10):
        trainer.play()
    # each step multiplies the distance from the saddle by √(1 + rate²)
    distance = math.hypot(system.x.value.item(), system.y.value.item())
    assert distance == pytest.approx(math.sqrt(2) * (1 + 0.1**2) ** 5, rel=1e-5)


class Fit(System):
    """One player fits a line through the stream's numbers; the knobs of Player and Phase are the constructor's."""

    def __init__(self, optimizer, phase=None, **player):
        super().__init__()
        torch.manual_seed(0)
        self.line = nn.Linear(1, 1)
        self.optimizer, self.player_options, self.phase_options = optimizer, player, phase or {}
        self.seen: list[Tensor] = []
        self.noise: list[float] = []

    def game(self):
        player = Player("line", self.line, optimizer=self.optimizer, **self.player_options)
        return [Phase("fit", player, self.loss, **self.phase_options)]

    def loss(self, *batches):
        self.seen += [batch["points"].flatten() for batch in batches]
        self.noise.append(torch.rand(()).item())
        return {"squared": torch.cat([self.line(b["points"]) - 2 for b in batches]).square().mean()}


def weights(system: System) -> Tensor:
    return torch.cat([p.detach().flatten().clone() for p in system.parameters()])


def test_micro_batches_give_the_gradient_of_the_whole_batch():
    results = []
    for parts in (1, 2, 4):
        system = Fit(plain_descent(0.1))
        trainer = Trainer(system, {"data": Counted(8)}, steps=3, accumulate=parts)
        scalars = [trainer.play()["fit/squared"].item() for _ in range(3)]
        results.append((weights(system), scalars))
    for other, scalars in results[1:]:
        torch.testing.assert_close(other, results[0][0])
        assert scalars == pytest.approx(results[0][1], rel=1e-5)


def test_average_follows_its_recurrence():
    system = Fit(plain_descent(0.1), average=0.5)
    trainer = Trainer(system, {"data": Counted()}, steps=20)
    expected = weights(system)
    for step in range(1, 21):
        trainer.play()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weights(system)
        torch.testing.assert_close(weights(trainer.average.system), expected)
    assert not torch.equal(weights(trainer.average.system), weights(system))


def test_what_is_not_averaged_is_shared_and_what_is_frozen_stays_so():
    class Mixed(Fit):
        def __init__(self):
            super().__init__(plain_descent(0.1), average=0.9)
            self.feature = nn.Linear(2, 2).requires_grad_(False)
            self.frozen = (self.feature,)

    system = Mixed()
    trainer = Trainer(system, {"data": Counted()}, steps=1)
    assert trainer.average.system.feature.weight is system.feature.weight
    assert trainer.average.system.line.weight is not system.line.weight
    trainer.play()
    assert not system.feature.weight.requires_grad
    assert system.line.weight.requires_grad


def test_clipping_bounds_the_step_and_the_schedule_scales_it():
    system = Fit(plain_descent(1.0), clip=0.01, schedule=lambda progress: 1.0 - progress)
    trainer = Trainer(system, {"data": Counted()}, steps=4)
    for step in range(4):
        before = weights(system)
        norm = trainer.play()["fit/gradient_norm"].item()
        assert norm > 0.01  # what is recorded is the norm before clipping
        assert (weights(system) - before).norm().item() == pytest.approx(0.01 * (1 - step / 4), rel=1e-3)


def test_a_constraint_holds_after_every_step():
    system = Fit(plain_descent(1.0))

    def clamp():
        for parameter in system.parameters():
            parameter.clamp_(-0.05, 0.05)

    system.player_options = {"constraint": clamp}
    trainer = Trainer(system, {"data": Counted()}, steps=3)
    for _ in range(3):
        trainer.play()
        assert weights(system).abs().max() <= 0.05


def test_phases_repeat_skip_and_span_and_read_fresh_batches_in_order():
    system = Fit(plain_descent(0.0), phase={"repeats": 2, "every": 3, "during": (0.0, 0.5), "reads": ("data", "data")})
    stream = Counted(1)
    trainer = Trainer(system, {"data": stream}, steps=12)
    turns = []
    for step in range(12):
        before = stream.position
        trainer.play()
        turns += [step] * (stream.position > before)
    assert turns == [0, 3]
    assert torch.cat(system.seen).mul(10).round().tolist() == list(range(8))
    assert len(set(system.noise)) == len(system.noise)


def test_noise_depends_on_seed_and_step_alone():
    runs = []
    for disturbed in (False, True):
        system = Fit(plain_descent(0.0))
        trainer = Trainer(system, {"data": Counted()}, steps=3, seed=5)
        for _ in range(3):
            if disturbed:
                torch.rand(17)
            trainer.play()
        runs.append(system.noise)
    assert runs[0] == runs[1]
    other = Fit(plain_descent(0.0))
    Trainer(other, {"data": Counted()}, steps=3, seed=6).play()
    assert other.noise[0] != runs[0][0]


def test_notes_are_merged_over_micro_batches_and_reach_after():
    received = []

    class Noting(Fit):
        def loss(self, batch):
            return super().loss(batch), {"mean": batch["points"].mean(), "values": batch["points"]}

    system = Noting(plain_descent(0.0), phase={"after": received.append})
    Trainer(system, {"data": Counted(4)}, steps=1, accumulate=2).play()
    assert received[0]["mean"].item() == pytest.approx(0.15)
    assert received[0]["values"].flatten().tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3])


class Layers(System):
    """Two players with batch norm and spectral norm in both, each loss passing through both."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        body = lambda: nn.Sequential(  # noqa: E731
            nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)), nn.BatchNorm1d(4), nn.Linear(4, 4)
        )
        self.first, self.second = body(), body()

    def game(self):
        first = Player("first", self.first, optimizer=adam(1e-2), average=0.9)
        second = Player("second", self.second, optimizer=adam(1e-2))
        return [Phase("first", first, self.loss, reads=()), Phase("second", second, self.loss, reads=())]

    def loss(self):
        return {"size": self.second(self.first(torch.randn(8, 4))).square().mean()}


def state_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(before: dict[str, Tensor], module: nn.Module) -> set[str]:
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("moving", ["first", "second"])
def test_a_phase_moves_its_player_and_nothing_else(moving):
    system = Layers()
    trainer = Trainer(system, {}, steps=5)
    trainer.phases = [phase for phase in trainer.phases if phase.name == moving]
    resting = "second" if moving == "first" else "first"
    still, moved = state_of(getattr(system, resting)), state_of(getattr(system, moving))
    trainer.play()
    assert changed(still, getattr(system, resting)) == set()
    # weights, the power iteration's vectors and the recorded statistics
    assert changed(moved, getattr(system, moving)) >= {
        "0.bias",
        "1.running_mean",
        "1.num_batches_tracked",
        "2.weight",
    }
    assert any("_u" in name for name in changed(moved, getattr(system, moving)))


def test_resuming_from_a_state_follows_the_same_path_bit_for_bit():
    straight = Trainer(Layers(), {}, steps=6, seed=3)
    for _ in range(6):
        straight.play()
    first = Trainer(Layers(), {}, steps=6, seed=3)
    for _ in range(2):
        first.play()
    saved = first.state()
    system = Layers()
    with torch.no_grad():
        for parameter in system.parameters():
            parameter.add_(1.0)  # whatever it was built with must not matter
    second = Trainer(system, {}, steps=6, seed=3)
    second.load(saved)
    for _ in range(4):
        second.play()
    assert changed(state_of(straight.system), second.system) == set()
    assert changed(state_of(straight.average.system), second.average.system) == set()


def test_losses_compile_without_a_break():
    system = Fit(plain_descent(0.1))
    compiled = Fit(plain_descent(0.1))
    for one in (system, compiled):
        one.loss = lambda batch, one=one: {"squared": (one.line(batch["points"]) - 2).square().mean()}
    eager = Trainer(system, {"data": Counted()}, steps=2)
    other = Trainer(compiled, {"data": Counted()}, steps=2)
    phase = other.phases[0]
    other._losses[phase] = torch.compile(lambda batch: phase.loss(batch), backend="aot_eager", fullgraph=True)
    for _ in range(2):
        eager.play()
        other.play()
    torch.testing.assert_close(weights(system), weights(compiled))
