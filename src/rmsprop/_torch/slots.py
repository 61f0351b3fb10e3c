"""The state of a parameter: tensors without gaps, with axes in the order of the parameter's in memory."""

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from rmsprop._core import slots
from rmsprop._core.checks import FLOATS
from rmsprop._core.options import Options
from rmsprop._torch.arrays import is_whole

#: The complex types, by the name of the real type of their parts.
_COMPLEX: Final = {"float16": torch.complex32, "float32": torch.complex64, "float64": torch.complex128}

#: What a parameter's numbers may be.
TYPES: Final = (*(getattr(torch, name) for name in FLOATS), torch.complex64, torch.complex128)


def slot_dtype(options: Options, parameter: Tensor) -> torch.dtype:
    """Return the type of a parameter's state; for complex numbers, the option `slot_dtype` is the type of the parts."""
    if options.slot_dtype is None:
        return parameter.dtype
    if not parameter.is_complex():
        found: torch.dtype = getattr(torch, options.slot_dtype)
        return found
    if options.slot_dtype not in _COMPLEX:
        raise ValueError(f"slot_dtype={options.slot_dtype!r} has no complex type for a parameter of {parameter.dtype}")
    return _COMPLEX[options.slot_dtype]


def empty_alike(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a tensor without gaps, with axes in the order of those of `tensor` in memory."""
    if tensor.is_contiguous() or not is_plain(tensor):
        return torch.empty_like(tensor, dtype=dtype, requires_grad=False)
    order = _memory_order(tensor)
    empty = torch.empty([tensor.shape[axis] for axis in order], dtype=dtype, device=tensor.device)
    return empty.permute([order.index(axis) for axis in range(tensor.ndim)])


def _memory_order(tensor: Tensor) -> list[int]:
    strides = tensor.stride()
    return sorted(range(tensor.ndim), key=lambda axis: -strides[axis])


def _has_such_strides(slot: Tensor, parameter: Tensor) -> bool:
    """Return whether a tensor has the strides that `empty_alike` would give it."""
    if parameter.is_contiguous() or not is_plain(parameter):
        return slot.is_contiguous() or not is_plain(slot)
    return slot.permute(_memory_order(parameter)).is_contiguous()


def is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor has memory of its own, and is no subclass that stands for other tensors."""
    return type(tensor).__torch_dispatch__ is torch.Tensor.__torch_dispatch__


def against_plain(tensor: Tensor) -> str:
    """Return why no kernel can use a tensor's memory; "" if one can."""
    return "" if is_plain(tensor) else f"a tensor subclass, {type(tensor).__name__}"


def check_slots(options: Options, parameter: Tensor, state: Mapping[str, Any], name: str) -> None:
    """Raise a ValueError if state cannot be stepped, also after `complete`."""
    slot_dtype(options, parameter)
    for slot in slots.slots(options):
        tensor = state.get(slot.name)
        if not isinstance(tensor, Tensor):
            continue
        if tensor.shape != parameter.shape:
            raise ValueError(
                f"the state {slot.name!r} of {name} has the shape {list(tensor.shape)}, "
                f"the parameter {list(parameter.shape)}"
            )
        check_memory(tensor, f"the state {slot.name!r} of {name}")


def check_memory(tensor: Tensor, name: str) -> None:
    """Raise a ValueError if a tensor's storage has been resized under it."""
    if is_plain(tensor) and not is_whole(tensor):
        raise ValueError(
            f"{name} has the shape {list(tensor.shape)}, but its storage was resized and does not hold all of its "
            "numbers any more: give it back its memory before the step"
        )


def complete(options: Options, parameter: Tensor, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the slots that the options need; new slots are not in the state yet."""
    found = {}
    for slot in slots.slots(options):
        tensor = state.get(slot.name)
        if not isinstance(tensor, Tensor) or not _fits(tensor, options, parameter):
            tensor = _start(slot, options, parameter, tensor)
        found[slot.name] = tensor
    return found


def _fits(slot: Tensor, options: Options, parameter: Tensor) -> bool:
    same = slot.shape == parameter.shape and slot.device == parameter.device
    return same and slot.dtype == slot_dtype(options, parameter) and _has_such_strides(slot, parameter)


def _start(slot: slots.Slot, options: Options, parameter: Tensor, old: Any) -> Tensor:
    made = empty_alike(parameter, slot_dtype(options, parameter))
    if isinstance(old, Tensor):
        # Other code moved, rounded or loaded the numbers: only their values count.
        return made.copy_(old)
    if slot.start is None:
        return made.copy_(parameter.detach())
    (torch.view_as_real(made) if made.is_complex() else made).fill_(slot.start)
    return made
