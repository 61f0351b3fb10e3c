"""How a step on torch's tensors will go, by the predicates and the planners of steps, without a kernel."""

from collections.abc import Sequence

import torch

from rmsprop._core import slots as _slots
from rmsprop._core.explain import Choice, Explanation, describe, summarize
from rmsprop._core.explaining import choose_kernels
from rmsprop._core.forms import kind_of_variable
from rmsprop._core.inplace import Member, count_launches
from rmsprop._core.items import Item
from rmsprop._core.switches import against_native, default_threads
from rmsprop._torch import engine
from rmsprop._torch.arrays import as_array, is_whole, type_name
from rmsprop._torch.cpu import member_settings, turns_of
from rmsprop._torch.interface import Group
from rmsprop._torch.slots import slot_dtype


def explain(
    front_end: str, names: Sequence[str], groups: Sequence[Group], off: str | None = None, *, scaled: bool = False
) -> Explanation:
    """Explain a step in which each parameter has a gradient with its own type and strides.

    Args:
        front_end: its name.
        names: of the parameters.
        groups: the parameter groups.
        off: why the user wants no native steps, "" if there is no reason; None: the environment decides.
        scaled: whether gradients are multiplied by a number although no norm clips.
    """
    off = against_native(None) if off is None else off
    items = [
        Item(parameter, parameter, {}, group.decays(place), group)
        for group in groups
        for place, parameter in enumerate(group.parameters)
    ]
    choices = [_choose(item, off) for item in items]
    described = []
    for name, item, choice in zip(names, items, choices, strict=True):
        parameter, options = item.variable, item.group.options
        slots = {slot.name: type_name(slot_dtype(options, parameter)) for slot in _slots.slots(options)}
        one = describe(parameter.shape, type_name(parameter.dtype), slots, choice, clips_by_norm=options.clips_by_norm)
        described.append((name, one))
    here, there = (
        [item for item, choice in zip(items, choices, strict=True) if choice.compiler == compiler]
        for compiler in ("numba", "triton")
    )
    launches = _count_here(here, groups, scaled) + (_count_there(there) if there else 0)
    return summarize(front_end, described, launches, default_threads(torch.get_num_threads()))


def _choose(item: Item, off: str) -> Choice:
    parameter, options = item.variable, item.group.options
    against_cpu = engine.against_cpu(item)
    if not against_cpu:
        return choose_kernels(options, off)
    against_cuda = engine.against_cuda(parameter, item.gradient, options, off, warns=False)
    if not against_cuda:
        return Choice("native", "triton")
    device = parameter.device.type
    # On any other device there is nothing to choose.
    reasons = {"cpu": against_cpu, "cuda": against_cuda}
    return Choice("traced", reason=reasons.get(device, f"on the device {device}"))


def _count_here(items: Sequence[Item], groups: Sequence[Group], scaled: bool) -> int:
    """Count the launches on the CPU, of parameters that have memory."""
    items = [item for item in items if is_whole(item.variable)]
    variables = [as_array(item.variable, holds=False) for item in items]
    settings = zip(member_settings(items, groups, scaled), variables, turns_of(variables), strict=True)
    members = [
        Member(
            variable, dict.fromkeys((slot.name for slot in _slots.slots(one["options"])), variable), turn=turn, **one
        )
        for one, variable, turn in settings
    ]
    return count_launches([kind_of_variable(*pair) for pair in enumerate(variables)], members)


def _count_there(items: Sequence[Item]) -> int:
    """Count the launches on CUDA devices; Triton is installed."""
    from rmsprop._core.cuda import launches as triton
    from rmsprop._core.plan import Tensor
    from rmsprop._torch.cuda_looks import Look, tensor_of

    found: dict[torch.device, list[Tensor]] = {}
    for item in items:
        parameter, options = item.variable.detach(), item.group.options
        slots = slot_dtype(options, parameter)
        if parameter.is_complex():
            parameter, slots = torch.view_as_real(parameter), slots.to_real()
        types, aligned = (parameter.dtype, parameter.dtype, slots), parameter.data_ptr() % 16 == 0
        look = Look(types, parameter.shape, parameter.stride(), item.decays, options, 0, item.group.maximize)
        found.setdefault(parameter.device, []).append(tensor_of(look, aligned, aligned))
    return sum(map(triton.count_launches, found.values()))
