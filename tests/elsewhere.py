"""A device that is nowhere: it computes here, on the CPU, but takes no tensor from here, as a GPU would not.

So every machine finds what would fail on a GPU: a mask that was made here, noise of a generator on the CPU, an array of
a tensor that lies there. It is torch's PrivateUse1 device, in Python; inside `there()` "elsewhere" is its name.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

aten = torch.ops.aten


class _Backend:
    """What torch asks of a device's module. Its noise is the CPU's: so what is drawn there is what is drawn here."""

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def manual_seed_all(self, seed: int) -> None: ...

    def get_rng_state(self, device: Any = None) -> Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: Any = None) -> None: ...


_setup_privateuseone_for_python_backend("elsewhere", backend_module=_Backend())
DEVICE = torch.device("elsewhere", 0)


class Elsewhere(Tensor):
    """A tensor there; `held` is the one here that computes for it."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "Elsewhere":
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        with torch.inference_mode(False):
            made = Tensor._make_wrapper_subclass(cls, held.shape, **layout, device=DEVICE)
        made.held = held
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Elsewhere({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@contextmanager
def there() -> Iterator[None]:
    """Let there be the device."""
    with _Functions(), _Operations():
        yield


class _Operations(TorchDispatchMode):
    """Sees every operation, those too that make tensors of nothing."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # In inference mode composed operations come in one piece; an LSTM's parts, in Python, are wrong in torch 2.11.
        if torch.is_inference_mode_enabled() and func is not aten.lstm.input:
            with self:
                parts = func.decompose(*args, **(kwargs or {}))
            if parts is not NotImplemented:
                return parts
        return _run(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """Sees what leaves torch."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.tolist and isinstance(args[0], Elsewhere):
            return args[0].held.tolist()
        if func in (Tensor.numpy, Tensor.__array__) and isinstance(args[0], Elsewhere):
            raise TypeError("a tensor that lies elsewhere is no array: .cpu() first")
        return func(*args, **(kwargs or {}))


def _run(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Compute here what is asked for, and give it back as lying where it should.

    Raises:
        RuntimeError: it has tensors of both devices, or a generator of the CPU for numbers there.
    """
    leaves = tree_leaves((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    theirs = [tensor for tensor in tensors if isinstance(tensor, Elsewhere)]
    device = kwargs.get("device")
    made_there = bool(theirs) if device is None else torch.device(device).type == DEVICE.type
    if made_there and any(isinstance(leaf, torch.Generator) for leaf in leaves):
        raise RuntimeError(f"{func} draws elsewhere with a generator of the CPU")
    if theirs and func not in _COPIES and not (func in _INDEXING and isinstance(args[0], Elsewhere)):
        ours = [tensor for tensor in tensors if not isinstance(tensor, Elsewhere)]
        written = func._schema.is_mutable and isinstance(args[0], Tensor) and not isinstance(args[0], Elsewhere)
        if written or any(tensor.dim() > 0 or func in _JOINING for tensor in ours):
            shapes = ", ".join(f"{tuple(tensor.shape)} on {tensor.device.type}" for tensor in tensors)
            raise RuntimeError(f"{func} has tensors of two devices: {shapes}")
    made = _OWN.get(func, func)(*tree_map(_here, args), **tree_map(_here, kwargs))
    if func is aten.copy_.default:
        return args[0]
    if not made_there:
        return made
    own = {id(tensor.held): tensor for tensor in theirs}  # what is changed in place stays itself

    def wrapped(value: Any) -> Any:
        return own.get(id(value), Elsewhere(value)) if isinstance(value, Tensor) else value

    return tree_map(wrapped, made)


def _here(value: Any) -> Any:
    if isinstance(value, Elsewhere):
        return value.held
    return torch.device("cpu") if isinstance(value, torch.device) and value.type == DEVICE.type else value


_COPIES = {aten.copy_.default, aten._to_copy.default}
_JOINING = {aten.cat.default, aten.stack.default}
# A GPU takes places from the CPU.
_INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}


def _lstm_cell(given: Tensor, said: Tensor, memory: Tensor, *biases: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return what a fused cell gives of its gates (N, 4 H): state, memory, and what its gradient needs."""
    for bias in biases:
        said = said if bias is None else said + bias
    gates = given + said
    parts = [part.sigmoid() for part in gates.chunk(4, 1)]
    parts[2] = gates.chunk(4, 1)[2].tanh()
    let_in, kept, new, let_out = parts
    after = kept * memory + let_in * new
    return let_out * after.tanh(), after, torch.cat(parts, 1)


def _lstm_cell_backward(
    by_state: Tensor | None, by_memory: Tensor | None, before: Tensor, after: Tensor, gates: Tensor, has_bias: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    let_in, kept, new, let_out = gates.chunk(4, 1)
    said = after.tanh()
    zero = torch.zeros_like(after)
    by_state = zero if by_state is None else by_state
    through = (zero if by_memory is None else by_memory) + by_state * let_out * (1 - said**2)
    by_gates = torch.cat(
        [
            through * new * let_in * (1 - let_in),
            through * before * kept * (1 - kept),
            through * let_in * (1 - new**2),
            by_state * said * let_out * (1 - let_out),
        ],
        1,
    )
    return by_gates, through * kept, by_gates.sum(0) if has_bias else None


_OWN: dict[Any, Callable[..., Any]] = {  # what torch has for GPUs alone
    aten._thnn_fused_lstm_cell.default: _lstm_cell,
    aten._thnn_fused_lstm_cell_backward_impl.default: _lstm_cell_backward,
}


# What torch calls from within, where no mode is asked.
def _empty_strided(size: Any, stride: Any, dtype: Any = None, **how: Any) -> Tensor:
    return Elsewhere(torch.empty_strided(size, stride, dtype=dtype))


def _empty(size: Any, dtype: Any = None, **how: Any) -> Tensor:
    return Elsewhere(torch.empty(size, dtype=dtype, memory_format=how.get("memory_format")))


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    _here(target).copy_(_here(source))
    return target


_KERNELS = torch.library.Library("aten", "IMPL")
_KERNELS.impl("empty_strided", _empty_strided, "PrivateUse1")
_KERNELS.impl("empty.memory_format", _empty, "PrivateUse1")
_KERNELS.impl("_copy_from", _copy_from, "PrivateUse1")
