"""The gradients of a native step: where they are this time, whether they are what they should be, and their norms."""

import ctypes
from collections.abc import Sequence
from itertools import groupby
from math import prod
from typing import Any

import numpy
from numpy.typing import NDArray

from rmsprop._core.arrays import packed_address
from rmsprop._core.options import Options
from rmsprop._core.rows import RowSparse
from rmsprop._core.scalars import clip_scales
from rmsprop._core.switches import default_threads
from rmsprop._tensorflow.items import Item, numpy_dtype
from rmsprop._tensorflow.tables import ANY, Tensor
from rmsprop.compilers.numba import Launch, SquareSums
from rmsprop.engines._kinds import dense_layouts, row_tables

_Integers = NDArray[numpy.int64]


def tensors(items: Sequence[Item]) -> list[Any]:
    """List the tensors that the gradients are made of; the items are all sparse or all dense."""
    if items[0].sparse:
        return [item.gradient.values for item in items] + [item.gradient.indices for item in items]
    return [item.gradient for item in items]


def norm_places(items: Sequence[Item]) -> list[list[int]]:
    """Sort items by what one launch takes the norms of, and give their places."""

    def kind(place: int) -> tuple[bool, str]:
        return items[place].sparse, numpy_dtype(items[place].gradient.dtype).name

    return [list(group) for _, group in groupby(sorted(range(len(items)), key=kind), key=kind)]


class Norms:
    """The norms of all gradients, each kind of them by a launch of its own.

    Args:
        options: the checked arguments.
        items: what is stepped.

    Attributes:
        tensors: what the gradients are made of, in the order in which `scales` expects it.
        inputs: what a `Call` is to know of these.
    """

    def __init__(self, options: Options, items: Sequence[Item]) -> None:
        self._options, self._size = options, len(items)
        self._parts: list[tuple[list[int], Gradients, SquareSums]] = []
        self.tensors: list[Any] = []
        self.inputs: list[Tensor] = []

        for places in norm_places(items):
            mine = [items[place] for place in places]
            gradients = Gradients(mine)
            sizes = [prod(item.variable.shape) for item in mine]
            sums = SquareSums(sizes, gradients.dtype, default_threads(), mine[0].sparse)
            self._parts.append((places, gradients, sums))
            self.tensors += tensors(mine)
            self.inputs += gradients.inputs

    def scales(self, inputs: _Integers, sizes: _Integers) -> NDArray[numpy.float64]:
        """Give what each gradient is multiplied by."""
        squares, begin = numpy.empty(self._size), 0
        for places, gradients, sums in self._parts:
            held = gradients.place(sums, inputs[begin:], sizes[begin:])
            squares[places] = sums.run()
            del held
            begin += len(gradients.inputs)
        scales = numpy.empty(self._size)
        scales[:] = clip_scales(self._options, squares)
        return scales


class Gradients:
    """Gradients that are all dense or all sparse, and how a launch gets at them.

    Args:
        items: what they belong to.

    Attributes:
        dtype: of their numbers as a launch finds them.
        inputs: what a `Call` is to know of the tensors that they are made of.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self._items, self._sparse = items, items[0].sparse
        self._given = numpy_dtype(items[0].gradient.dtype)
        # Rows of half types are summed in float32.
        self.dtype = numpy.dtype(numpy.float32) if self._sparse and self._given.itemsize == 2 else self._given
        self._shapes = [tuple(item.variable.shape) for item in items]
        names = [f"the gradient of variable {item.variable.name!r}" for item in items]
        self.inputs = [
            Tensor(item.gradient.dtype, (ANY, *shape[1:]) if self._sparse else shape, name)
            for item, shape, name in zip(items, self._shapes, names, strict=True)
        ]
        if self._sparse:
            self._indices = [numpy_dtype(item.gradient.indices.dtype) for item in items]
            self._layouts = dense_layouts(self._shapes, numpy_dtype(items[0].variable.dtype).itemsize)
            self.inputs += [
                Tensor(item.gradient.indices.dtype, (ANY,), f"the row numbers in {name}")
                for item, name in zip(items, names, strict=True)
            ]

    def place(self, launch: Launch | SquareSums, inputs: _Integers, sizes: _Integers) -> Any:
        """Tell a launch where they are this time; what is returned must live until it has run.

        Raises:
            ValueError: rows are not of the variable's shape, or a row number is out of range.
        """
        if not self._sparse:
            launch.gradients[:] = inputs[: len(self._items)]
            return None
        rows = self.rows(inputs, sizes)
        launch.gradients[:] = [packed_address(one.values, self.dtype) for one in rows]
        launch.scatter(self._layouts, *row_tables(rows))
        return rows

    def rows(self, inputs: _Integers, sizes: _Integers) -> list[RowSparse]:
        """Give sparse gradients with their rows in order and each only once."""
        found, count = [], len(self._items)
        for place, shape in enumerate(self._shapes):
            rows = array_at(inputs[count + place], sizes[count + place], self._indices[place])
            values = array_at(inputs[place], sizes[place], self._given)
            try:
                sparse = RowSparse(rows, values.reshape(len(rows), *shape[1:]), shape)
            except ValueError as error:
                raise ValueError(f"the gradient of variable {self._items[place].variable.name!r}: {error}") from error
            found.append(RowSparse(*sparse.coalesce(), shape))
        return found


def array_at(address: int, size: int, dtype: numpy.dtype[Any]) -> NDArray[Any]:
    """Give memory as an array with one axis."""
    if not size:
        return numpy.empty(0, dtype)
    memory: Any = (ctypes.c_char * int(size)).from_address(int(address))
    found: NDArray[Any] = numpy.frombuffer(memory, dtype)
    return found
