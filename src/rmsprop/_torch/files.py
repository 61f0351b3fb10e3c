"""Checkpoint files of `rmsprop.torch.RMSprop`, which every front end reads."""

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from rmsprop._core import slots as _slots
from rmsprop._core.saving import checkpoint
from rmsprop._core.saving.checkpoint import Found, Needed
from rmsprop._core.saving.matching import Group
from rmsprop._torch.arguments import number
from rmsprop._torch.arrays import as_array, numpy_dtype
from rmsprop._torch.groups import names_of
from rmsprop._torch.live_group import LiveGroup
from rmsprop._torch.slots import complete, is_plain

States = MutableMapping[Tensor, dict[str, Any]]


@torch.no_grad()
def save(
    path: str | PathLike[str],
    groups: list[LiveGroup],
    states: States,
    iterations: int,
    variables: bool,
    metadata: Mapping[str, str] | None,
) -> None:
    """Write a file; a parameter without state is in it with the state that it starts with."""
    tensors: dict[str, NDArray[Any]] = {}
    for group, parameter, name in _parameters(groups, "save"):
        slots = complete(group.options, parameter, states.get(parameter, {}))
        slots |= {"variable": parameter} if variables else {}
        tensors |= {_slots.key(slot, name): as_array(tensor.cpu()) for slot, tensor in slots.items()}
    checkpoint.write(path, "torch", _groups(groups), tensors, iterations, metadata)


@torch.no_grad()
def load(
    path: str | PathLike[str], groups: list[LiveGroup], states: States, variables: bool, names: Mapping[str, str] | None
) -> Found:
    """Read a file into parameters, state and learning rates; missing state is made."""
    needed, targets = {}, {}
    made: list[tuple[Tensor, dict[str, Tensor]]] = []
    for group, parameter, name in _parameters(groups, "load"):
        slots = complete(group.options, parameter, states.get(parameter, {}))
        made.append((parameter, slots))
        for slot, tensor in (slots | ({"variable": parameter} if variables else {})).items():
            real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
            key = _slots.key(slot, name)
            needed[key], targets[key] = Needed(numpy_dtype(real.dtype), tuple(real.shape)), tensor
    found = checkpoint.read(path, _groups(groups), needed, names)
    for key, tensor in targets.items():
        tensor.copy_(_tensor(found.tensors[key], tensor.dtype))
    for parameter, slots in made:
        states[parameter].update(slots)
    for group, rate in zip(groups, found.rates, strict=True):
        if rate is None or group.schedule is not None:
            continue
        if isinstance(group.entry["lr"], Tensor):
            group.entry["lr"].fill_(rate)  # graphs that were captured read this tensor
        else:
            group.entry["lr"] = rate
    return found


def _groups(groups: list[LiveGroup]) -> list[Group]:
    names = iter(names_of(groups))
    found = []
    for group in groups:
        rate = number(group.entry["lr"]) if group.schedule is None else group.schedule
        options = replace(group.options, learning_rate=rate)
        found.append(Group([next(names) for _ in group.parameters], options, group.maximize))
    return found


def _parameters(groups: list[LiveGroup], method: str) -> Iterator[tuple[LiveGroup, Tensor, str]]:
    """Yield the parameters, which must be whole in this process, with group and name."""
    names = iter(names_of(groups))
    for group in groups:
        for place, parameter in enumerate(group.parameters):
            if not is_plain(parameter):
                raise ValueError(
                    f"{method} cannot see all of {group.describe(place)}, a {type(parameter).__name__}, which may be "
                    "spread over processes: torch.distributed.checkpoint saves and loads the state dict of such "
                    "optimizers"
                )
            if parameter.is_meta:
                raise ValueError(
                    f"{method} needs the numbers of {group.describe(place)}, which is on the device meta and has none"
                )
            yield group, parameter, next(names)


def _tensor(array: NDArray[Any], dtype: torch.dtype) -> Tensor:
    if dtype is torch.bfloat16:
        return torch.from_numpy(array.view(numpy.int16)).view(torch.bfloat16)
    tensor = torch.from_numpy(array)
    return torch.view_as_complex(tensor) if dtype.is_complex else tensor
