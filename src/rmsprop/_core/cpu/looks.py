"""Whether NumPy's arrays are as they were, read from their memory by compiled code: no Python object is made for it.

An ndarray object begins with the fields that NumPy's binary interface fixes (``PyArrayObject_fields`` in
``ndarraytypes.h``). `rmsprop._numpy.looks` tries whether it finds them where they are expected.
"""

import numba

from rmsprop._core.cpu.words import read, write

_jit = numba.njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False)

#: Words before the rows: how many arrays there are, where their addresses are, bytes of a Python object's header, and
#: where memory that a step writes to begins and ends: how many intervals, and two lists of addresses.
HEADER = ("count", "objects", "header", "intervals", "starts", "ends")

#: A row for each array. `object` is the address that it must have, 0 for any; `data` likewise of its numbers; `to` is
#: where that of others is written, whose memory must not be such as a step writes to: from `first` to `last`, in bytes
#: from its first number.
LOOK = ("object", "type", "data", "descr", "axes", "lengths", "strides", "flags", "first", "last", "to")

_COUNT, _OBJECTS, _HEADER, _INTERVALS, _STARTS, _ENDS = range(len(HEADER))
_OBJECT, _TYPE, _DATA, _DESCR, _AXES, _LENGTHS, _STRIDES, _FLAGS, _FIRST, _LAST, _TO = range(len(LOOK))

#: Words of an ndarray object after its header.
DATA, AXES, LENGTHS, STRIDES, DESCR, FLAGS = 0, 1, 2, 3, 5, 6

_INT = 0xFFFFFFFF


@_jit
def _differs(these, those, count):
    for axis in range(count):  # noqa: SIM110 - Numba compiles no generators
        if read(these, axis) != read(those, axis):
            return True
    return False


def look(table):
    """Look at all arrays; give 1 if they are as they were, with the addresses of gradients written down, else 0."""
    count, objects, header = read(table, _COUNT), read(table, _OBJECTS), read(table, _HEADER)
    starts, ends, intervals = read(table, _STARTS), read(table, _ENDS), read(table, _INTERVALS)
    for number in range(count):
        row = table + 8 * (len(HEADER) + len(LOOK) * number)
        found = read(objects, number)
        wanted = read(row, _OBJECT)
        if wanted != 0 and found != wanted:
            return 0
        fields, axes = found + header, read(row, _AXES)
        if read(fields, -1) != read(row, _TYPE) or read(fields, DESCR) != read(row, _DESCR):
            return 0
        if read(fields, AXES) & _INT != axes or read(row, _FLAGS) & ~read(fields, FLAGS) != 0:
            return 0
        if _differs(read(fields, LENGTHS), read(row, _LENGTHS), axes):
            return 0
        if _differs(read(fields, STRIDES), read(row, _STRIDES), axes):
            return 0
        data = read(fields, DATA)
        if wanted != 0:
            if data != read(row, _DATA):
                return 0
        else:
            # The first interval that ends after the array begins, by bisection.
            low, high = 0, intervals
            while low < high:
                middle = (low + high) // 2
                if read(ends, middle) <= data + read(row, _FIRST):
                    low = middle + 1
                else:
                    high = middle
            if low < intervals and read(starts, low) < data + read(row, _LAST):
                return 0
            write(read(row, _TO), 0, data)
    return 1
