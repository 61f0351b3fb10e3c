"""What a backend gets for a step: the optimizer's settings, and the variables that move with their state."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol, final

from rmsprop._core.options import Options
from rmsprop._core.warnings import warn
from rmsprop._keras.backends import backend
from rmsprop._keras.variables import is_overwritten, name_of
from rmsprop._kerases.built import Built

#: How many sets of variables are remembered.
REMEMBERED: Final = 64


@final
class Accumulation(NamedTuple):
    """How calls become steps."""

    steps: int | None  # how many calls make one step, of the mean of their gradients; None: each call is one

    def is_step(self, calls: Any) -> Any:
        """Whether the call after `calls` others is a step, where gradients are collected."""
        return (calls + 1) % self.steps == 0

    def iterations(self, calls: Any) -> Any:
        """Return how many steps `calls` calls have made."""
        return calls if self.steps is None else calls // self.steps

    def mean(self, total: Any) -> Any:
        """Return the gradient of a step."""
        return total if self.steps is None else total / self.steps

    def advance(
        self, calls: Any, step: Callable[[Any], Any], collect: Callable[[], Any], cond: Callable[..., Any]
    ) -> Any:
        """Call `step` with the number of steps before, or `collect`, by the backend's choice between two functions."""
        if self.steps is None:
            return step(calls)
        return cond(self.is_step(calls), lambda: step(self.iterations(calls)), collect)


def choose(when: Any, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
    """Return the result of one of two functions, for `Accumulation.advance` of a backend that runs them at once."""
    return yes() if when else no()


@final
class Settings(NamedTuple):
    """What all steps of an optimizer have in common until one of its arguments changes."""

    options: Options  # the checked arguments; steps get their learning rate as an argument
    native: bool | None
    scale: float | None  # gradients are divided by it; None: 1
    accumulation: Accumulation
    rate: Any  # the variable of the learning rate, or the schedule or function that rules
    counter: Any  # the variable that counts the calls
    name: str
    strategy: Any  # TensorFlow's, that the optimizer was made in; else None
    built: Built | None


@final
class Batch:
    """The variables of a call that have a gradient, in the order in which the optimizer was built for them.

    `places` are those of their gradients in the call's list. `overwritten` are variables that become their gradient, as
    Keras's float8 layers have them, each after the place of its gradient.
    """

    def __init__(
        self, settings: Settings, variables: Sequence[Any], numbers: Sequence[int], missing: Sequence[bool]
    ) -> None:
        order = [place for place in sorted(range(len(numbers)), key=numbers.__getitem__) if not missing[place]]
        self.overwritten = [(place, variables[place]) for place in order if is_overwritten(variables[place])]
        self.places = [place for place in order if not is_overwritten(variables[place])]
        self.variables = [variables[place] for place in self.places]
        built: Any = settings.built
        mine = [numbers[place] for place in self.places]
        self.slots = [built.slots_of(number) for number in mine]
        self.decays = [settings.options.decays and built.decays[number] for number in mine]
        self.collected = [built.collected[number] for number in mine] if built.collected else []
        self.kinds = tuple((tuple(one.shape), str(one.dtype)) for one in self.variables)
        # As long as they are known by their ids, nothing else may have these.
        self._given = variables


@final
class Explainable(NamedTuple):
    """Variables that all have a gradient, for `explain()`."""

    names: Sequence[str]
    variables: Sequence[Any]
    decays: Sequence[bool]
    slots: Sequence[dict[str, Any] | None]  # None in place of slots that are not made


class Stepper(Protocol):
    """A backend's part of an optimizer's steps."""

    def step(self, batch: Batch, gradients: Sequence[Any], learning_rate: Callable[[], Any]) -> None:
        """Do a step, or add it to what is being traced; the gradients are those of the batch."""


@final
class Steps:
    """The steps of an optimizer with its present settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._stepper = settings, backend().stepper(settings)
        self._batches: dict[Any, Batch] = {}

    def step(self, batch: Batch, gradients: Sequence[Any], learning_rate: Callable[[], Any]) -> None:
        """Step a batch; the gradients are those of the call, and `learning_rate` returns the present one."""
        self._stepper.step(batch, [gradients[place] for place in batch.places], learning_rate)

    def find(
        self, gradients: Sequence[Any], variables: Sequence[Any], numbers_of: Callable[[Sequence[Any]], list[int]]
    ) -> Batch:
        """Return what moves; `numbers_of` refuses variables that are unknown or given twice."""
        missing = [gradient is None for gradient in gradients]
        key = (*map(id, variables), *missing)
        batch = self._batches.get(key)
        if batch is None:
            numbers = numbers_of(variables)
            if len(gradients) != len(variables):
                raise ValueError(f"there are {len(gradients)} gradients for {len(variables)} variables")
            _report_missing(variables, missing)
            if len(self._batches) >= REMEMBERED:
                self._batches.pop(next(iter(self._batches)))
            batch = self._batches[key] = Batch(self._settings, variables, numbers, missing)
        return batch


def _report_missing(variables: Sequence[Any], missing: Sequence[bool]) -> None:
    left_out = ", ".join(name_of(variable) for variable, one in zip(variables, missing, strict=True) if one)
    if all(missing):
        raise ValueError(f"all gradients are None, of the variables {left_out}")
    if left_out:
        warn(f"No gradients for the variables {left_out}: they stay as they are.", through="keras")
