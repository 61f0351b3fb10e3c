"""The CPU kernels: load, `rmsprop._rule.update`, store, over a range of chunks of many tensors.

A kernel serves one BUCKET: tensors that share storage types, compute type and the set of options that are on. It
gets tables with one row a tensor: sizes, addresses (a column an operand, None where the operand is off) and
scalars (likewise). The work is cut into chunks of `CHUNK` numbers, and a call does chunks `first` to `last`, so
that threads share it as they like: chunks are independent and the bits do not depend on who did which.

No fast-math and no fused multiply-add: Numba leaves the IEEE operations as the rule writes them.
"""

import math
from typing import Any

import numba
from numba.core import types
from numba.extending import intrinsic, overload

from rmsprop import _rule
from rmsprop.compilers._cache import cached
from rmsprop.compilers._layout import CHUNK, LANES, SCATTERED
from rmsprop.compilers._memory import advance, load, pointer, store
from rmsprop.compilers._scatter import gather_rows, move

_jit = numba.njit(error_model="numpy", nogil=True)


@intrinsic
def _select(typing_context: Any, condition: Any, x: Any, y: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        condition = context.cast(builder, arguments[0], signature.args[0], types.boolean)
        return builder.select(condition, context.cast(builder, arguments[1], signature.args[1], y), arguments[2])

    return y(condition, x, y), generate


_sqrt = _jit(lambda x: math.sqrt(x))
_divide = _jit(lambda x, y: x / y)
_update = _jit(_rule.bind(sqrt=_sqrt, divide=_divide, select=_select))


def _entry(column, tensor):
    """Take a tensor's row of a column; None where the column is off."""


@overload(_entry)
def _overload_entry(column, tensor):
    if column is types.none:
        return lambda column, tensor: None
    return lambda column, tensor: column[tensor]


@_jit
def _advance(count, gradient, variable, velocity, momentum, mean, average, scalars, tensor):
    """Apply the rule to `count` consecutive numbers of one tensor."""
    # Read before the loop: LLVM cannot know that the stores below leave the table alone.
    learning_rate, clip_scale = _entry(scalars[0], tensor), _entry(scalars[1], tensor)
    clip_value, weight_decay = _entry(scalars[2], tensor), _entry(scalars[3], tensor)
    rho, rho_c = _entry(scalars[4], tensor), _entry(scalars[5], tensor)
    mu, epsilon = _entry(scalars[6], tensor), _entry(scalars[7], tensor)
    ema, ema_c, overwrite = _entry(scalars[8], tensor), _entry(scalars[9], tensor), _entry(scalars[10], tensor)
    for i in range(count):
        new = _update(
            load(gradient, i), load(variable, i), load(velocity, i), load(momentum, i), load(mean, i), load(average, i),
            learning_rate, clip_scale, clip_value, weight_decay, rho, rho_c, mu, epsilon, ema, ema_c, overwrite,
        )  # fmt: skip
        store(variable, i, new[0])
        store(velocity, i, new[1])
        store(momentum, i, new[2])
        store(mean, i, new[3])
        store(average, i, new[4])


@_jit
def _advance_slots(count, start, gradient, variable, addresses, slots, compute, scalars, tensor):
    """Find the tensor's slots at element `start`, which always lie contiguous, and apply the rule."""
    _advance(
        count,
        gradient,
        variable,
        advance(pointer(_entry(addresses[2], tensor), slots, compute, "velocity"), start),
        advance(pointer(_entry(addresses[3], tensor), slots, compute, "momentum"), start),
        advance(pointer(_entry(addresses[4], tensor), slots, compute, "average_gradient"), start),
        advance(pointer(_entry(addresses[5], tensor), slots, compute, "average"), start),
        scalars,
        tensor,
    )


@cached
@_jit
def step(first, last, chunks, sizes, addresses, scalars, dtypes):
    """Do chunks `first` to `last` of a bucket whose variables and gradients are contiguous.

    Args:
        first: first chunk, int.
        last: one past the last chunk, int.
        chunks: the tensor and the first element of each chunk, two int64 arrays.
        sizes: numbers in each tensor, int64 array.
        addresses: of gradient, variable, velocity, momentum, average_gradient, average: int64 arrays or None.
        scalars: those of `rmsprop._rule.SCALARS`: arrays of the compute type or None.
        dtypes: storage of gradients, of variables, of slots, and the compute type.
    """
    gradients, variables, slots, compute = dtypes
    for chunk in range(first, last):
        tensor, start = chunks[0][chunk], chunks[1][chunk]
        count = min(CHUNK, sizes[tensor] - start)
        gradient = advance(pointer(addresses[0][tensor], gradients, compute, "gradient"), start)
        variable = advance(pointer(addresses[1][tensor], variables, compute, "variable"), start)
        _advance_slots(count, start, gradient, variable, addresses, slots, compute, scalars, tensor)


@cached
@_jit
def step_scattered(first, last, chunks, sizes, addresses, scalars, dtypes, layouts, rows, numbers, scratch):
    """Do the same for variables and gradients of any strides, and for gradients of few rows.

    Each chunk, of `SCATTERED` numbers here, is gathered into scratch memory, stepped there, and the variable returned
    to its place. So a gradient may be the variable's own memory: it is read before that is written.

    Args:
        layouts: see `rmsprop.compilers._scatter`.
        rows: likewise.
        numbers: likewise.
        scratch: 2 * SCATTERED numbers of the compute type, this call's own.
        first, last, chunks, sizes, addresses, scalars, dtypes: as for `step`.
    """
    gradients, variables, slots, compute = dtypes
    gradient = pointer(scratch.ctypes.data, compute, compute, "gradient")
    variable = pointer(scratch[SCATTERED:].ctypes.data, compute, compute, "variable")
    for chunk in range(first, last):
        tensor, start = chunks[0][chunk], chunks[1][chunk]
        count, layout = min(SCATTERED, sizes[tensor] - start), layouts[tensor]
        move(variable, count, start, addresses[1][tensor], variables, compute, layout, 1, None)
        if rows[tensor, 1] < 0:
            move(gradient, count, start, addresses[0][tensor], gradients, compute, layout, 2, None)
        else:
            gather_rows(gradient, count, start, addresses[0][tensor], gradients, compute, rows[tensor], numbers)
        _advance_slots(count, start, gradient, variable, addresses, slots, compute, scalars, tensor)
        move(variable, count, start, addresses[1][tensor], variables, compute, layout, 1, True)


@_jit
def _square_sum(count, numbers, lanes):
    """Sum squares in float64: element i in lane i % LANES, lanes folded in halves."""
    for lane in range(LANES):
        store(lanes, lane, 0.0)
    whole = count // LANES * LANES
    for start in range(0, whole, LANES):
        row = advance(numbers, start)
        for lane in range(LANES):
            number = load(row, lane)
            store(lanes, lane, load(lanes, lane) + number * number)
    for i in range(whole, count):
        number = load(numbers, i)
        store(lanes, i - whole, load(lanes, i - whole) + number * number)
    width = LANES // 2
    while width > 0:
        for lane in range(width):
            store(lanes, lane, load(lanes, lane) + load(lanes, lane + width))
        width //= 2
    return load(lanes, 0)


@cached
@_jit
def square_sums(first, last, chunks, sizes, addresses, dtypes, partial, scratch):
    """Sum the squares of each chunk's gradient into ``partial[chunk]``, float64; arguments as for `step`."""
    gradients, double = dtypes
    lanes = pointer(scratch.ctypes.data, double, double, "lanes")
    for chunk in range(first, last):
        tensor, start = chunks[0][chunk], chunks[1][chunk]
        numbers = advance(pointer(addresses[tensor], gradients, double, "gradient"), start)
        partial[chunk, 0] = _square_sum(min(CHUNK, sizes[tensor] - start), numbers, lanes)


@cached
@_jit
def square_sums_scattered(first, last, chunks, sizes, addresses, dtypes, layouts, rows, numbers, partial, scratch):
    """Do the same for gradients of any strides or of few rows: in row-major order, so the bits are the same.

    A chunk of `SCATTERED` numbers here has a row of `partial`, for the sums of `CHUNK` numbers each.
    """
    gradients, double = dtypes
    lanes = pointer(scratch[SCATTERED:].ctypes.data, double, double, "lanes")
    gradient = pointer(scratch.ctypes.data, double, double, "gradient")
    for chunk in range(first, last):
        tensor, start = chunks[0][chunk], chunks[1][chunk]
        count = min(SCATTERED, sizes[tensor] - start)
        if rows[tensor, 1] < 0:
            move(gradient, count, start, addresses[tensor], gradients, double, layouts[tensor], 2, None)
        else:
            gather_rows(gradient, count, start, addresses[tensor], gradients, double, rows[tensor], numbers)
        for part in range(0, count, CHUNK):
            partial[chunk, part // CHUNK] = _square_sum(min(CHUNK, count - part), advance(gradient, part), lanes)


@cached
@_jit
def fold(partial, tensors, sums):
    """Add up each tensor's chunks, in their order."""
    sums[:] = 0.0
    for chunk in range(partial.shape[0]):
        for part in range(partial.shape[1]):
            sums[tensors[chunk]] += partial[chunk, part]
