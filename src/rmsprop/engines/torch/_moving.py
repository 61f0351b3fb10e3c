"""Which parameters a step moves: they, their gradients and their state, after all of them are checked."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rmsprop._options import Options
from rmsprop.engines.torch._arrays import repeats_itself
from rmsprop.engines.torch._items import Gradients, Group, Item
from rmsprop.engines.torch._slots import TYPES, check_memory, check_slots, complete, is_plain
from rmsprop.engines.torch._step import States

_KNOWN = ", ".join(str(dtype).removeprefix("torch.") for dtype in TYPES)


def collect(groups: Sequence[Group], states: States, gradients: Gradients) -> list[Item]:
    """List the parameters that have a gradient, in the order of the groups; slots are made, but not put into the state.

    Args:
        groups: the parameter groups.
        states: parameter -> slot name -> tensor.
        gradients: of all parameters, in the order of the groups; None: each has its own, or none.

    Raises:
        TypeError: a parameter or a gradient is of a type that cannot be stepped.
        ValueError: a shape does not fit, memory is missing or is not the parameter's alone, or a norm cannot be taken.
    """
    given = None if gradients is None else iter(gradients)
    moving = []
    for group in groups:
        for place, parameter in enumerate(group.parameters):
            gradient = parameter.grad if given is None else next(given)
            if gradient is not None:
                moving.append((group, place, parameter, gradient))
    for group, place, parameter, gradient in moving:
        name = group.describe(place)
        _check(parameter, name)
        _check_gradient(gradient, parameter, name)
        # Not through `[]`, which would make state for a parameter that has none.
        check_slots(group.options, parameter, states.get(parameter, {}), name)
        if group.options.clips_by_norm:
            _check_norm(parameter, group.options, name)
    made: dict[Tensor, Mapping[str, Any]] = {}
    items = []
    for group, place, parameter, gradient in moving:
        # A parameter may be in a group twice.
        slots = complete(group.options, parameter, made.get(parameter, states.get(parameter, {})))
        made[parameter] = slots
        items.append(Item(parameter, gradient, slots, group, group.decays(place), group.describe(place)))
    return items


def _check(parameter: Tensor, name: str) -> None:
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


def _check_norm(parameter: Tensor, options: Options, name: str) -> None:
    """Refuse norms of the parts that FullyShardedDataParallel leaves to each process: nothing leads to the others."""
    if not getattr(parameter, "_fsdp_flattened", False) or not _has_others():
        return
    word = "clipnorm" if options.clipnorm is not None else "global_clipnorm"
    limit = getattr(options, word)
    raise ValueError(
        f"{word}={limit}: {name} is part of a model in FullyShardedDataParallel, of which each process has a share and "
        f"would take the norm of that alone: leave {word} out and call model.clip_grad_norm_({limit}) before step(), "
        "or shard the model by fully_shard"
    )


def _has_others() -> bool:
    from torch import distributed

    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
