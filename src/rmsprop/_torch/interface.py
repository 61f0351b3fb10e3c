"""What the engine is given: parameter groups as they are at a step, gradients, and state."""

from collections.abc import MutableMapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from rmsprop._core.options import Options

#: Gradients of all parameters, in the order of the groups; None: each parameter has its own, or none.
Gradients = Sequence[Tensor] | None

#: Parameter -> slot name -> tensor.
States = MutableMapping[Tensor, dict[str, Any]]


class Group(Protocol):
    """A parameter group at a step.

    Attributes:
        options: the checked arguments; same object until one changes. `options.learning_rate` is unused; see `rate`.
        maximize: whether gradients are negated.
        rate: the learning rate: a number, or a tensor of one number on another device than the CPU.
        overwrite: whether this step replaces the parameters by their averages.
    """

    options: Options
    maximize: bool
    rate: float | Tensor
    overwrite: bool

    @property
    def parameters(self) -> list[Tensor]:
        """The tensors; the list is the user's and may have changed since the last step."""

    def decays(self, place: int) -> bool:
        """Return whether weight decay applies to a parameter."""

    def describe(self, place: int) -> str:
        """Return how error texts call a parameter."""
