"""Checkpoint files of `rmsprop.torch.RMSprop`, which every front end reads."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from rmsprop._core import slots as _slots
from rmsprop._core.saving import checkpoint
from rmsprop._core.saving.checkpoint import Needed
from rmsprop._core.saving.matching import Group
from rmsprop._torch import first_step
from rmsprop._torch.arguments import number
from rmsprop._torch.arrays import as_array
from rmsprop._torch.groups import LiveGroup, names_of
from rmsprop._torch.slots import complete, is_plain

if TYPE_CHECKING:
    from rmsprop._torch.state import State


@torch.no_grad()
def save(optimizer: "State", path: str | PathLike[str], variables: bool, metadata: Mapping[str, str] | None) -> None:
    """Write a file; a parameter that has no state yet is in it with the state that it starts with."""
    groups = optimizer._settled_groups()
    if optimizer._only_has_state:
        first_step.start_averages(optimizer.state)
    tensors: dict[str, NDArray[Any]] = {}
    for group, parameter, name in _parameters(groups, "save"):
        slots = complete(group.options, parameter, optimizer.state.get(parameter, {}))
        slots |= {"variable": parameter} if variables else {}
        tensors |= {_slots.key(slot, name): as_array(tensor.cpu()) for slot, tensor in slots.items()}
    checkpoint.write(path, "torch", _groups(groups), tensors, optimizer.iterations, metadata)


@torch.no_grad()
def load(
    optimizer: "State", path: str | PathLike[str], variables: bool, names: Mapping[str, str] | None
) -> dict[str, str]:
    """Read a file; state that is not there yet is made."""
    groups = optimizer._settled_groups()
    needed, targets = {}, {}
    made: list[tuple[Tensor, dict[str, Tensor]]] = []
    for group, parameter, name in _parameters(groups, "load"):
        slots = complete(group.options, parameter, optimizer.state.get(parameter, {}))
        made.append((parameter, slots))
        for slot, tensor in (slots | ({"variable": parameter} if variables else {})).items():
            key = _slots.key(slot, name)
            needed[key], targets[key] = _describe(tensor), tensor
    found = checkpoint.read(path, _groups(groups), needed, names)
    for key, tensor in targets.items():
        tensor.copy_(_tensor(found.tensors[key], tensor.dtype))
    for parameter, slots in made:
        optimizer.state[parameter].update(slots)
    for group, rate in zip(groups, found.rates, strict=True):
        if rate is not None and group.schedule is None:
            _set_rate(group.entry, rate)
    optimizer._only_has_state = False
    optimizer._count(found.iterations)
    optimizer._renew()
    return found.metadata


def _groups(groups: list[LiveGroup]) -> list[Group]:
    names = iter(names_of(groups))
    found = []
    for group in groups:
        rate = number(group.entry["lr"]) if group.schedule is None else group.schedule
        options = replace(group.options, learning_rate=rate)
        found.append(Group([next(names) for _ in group.parameters], options, group.maximize))
    return found


def _parameters(groups: list[LiveGroup], method: str) -> Iterator[tuple[LiveGroup, Tensor, str]]:
    names = iter(names_of(groups))
    for group in groups:
        for place, parameter in enumerate(group.parameters):
            _check_whole(parameter, group.describe(place), method)
            yield group, parameter, next(names)


def _check_whole(parameter: Tensor, name: str, method: str) -> None:
    """Refuse what is not all here."""
    if not is_plain(parameter):
        raise ValueError(
            f"{method} cannot see all of {name}, a {type(parameter).__name__}, which may be spread over processes: "
            "torch.distributed.checkpoint saves and loads the state dict of such optimizers"
        )
    if parameter.is_meta:
        raise ValueError(f"{method} needs the numbers of {name}, which is on the device meta and has none")


def _describe(tensor: Tensor) -> Needed:
    """Describe a tensor as files have it: complex numbers are pairs, along an axis more."""
    real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return Needed(_slots.numpy_dtype(str(real.dtype).removeprefix("torch.")), tuple(real.shape))


def _tensor(array: NDArray[Any], dtype: torch.dtype) -> Tensor:
    if dtype is torch.bfloat16:
        return torch.from_numpy(array.view(numpy.int16)).view(torch.bfloat16)
    tensor = torch.from_numpy(array)
    return torch.view_as_complex(tensor) if dtype.is_complex else tensor


def _set_rate(entry: dict[str, Any], rate: float) -> None:
    if isinstance(entry["lr"], Tensor):
        entry["lr"].fill_(rate)  # graphs that were captured read this tensor
    else:
        entry["lr"] = rate
