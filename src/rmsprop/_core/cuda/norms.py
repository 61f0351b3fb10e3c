"""The launches before the update on CUDA memory: norms, in the order that the specification defines, and switches.

`square_sums` sums the squares of each chunk of a gradient, `fold` each gradient's chunks, `clip` turns the sums into
the factors of gradients, and `prepare` decides without the host whether this step is skipped, and whether averages
replace variables. All results stay on the device.
"""

import triton
import triton.language as tl

from rmsprop._core.cuda import tables
from rmsprop._core.cuda.step import GROUP_AT, GROUP_WIDTH, SIZE_AT, TENSOR_WIDTH, pointer, widen_gradient
from rmsprop._core.tables import CHUNK as NORM_CHUNK
from rmsprop._core.tables import LANES as NORM_LANES
from rmsprop._core.tables import columns

CHUNK = tl.constexpr(NORM_CHUNK)
LANES = tl.constexpr(NORM_LANES)
#: Rows of lanes that are loaded before they are added: a sum in a fixed order waits for memory otherwise.
UNROLL = tl.constexpr(8)
#: Numbers that one program adds up in their order, loaded together for the same reason.
SERIAL = tl.constexpr(32)
ROW_MAJOR_AT = tl.constexpr(tables.TENSOR_COLUMNS.index("row_major"))
LIMIT_AT, FREQUENCY_AT, DIRECTION_AT = map(
    tl.constexpr, columns(tables.GROUP_COLUMNS, "limit", "frequency", "direction")
)


@triton.jit
def _halve(lanes, WIDTH: tl.constexpr):
    """Add the upper half of the lanes to the lower; two numbers have one sum in any order of `tl.sum`."""
    return tl.sum(tl.reshape(lanes, (2, WIDTH)), axis=0)


@triton.jit(do_not_specialize_on_alignment=["partials"])
def square_sums(chunks, tensors, inverse, partials, GRADIENT: tl.constexpr, ALIGNED: tl.constexpr):
    """Sum the squares of one chunk of `NORM_CHUNK` numbers a program, in float64, element i in lane i % LANES.

    Args:
        chunks: the piece table of gradients that are stored alike; its pieces are norm chunks.
        tensors: the tensor table; the gradient is the one in row-major order.
        inverse: one over the loss scale, or None.
        partials: a float64 number a program, written.
        GRADIENT: how the gradients are stored.
        ALIGNED: whether all of them begin at a multiple of 16 bytes.
    """
    chunk = chunks + 2 * tl.program_id(0)
    tensor = tensors + tl.load(chunk).to(tl.int64) * TENSOR_WIDTH
    start = tl.load(chunk + 1).to(tl.int64) * CHUNK
    count = tl.minimum(tl.load(tensor + SIZE_AT) - start, CHUNK).to(tl.int32)
    gradients = pointer(tl.load(tensor + ROW_MAJOR_AT), start, GRADIENT, ALIGNED)
    unscale = None
    if inverse is not None:
        unscale = tl.load(inverse)

    lanes = tl.zeros((LANES,), tl.float64)
    whole = count // (UNROLL * LANES) * (UNROLL * LANES)
    for begin in range(0, whole, UNROLL * LANES):
        for row in tl.static_range(UNROLL):
            place = tl.multiple_of(begin, LANES) + row * LANES + tl.arange(0, LANES)
            numbers = widen_gradient(tl.load(gradients + place), unscale).to(tl.float64)
            lanes += numbers * numbers
    for begin in range(whole, count, LANES):
        place = begin + tl.arange(0, LANES)
        # A lane that gets a zero too many stays what it is.
        numbers = widen_gradient(tl.load(gradients + place, mask=place < count, other=0.0), unscale).to(tl.float64)
        lanes += numbers * numbers

    lanes = _halve(lanes, 64)
    lanes = _halve(lanes, 32)
    lanes = _halve(lanes, 16)
    lanes = _halve(lanes, 8)
    lanes = _halve(lanes, 4)
    lanes = _halve(lanes, 2)
    lanes = _halve(lanes, 1)
    tl.store(partials + tl.program_id(0), tl.sum(lanes, axis=0))


@triton.jit
def fold(partials, ranges, squares):
    """Add up the chunks of one tensor a program, in their order.

    Args:
        partials: the results of `square_sums` for all tensors.
        ranges: for each tensor its first number among them and how many it has, int32.
        squares: a float64 number a tensor, written.
    """
    number = tl.program_id(0)
    first = partials + tl.load(ranges + 2 * number)
    count = tl.load(ranges + 2 * number + 1)
    total = tl.cast(0.0, tl.float64)
    for begin in range(0, count, SERIAL):
        for k in tl.static_range(SERIAL):
            total += tl.load(first + begin + k, mask=begin + k < count, other=0.0)
    tl.store(squares + number, total)


@triton.jit(do_not_specialize_on_alignment=["squares"])
def clip(squares, members, norms, tensors, groups, scales):
    """Turn the sums of squares behind one norm a program into the scale c / max(norm, c) of each of its gradients.

    Args:
        squares: the sum of each tensor's squares, float64.
        members: the numbers of the tensors of all norms, one norm after the other, int32.
        norms: for each norm its first member, its members, and whether it is a global one, int32.
        tensors: the tensor table.
        groups: the group table; each gradient has its own group's limit, and its direction: -1 to go up.
        scales: a float64 number a tensor, written for the members.
    """
    norm = norms + 3 * tl.program_id(0)
    first = members + tl.load(norm)
    count = tl.load(norm + 1)
    total = tl.cast(0.0, tl.float64)
    for begin in range(0, count, SERIAL):
        for k in tl.static_range(SERIAL):
            there = begin + k < count
            number = tl.load(first + begin + k, mask=there, other=0)
            total += tl.load(squares + number, mask=there, other=0.0)
    root = tl.sqrt(total)
    # A global norm that is infinite or not a number makes every gradient NaN; a gradient's own norm does not.
    ruined = (tl.load(norm + 2) != 0) & (root - root != 0.0)
    for k in range(count):
        number = tl.load(first + k).to(tl.int64)
        group = groups + tl.load(tensors + number * TENSOR_WIDTH + GROUP_AT) * GROUP_WIDTH
        limit = tl.load(group + LIMIT_AT)
        scale = limit / tl.where(limit > root, limit, root)
        tl.store(scales + number, tl.where(ruined, root - root, scale) * tl.load(group + DIRECTION_AT))


@triton.jit(do_not_specialize=["group_count"], do_not_specialize_on_alignment=["iterations", "found_inf", "grad_scale"])
def prepare(iterations, found_inf, grad_scale, groups, group_count, switches, inverse):
    """Decide for the step that follows, and count it; one program.

    Args:
        iterations: steps done, int64; one more afterwards, unless the step is skipped.
        found_inf: not zero where gradients are not finite and the step is skipped; None without.
        grad_scale: the factor of the loss, and so of the gradients; None without.
        groups: the group table.
        group_count: its rows.
        switches: written: whether to step, and for each group whether the averages replace the variables, int32.
        inverse: written if there is a `grad_scale`: one over it, computed in float64, as by `GradScaler`.
    """
    done = tl.load(iterations)
    go = tl.cast(1, tl.int32)
    if found_inf is not None:
        go = (tl.load(found_inf) == 0.0).to(tl.int32)
    if grad_scale is not None:
        scale = tl.load(grad_scale).to(tl.float64)
        tl.store(inverse, (tl.cast(1.0, tl.float64) / scale).to(tl.float32))
    for group in range(group_count):
        frequency = tl.load(groups + group * GROUP_WIDTH + FREQUENCY_AT).to(tl.int64)
        # As `rmsprop._core.scales.overwrites`; no remainder of 0 is computed.
        turn = (frequency > 0) & (done % tl.maximum(frequency, 1) == frequency - 1)
        tl.store(switches + 1 + group, turn.to(tl.int32))
    tl.store(switches, go)
    tl.store(iterations, done + go.to(tl.int64))
