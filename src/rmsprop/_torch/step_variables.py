"""The variables of a step: parameters that have a gradient, with gradient and state, after all are checked."""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import Parameter

from rmsprop._core.items import Item
from rmsprop._core.options import Options
from rmsprop._torch.arrays import repeats_itself, type_name
from rmsprop._torch.interface import Gradients, Group, States
from rmsprop._torch.looks import Looks
from rmsprop._torch.slots import TYPES, check_memory, check_slots, complete, is_plain

_KNOWN = ", ".join(map(type_name, TYPES))

_Moving = tuple[Group, int, Tensor, Tensor]

# Through `map`, this is the cheapest read of an attribute of many tensors.
_layout = attrgetter("layout")


@final
class Checked:
    """The tensors of the last step, which were checked one by one: tensors with the same properties pass as a whole."""

    def __init__(self) -> None:
        self._known: tuple[list[int], list[Options]] = [], []
        self._looks: Looks | None = None

    def check(self, moving: Sequence[_Moving], slots: Sequence[Mapping[str, Any]]) -> None:
        """Check parameters, gradients and state; errors of `collect`."""
        tensors = [parameter for _, _, parameter, _ in moving] + [gradient for _, _, _, gradient in moving]
        tensors += [slot for one in slots for slot in one.values() if isinstance(slot, Tensor)]
        known = [*map(len, slots)], [group.options for group, *_ in moving]
        is_dense = {*map(type, tensors)} <= {Tensor, Parameter} and {*map(_layout, tensors)} == {torch.strided}
        if is_dense and known == self._known and self._looks is not None and self._looks.are_of(tensors):
            return
        self._looks = None
        for (group, place, parameter, gradient), state in zip(moving, slots, strict=True):
            name = group.describe(place)
            _check_parameter(parameter, name)
            _check_gradient(gradient, parameter, name)
            check_slots(group.options, parameter, state, name)
        if is_dense:
            self._known, self._looks = known, Looks(tensors)


def collect(groups: Sequence[Group], states: States, gradients: Gradients, checked: Checked) -> list[Item]:
    """List the variables of a step, in the order of the groups; new slots are not in the state yet.

    Raises:
        TypeError: a parameter or a gradient is of a type that cannot be stepped.
        ValueError: a shape does not fit, memory is missing or is not the parameter's alone, or a norm cannot be taken.
    """
    given = None if gradients is None else iter(gradients)
    moving: list[_Moving] = []
    for group in groups:
        for place, parameter in enumerate(group.parameters):
            gradient = parameter.grad if given is None else next(given)
            if gradient is not None:
                moving.append((group, place, parameter, gradient))
    # Not through `[]`, which would make state for a parameter that has none.
    found: list[Mapping[str, Any]] = [states.get(parameter, {}) for _, _, parameter, _ in moving]
    checked.check(moving, found)
    for group, place, parameter, _ in moving:
        if group.options.clips_by_norm:
            _check_norm(parameter, group, place)
    made: dict[int, dict[str, Tensor]] = {}
    items = []
    for (group, place, parameter, gradient), state in zip(moving, found, strict=True):
        # A parameter may be in a group twice.
        slots = complete(group.options, parameter, made.get(id(parameter), state))
        made[id(parameter)] = slots
        items.append(Item(parameter, gradient, slots, group.decays(place), group))
    return items


def _check_parameter(parameter: Tensor, name: str) -> None:
    if parameter.dtype not in TYPES:
        raise TypeError(f"{name} has the type {parameter.dtype}: it must be one of {_KNOWN}")
    if parameter.layout is not torch.strided:
        raise TypeError(f"{name} has the layout {parameter.layout}: it must be torch.strided")
    if parameter.is_conj() or parameter.is_neg():
        raise ValueError(f"{name} is a view that conjugates or negates another tensor: clone it")
    if is_plain(parameter) and repeats_itself(parameter):
        raise ValueError(f"{name} repeats memory (strides {parameter.stride()}), as expanded tensors do: clone it")
    check_memory(parameter, name)


def _check_gradient(gradient: Tensor, parameter: Tensor, name: str) -> None:
    if gradient.dtype not in TYPES:
        raise TypeError(f"the gradient of {name} has the type {gradient.dtype}: {_KNOWN} is needed")
    if gradient.is_complex() and not parameter.is_complex():
        raise TypeError(f"the gradient of {name} has the type {gradient.dtype}, and the parameter {parameter.dtype}")
    if gradient.shape != parameter.shape:
        raise ValueError(
            f"the gradient of {name} has the shape {list(gradient.shape)}, the parameter {list(parameter.shape)}"
        )
    if gradient.device != parameter.device:
        raise ValueError(f"the gradient of {name} is on {gradient.device}, the parameter on {parameter.device}")
    check_memory(gradient, f"the gradient of {name}")


def _check_norm(parameter: Tensor, group: Group, place: int) -> None:
    """Refuse norms of the parts that FullyShardedDataParallel leaves to each process: the other parts are unknown."""
    if not getattr(parameter, "_fsdp_flattened", False) or not _has_others():
        return
    word = "clipnorm" if group.options.clipnorm is not None else "global_clipnorm"
    limit = getattr(group.options, word)
    raise ValueError(
        f"{word}={limit}: {group.describe(place)} is part of a model in FullyShardedDataParallel, of which each "
        f"process has a share and would take the norm of that alone: leave {word} out and call "
        f"model.clip_grad_norm_({limit}) before step(), or shard the model by fully_shard"
    )


def _has_others() -> bool:
    from torch import distributed

    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
