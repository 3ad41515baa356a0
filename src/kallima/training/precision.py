"""Devices and number formats."""

from typing import Any

import torch

from kallima.errors import UsageError


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """Turn "auto", "cpu", "cuda", "cuda:1" or "mps" into a device that is there.

    Raises:
        UsageError: there is no such device on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"no device '{name}': choose auto, cpu, cuda, cuda:1 or mps") from error
    if device.type == "cuda":
        index = local_rank if device.index is None else device.index
        if index >= torch.cuda.device_count():
            raise UsageError(f"no device 'cuda:{index}': this machine has {torch.cuda.device_count()} CUDA devices")
        device = torch.device("cuda", index)
        torch.cuda.set_device(device)
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("no device 'mps' on this machine")
    elif device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"no device '{name}': choose auto, cpu, cuda, cuda:1 or mps")
    return device


def device_name(device: torch.device) -> str:
    """Return what the device is called, for the record."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def emulated(precision: str, device: torch.device) -> bool:
    """Say whether the device is known to have no instructions for a number format, so that it is slower than full."""
    if precision == "32":
        return False
    if device.type == "cuda":
        return precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities() if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities") else {}
    family = ("avx512_bf16", "amx_bf16") if precision == "bf16" else ("avx512_fp16", "amx_fp16")
    return able.get("architecture") == "x86_64" and not any(able.get(each) for each in family)


class Precision:
    """Autocast for the forward passes and, for fp16, a scaler a player that keeps small gradients from vanishing."""

    def __init__(self, name: str, device: torch.device, players: list[str]):
        self.dtype = {"32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
        self.device = device
        self.scalers = {player: torch.amp.GradScaler(device.type) for player in players} if name == "fp16" else {}

    def autocast(self) -> torch.autocast:
        """Return the context of a forward pass."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None)

    def backward(self, loss: torch.Tensor, player: str) -> None:
        """Add the loss's gradients to the parameters, scaled where the format asks for it."""
        (self.scalers[player].scale(loss) if self.scalers else loss).backward()

    def unscale(self, player: str, optimizer: torch.optim.Optimizer) -> None:
        """Turn scaled gradients into true ones."""
        if self.scalers:
            self.scalers[player].unscale_(optimizer)

    def step(self, player: str, optimizer: torch.optim.Optimizer) -> None:
        """Move the player; an overflow in fp16 skips the step and lowers the scale."""
        if self.scalers:
            self.scalers[player].step(optimizer)
            self.scalers[player].update()
        else:
            optimizer.step()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint has to keep."""
        return {player: scaler.state_dict() for player, scaler in self.scalers.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        for player, scaler in self.scalers.items():
            scaler.load_state_dict(state[player])
