"""The gradients of a native step: their addresses in a run, and checks of rows whose numbers come with each step."""

from collections.abc import Sequence
from math import prod
from typing import Any, Literal, final

import numpy
from numpy.typing import NDArray

from rmsprop._core import arrays
from rmsprop._core.inplace import set_rows
from rmsprop._core.items import Item
from rmsprop._core.options import Options
from rmsprop._core.plan import Integers, Tensor
from rmsprop._core.rows import RowSparse
from rmsprop._core.run import Run
from rmsprop._core.scalars import names_on, storage_of
from rmsprop._tensorflow.checks import is_sparse, numpy_dtype
from rmsprop._tensorflow.tables import ANY, Operand


def plan_tensor(options: Options, item: Item) -> Tensor:
    """Describe a variable for the planner."""
    shape, sparse = tuple(item.variable.shape), is_sparse(item.gradient)
    gradient = numpy_dtype(item.gradient.dtype)
    if sparse and gradient.itemsize == 2:
        gradient = numpy.dtype(numpy.float32)  # rows of half types are summed in it
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
        self._names = [f"the gradient of variable {item.variable.name!r}" for item in items]
        self.inputs: list[Operand] = []
        self._first: list[int] = []  # of each gradient, the number of its first input
        self._sparse: list[int] = []
        for place, (item, shape, name) in enumerate(zip(items, self._shapes, self._names, strict=True)):
            self._first.append(len(self.inputs))
            dtype = item.gradient.dtype
            if is_sparse(item.gradient):
                self._sparse.append(place)
                numbers = Operand(item.gradient.indices.dtype, (ANY,), f"the row numbers in {name}")
                self.inputs += [Operand(dtype, (ANY, *shape[1:]), name), numbers]
            else:
                self.inputs.append(Operand(dtype, shape, name))

    def locate(self, run: Run, inputs: Integers, lengths: Integers) -> list[RowSparse]:
        """Write the addresses of gradients into a run, and return what must live until the run is done.

        Args:
            run: the run that steps them.
            inputs: the address of each tensor.
            lengths: the bytes of each tensor.

        Raises:
            ValueError: rows do not have the variable's shape, or a row number is out of range.
        """
        run.where["gradient"][:] = inputs[self._first]
        found = self.rows(inputs, lengths)
        for place, rows in found:
            set_rows(run, place, rows)
        return [rows for _, rows in found]

    def rows(self, inputs: Integers, lengths: Integers) -> list[tuple[int, RowSparse]]:
        """Return the sparse gradients by place, each row once and in order; for arguments and errors see `locate`."""
        found = []
        for place in self._sparse:
            first, shape = self._first[place], self._shapes[place]
            values, numbers = (
                array_at(inputs[number], lengths[number], numpy_dtype(self.inputs[number].dtype))
                for number in (first, first + 1)
            )
            try:
                sparse = RowSparse(numbers, values.reshape(len(numbers), *shape[1:]), shape)
            except ValueError as error:
                raise ValueError(f"{self._names[place]}: {error}") from error
            ordered, summed = sparse.coalesce()
            found.append((place, RowSparse(numpy.ascontiguousarray(ordered), summed, shape)))
        return found


def array_at(address: int, nbytes: int, dtype: numpy.dtype[Any]) -> NDArray[Any]:
    """Return memory as an array with one axis."""
    return arrays.array_at(int(address), dtype, (int(nbytes) // dtype.itemsize,))
