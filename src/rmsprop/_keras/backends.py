"""The part of a step that is the backend's: one module for each of Keras's, whose `Backend` is used."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import keras

from rmsprop._core import versions
from rmsprop._core.checks import check_number
from rmsprop._core.explain import Explanation

if TYPE_CHECKING:
    from rmsprop._keras.steps import Explainable, Settings, Stepper

_KNOWN: Final = ("tensorflow", "jax", "torch")

#: Whether this thread is in one of Keras's stateless scopes, in which values stand for variables.
in_stateless_scope: Final = versions.lookup(
    "rmsprop.keras", "keras", "keras.src.backend.common.stateless_scope", "in_stateless_scope"
)


class Backend(ABC):
    """What backends differ in; the methods here are those of a backend that runs each operation at once."""

    #: Makes what does an optimizer's steps.
    stepper: "Callable[[Settings], Stepper]"

    @abstractmethod
    def explain(self, front_end: str, settings: "Settings", known: "Explainable") -> Explanation:
        """Explain a step."""

    @abstractmethod
    def rate_at(self, rate: Any, iterations: Any) -> Any:
        """Return the learning rate of a step by a function, or by a schedule of ours."""

    def checked_rate(self, rate: Any, iterations: Any) -> Any:
        """Refuse the result of a schedule that is no learning rate, where it can be seen without waiting."""
        if self.is_at_hand(rate):
            check_number(f"learning_rate({int(iterations.value)})", float(rate))
        return rate

    @abstractmethod
    def is_at_hand(self, tensor: Any) -> bool:
        """Whether a tensor's numbers can be read without waiting."""

    def is_symbolic(self, value: Any) -> bool:
        """Whether a value is a tensor without numbers, of a function that is being traced."""
        return False

    def is_variable(self, value: Any) -> bool:
        """Whether a value is a variable of the backend's own for which Keras holds state."""
        return False

    def count_of(self, iterations: Any) -> int | None:
        """Return the number of calls so far, None where it cannot be read."""
        return None if in_stateless_scope() else int(iterations.value)

    def untraced(self, method: Callable[..., Any]) -> Any:
        """Keep a method out of what the backend traces or rewrites."""
        return method

    def making(self, copied: Any) -> AbstractContextManager[Any]:
        """Make a variable of the state; `copied` is the variable that it starts as a copy of, or None."""
        return nullcontext()

    def start_of(self, variable: Any) -> Any:
        """Return the value that an average of a variable starts at."""
        return keras.ops.convert_to_tensor(variable)

    def check_reader(self, numbers_of: Callable[[Sequence[Any]], Any]) -> None:  # noqa: B027
        """Refuse a model's trainer that reads the state of other variables, if steps are not given variables."""

    def copy_into(self, variable: Any, average: Any, strategy: Any) -> None:
        """Write a variable's average into it."""
        variable.assign(average.value)


@cache
def backend() -> Backend:
    """Return the backend that Keras runs on.

    Raises:
        ImportError: the backend computes no gradients, or is too old.
    """
    name = keras.backend.backend()
    if name not in _KNOWN:
        raise ImportError(
            f"rmsprop.keras steps variables of {', '.join(_KNOWN)}, and Keras runs on {name}: set KERAS_BACKEND "
            "before keras is imported"
        )
    versions.check(f"rmsprop.keras on {name}", name)
    found: Backend = import_module(f"rmsprop._keras.{name}").Own()
    return found
