"""Whether NumPy's arrays are as before, read from their memory by compiled code, without a Python object.

An ndarray object begins with the fields that NumPy's binary interface fixes (``PyArrayObject_fields`` in
``ndarraytypes.h``). `rmsprop._numpy.looks` tries whether it finds them where they are expected.
"""

from rmsprop._core.cpu.looks import differ, touches
from rmsprop._core.cpu.words import read, write

#: Words before the rows: the number of arrays, the bytes of a Python object's header, and the memory that a step writes
#: to: the number of intervals, and the addresses of the lists of their beginnings and ends.
HEADER = ("count", "header", "intervals", "starts", "ends")

#: A row for each array. `object` is the address of a variable, 0 for a gradient; `data` is the address of a variable's
#: numbers; `to` is where the address of a gradient's numbers is written. A gradient's memory must not be what a step
#: writes to: `below` and `above` are its bytes before and from its address. `axes` is -1 for what is no array.
LOOK = ("object", "type", "data", "descr", "axes", "lengths", "strides", "flags", "below", "above", "to")

_COUNT, _HEADER, _INTERVALS, _STARTS, _ENDS = range(len(HEADER))
_OBJECT, _TYPE, _DATA, _DESCR, _AXES, _LENGTHS, _STRIDES, _FLAGS, _BELOW, _ABOVE, _TO = range(len(LOOK))
_ROWS, _ROW_BYTES = 8 * len(HEADER), 8 * len(LOOK)

#: Words of an ndarray object after its header.
DATA, AXES, LENGTHS, STRIDES, DESCR, FLAGS = 0, 1, 2, 3, 5, 6

_INT = 0xFFFFFFFF


def look(table, given):
    """Compare all arrays; return 1 if they are as before, after writing the addresses of gradients, else 0.

    Args:
        table: address of the words and rows above.
        given: address of the object of a list of the arrays.
    """
    count, header = read(table, _COUNT), read(table, _HEADER)
    if read(given + header, 0) != count:
        return 0
    objects = read(given + header, 1)
    starts, ends, intervals = read(table, _STARTS), read(table, _ENDS), read(table, _INTERVALS)
    for number in range(count):
        row = table + _ROWS + _ROW_BYTES * number
        found = read(objects, number)
        wanted = read(row, _OBJECT)
        if wanted != 0 and found != wanted:
            return 0
        fields, axes = found + header, read(row, _AXES)
        if axes == -1:
            continue
        if read(fields, -1) != read(row, _TYPE) or read(fields, DESCR) != read(row, _DESCR):
            return 0
        if read(fields, AXES) & _INT != axes or read(row, _FLAGS) & ~read(fields, FLAGS) != 0:
            return 0
        if differ(read(fields, LENGTHS), read(row, _LENGTHS), axes):
            return 0
        if differ(read(fields, STRIDES), read(row, _STRIDES), axes):
            return 0
        data = read(fields, DATA)
        if wanted != 0:
            if data != read(row, _DATA):
                return 0
        else:
            if touches(data - read(row, _BELOW), data + read(row, _ABOVE), intervals, starts, ends):
                return 0
            write(read(row, _TO), 0, data)
    return 1
