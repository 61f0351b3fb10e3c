"""Sums of squares in float64, in an order that neither threads nor strides change, and the scales of gradients.

A gradient's elements are summed in row-major order: each norm chunk of `CHUNK` numbers by lanes, then the chunks one
after the other. `prepare` turns these sums into the factor of each gradient.
"""

import math
from typing import Any

import numpy

from rmsprop._core import scales
from rmsprop._core.cpu.gather import GRADIENT, gather_rows, move
from rmsprop._core.cpu.memory import advance, load, pointer, storage_tag, store
from rmsprop._core.cpu.target import jit, part
from rmsprop._core.cpu.words import less, read, read_column, read_float, read_whole, write_float
from rmsprop._core.tables import (
    CHUNK,
    COUNTERS,
    GATHERED,
    GROUP,
    HEAD,
    JOB,
    JOB_WORDS,
    JOINT,
    LANES,
    NONE,
    ROW,
    SCALES,
    WHERE,
    columns,
)

_DOUBLE = numpy.dtype(numpy.float64)
_TENSORS, _WHERE, _PARTIALS, _SQUARES, _SCALES, _MEMBERS = columns(
    HEAD, "tensors", "where", "partials", "squares", "scales", "members"
)
_GROUP_TABLE, _GROUP_COUNT, _GIVEN, _ITERATIONS, _NORM_JOBS, _NORMS = columns(
    HEAD, "group_table", "groups", "given", "iterations", "norm_jobs", "norms"
)
_TENSOR, _PARTIAL, _SIZE, _LAYOUT, _ROW_SIZE = columns(ROW, "tensor", "partial", "size", "layout", "row_size")
_ROWS, _ROW_TABLE = COUNTERS + JOB.index("rows"), COUNTERS + JOB.index("row_table")
_ROW_BYTES, _JOB_BYTES, _GROUP_BYTES = 8 * len(ROW), 8 * JOB_WORDS, 8 * len(GROUP)
_NORM, _LIMIT, _FREQUENCY, _FACTOR, _OVERWRITE = columns(GROUP, "norm", "limit", "frequency", "factor", "overwrite")
_ADDRESS, _NUMBERS, _COUNT = columns(WHERE, "gradient", "row_numbers", "row_count")


def make(key: Any) -> Any:
    """Return what sums the squares of a part of one gradient, for `rmsprop._core.cpu.pieces.over_pieces`."""
    gradients = storage_tag(key.storage[0])

    @part
    def sum_chunks(head, row, start, count, numbers, lanes):
        partials = head + read(head, _PARTIALS) + 8 * (read(row, _PARTIAL) + start // CHUNK)
        for first in range(0, count, CHUNK):
            # Element i in lane i % LANES, lanes folded in halves.
            for lane in range(LANES):
                store(lanes, lane, 0.0)
            size = less(CHUNK, count - first)
            whole = size // LANES * LANES
            for begin in range(first, first + whole, LANES):
                line = advance(numbers, begin)
                for lane in range(LANES):
                    number = load(line, lane)
                    store(lanes, lane, load(lanes, lane) + number * number)
            for i in range(size - whole):
                number = load(numbers, first + whole + i)
                store(lanes, i, load(lanes, i) + number * number)
            width = LANES // 2
            while width > 0:
                for lane in range(width):
                    store(lanes, lane, load(lanes, lane) + load(lanes, lane + width))
                width //= 2
            write_float(partials, first // CHUNK, load(lanes, 0))

    if key.form == "flat":

        def do(head, row, start, count, scratch):
            where = head + read(head, _WHERE) + 8 * read(row, _TENSOR)
            address = read_column(where, _ADDRESS, read(head, _TENSORS))
            numbers = advance(pointer(address, gradients, _DOUBLE, "gradient"), start)
            sum_chunks(head, row, start, count, numbers, pointer(scratch, _DOUBLE, _DOUBLE, "lanes"))

    else:

        def do(head, row, start, count, scratch):
            where = head + read(head, _WHERE) + 8 * read(row, _TENSOR)
            stride, layout, length = read(head, _TENSORS), head + read(row, _LAYOUT), read(row, _ROW_SIZE)
            lanes = pointer(scratch, _DOUBLE, _DOUBLE, "lanes")
            numbers = pointer(scratch + 8 * LANES, _DOUBLE, _DOUBLE, "gradient")
            address = read_column(where, _ADDRESS, stride)
            for first in range(0, count, GATHERED):
                size = less(GATHERED, count - first)
                if length < 0:
                    move(numbers, size, start + first, address, gradients, _DOUBLE, layout, GRADIENT, None)
                    sum_chunks(head, row, start + first, size, numbers, lanes)
                else:
                    many, rows = read_column(where, _COUNT, stride), read_column(where, _NUMBERS, stride)
                    if gather_rows(numbers, size, start + first, address, gradients, _DOUBLE, many, length, rows):
                        sum_chunks(head, row, start + first, size, numbers, lanes)
                    else:
                        partials = head + read(head, _PARTIALS) + 8 * (read(row, _PARTIAL) + (start + first) // CHUNK)
                        for chunk in range((size + CHUNK - 1) // CHUNK):
                            write_float(partials, chunk, 0.0)

    return part(do)


# The loops below are written out, as Numba compiles a range in three times the time.


@jit
def fold(head):
    """Add up the chunks of each gradient, in their order."""
    squares, partials = head + read(head, _SQUARES), head + read(head, _PARTIALS)
    tensor = read(head, _TENSORS) - 1
    while tensor >= 0:
        write_float(squares, tensor, 0.0)
        tensor -= 1
    job = head + read(head, _NORMS)
    end = job + _JOB_BYTES * read(head, _NORM_JOBS)
    while job < end:
        row = head + read(job, _ROW_TABLE)
        last = row + _ROW_BYTES * read(job, _ROWS)
        while row < last:
            total, chunk = 0.0, read(row, _PARTIAL)
            beyond = chunk + (read(row, _SIZE) + CHUNK - 1) // CHUNK
            while chunk < beyond:
                total += read_float(partials, chunk)
                chunk += 1
            write_float(squares, read(row, _TENSOR), total)
            row += _ROW_BYTES
        job += _JOB_BYTES


_clip_scale, _overwrites = part(scales.clip_scale), part(scales.overwrites)


@jit
def prepare(head):
    """Compute the scale of each gradient, and whether averages overwrite."""
    done, groups = read(head, _ITERATIONS), head + read(head, _GROUP_TABLE)
    group = groups
    end = groups + _GROUP_BYTES * read(head, _GROUP_COUNT)
    while group < end:
        every = read_whole(group, _FREQUENCY)
        write_float(group, _OVERWRITE, 1.0 if every > 0 and _overwrites(done, every) else 0.0)
        group += _GROUP_BYTES
    if read(head, _GIVEN) == SCALES:
        return
    squares, found = head + read(head, _SQUARES), head + read(head, _SCALES)
    members, tensors = head + read(head, _MEMBERS), read(head, _TENSORS)
    total, tensor = 0.0, 0
    while tensor < tensors:
        group = groups + _GROUP_BYTES * read(members, tensor)
        if read_whole(group, _NORM) == JOINT:
            factor = read_float(group, _FACTOR)
            total += read_float(squares, tensor) * (factor * factor)
        tensor += 1
    norm = math.sqrt(total)
    tensor = 0
    while tensor < tensors:
        group = groups + _GROUP_BYTES * read(members, tensor)
        limit, factor = read_float(group, _LIMIT), read_float(group, _FACTOR)
        scale, which = factor, read_whole(group, _NORM)
        if which != NONE:
            own = math.sqrt(read_float(squares, tensor) * (factor * factor))
            scale = factor * _clip_scale(own, norm, limit, which == JOINT)
        write_float(found, tensor, scale)
        tensor += 1
