"""The gradients of a native step: where they are this time, and whether they are what they should be."""

from collections.abc import Sequence
from math import prod
from typing import Any

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
from rmsprop._tensorflow import tables
from rmsprop._tensorflow.checks import is_sparse, numpy_dtype


def plan_tensor(options: Options, item: Item) -> Tensor:
    """Say what a variable is to the planner."""
    shape = tuple(item.variable.shape)
    gradient = numpy_dtype(item.gradient.dtype)
    if is_sparse(item.gradient) and gradient.itemsize == 2:
        gradient = numpy.dtype(numpy.float32)  # rows of half types are summed in it
    return Tensor(
        size=prod(shape),
        storage=storage_of(options, numpy_dtype(item.variable.dtype), gradient),
        on=names_on(options, item.slots, item.decays),
        clips=options.clips_by_norm,
        form="rows" if is_sparse(item.gradient) else "flat",
        norm_form="rows" if is_sparse(item.gradient) else "flat",
        row=prod(shape[1:]) if is_sparse(item.gradient) else -1,
    )


class Gradients:
    """Gradients, and how a run gets at them.

    Args:
        items: what they belong to.

    Attributes:
        inputs: what a `Call` is to know of the tensors that they are made of.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self._shapes = [tuple(item.variable.shape) for item in items]
        self._names = [f"the gradient of variable {item.variable.name!r}" for item in items]
        self.inputs: list[tables.Tensor] = []
        #: Of each: its first input, and for a sparse one the types of its values and of its row numbers.
        self._parts: list[tuple[int, tuple[Any, Any] | None]] = []
        for item, shape, name in zip(items, self._shapes, self._names, strict=True):
            types = (
                (numpy_dtype(item.gradient.dtype), numpy_dtype(item.gradient.indices.dtype))
                if is_sparse(item.gradient)
                else None
            )
            self._parts.append((len(self.inputs), types))
            if is_sparse(item.gradient):
                self.inputs.append(tables.Tensor(item.gradient.dtype, (tables.ANY, *shape[1:]), name))
                self.inputs.append(
                    tables.Tensor(item.gradient.indices.dtype, (tables.ANY,), f"the row numbers in {name}")
                )
            else:
                self.inputs.append(tables.Tensor(item.gradient.dtype, shape, name))

    def tell(self, run: Run, inputs: Integers, lengths: Integers) -> list[RowSparse]:
        """Say to a run where they are this time; what is returned must live until it is done.

        Args:
            run: what steps them.
            inputs: addresses of their tensors.
            lengths: the bytes of these.

        Raises:
            ValueError: rows are not of the variable's shape, or a row number is out of range.
        """
        held = []
        run.where["gradient"][:] = inputs[[begin for begin, _ in self._parts]]
        for place, rows in self.rows(inputs, lengths):
            set_rows(run, place, rows)
            held.append(rows)
        return held

    def rows(self, inputs: Integers, lengths: Integers) -> list[tuple[int, RowSparse]]:
        """Give the places of sparse gradients, and these with their rows in order and each only once."""
        found = []
        for place, (begin, types) in enumerate(self._parts):
            if types is None:
                continue
            shape = self._shapes[place]
            values, numbers = (array_at(inputs[begin + i], lengths[begin + i], types[i]) for i in range(2))
            try:
                sparse = RowSparse(numbers, values.reshape(len(numbers), *shape[1:]), shape)
            except ValueError as error:
                raise ValueError(f"{self._names[place]}: {error}") from error
            ordered, summed = sparse.coalesce()
            found.append((place, RowSparse(numpy.ascontiguousarray(ordered), summed, shape)))
        return found


def array_at(address: int, nbytes: int, dtype: numpy.dtype[Any]) -> NDArray[Any]:
    """Give memory as an array with one axis."""
    return arrays.array_at(int(address), dtype, (int(nbytes) // dtype.itemsize,))
