"""Steps on Keras's torch backend, by the engine for torch's tensors."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from operator import is_
from typing import Any, final

import keras
import torch
from torch import Tensor

from rmsprop._core.explain import Explanation
from rmsprop._core.options import LearningRate, Options, _number, rate_function
from rmsprop._keras.backends import in_stateless_scope
from rmsprop._keras.rates import as_function
from rmsprop._keras.steps import REMEMBERED, Batch, Settings
from rmsprop._keras.variables import name_of
from rmsprop._torch import explaining
from rmsprop._torch.engine import Engine


def untraced(method: Callable[..., Any]) -> Any:
    """Keep a method out of what `torch.compile` traces: what runs in kernels of ours cannot be."""
    outside: Any = torch.compiler.disable(method)  # type: ignore[no-untyped-call]

    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        # The wrapper takes its time.
        return (outside if torch.compiler.is_compiling() else method)(*args, **kwargs)

    return call


def making(copied: Any) -> AbstractContextManager[Any]:
    """Make a variable of the state, which may start as a copy of one of the model's."""
    return nullcontext()


def start_of(variable: Any) -> Any:
    """Give the value that an average of a variable starts at."""
    return keras.ops.convert_to_tensor(variable)


def is_variable(value: Any) -> bool:
    """Whether it is a variable of the backend's own: Keras keeps state for its own alone."""
    return False


def is_symbolic(value: Any) -> bool:
    """Whether it is a tensor without a value: there are none."""
    return False


def rate_at(rate: LearningRate, iterations: Any) -> Any:
    """Give the learning rate of a step by a function or a schedule of ours, as a number."""
    return rate_function(as_function(rate))(int(iterations.value)) if callable(rate) else rate


def count_of(iterations: Any) -> int | None:
    """Give the number of calls so far, None among values that stand for variables."""
    return None if in_stateless_scope() else int(iterations.value)


def check_reader(_: Any) -> None:
    """Refuse to give the state to a model that it is not of: here each step is given the variables, and does that."""


def checked_rate(rate: Any, iterations: Any) -> Any:
    """Refuse what a schedule gives and is no learning rate, where that can be seen without waiting for a device."""
    if not isinstance(rate, Tensor) or rate.device.type == "cpu":
        _number(f"learning_rate({int(iterations.value)})", float(rate))
    return rate


def copy_into(variable: Any, average: Any, _: Any) -> None:
    """Write a variable's average into it."""
    variable.assign(average.value)


def _as_tensor(gradient: Any, variable: Any) -> Tensor:
    try:
        found: Tensor = keras.ops.convert_to_tensor(gradient)
    except (TypeError, ValueError) as error:
        raise type(error)(f"the gradient of variable {name_of(variable)!r} is no tensor: {error}") from error
    return found


@final
class _Group:
    """Variables of which all have a gradient, as the engine knows a group of parameters."""

    maximize = False

    def __init__(
        self, options: Options, names: Sequence[str], decays: Sequence[bool], parameters: list[Tensor]
    ) -> None:
        self.options, self.parameters = options, parameters
        self._names, self._decays = names, decays
        self.rate: float | Tensor = 0.0
        self.overwrite = False

    def decays(self, place: int) -> bool:
        """Whether weight decay applies to one of them."""
        return self._decays[place]

    def describe(self, place: int) -> str:
        """Name one of them."""
        return f"variable {self._names[place]!r}"


@final
class _State(dict[str, Tensor]):
    """The state of a variable as the engine knows it; what the engine makes anew becomes the variable's value."""

    def __init__(self, slots: dict[str, Any]) -> None:
        super().__init__({name: one._value for name, one in slots.items()})
        self._slots = slots

    def __setitem__(self, name: str, tensor: Tensor) -> None:
        self._slots[name]._value = torch.nn.Parameter(tensor, requires_grad=False)
        super().__setitem__(name, self._slots[name]._value)


@final
class Stepper:
    """Does an optimizer's steps."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # An engine each: it is fast where the step before was of the same parameters.
        self._groups: dict[Batch, tuple[Engine, _Group, dict[Tensor, Any]]] = {}

    def step(self, batch: Batch, gradients: Sequence[Any], learning_rate: Callable[[], Any]) -> None:
        """Do a step of a batch."""
        given = [
            one if isinstance(one, Tensor) else _as_tensor(one, variable)
            for one, variable in zip(gradients, batch.variables, strict=True)
        ]
        with torch.no_grad():
            if in_stateless_scope():
                self._step_in_scope(batch, given, learning_rate)
                return
            found = self._groups.get(batch)
            parameters = [variable._value for variable in batch.variables]
            if found is None or not all(map(is_, parameters, found[1].parameters)):
                states: dict[Tensor, Any] = dict(zip(parameters, map(_State, batch.slots), strict=True))
                if len(self._groups) >= REMEMBERED:
                    self._groups.pop(next(iter(self._groups)))
                found = self._groups[batch] = Engine(), self._group(batch, parameters), states
            if self._advance(*found, given, [one._value for one in batch.collected], learning_rate):
                for variable in batch.variables:
                    if variable.constraint is not None:
                        variable.assign(variable.constraint(variable))
            self._settings.counter._value.add_(1)

    def _group(self, batch: Batch, parameters: list[Tensor]) -> _Group:
        return _Group(self._settings.options, [*map(name_of, batch.variables)], batch.decays, parameters)

    def _advance(
        self,
        engine: Engine,
        group: _Group,
        states: dict[Tensor, Any],
        gradients: list[Tensor],
        collected: list[Tensor],
        learning_rate: Callable[[], Any],
    ) -> bool:
        """Collect gradients or step by them; whether it was a step."""
        scale, calls = self._settings.scale, self._settings.counter.value
        unscale = None if scale is None else 1 / scale
        if not collected:
            _step(engine, group, states, gradients, unscale, calls, learning_rate())
            return True
        for one, gradient in zip(collected, gradients, strict=True):
            one.add_(gradient, alpha=1.0 if unscale is None else unscale)

        def step(means: list[Tensor], iterations: Any) -> bool:
            # Collected gradients are unscaled.
            _step(engine, group, states, means, None, iterations, learning_rate())
            torch._foreach_zero_(collected)
            return True

        is_step: bool = self._settings.accumulation.advance(
            calls, lambda: collected, step, lambda _: False, lambda when, yes, no: yes() if when else no()
        )
        return is_step

    def _step_in_scope(self, batch: Batch, gradients: list[Tensor], learning_rate: Callable[[], Any]) -> None:
        """Step copies of the scope's values: Keras's `stateless_apply` leaves the old tensors unchanged."""
        parameters = [variable.value.detach().clone() for variable in batch.variables]
        states: dict[Tensor, Any] = {
            parameter: {name: one.value.detach().clone() for name, one in slots.items()}
            for parameter, slots in zip(parameters, batch.slots, strict=True)
        }
        collected = [one.value.detach().clone() for one in batch.collected]
        group = self._group(batch, parameters)
        moved = self._advance(Engine(), group, states, gradients, collected, learning_rate)
        for one, value in zip(batch.collected, collected, strict=True):
            one.assign(value)
        if moved:
            for variable, slots, parameter in zip(batch.variables, batch.slots, parameters, strict=True):
                for name, one in slots.items():
                    one.assign(states[parameter][name])
                variable.assign(parameter)
                if variable.constraint is not None:
                    variable.assign(variable.constraint(variable))
        self._settings.counter.assign(self._settings.counter.value + 1)


def explain(
    front_end: str, settings: Settings, names: Sequence[str], variables: Sequence[Any], decays: Sequence[bool], _: Any
) -> Explanation:
    """Explain a step of variables that all have a gradient."""
    group = _Group(settings.options, names, decays, [one._value for one in variables])
    # Collected gradients are unscaled.
    scaled = settings.scale is not None and settings.accumulation.steps is None
    return explaining.explain(front_end, names, [group], scaled=scaled)


def _step(
    engine: Engine,
    group: _Group,
    states: dict[Tensor, Any],
    gradients: list[Tensor],
    unscale: float | None,
    iterations: Tensor,
    rate: Any,
) -> None:
    rate = rate.value if isinstance(rate, keras.Variable) else rate
    groups = [group]
    device = engine.leader(groups, gradients)
    if device is None:
        done = int(iterations)
        group.rate, group.overwrite = float(rate), group.options.overwrites(done)
        engine.step(groups, states, unscale, done, gradients)
        return
    # Nothing waits for the device: it has the numbers.
    group.rate = rate if isinstance(rate, Tensor) and rate.device == device else float(rate)
    count = iterations.to(device, torch.int64, copy=True)
    scale = None if unscale is None else torch.full((1,), 1 / unscale, device=device)
    engine.step_on_device(groups, states, count, scale, None, gradients)
