"""What a step is asked to do: parameter groups as they are at this step, and the tensors that they move."""

from collections.abc import MutableMapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from rmsprop._core.items import Item
from rmsprop._core.options import Options

#: Gradients that are handed over instead of being the parameters' own.
Gradients = Sequence[Tensor] | None

#: Parameter -> slot name -> tensor.
States = MutableMapping[Tensor, dict[str, Any]]


class Group(Protocol):
    """A parameter group at this step.

    Attributes:
        parameters: its tensors; the list is the user's and may have changed since the last step.
        options: the checked arguments; the same object as long as none of them changes. Its learning rate is no one's.
        maximize: whether to go up.
        rate: the learning rate: a number, or a tensor of one on another device than the CPU.
        overwrite: whether this step replaces the parameters by their averages.
    """

    @property
    def parameters(self) -> list[Tensor]:
        """See above."""

    @property
    def options(self) -> Options:
        """See above."""

    @property
    def maximize(self) -> bool:
        """See above."""

    @property
    def rate(self) -> float | Tensor:
        """See above."""

    @property
    def overwrite(self) -> bool:
        """See above."""

    def decays(self, place: int) -> bool:
        """Whether weight decay applies to one of the parameters."""

    def describe(self, place: int) -> str:
        """Name one of the parameters, for error texts."""


def keep(items: Sequence[Item], states: States) -> None:
    """Put slots that were made for items into the state: when all of them are made, and nothing can be refused."""
    for item in items:
        state = states[item.variable]
        for name, slot in item.slots.items():
            if state.get(name) is not slot:
                state[name] = slot
