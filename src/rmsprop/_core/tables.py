"""The columns of every table of a step, by name: the planner fills them, compiled and plain kernels read them.

The tables of one step are one block of 64-bit words, its memory, which begins with the HEAD. The beginning of a table
is a distance in bytes from the head, so that the block holds no address of its own and may be copied. A word is an
int64, or a float64 in GROUP, scales, squares and partial sums.

* HEAD: what the whole step has in common.
* JOB: one for each launch; the one argument of its kernel. Its first three words are counters that threads share, each
  in a cache line of its own.
* ROW: for each launch, a row for each of its tensors, in the order in which the launch numbers their elements. In a
  launch of squares it has the beginning of the tensor's partial sums.
* WHERE: one column after the other, each with an address for each tensor: where it is in this step.
* GROUP: a row for each group of options, float64. A kernel rounds each number once to the compute type.
* LAYOUT: for a tensor that is not contiguous, the number of its axes, their lengths, and the strides in bytes of the
  variable and of the gradient.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, final

import numpy

from rmsprop._core.rule import SCALARS, STATE

#: The arrays of one tensor, in the order in which the rule has them.
OPERANDS: Final = ("gradient", *STATE)

HEAD: Final = (
    "version",  # `VERSION`
    "tensors",  # the number of tensors
    "groups",  # the number of rows of GROUP
    "given",  # what is known before the step, or wanted of it: MEASURE, PREPARE, NOTHING, SQUARES or SCALES
    "iterations",  # steps done before
    "scratch",  # scratch memory, first that of the first thread
    "scratch_bytes",  # bytes of it for each thread
    "pool",  # address of the pool whose threads help, 0 for none: see `rmsprop._core.cpu.pools`
    "call",  # address of the call of a framework that does the step, for the framework's pool
    "where",  # the table WHERE
    "members",  # the group of each tensor
    "group_table",  # the table GROUP
    "scales",  # what each gradient is multiplied by
    "squares",  # the sum of each gradient's squares
    "partials",  # the sum of the squares of each norm chunk
    "norm_jobs",  # the number of launches that sum squares
    "norms",  # the jobs of those launches
    "step_jobs",  # the number of launches that step
    "steps",  # the jobs of those launches
)

#: The three counters of a job: the next piece, the finished pieces, and the threads that have arrived. The
#: finished ones tell when the last piece was done, which an OpenMP team is measured by (`rmsprop._core.cpu.openmp`).
NEXT, FINISHED, ARRIVED, COUNTERS = 0, 8, 16, 24

JOB: Final = (
    "kernel",  # address of the kernel
    "head",  # distance of the head from the job, below 0
    "pieces",  # the number of pieces
    "batch",  # how many pieces a thread claims at a time
    "length",  # numbers of a piece
    "rows",  # the number of rows, one a tensor
    "row_table",  # the rows
    "threads",  # how many threads may share the launch
)
JOB_WORDS: Final = COUNTERS + len(JOB)

ROW: Final = (
    "begin",  # the launch's number of the tensor's first element
    "size",  # the number of its elements
    "tensor",  # its number in WHERE
    "group",  # its row of GROUP
    "layout",  # its LAYOUT, 0 for none
    "row_size",  # numbers in a row of a sparse gradient, -1 for a dense one
    "partial",  # number of its first partial sum
)

WHERE: Final = (*OPERANDS, *(f"new {name}" for name in STATE), "row_numbers", "row_count")

#: The scalars of the rule but `clip_scale`, and what is computed in a step: which norm clips (`norm`) and its `limit`,
#: how often averages overwrite (`frequency`), and what gradients are multiplied by (`factor`: -1 to go up, the inverse
#: of a loss scale).
GROUP: Final = (*(name for name in SCALARS if name != "clip_scale"), "norm", "limit", "frequency", "factor")

#: Values of GROUP's `norm`: no limit, a limit for the norm of each gradient, or for the norm of all together.
NONE, OWN, JOINT = 0, 1, 2

#: Values of HEAD's `given`: only squares are wanted, or squares and scales; or what is known before a step: nothing,
#: the squares of all gradients, or the scales as well.
MEASURE, PREPARE, NOTHING, SQUARES, SCALES = -2, -1, 0, 1, 2

#: Of these tables, and of the text within a compiled step.
VERSION: Final = 3

#: Numbers of a norm chunk, and of a piece unless it is gathered: the operands of one fit a core's second-level cache.
CHUNK: Final = 16384

#: Numbers of a piece that is gathered first: more, so that the rows of a piece of a matrix in Fortran order are as many
#: as the numbers of a cache line.
GATHERED: Final = 4 * CHUNK

#: Each tensor of a launch begins at a multiple of so many numbers, so that pieces begin cache lines where tensors do.
STEP: Final = 64

#: Bytes of a cache line.
LINE: Final = 64

#: Numbers that are computed in scratch memory before they are streamed: all operands fit the first-level cache.
PART: Final = 512

#: A norm chunk's squares are summed in this many lanes, element i in lane i % LANES, folded in halves at the end.
LANES: Final = 128


@final
class Storage(NamedTuple):
    """How the numbers of a tensor are stored, and the type they are computed in."""

    gradient: numpy.dtype[Any]
    variable: numpy.dtype[Any]
    slots: numpy.dtype[Any]
    compute: numpy.dtype[Any]


def compute_type(*stored: Any) -> str:
    """Return "float64" if the variable or one of its slots is stored in it, else "float32": half types are storage.

    Args:
        *stored: the types of the variable and its slots, as NumPy's types or by name.
    """
    return "float64" if any(one == "float64" for one in stored) else "float32"


def columns(table: Sequence[str], *names: str) -> tuple[int, ...]:
    """Return the place of each name in a table."""
    return tuple(map(table.index, names))
