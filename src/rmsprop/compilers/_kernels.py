"""The CPU kernels: load, `rmsprop._core.rule.update`, store, over a range of chunks of many tensors.

A kernel serves one BUCKET: tensors that share storage types, compute type and the set of options that are on. It
gets tables with one row a tensor: sizes, addresses (a column an operand, None where the operand is off) and
scalars (likewise). The results go where the operands came from, or, where the memory may not be written to, to
addresses of their own, the targets. The work is cut into chunks of `CHUNK` numbers, each kernel does chunks `first` to
`last`, and `drawn` lets threads share it as they like: chunks are independent and the bits do not depend on who did
which.

No fast-math and no fused multiply-add: Numba leaves the IEEE operations as the rule writes them.
"""

import math
from typing import Any

import numba
from numba.core import types
from numba.extending import intrinsic, overload

from rmsprop._core import rule
from rmsprop._core.cpu.cache import cached
from rmsprop._core.cpu.memory import advance, fence, load, pointer, store, stream
from rmsprop._core.cpu.modes import compute_exactly, restore
from rmsprop.compilers._layout import CHUNK, LANES, PART, SCATTERED
from rmsprop.compilers._scatter import gather_rows, move, reaches
from rmsprop.compilers._turns import drawn

_jit = numba.njit(error_model="numpy", nogil=True)


@intrinsic
def _select(typing_context: Any, condition: Any, x: Any, y: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        condition = context.cast(builder, arguments[0], signature.args[0], types.boolean)
        return builder.select(condition, context.cast(builder, arguments[1], signature.args[1], y), arguments[2])

    return y(condition, x, y), generate


_sqrt = _jit(lambda x: math.sqrt(x))
_divide = _jit(lambda x, y: x / y)
_update = _jit(rule.bind(sqrt=_sqrt, divide=_divide, select=_select))


def _entry(column, tensor):
    """Take a tensor's row of a column; None where the column is off."""


@overload(_entry)
def _overload_entry(column, tensor):
    if column is types.none:
        return lambda column, tensor: None
    return lambda column, tensor: column[tensor]


def _or(this, other):
    """Take `this`, or the other where this is None: decided while compiling."""


@overload(_or)
def _overload_or(this, other):
    return (lambda this, other: other) if this is types.none else (lambda this, other: this)


@_jit
def _advance(count, gradient, variable, velocity, momentum, mean, average, targets, scalars, tensor):
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
        store(_or(targets[0], variable), i, new[0])
        store(_or(targets[1], velocity), i, new[1])
        store(_or(targets[2], momentum), i, new[2])
        store(_or(targets[3], mean), i, new[3])
        store(_or(targets[4], average), i, new[4])


@_jit
def _find(column, tensor, storage, compute, operand, start):
    """Make a pointer to element `start` of a tensor's operand; None where the operand is off."""
    return advance(pointer(_entry(column, tensor), storage, compute, operand), start)


@_jit
def _advance_chunk(count, start, gradient, variable, addresses, targets, dtypes, scalars, tensor, parts):
    """Find the tensor's slots at element `start`, which always lie contiguous, and apply the rule."""
    _, variables, slots, compute = dtypes
    velocity = _find(addresses[2], tensor, slots, compute, "velocity", start)
    momentum = _find(addresses[3], tensor, slots, compute, "momentum", start)
    mean = _find(addresses[4], tensor, slots, compute, "average_gradient", start)
    average = _find(addresses[5], tensor, slots, compute, "average", start)
    new_variable = _find(targets[0], tensor, variables, compute, "new variable", start)
    new_velocity = _find(targets[1], tensor, slots, compute, "new velocity", start)
    new_momentum = _find(targets[2], tensor, slots, compute, "new momentum", start)
    new_mean = _find(targets[3], tensor, slots, compute, "new average_gradient", start)
    new_average = _find(targets[4], tensor, slots, compute, "new average", start)
    if parts is None:
        new = new_variable, new_velocity, new_momentum, new_mean, new_average
        _advance(count, gradient, variable, velocity, momentum, mean, average, new, scalars, tensor)
    else:
        for first in range(0, count, PART):
            some = min(PART, count - first)
            _advance(
                some, advance(gradient, first), advance(variable, first), advance(velocity, first),
                advance(momentum, first), advance(mean, first), advance(average, first), parts, scalars, tensor,
            )  # fmt: skip
            stream(advance(new_variable, first), parts[0], some)
            stream(advance(new_velocity, first), parts[1], some)
            stream(advance(new_momentum, first), parts[2], some)
            stream(advance(new_mean, first), parts[3], some)
            stream(advance(new_average, first), parts[4], some)


def _parts(targets, dtypes, scratch):
    """Cut scratch memory into a part for each operand that is written to; None where nothing is streamed."""


@overload(_parts)
def _overload_parts(targets, dtypes, scratch):
    if scratch is types.none:
        return lambda targets, dtypes, scratch: None

    def cut(targets, dtypes, scratch):
        _, variables, slots, compute = dtypes
        return (
            pointer(_first(targets[0], scratch, 0), variables, compute, "new variable"),
            pointer(_first(targets[1], scratch, 1), slots, compute, "new velocity"),
            pointer(_first(targets[2], scratch, 2), slots, compute, "new momentum"),
            pointer(_first(targets[3], scratch, 3), slots, compute, "new average_gradient"),
            pointer(_first(targets[4], scratch, 4), slots, compute, "new average"),
        )

    return cut


def _first(column, scratch, row):
    """Give the address of a row of scratch memory; None where the column is off."""


@overload(_first)
def _overload_first(column, scratch, row):
    return _nothing_at if column is types.none else (lambda column, scratch, row: scratch[row].ctypes.data)


def _nothing_at(column, scratch, row):
    return None


def _shared(kernel: Any) -> Any:
    """Let threads share the chunks of a kernel: see `rmsprop.compilers._turns.drawn`."""
    return cached(_jit(drawn(kernel)))


@_shared
@_jit
def step(first, last, chunks, sizes, addresses, targets, scalars, dtypes, scratch):
    """Do chunks `first` to `last` of a bucket whose variables and gradients are contiguous.

    Args:
        first: first chunk, int.
        last: one past the last chunk, int.
        chunks: the tensor and the first element of each chunk, two int64 arrays.
        sizes: numbers in each tensor, int64 array.
        addresses: of gradient, variable, velocity, momentum, average_gradient, average: int64 arrays or None.
        targets: where the last five of them go, likewise; five times None: to where they are.
        scalars: those of `rmsprop._core.rule.SCALARS`: arrays of the compute type or None.
        dtypes: storage of gradients, of variables, of slots, and the compute type.
        scratch: five rows of `PART` numbers of 8 bytes, this call's own, to write to targets past the caches, which
            begin cache lines; None to write to them as usual.
    """
    gradients, variables, _, compute = dtypes
    parts = _parts(targets, dtypes, scratch)
    for chunk in range(first, last):
        tensor, start = chunks[0][chunk], chunks[1][chunk]
        count = min(CHUNK, sizes[tensor] - start)
        gradient = advance(pointer(addresses[0][tensor], gradients, compute, "gradient"), start)
        variable = advance(pointer(addresses[1][tensor], variables, compute, "variable"), start)
        _advance_chunk(count, start, gradient, variable, addresses, targets, dtypes, scalars, tensor, parts)
    if parts is not None:
        fence()


@_shared
@_jit
def step_scattered(first, last, chunks, sizes, addresses, targets, scalars, dtypes, layouts, rows, numbers, scratch):
    """Do the same for variables and gradients of any strides, and for gradients of few rows.

    Each chunk, of `SCATTERED` numbers here, is gathered into scratch memory, stepped there, and the variable returned
    to its place. So a gradient may be the variable's own memory: it is read before that is written.

    Args:
        layouts: see `rmsprop.compilers._scatter`.
        rows: likewise.
        numbers: likewise.
        scratch: 2 * SCATTERED numbers of the compute type, this call's own.
        first, last, chunks, sizes, addresses, targets, scalars, dtypes: as for `step`.
    """
    gradients, variables, _, compute = dtypes
    gradient = pointer(scratch.ctypes.data, compute, compute, "gradient")
    variable = pointer(scratch[SCATTERED:].ctypes.data, compute, compute, "variable")
    # In scratch memory the new variable takes the old one's place.
    slots_only = (None, targets[1], targets[2], targets[3], targets[4])
    for chunk in range(first, last):
        tensor, start = chunks[0][chunk], chunks[1][chunk]
        count, layout = min(SCATTERED, sizes[tensor] - start), layouts[tensor]
        move(variable, count, start, addresses[1][tensor], variables, compute, layout, 1, None)
        if rows[tensor, 1] < 0:
            move(gradient, count, start, addresses[0][tensor], gradients, compute, layout, 2, None)
        else:
            gather_rows(gradient, count, start, addresses[0][tensor], gradients, compute, rows[tensor], numbers)
        _advance_chunk(count, start, gradient, variable, addresses, slots_only, dtypes, scalars, tensor, None)
        home = _or(targets[0], addresses[1])[tensor]
        move(variable, count, start, home, variables, compute, layout, 1, True)


@_shared
@_jit
def step_rows(first, last, chunks, sizes, addresses, targets, scalars, dtypes, rows, numbers, gathered, scratch):
    """Do the same for contiguous variables whose gradients have few rows.

    Args:
        rows: see `rmsprop.compilers._scatter`.
        numbers: likewise.
        gathered: `CHUNK` numbers of the compute type, this call's own.
        first, last, chunks, sizes, addresses, targets, scalars, dtypes, scratch: as for `step`.
    """
    gradients, variables, _, compute = dtypes
    parts = _parts(targets, dtypes, scratch)
    gradient = pointer(gathered.ctypes.data, compute, compute, "gradient")
    for chunk in range(first, last):
        tensor, start = chunks[0][chunk], chunks[1][chunk]
        count = min(CHUNK, sizes[tensor] - start)
        gather_rows(gradient, count, start, addresses[0][tensor], gradients, compute, rows[tensor], numbers)
        variable = advance(pointer(addresses[1][tensor], variables, compute, "variable"), start)
        _advance_chunk(count, start, gradient, variable, addresses, targets, dtypes, scalars, tensor, parts)
    if parts is not None:
        fence()


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


@_shared
@_jit
def square_sums(first, last, chunks, sizes, addresses, dtypes, partial, scratch):
    """Sum the squares of each chunk's gradient into ``partial[chunk]``, float64; arguments as for `step`."""
    gradients, double = dtypes
    lanes = pointer(scratch.ctypes.data, double, double, "lanes")
    for chunk in range(first, last):
        tensor, start = chunks[0][chunk], chunks[1][chunk]
        numbers = advance(pointer(addresses[tensor], gradients, double, "gradient"), start)
        partial[chunk, 0] = _square_sum(min(CHUNK, sizes[tensor] - start), numbers, lanes)


@_shared
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
        elif reaches(count, start, rows[tensor], numbers):
            gather_rows(gradient, count, start, addresses[tensor], gradients, double, rows[tensor], numbers)
        else:
            partial[chunk] = 0.0
            continue
        for part in range(0, count, CHUNK):
            partial[chunk, part // CHUNK] = _square_sum(min(CHUNK, count - part), advance(gradient, part), lanes)


@cached
@_jit
def fold(partial, tensors, sums):
    """Add up each tensor's chunks, in their order."""
    mode = compute_exactly()
    sums[:] = 0.0
    for chunk in range(partial.shape[0]):
        for part in range(partial.shape[1]):
            sums[tensors[chunk]] += partial[chunk, part]
    restore(mode)
