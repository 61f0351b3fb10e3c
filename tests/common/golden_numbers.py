"""The variables and gradients of the golden cases, which every front end steps.

They come from the raw bits of a generator that NumPy keeps as it is, so that they are the same with every version.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import ml_dtypes
import numpy

#: A number, tails of vectors, nothing, three chunks, and two axes. In the order in which JAX sorts names. `d` and `e`
#: are parts of one block of memory where a front end steps memory that is given to it, and `g` lies by columns there.
SHAPES = {
    "a_number": (), "b_seven": (7,), "c_thousand": (1000,), "d_left": (33,), "e_right": (64,), "f_large": (40000,),
    "g_matrix": (30, 20), "h_table": (12, 6), "i_empty": (0,),
}  # fmt: skip
MATRIX, TABLE = "g_matrix", "h_table"

#: Each gradient's size; beside an epsilon of 1e-7 the squares of one are small.
_SCALES = dict.fromkeys(SHAPES, 1.0) | {"b_seven": 1e-3, "g_matrix": 8.0}

#: The exponent of the least normal number.
_LEAST = {"float32": -126, "float64": -1022, "float16": -14, "bfloat16": -126}

#: The second step's gradients are small, so that no norm clips; some of the fourth's are huge.
QUIET, HUGE = 1, 3


class Rows(NamedTuple):
    """A gradient of a few rows; no row is there more than twice, so that the order of sums does not matter."""

    indices: Any
    values: Any
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Storage:
    """The types of variables, one after the other and from the start again, and of their state."""

    name: str
    types: tuple[str, ...]
    slot_dtype: str | None = None

    def __str__(self):
        return self.name

    def of(self, name):
        """The type of a variable."""
        return dtype(self.types[list(SHAPES).index(name) % len(self.types)])

    @property
    def is_double(self):
        """Whether JAX needs its 64-bit mode."""
        return "float64" in (*self.types, self.slot_dtype)


def dtype(name):
    """A type by its name."""
    return numpy.dtype(getattr(ml_dtypes, name) if name == "bfloat16" else name)


def numbers(name, stream, kind, scale=1.0):
    """Numbers from -2 to 2, times `scale`."""
    shape = SHAPES[name]
    raw = numpy.random.PCG64([list(SHAPES).index(name), stream]).random_raw(math.prod(shape))
    values = ((raw >> numpy.uint64(11)).astype(numpy.float64) * 2.0**-51 - 2) * scale
    # By float32, so that there is one way to round to half types.
    return (values if kind == numpy.float64 else values.astype(numpy.float32).astype(kind)).reshape(shape)


def gradient(name, step, kind, mild):
    """A gradient of one variable; `mild` is without huge and tiny numbers."""
    scale = _SCALES[name] * (2.0**-7 if step == QUIET else 1)
    given = numbers(name, step + 1, kind, scale)
    flat = given.reshape(-1)
    flat[2::11], flat[3::97] = 0.0, -0.0
    if mild:
        if not SHAPES[name]:
            # An average of one number that is now positive, now negative has no relative digits.
            flat[:] = abs(flat)
    else:
        flat[5::97] = math.ldexp(0.375, _LEAST[flat.dtype.name])  # subnormal
        if step == HUGE:
            flat[4::500] = -200 if flat.dtype == numpy.float16 else -3e9
    return given


def rows(step, kind):
    """The rows of a step for the table."""
    indices = (numpy.array([3, 0, 3, 11]) + step) % SHAPES[TABLE][0]
    values = numbers(TABLE, step + 1, kind)[: len(indices)]
    return Rows(indices.astype(numpy.int64), values, SHAPES[TABLE])


def laid_out(arrays, gaps):
    """The same numbers in other memory: two arrays in one block, where they are of one type, and the matrix by columns.

    Its columns have gaps, or none: then it is a block of memory, as most are, and needs no kernel of its own.
    """
    found = dict(arrays)
    left, right = arrays["d_left"], arrays["e_right"]
    if left.dtype == right.dtype:
        block = numpy.concatenate([left, right])
        found["d_left"], found["e_right"] = block[: left.size], block[left.size :]
    return found | {MATRIX: by_columns(arrays[MATRIX], gaps)}


def by_columns(array, gaps=False):
    """A copy whose columns are one after the other, or one after a gap."""
    if array is None:
        return None
    rows, columns = array.shape
    found = numpy.zeros((columns * (1 + gaps), rows), array.dtype)[:: 1 + gaps].T
    found[...] = array
    return found
