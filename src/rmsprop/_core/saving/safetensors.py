"""Files in the safetensors format, read by the header first: a file that does not fit costs no memory.

A file is 8 bytes for the length of the header, the header in JSON, and the tensors' numbers one after the other. It is
read without mapping it into memory: an error of the system is then an OSError, and no signal.
"""

import json
import math
import os
from collections.abc import Sequence
from io import BufferedReader
from typing import Any, Final, NamedTuple, TypeGuard, final

import numpy
from numpy.typing import NDArray

Array = NDArray[Any]

#: The format's own limit of a header.
_LONGEST: Final = 100_000_000

#: The types of state, and of counters beside it, by the format's names; the names of other types stay, and fit nothing.
_NAMES: Final = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "I64": "int64"}
_SIZES: Final = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "int64": 8}


@final
class Entry(NamedTuple):
    """A tensor as the header describes it; `start` and `end` count the file's bytes."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@final
class Header(NamedTuple):
    """The header of a file: its texts, and its tensors by name."""

    texts: dict[str, str]
    tensors: dict[str, Entry]


def read_header(file: BufferedReader) -> Header:
    """Read a file's header and check that the file is whole.

    Raises:
        ValueError: it is no such file, or is damaged.
        OSError: it cannot be read.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(_bytes(file, 8), "little")
    if length > min(_LONGEST, size - 8):
        raise ValueError(f"a header of {length} bytes in a file of {size}")
    try:
        found = json.loads(_bytes(file, length).decode(), object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("the header is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("the header is no object")
    texts = found.pop("__metadata__", {})
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("the header's texts are no strings")
    tensors = {name: _entry(name, described, 8 + length) for name, described in found.items()}
    _check_places(tensors, 8 + length, size)
    return Header(texts, tensors)


def read_tensor(file: BufferedReader, entry: Entry, dtype: numpy.dtype[Any]) -> Array:
    """Read a tensor whose type is known to be `dtype`.

    Raises:
        ValueError: the file ends before the tensor does.
        OSError: it cannot be read.
    """
    raw = numpy.empty(entry.end - entry.start, numpy.uint8)
    file.seek(entry.start)
    if file.readinto(raw.data) != raw.size:
        raise ValueError("the file became shorter while it was read")
    # The format is little-endian, and not every type has such a twin: on another machine the bytes are swapped.
    bits = raw.view(f"<u{dtype.itemsize}").astype(f"=u{dtype.itemsize}", copy=False)
    return bits.view(dtype).reshape(entry.shape)


def _bytes(file: BufferedReader, count: int) -> bytes:
    found = file.read(count)
    if len(found) != count:
        raise ValueError("the file is too short")
    return found


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("the header has a name twice")
    return found


def _entry(name: str, described: Any, offset: int) -> Entry:
    given: dict[str, Any] = described if isinstance(described, dict) else {}
    dtype, shape, places = (given.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or not _counts(shape) or not _counts(places) or len(places) != 2:
        raise ValueError(f"the header does not describe the tensor {name!r}")
    start, end = places
    dtype = _NAMES.get(dtype, dtype)
    if dtype in _SIZES and math.prod(shape) * _SIZES[dtype] != end - start:
        raise ValueError(f"the tensor {name!r} is {dtype} {list(shape)}, in {end - start} bytes")
    return Entry(dtype, tuple(shape), offset + start, offset + end)


def _counts(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(one) is int and one >= 0 for one in value)


def _check_places(tensors: dict[str, Entry], start: int, size: int) -> None:
    """Refuse tensors that overlap, leave a hole, or do not fill the file."""
    for name, entry in sorted(tensors.items(), key=lambda item: item[1][2:]):
        if entry.start != start or entry.end < start:
            raise ValueError(f"the tensor {name!r} does not lie behind the one before")
        start = entry.end
    if start != size:
        raise ValueError(f"the tensors end at byte {start} of {size}")
