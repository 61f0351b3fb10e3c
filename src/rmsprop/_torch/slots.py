"""The state of a parameter: tensors without gaps whose axes lie in memory as the parameter's do."""

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from rmsprop._core import slots
from rmsprop._core.options import FLOATS, Options
from rmsprop._torch.arrays import is_whole

#: The complex types, by the name of the real type of their parts.
_COMPLEX: Final = {"float16": torch.complex32, "float32": torch.complex64, "float64": torch.complex128}

#: What a parameter's numbers may be.
TYPES: Final = (*(getattr(torch, name) for name in FLOATS), torch.complex64, torch.complex128)


def slot_dtype(options: Options, parameter: Tensor) -> torch.dtype:
    """Give the type in which a parameter's state is kept; of complex numbers, `slot_dtype` is the type of the parts."""
    if options.slot_dtype is None:
        return parameter.dtype
    if not parameter.is_complex():
        found: torch.dtype = getattr(torch, options.slot_dtype)
        return found
    if options.slot_dtype not in _COMPLEX:
        raise ValueError(f"slot_dtype={options.slot_dtype!r} has no complex type for a parameter of {parameter.dtype}")
    return _COMPLEX[options.slot_dtype]


def empty_alike(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Make a tensor without gaps whose axes lie in memory as those of `tensor` do."""
    if tensor.is_contiguous() or not is_plain(tensor):
        return torch.empty_like(tensor, dtype=dtype, requires_grad=False)
    order = _memory_order(tensor)
    empty = torch.empty([tensor.shape[axis] for axis in order], dtype=dtype, device=tensor.device)
    return empty.permute([order.index(axis) for axis in range(tensor.ndim)])


def _memory_order(tensor: Tensor) -> list[int]:
    strides = tensor.stride()
    return sorted(range(tensor.ndim), key=lambda axis: -strides[axis])


def lies_alike(slot: Tensor, parameter: Tensor) -> bool:
    """Whether a tensor lies as `empty_alike` would make it."""
    if parameter.is_contiguous() or not is_plain(parameter):
        return slot.is_contiguous() or not is_plain(slot)
    return slot.permute(_memory_order(parameter)).is_contiguous()


def is_plain(tensor: Tensor) -> bool:
    """Whether it is a tensor with memory of its own, and no subclass that stands for other tensors."""
    return type(tensor).__torch_dispatch__ is torch.Tensor.__torch_dispatch__


def against_plain(tensor: Tensor) -> str:
    """Why no kernel can take a tensor for its memory; "" if one can."""
    return "" if is_plain(tensor) else f"a tensor subclass, {type(tensor).__name__}"


def check_slots(options: Options, parameter: Tensor, state: Mapping[str, Any], name: str) -> None:
    """Check that state can be stepped, or be made such that it can; what is missing is made by `complete`.

    Raises:
        ValueError: a slot has another shape than the parameter, or its memory was taken away, or `slot_dtype` is not
            for complex numbers.
    """
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
    """Give the slots that the options need; those that are not there yet are made, and are not put into the state."""
    found = {}
    for slot in slots.slots(options):
        tensor = state.get(slot.name)
        if not isinstance(tensor, Tensor) or not _fits(tensor, options, parameter):
            tensor = _start(slot, options, parameter, tensor)
        found[slot.name] = tensor
    return found


def _fits(slot: Tensor, options: Options, parameter: Tensor) -> bool:
    same = slot.shape == parameter.shape and slot.device == parameter.device
    return same and slot.dtype == slot_dtype(options, parameter) and lies_alike(slot, parameter)


def _start(slot: slots.Slot, options: Options, parameter: Tensor, old: Any) -> Tensor:
    made = empty_alike(parameter, slot_dtype(options, parameter))
    if isinstance(old, Tensor):
        # Somebody moved, rounded or loaded the numbers by other ways than ours: they count, not how they lie.
        return made.copy_(old)
    if slot.start is None:
        return made.copy_(parameter.detach())
    (torch.view_as_real(made) if made.is_complex() else made).fill_(slot.start)
    return made
