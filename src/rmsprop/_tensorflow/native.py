"""A step by our kernels in a graph on the CPU: read the variables, compute new values in new memory, assign them.

A value that somebody has read before stays as it is, because a kernel writes to new tensors only. A large step is cut
into parts, one operation each, one after the other: the old values of one part free the memory for the new values of
the next. A norm that is limited, and a check of gradients that may fail, then come as operations before all parts.
"""

import ctypes
from collections.abc import Sequence
from math import prod
from typing import Any, Final, final

import numpy
import tensorflow as tf

from rmsprop._core.items import Item
from rmsprop._core.options import Options
from rmsprop._core.plan import Plan
from rmsprop._core.run import Run
from rmsprop._core.scalars import fill_group
from rmsprop._core.switches import default_threads
from rmsprop._core.tables import NOTHING, OPERANDS, SCALES
from rmsprop._tensorflow.checks import is_sparse, tensors
from rmsprop._tensorflow.gradients import Gradients, array_at, plan_tensor
from rmsprop._tensorflow.operation import Call
from rmsprop._tensorflow.tables import Operand

#: Bytes of new values in one part: the memory that a step needs for a while. Each part costs an operation.
PART_BYTES: Final = 256 << 20

#: Bytes of new values from which a step writes past the caches, which would not hold them until the next step.
STREAMED: Final = 24 << 20

#: The first operands of every part.
_SCALARS: Final = (
    Operand(tf.float64, (), "the learning rate"),
    Operand(tf.int64, (), "the number of steps done"),
)


def step(options: Options, items: Sequence[Item], learning_rate: Any, iterations: Any) -> list[Any]:
    """Add a step to the graph that is being traced.

    Args:
        options: the checked arguments.
        items: what is stepped.
        learning_rate: a float64 tensor without axes.
        iterations: steps done before, an int64 tensor without axes.

    Returns:
        The operations after which the step is done.
    """
    parts = _parts(items)
    scalars, operands = [learning_rate, iterations], list(_SCALARS)
    done: list[Any] = []
    if len(parts) > 1 and options.clips_by_norm:
        scalars += _add_norms(options, items).outputs
        operands.append(_scales_of(items))
    elif len(parts) > 1:
        done = _add_check(items)
    streamed = sum(map(_nbytes, items)) >= STREAMED
    for places in parts:
        part = _Part(options, places, items, operands, streamed)
        # Without this order all new values might be computed before the first old one is freed.
        with tf.control_dependencies(done):
            done = part.step(scalars)
    return done


def count_launches(options: Options, items: Sequence[Item]) -> int:
    """Count the kernel calls of a step."""
    steps = [Plan(plan_tensor(options, items[place]) for place in places).steps for places in _parts(items)]
    return sum(map(len, steps)) + len(_norms_plan(options, items).norms)


def _scales_of(items: Sequence[Item]) -> Operand:
    return Operand(tf.float64, (len(items),), "what gradients are multiplied by")


def _norms_plan(options: Options, items: Sequence[Item]) -> Plan:
    return Plan((plan_tensor(options, item) for item in items), steps=False)


def _add_norms(options: Options, items: Sequence[Item]) -> Any:
    """Add an operation whose output is the scale of each gradient."""
    run, gradients = _run(options, _norms_plan(options, items)), Gradients(items)

    def work(call: Call) -> None:
        held = gradients.locate(run, call.inputs, call.lengths)
        array_at(call.outputs[0], 8 * len(items), numpy.dtype(numpy.float64))[:] = run.prepare()
        del held

    return Call(gradients.inputs, [_scales_of(items)], work)(tensors(items))


def _run(options: Options, plan: Plan) -> Run:
    run = Run(plan, default_threads())
    fill_group(run.groups, 0, options)
    run.compile()
    return run


def _add_check(items: Sequence[Item]) -> list[Any]:
    """Add an operation that refuses wrong row numbers and shapes, if there may be any, before anything is assigned."""
    checked = [item for item in items if is_sparse(item.gradient)]
    checked += [item for item in items if not is_sparse(item.gradient) and not item.gradient.shape.is_fully_defined()]
    if not checked:
        return []
    gradients = Gradients(checked)
    return [Call(gradients.inputs, [], lambda call: gradients.rows(call.inputs, call.lengths))(tensors(checked))]


@final
class _Part:
    """One operation of a step.

    Args:
        options: the checked arguments.
        places: numbers of the items that this part steps.
        items: all items of the step.
        scalars: types and shapes of the operands before the gradients.
        streamed: whether new values are written past the caches.
    """

    def __init__(
        self,
        options: Options,
        places: Sequence[int],
        items: Sequence[Item],
        scalars: Sequence[Operand],
        streamed: bool,
    ) -> None:
        self._places, self._scalars = list(places), len(scalars)
        self._items = [items[place] for place in places]
        self._gradients = Gradients(self._items)
        plan = Plan((plan_tensor(options, item) for item in self._items), out="streamed" if streamed else "targets")
        self._run = _run(options, plan)
        self._names = [name for name in OPERANDS[1:] if name in self._items[0].state()]
        self._owners = [item.state()[name] for name in self._names for item in self._items]
        self._state = len(scalars) + len(self._gradients.inputs)
        # The plan is of the variables' sizes, and of the types that the options say.
        state = [
            Operand(
                tf.as_dtype(tensor.storage.variable if name == "variable" else tensor.storage.slots),
                tuple(item.variable.shape),
                f"variable {item.state()[name].name!r}",
            )
            for name in self._names
            for item, tensor in zip(self._items, plan.tensors, strict=True)
        ]
        self.call = Call([*scalars, *self._gradients.inputs, *state], state, self._work)

    def step(self, scalars: Sequence[Any]) -> list[Any]:
        """Add this part of the step to the graph, and return the operations after which it is done.

        Args:
            scalars: learning rate, iterations and, if an operation before finds them, the scales of all gradients.
        """
        operation = self.call([*scalars, *tensors(self._items), *map(_read, self._owners)])
        return [
            tf.raw_ops.AssignVariableOp(resource=owner.handle, value=value)
            for owner, value in zip(self._owners, operation.outputs, strict=True)
        ]

    def _work(self, call: Call) -> None:
        run, count = self._run, len(self._items)
        held = self._gradients.locate(run, call.inputs[self._scalars : self._state], call.lengths[self._scalars :])
        for number, name in enumerate(self._names):
            mine = slice(number * count, (number + 1) * count)
            run.where[name][:] = call.inputs[self._state :][mine]
            run.where[f"new {name}"][:] = call.outputs[mine]
        run.groups["learning_rate"][0] = ctypes.c_double.from_address(int(call.inputs[0])).value
        done = ctypes.c_int64.from_address(int(call.inputs[1])).value
        given = NOTHING
        if self._scalars > len(_SCALARS):
            scales = array_at(call.inputs[2], call.lengths[2], numpy.dtype(numpy.float64))
            run.scales[:], given = scales[self._places], SCALES
        run.execute(done, given)
        del held


def _parts(items: Sequence[Item]) -> list[list[int]]:
    """Cut the items into parts of about the same bytes, at most about `PART_BYTES`."""
    total = sum(map(_nbytes, items))
    size = total / max(1, -(-total // PART_BYTES))
    parts: list[list[int]] = [[]]
    filled = 0.0
    for place, item in enumerate(items):
        if parts[-1] and filled + _nbytes(item) / 2 > size:
            parts.append([])
            filled = 0.0
        parts[-1].append(place)
        filled += _nbytes(item)
    return parts


def _nbytes(item: Item) -> int:
    """Return the bytes of a variable and its state."""
    return int(prod(item.variable.shape)) * sum(int(one.dtype.size) for one in item.state().values())


def _read(variable: Any) -> Any:
    return tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)
