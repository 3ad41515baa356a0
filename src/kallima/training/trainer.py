"""The trainer: plays a system's game, one step after another."""

import types
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kallima.data.batch import Batch
from kallima.data.stream import Stream
from kallima.errors import UsageError
from kallima.system import Phase, Player, System
from kallima.training import distribution
from kallima.training.averaging import Average
from kallima.training.distribution import World
from kallima.training.precision import Precision


class Trainer:
    """Moves a system's players in turn.

    `play()` makes one step and returns its scalars, still on the device. All that changes is in `state()`: with it a
    new trainer goes on bit for bit on the CPU. Noise needs no state: before each forward the default generators are
    seeded from (seed, step, phase, repeat, micro-batch, rank), so that any step can be played again.
    """

    def __init__(
        self,
        system: System,
        streams: Mapping[str, Stream],
        *,
        steps: int,
        seed: int = 0,
        precision: str = "32",
        accumulate: int = 1,
        compile: bool = False,
        fused: bool = True,
        world: World | None = None,
    ):
        self.system, self.streams, self.steps, self.seed, self.accumulate = system, streams, steps, seed, accumulate
        self.world = world or World()
        self.device = system.device
        self.step = 0
        self.phases = system.game()
        self.players = list(dict.fromkeys(phase.player for phase in self.phases))
        self._check_game()
        distribution.equalise(system, self.world)
        self.precision = Precision(precision, self.device, [player.name for player in self.players])
        self.optimizers = {p.name: p.optimizer(p.parameters(), fused=fused) for p in self.players}
        self._base_rates = {name: [g["lr"] for g in o.param_groups] for name, o in self.optimizers.items()}
        self._turns = {player: _Turn(system, player) for player in self.players}
        self._losses = {phase: _compiled(phase) if compile else phase.loss for phase in self.phases}
        self.average = Average(system, self.players)
        system.train()
        for module in system.frozen:
            module.eval().requires_grad_(False)

    def _check_game(self) -> None:
        names = [player.name for player in self.players]
        if len(set(names)) < len(names) or len({phase.name for phase in self.phases}) < len(self.phases):
            raise ValueError(f"a game's players and its phases need names of their own: {names}")
        if self.system.simultaneous and any(phase.repeats > 1 for phase in self.phases):
            raise ValueError("a simultaneous game cannot repeat a phase")
        for phase in self.phases:
            for name in phase.reads:
                if name not in self.streams:
                    raise UsageError(
                        f"phase '{phase.name}' reads the stream '{name}', but there is only {list(self.streams)}"
                    )

    def play(self) -> dict[str, Tensor]:
        """Make one step of the game; return its scalars, still on the device.

        They are each "<phase>/<term>" and "<phase>/gradient_norm", and "notes/<name>" for the notes that are scalars.
        """
        progress = self.step / max(self.steps, 1)
        self.system.progress.fill_(progress)
        self.system.step.fill_(self.step)
        scalars: dict[str, Tensor] = {}
        waiting = []
        for phase in self.phases:
            if not phase.has_turn(self.step, progress):
                continue
            for repeat in range(phase.repeats):
                notes = self._differentiate(phase, repeat, scalars)
                if self.system.simultaneous:
                    waiting.append((phase, notes))
                else:
                    self._move(phase, progress, notes, scalars)
        for phase, notes in waiting:
            self._move(phase, progress, notes, scalars)
        self.step += 1
        self.average.update(self.step)
        return scalars

    def _differentiate(self, phase: Phase, repeat: int, scalars: dict[str, Tensor]) -> dict[str, Tensor]:
        """Leave the gradients of the phase's loss, averaged over micro-batches and ranks, in the parameters."""
        turn = self._turns[phase.player]
        turn.begin()
        self.optimizers[phase.player.name].zero_grad(set_to_none=True)
        batches = [self.streams[name].next().chunk(self.accumulate) for name in phase.reads]
        all_notes = []
        for micro in range(self.accumulate):
            self._seed(self.phases.index(phase), repeat, micro)
            with self.precision.autocast():
                result = self._losses[phase](*(parts[micro] for parts in batches))
            terms, notes = result if isinstance(result, tuple) else (result, {})
            all_notes.append(notes)
            self.precision.backward(sum(terms.values()) / self.accumulate, phase.player.name)
            for name, value in terms.items():
                add(scalars, f"{phase.name}/{name}", value.detach().float() / (self.accumulate * phase.repeats))
        distribution.average_gradients(turn.parameters, self.world)
        merged = distribution.merge_notes(all_notes, self.world)
        for name, value in merged.items():
            if value.ndim == 0:
                add(scalars, f"notes/{name}", value.float() / phase.repeats)
        return merged

    @torch.no_grad()
    def _move(self, phase: Phase, progress: float, notes: Mapping[str, Tensor], scalars: dict[str, Tensor]) -> None:
        player, optimizer = phase.player, self.optimizers[phase.player.name]
        if player.schedule:
            for group, base in zip(optimizer.param_groups, self._base_rates[player.name], strict=True):
                group["lr"] = base * player.schedule(progress)
        self.precision.unscale(player.name, optimizer)
        parameters = [p for p in self._turns[player].parameters if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in parameters])  # type: ignore[misc]
        if player.clip:
            nn.utils.clip_grads_with_norm_(parameters, player.clip, norm)
        self.precision.step(player.name, optimizer)
        if player.constraint:
            player.constraint()
        distribution.average_buffers(player.modules, self.world)
        if phase.after:
            phase.after(notes)
        add(scalars, f"{phase.name}/gradient_norm", norm / phase.repeats)

    def _seed(self, *place: int) -> None:
        value = _mix(self.seed, self.step, *place, self.world.rank)
        torch.default_generator.manual_seed(value)  # torch.manual_seed takes 300 times as long
        if self.device.type == "cuda":
            torch.cuda.default_generators[self.device.index or 0].manual_seed(value)
        elif self.device.type == "mps":
            torch.mps.manual_seed(value)

    def state(self) -> dict[str, Any]:
        """Return all that a checkpoint has to keep; tensors are references, not copies."""
        return {
            "weights": self.system.state_dict(),
            "averages": self.average.state(),
            "optimizers": {name: optimizer.state_dict()["state"] for name, optimizer in self.optimizers.items()},
            "step": self.step,
            "positions": {name: stream.position for name, stream in self.streams.items()},
            "scalers": self.precision.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave; the streams are moved to their positions."""
        self.system.load_state_dict(state["weights"])
        self.average.load(state["averages"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state["optimizers"][name]})
            for parameter, entries in optimizer.state.items():
                for key, value in entries.items():
                    if isinstance(value, Tensor) and value.shape == parameter.shape:
                        # fused kernels walk the memory: a moment must lie as its parameter does (channels last)
                        entries[key] = torch.empty_like(parameter).copy_(value)
        self.step = state["step"]
        for name, stream in self.streams.items():
            stream.seek(state["positions"][name])
        self.precision.load(state["scalers"])


def add(scalars: dict[str, Tensor], name: str, value: Tensor) -> None:
    """Add a repeat's or a micro-batch's share to a step's scalar."""
    scalars[name] = scalars[name] + value if name in scalars else value


class _Turn:
    """A player's turn: its parameters take gradients and its layers keep statistics, all others stand still."""

    def __init__(self, system: System, player: Player):
        self.parameters = player.parameters()
        own = {id(p) for p in self.parameters}
        resting = {id(p) for module in system.frozen for p in module.parameters()}
        self._others = [p for p in system.parameters() if id(p) not in own and id(p) not in resting]
        at_work = {id(m) for module in player.modules for m in module.modules()}
        frozen = {id(m) for module in system.frozen for m in module.modules()}
        kept = [m for m in system.modules() if id(m) not in frozen]
        # normalisation uses the batch's statistics in either state, but records them only in its player's turn
        self._recording = [(m, id(m) in at_work) for m in kept if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        # power iteration has no switch but the mode
        spectral = nn.utils.parametrizations._SpectralNorm
        self._iterating = [(m, id(m) in at_work) for m in kept if isinstance(m, spectral)]

    def begin(self) -> None:
        for parameter in self._others:
            parameter.requires_grad_(False)
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        for norm, working in self._recording:
            norm.track_running_stats = working
        for parametrization, working in self._iterating:
            parametrization.training = working


def _compiled(phase: Phase) -> Callable[..., Any]:
    """Compile a phase's loss under a code object of its own: torch counts recompilations per code object."""

    def forward(*batches: Batch) -> Any:
        return phase.loss(*batches)

    own = types.FunctionType(forward.__code__.replace(), forward.__globals__, phase.name, None, forward.__closure__)
    return torch.compile(own, fullgraph=True, dynamic=False)


def _mix(*values: int) -> int:
    """Mix integers into 64 bits (splitmix64 finaliser), well enough that neighbouring steps share nothing."""
    mixed = 0
    for value in values:
        mixed = (mixed ^ value) + 0x9E3779B97F4A7C15 & (1 << 64) - 1
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
        mixed ^= mixed >> 31
    return mixed
