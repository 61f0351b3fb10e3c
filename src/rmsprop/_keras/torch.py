"""Steps on Keras's torch backend, by the engine for torch's tensors."""

from collections.abc import Callable, Sequence
from functools import wraps
from operator import is_
from typing import Any, final

import keras
import torch
from torch import Tensor

from rmsprop._core.explain import Explanation
from rmsprop._core.options import Options
from rmsprop._core.rates import rate_function
from rmsprop._core.switches import against_native
from rmsprop._keras.backends import Backend, in_stateless_scope
from rmsprop._keras.rates import as_function
from rmsprop._keras.steps import REMEMBERED, Batch, Explainable, Settings, choose
from rmsprop._keras.variables import as_tensor, name_of
from rmsprop._torch import explaining
from rmsprop._torch.engine import Engine


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
        self.overwrite: bool | None = None

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
    """Steps variables in place by an engine for each batch; within a stateless scope, copies of the scope's values."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._off = settings, against_native(settings.native)
        # An engine each: it is fast where the step before was of the same parameters.
        self._groups: dict[Batch, tuple[Engine, _Group, dict[Tensor, Any]]] = {}

    def step(self, batch: Batch, gradients: Sequence[Any], learning_rate: Callable[[], Any]) -> None:
        """Do a step of a batch."""
        given = [
            one if isinstance(one, Tensor) else as_tensor(one, variable, "tensor", torch.as_tensor)
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
                found = self._groups[batch] = Engine(self._off), self._group(batch, parameters), states
            collected = [one._value for one in batch.collected]
            if self._advance(*found, given, collected, self._settings.counter._value, learning_rate):
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
        calls: Tensor,
        learning_rate: Callable[[], Any],
    ) -> bool:
        """Collect gradients or step by them after `calls` calls; whether it was a step."""
        scale = self._settings.scale
        unscale = None if scale is None else 1 / scale
        if not collected:  # without more calls of Python: a step of a small model takes 20 microseconds
            _step(engine, group, states, gradients, unscale, calls, learning_rate())
            return True
        for one, gradient in zip(collected, gradients, strict=True):
            one.add_(gradient, alpha=1.0 if unscale is None else unscale)
        each = self._settings.accumulation

        def step(iterations: Any) -> bool:
            means = [each.mean(one) for one in collected]  # which are unscaled
            _step(engine, group, states, means, None, iterations, learning_rate())
            torch._foreach_zero_(collected)
            return True

        return bool(each.advance(calls, step, lambda: False, choose))

    def _step_in_scope(self, batch: Batch, gradients: list[Tensor], learning_rate: Callable[[], Any]) -> None:
        """Step copies of the scope's values: Keras's `stateless_apply` leaves the old tensors unchanged."""
        parameters = [variable.value.detach().clone() for variable in batch.variables]
        states: dict[Tensor, Any] = {
            parameter: {name: one.value.detach().clone() for name, one in slots.items()}
            for parameter, slots in zip(parameters, batch.slots, strict=True)
        }
        collected = [one.value.detach().clone() for one in batch.collected]
        group = self._group(batch, parameters)
        calls = self._settings.counter.value
        moved = self._advance(Engine(self._off), group, states, gradients, collected, calls, learning_rate)
        for one, value in zip(batch.collected, collected, strict=True):
            one.assign(value)
        if moved:
            for variable, slots, parameter in zip(batch.variables, batch.slots, parameters, strict=True):
                for name, one in slots.items():
                    one.assign(states[parameter][name])
                variable.assign(parameter)
                if variable.constraint is not None:
                    variable.assign(variable.constraint(variable))
        self._settings.counter.assign(calls + 1)


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


@final
class Own(Backend):
    """PyTorch: each operation runs at once, and what `torch.compile` traces leaves steps out."""

    stepper = Stepper

    def explain(self, front_end: str, settings: Settings, known: Explainable) -> Explanation:
        """Explain a step."""
        group = _Group(settings.options, known.names, known.decays, [one._value for one in known.variables])
        # Collected gradients are unscaled.
        scaled = settings.scale is not None and settings.accumulation.steps is None
        return explaining.explain(front_end, known.names, [group], off=against_native(settings.native), scaled=scaled)

    def untraced(self, method: Callable[..., Any]) -> Any:
        """Keep a method out of what `torch.compile` traces: what runs in kernels of ours cannot be."""
        outside: Any = torch.compiler.disable(method)  # type: ignore[no-untyped-call]

        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            # The wrapper is slow.
            return (outside if torch.compiler.is_compiling() else method)(*args, **kwargs)

        return call

    def rate_at(self, rate: Callable[..., Any], counter: Any) -> Any:
        """Return the learning rate of a step by a function, or by a schedule of ours, as a number."""
        return rate_function(as_function(rate))(int(counter.value))

    def is_at_hand(self, tensor: Any) -> bool:
        """Whether a tensor is on no other device."""
        return not isinstance(tensor, Tensor) or tensor.device.type == "cpu"
