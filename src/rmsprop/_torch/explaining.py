"""What a step on torch's tensors will be, by the predicates and the planners of steps, without a kernel."""

from collections.abc import Sequence

import torch

from rmsprop._core import slots as _slots
from rmsprop._core.explain import Choice, Explanation, describe, summarize
from rmsprop._core.explaining import choose_kernels
from rmsprop._core.forms import kind_of_variable
from rmsprop._core.inplace import Member, count_launches
from rmsprop._core.items import Item
from rmsprop._torch import engine
from rmsprop._torch.arrays import as_array, is_whole
from rmsprop._torch.cpu import turns_of
from rmsprop._torch.items import Group
from rmsprop._torch.slots import slot_dtype


def explain(front_end: str, names: Sequence[str], groups: Sequence[Group], *, scaled: bool = False) -> Explanation:
    """Explain a step in which each parameter has a gradient that is stored and lies as it does.

    Args:
        front_end: its name.
        names: of the parameters.
        groups: they.
        scaled: whether gradients are multiplied by a number although no norm clips.
    """
    items = [
        Item(parameter, parameter, {}, group.decays(place), group)
        for group in groups
        for place, parameter in enumerate(group.parameters)
    ]
    choices = [_choose(item) for item in items]
    described = []
    for name, item, choice in zip(names, items, choices, strict=True):
        parameter, options = item.variable, item.group.options
        slots = {slot.name: _name(slot_dtype(options, parameter)) for slot in _slots.slots(options)}
        one = describe(parameter.shape, _name(parameter.dtype), slots, choice, clips_by_norm=options.clips_by_norm)
        described.append((name, one))
    here = [item for item, choice in zip(items, choices, strict=True) if choice.compiler == "numba"]
    there = [item for item, choice in zip(items, choices, strict=True) if choice.compiler == "triton"]
    launches = _count_here(here, scaled) + _count_there(there)
    return summarize(front_end, described, launches, torch.get_num_threads())


def _choose(item: Item) -> Choice:
    parameter, options = item.variable, item.group.options
    against_cpu = engine.against_cpu(item)
    if not against_cpu:
        return choose_kernels(options)
    against_cuda = engine.against_cuda(parameter, item.gradient, options, warns=False)
    if not against_cuda:
        return Choice("native", "triton")
    device = parameter.device.type
    # On any other device there is nothing to choose.
    reasons = {"cpu": against_cpu, "cuda": against_cuda}
    return Choice("traced", reason=reasons.get(device, f"on the device {device}"))


def _count_here(items: Sequence[Item], scaled: bool) -> int:
    """Count the launches on the CPU, of parameters whose memory is there."""
    items = [item for item in items if is_whole(item.variable)]
    variables = [as_array(item.variable, holds=False) for item in items]
    members = [
        Member(
            variable,
            dict.fromkeys((slot.name for slot in _slots.slots(item.group.options)), variable),
            item.group.options,
            item.decays,
            scaled or item.group.maximize,
            turn,
        )
        for item, variable, turn in zip(items, variables, turns_of(variables), strict=True)
    ]
    return count_launches([kind_of_variable(*pair) for pair in enumerate(variables)], members)


def _count_there(items: Sequence[Item]) -> int:
    """Count the launches on CUDA devices."""
    if not items:
        return 0
    # Triton is there.
    from rmsprop._core.cuda import launches as triton
    from rmsprop._core.plan import Tensor
    from rmsprop._torch.cuda_items import Look, tensor_of

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


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
