"""A step by our kernels in a graph on the CPU: read the variables, compute new values in new memory, assign them.

A value that somebody has read before stays as it is, because a kernel writes to new tensors only. A large step is cut
into parts, one operation each, one after the other: the old values of one part free the memory for the new values of
the next. A norm that is limited, and a check of gradients that may fail, then come as operations before all parts.
"""

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
from rmsprop._core.tables import HEAD, NOTHING, OPERANDS, PREPARE, SCALES
from rmsprop._tensorflow.checks import is_sparse, tensors
from rmsprop._tensorflow.gradients import Gradients, plan_tensor
from rmsprop._tensorflow.operands import Operand, Target, shown
from rmsprop._tensorflow.operation import Call
from rmsprop._tensorflow.steps import Step

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
        done = _add_check(options, items)
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


def threads() -> int:
    """Return the threads of a step; for TensorFlow's own number, 0 leaves it to the system."""
    return default_threads(tf.config.threading.get_intra_op_parallelism_threads() or None)


def _scales_of(items: Sequence[Item]) -> Operand:
    return Operand(tf.float64, (len(items),), "what gradients are multiplied by")


def _norms_plan(options: Options, items: Sequence[Item]) -> Plan:
    return Plan((plan_tensor(options, item) for item in items), steps=False)


def _add_norms(options: Options, items: Sequence[Item]) -> Any:
    """Add an operation whose output is the scale of each gradient."""
    gradients = Gradients(items)
    step = Step(_run(options, _norms_plan(options, items), given=PREPARE), gradients.locals + 1)
    found, scales = step.local(), [_scales_of(items)]
    targets, sparse = gradients.place(step)
    words = step.finish((gradients.inputs, targets), (scales, [Target(found)]), sparse, executes=1, found_at=found)
    return Call(gradients.inputs, scales, words)(tensors(items))


def _run(options: Options, plan: Plan, given: int = NOTHING) -> Run:
    run = Run(plan, threads())
    fill_group(run.groups, 0, options)
    run.words[HEAD.index("given")] = given
    run.compile()
    run.start_helpers()
    return run


def _add_check(options: Options, items: Sequence[Item]) -> list[Any]:
    """Add an operation that refuses wrong row numbers and shapes, if there may be any, before anything is assigned."""
    checked = [item for item in items if is_sparse(item.gradient)]
    checked += [item for item in items if not is_sparse(item.gradient) and not item.gradient.shape.is_fully_defined()]
    if not checked:
        return []
    gradients = Gradients(checked)
    step = Step(_run(options, _norms_plan(options, checked)), gradients.locals)
    targets, sparse = gradients.place(step)
    words = step.finish((gradients.inputs, targets), ([], []), sparse, executes=0)
    return [Call(gradients.inputs, [], words)(tensors(checked))]


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
        self._items = [items[place] for place in places]
        gradients = Gradients(self._items)
        plan = Plan((plan_tensor(options, item) for item in self._items), out="streamed" if streamed else "targets")
        given = len(scalars) > len(_SCALARS)
        step = Step(_run(options, plan, SCALES if given else NOTHING), gradients.locals + 1)
        names = [name for name in OPERANDS[1:] if name in self._items[0].state()]
        self._owners = [item.state()[name] for name in names for item in self._items]
        # The plan is of the variables' sizes, and of the types that the options say.
        state = [
            Operand(
                tf.as_dtype(tensor.storage.variable if name == "variable" else tensor.storage.slots),
                tuple(item.variable.shape),
                f"variable {shown(item.state()[name].name)}",
            )
            for name in names
            for item, tensor in zip(self._items, plan.tensors, strict=True)
        ]
        rate, iterations = step.cell(step.run.groups["learning_rate"]), 8 * HEAD.index("iterations")
        numbers, words = [Target(rate, is_number=True), Target(iterations, is_number=True)], {"executes": 1}
        if given:
            words |= {"given_at": step.local(), "places": step.memory.keep(numpy.array(places, numpy.int64))}
            numbers.append(Target(words["given_at"]))
        targets, sparse = gradients.place(step)
        old, new = (
            [Target(step.cell(step.run.where[one][place:])) for one in ones for place in range(len(places))]
            for ones in (names, [f"new {name}" for name in names])
        )
        inputs = [*scalars, *gradients.inputs, *state]
        self.call = Call(
            inputs, state, step.finish((inputs, [*numbers, *targets, *old]), (state, new), sparse, **words)
        )

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
