"""What half precision would spoil (small differences of large numbers, linear systems, decibels) is computed whole."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def in_full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function compute in full precision under autocast too: its tensors of half precision come as float32."""

    @functools.wraps(function)
    def whole(*args: P.args, **kwargs: P.kwargs) -> R:
        given: list[Any] = [_whole(value) for value in args]
        named: dict[str, Any] = {name: _whole(value) for name, value in kwargs.items()}
        device = next(value.device.type for value in (*given, *named.values()) if isinstance(value, Tensor))
        with torch.autocast(device, enabled=False):
            return function(*given, **named)

    return whole


def _whole(value: object) -> object:
    if isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16):
        return value.float()
    return value
