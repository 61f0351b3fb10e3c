"""The averages of parameters, which evaluation wants in the place of the parameters."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from rmsprop._torch.exclusion import check_members


def averages_of(
    entries: Sequence[Mapping[str, Any]], states: Mapping[Tensor, dict[str, Any]], var_list: Iterable[Tensor] | None
) -> list[tuple[Tensor, Tensor]]:
    """Return the parameters with an average, and it; of `var_list` alone if that is not None."""
    chosen = None if var_list is None else list(var_list)
    check_members(entries, chosen or ())
    wanted = None if chosen is None else {id(one) for one in chosen}
    return [
        (parameter, states[parameter]["average"])
        for group in entries
        for parameter in group["params"]
        if group["use_ema"] and (wanted is None or id(parameter) in wanted)
        if "average" in states.get(parameter, ())
    ]


def copy_all(pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Copy the second tensor of each pair into the first."""
    for target, source in pairs:
        target.copy_(source)
