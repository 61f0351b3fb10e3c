"""The gradients of a native step: their description for the planner, and where compiled code finds them."""

from collections.abc import Sequence
from math import prod
from typing import Literal, final

import numpy

from rmsprop._core.cpu.kernels import entry, row_sums
from rmsprop._core.cpu.system import library_function
from rmsprop._core.items import Item
from rmsprop._core.options import Options
from rmsprop._core.plan import Tensor
from rmsprop._core.rows import summed_in
from rmsprop._core.scalars import names_on, storage_of
from rmsprop._tensorflow.checks import is_sparse, numpy_dtype
from rmsprop._tensorflow.operands import ANY, Operand, Target, shown
from rmsprop._tensorflow.steps import Step


def plan_tensor(options: Options, item: Item) -> Tensor:
    """Describe a variable for the planner."""
    shape, sparse = tuple(item.variable.shape), is_sparse(item.gradient)
    gradient = numpy_dtype(item.gradient.dtype)
    if sparse:
        gradient = numpy.dtype(summed_in(gradient.name))
    form: Literal["flat", "rows"] = "rows" if sparse else "flat"
    return Tensor(
        size=prod(shape),
        storage=storage_of(options, numpy_dtype(item.variable.dtype), gradient),
        on=names_on(options, item.slots, item.decays),
        clips=options.clips_by_norm,
        form=form,
        norm_form=form,
        row_size=prod(shape[1:]) if sparse else -1,
    )


@final
class Gradients:
    """The gradients of items as operands of a `Call`.

    Args:
        items: the variables and their gradients.

    Attributes:
        inputs: types and shapes of the tensors of all gradients, in the order of `checks.tensors`.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self._shapes = [tuple(item.variable.shape) for item in items]
        self._names = [f"the gradient of variable {shown(item.variable.name)}" for item in items]
        self.inputs: list[Operand] = []
        self._sparse: set[int] = set()
        for place, (item, shape, name) in enumerate(zip(items, self._shapes, self._names, strict=True)):
            dtype = item.gradient.dtype
            if is_sparse(item.gradient):
                self._sparse.add(place)
                numbers = Operand(item.gradient.indices.dtype, (ANY,), f"the row numbers in {name}")
                self.inputs += [Operand(dtype, (ANY, *shape[1:]), name), numbers]
            else:
                self.inputs.append(Operand(dtype, shape, name))

    @property
    def locals(self) -> int:
        """Words of a copy that `place` asks for: address and length of values and row numbers."""
        return 4 * len(self._sparse)

    def place(self, step: Step) -> tuple[list[Target], list[dict[str, int]]]:
        """Return where a copy has the address of each tensor, and the words of each sparse gradient."""
        where, targets, rows = step.run.where, list[Target](), list[dict[str, int]]()
        for place, (shape, name) in enumerate(zip(self._shapes, self._names, strict=True)):
            if place not in self._sparse:
                targets.append(Target(step.cell(where["gradient"][place:])))
                continue
            values, numbers = self.inputs[len(targets) : len(targets) + 2]
            stored = numpy_dtype(values.dtype)
            compute = numpy.dtype(summed_in(stored.name))
            row = {"number_bytes": numbers.dtype.size, "limit": shape[0], "width": prod(shape[1:])}
            row |= {"itemsize": compute.itemsize, "sum": row_sums(stored, compute), "always": stored != compute}
            row |= {"malloc": library_function("malloc"), "coalesce": entry("coalesce"), "name": step.memory.text(name)}
            row |= {"values_at": step.local(2), "numbers_at": step.local(2)}
            row |= {
                f"{column}_to": step.cell(where[column][place:]) for column in ("gradient", "row_numbers", "row_count")
            }
            targets += [Target(at, at + 8) for at in (row["values_at"], row["numbers_at"])]
            rows.append(row)
        return targets, rows
