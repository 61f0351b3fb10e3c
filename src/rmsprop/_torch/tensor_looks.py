"""Whether torch's tensors are unchanged since the last step, found by compiled code through torch's C interface.

Compiled models use that interface (``torch/csrc/inductor/aoti_torch/c/shim.h``), so it is stable. Its functions want an
``AtenTensorHandle``, the address of a word that holds a tensor's ``_cdata``. A Python object of a tensor has such a
word; `rmsprop._torch.short_way` finds out where.
"""

from rmsprop._core.cpu.looks import differ, touches
from rmsprop._core.cpu.target import part
from rmsprop._core.cpu.words import ask, read, write

#: Functions of the interface, in the order in which the table has their addresses.
FUNCTIONS = (
    "aoti_torch_get_layout", "aoti_torch_get_device_type", "aoti_torch_get_dtype", "aoti_torch_get_dim",
    "aoti_torch_get_sizes", "aoti_torch_get_strides", "aoti_torch_get_storage_size",
    "aoti_torch_get_storage_offset", "aoti_torch_get_data_ptr",
)  # fmt: skip

#: Words before the rows: the number of tensors, bytes from an object to its `_cdata`, to its type, and from a list to
#: its length, a word for answers, and the memory that a step writes to: how many intervals, and two lists of addresses.
HEADER = ("count", "cdata", "type", "length", "answer", "intervals", "starts", "ends", *FUNCTIONS)

#: A row for each tensor. `object` and `tensor` are the addresses that the Python object and its `_cdata` must have, 0
#: for any: then the object must be of one of two types, its numbers must not be memory that a step writes to, and
#: their address is written to `to`. `device` is -1 where nothing more is compared. `bytes` are those of the storage, or
#: with any address those from the tensor's first number to its last.
LOOK = (
    "object", "tensor", "type", "other type", "layout", "device", "dtype", "axes", "lengths", "strides", "data",
    "bytes", "itemsize", "to",
)  # fmt: skip

_COUNT, _CDATA, _TYPE_AT, _LENGTH, _ANSWER, _INTERVALS, _STARTS, _ENDS = range(8)
_GET_LAYOUT, _GET_DEVICE, _GET_DTYPE, _GET_AXES, _GET_LENGTHS, _GET_STRIDES, _GET_BYTES, _GET_OFFSET, _GET_DATA = range(
    8, 8 + len(FUNCTIONS)
)
(
    _OBJECT, _TENSOR, _TYPE, _OTHER, _LAYOUT, _DEVICE, _DTYPE, _AXES, _LENGTHS, _STRIDES, _DATA, _BYTES, _ITEMSIZE, _TO,
) = range(len(LOOK))  # fmt: skip
_ROWS, _ROW_BYTES = 8 * len(HEADER), 8 * len(LOOK)


@part
def _answer(table, function, handle):
    """Return one property of a tensor; -2 if torch returns an error."""
    write(table, _ANSWER, 0)
    if ask(read(table, function), handle, table + 8 * _ANSWER) != 0:
        return -2
    return read(table, _ANSWER)


@part
def _has_other(table, function, handle, known, count):
    """Return whether a tensor has other lengths or strides than it had, or torch returns an error."""
    found = _answer(table, function, handle)
    return count > 0 and (found <= 0 or differ(found, known, count))


def look(table, given):
    """Return 1 if the tensors of a list object are as they were, after writing the addresses of gradients; else 0."""
    if read(given + read(table, _LENGTH), 0) != read(table, _COUNT):
        return 0
    objects = read(given + read(table, _LENGTH), 1)
    starts, ends, intervals = read(table, _STARTS), read(table, _ENDS), read(table, _INTERVALS)
    cdata, type_at = read(table, _CDATA), read(table, _TYPE_AT)
    for number in range(read(table, _COUNT)):
        row = table + _ROWS + _ROW_BYTES * number
        found, wanted, axes = read(objects, number), read(row, _OBJECT), read(row, _AXES)
        handle = found + cdata
        if wanted != 0:
            if found != wanted or read(handle, 0) != read(row, _TENSOR):
                return 0
            if read(row, _DEVICE) == -1:
                continue
        else:
            kind = read(found + type_at, 0)
            if kind != read(row, _TYPE) and kind != read(row, _OTHER):
                return 0
        if _answer(table, _GET_LAYOUT, handle) != read(row, _LAYOUT):
            return 0
        if _answer(table, _GET_DEVICE, handle) != read(row, _DEVICE):
            return 0
        if _answer(table, _GET_DTYPE, handle) != read(row, _DTYPE) or _answer(table, _GET_AXES, handle) != axes:
            return 0
        if _has_other(table, _GET_LENGTHS, handle, read(row, _LENGTHS), axes):
            return 0
        if _has_other(table, _GET_STRIDES, handle, read(row, _STRIDES), axes):
            return 0
        size, data = _answer(table, _GET_BYTES, handle), _answer(table, _GET_DATA, handle)
        needed = read(row, _BYTES)
        if wanted != 0:
            if data != read(row, _DATA) or size != needed:
                return 0
            continue
        if needed > 0:
            if data == 0 or _answer(table, _GET_OFFSET, handle) * read(row, _ITEMSIZE) + needed > size:
                return 0
            if touches(data, data + needed, intervals, starts, ends):
                return 0
        write(read(row, _TO), 0, data)
    return 1
