"""No compiler: the rule called on whole arrays, and the norms in the kernels' order.

This is what ``jit_compile=False`` runs. It gives the same bits as the kernels and makes temporaries as NumPy does;
it is for debugging, and for telling whether a surprise comes from a kernel.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

from rmsprop._core import rule
from rmsprop.compilers._layout import CHUNK, LANES, OPERANDS, Storage

Array = NDArray[Any]


class PlainLaunch:
    """The counterpart of `rmsprop.compilers.numba.Launch`, over arrays instead of addresses.

    Args:
        states: operand -> the arrays of all tensors, for those of `OPERANDS` but the gradient that are on.
        storage: how they are stored.
        scalars: those of `rmsprop._core.rule.SCALARS` that are on.

    Attributes:
        gradients: dense arrays, set by the caller before `run`.
        scalars: scalar -> array of the compute type, a row a tensor; likewise.
    """

    def __init__(self, states: Mapping[str, Sequence[Array]], storage: Storage, scalars: Sequence[str]) -> None:
        self._states = states
        self._compute = storage.compute
        self.gradients: Sequence[Array] = ()
        self.scalars = {name: numpy.zeros(len(states["variable"]), storage.compute) for name in scalars}

    def run(self) -> None:
        """Do the step of every tensor."""
        for tensor, gradient in enumerate(self.gradients):
            arrays = [self._states[name][tensor] if name in self._states else None for name in OPERANDS[1:]]
            scalars = [self.scalars[name][tensor] if name in self.scalars else None for name in rule.SCALARS]
            # Like the kernels, the rule takes NaN, infinities and divisions by zero as numbers.
            with numpy.errstate(all="ignore"):
                new = rule.update(self._wide(gradient), *map(self._wide, arrays), *scalars)
                # The variable last: after an interrupt, what has moved has its state.
                for array, value in [*zip(arrays, new, strict=True)][::-1]:
                    if array is not None:
                        array[...] = _to_odd(value) if array.dtype.name == "bfloat16" else value
        self.gradients = ()

    def compile(self) -> None:
        """Do nothing, as there is nothing to compile."""

    def _wide(self, array: Array | None) -> Array | None:
        return None if array is None else array.astype(self._compute, copy=False)


def _to_odd(value: Array) -> Array:
    """Shorten float64 to float32 so that rounding once more, which is what ml_dtypes does, equals rounding once.

    See `rmsprop._core.cpu.half`: towards zero, and an inexact result gets an odd last bit.
    """
    if value.dtype != numpy.float64:
        return value
    bits = numpy.atleast_1d(value.astype(numpy.float32)).view(numpy.uint32)
    nearest = bits.view(numpy.float32).astype(numpy.float64)
    bits = bits - (abs(nearest) > abs(value)).astype(numpy.uint32) | ((nearest != value) & ~numpy.isnan(value))
    odd: Array = bits.view(numpy.float32).reshape(value.shape)
    return odd


class PlainSquareSums:
    """The counterpart of `rmsprop.compilers.numba.SquareSums`.

    Attributes:
        gradients: dense arrays, set by the caller before `run`.
    """

    def __init__(self) -> None:
        self.gradients: Sequence[Array] = ()

    def run(self) -> NDArray[numpy.float64]:
        """Sum the squares of each gradient, with the kernels' lanes and chunks."""
        gradients, self.gradients = self.gradients, ()
        with numpy.errstate(all="ignore"):
            return numpy.array([_square_sum(gradient) for gradient in gradients], numpy.float64)


def _square_sum(gradient: Array) -> float:
    numbers = numpy.asarray(gradient, order="C").reshape(-1).astype(numpy.float64)
    total = 0.0
    for start in range(0, numbers.size, CHUNK):
        chunk = numbers[start : start + CHUNK]
        rows = numpy.zeros((-(-chunk.size // LANES), LANES))
        rows.reshape(-1)[: chunk.size] = chunk
        lanes = numpy.zeros(LANES)
        for row in rows:
            lanes += row * row
        while lanes.size > 1:
            lanes = lanes[: lanes.size // 2] + lanes[lanes.size // 2 :]
        total += float(lanes[0])
    return total
