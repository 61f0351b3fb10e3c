"""What every launch agrees on: the operands, how they are stored, and how the work and the norms are cut up."""

from typing import Final

from rmsprop._core.tables import Storage as Storage
from rmsprop._core.tables import compute_type as compute_type

#: The arrays of one tensor, in the order in which kernels take them.
OPERANDS: Final = ("gradient", "variable", "velocity", "momentum", "average_gradient", "average")

#: Numbers in a chunk: the operands of one fit a core's second-level cache together. Norms are summed by chunks.
CHUNK: Final = 16384

#: Numbers in a chunk that is gathered first: more, because the rows that it takes out of a matrix in Fortran order
#: should be as many as a cache line holds.
SCATTERED: Final = 4 * CHUNK

#: Bytes of a cache line.
LINE: Final = 64

#: Numbers that are computed in scratch memory before they are streamed: all operands fit the first-level cache.
PART: Final = 512

#: A chunk's squares are summed in this many lanes, element i in lane i % LANES, folded in halves at the end.
LANES: Final = 128

#: What threads that share chunks have in common, places in an array of `WORDS` numbers: the next chunk, the run
#: that the work is open for, or 0, and how many help. Each has cache lines of its own.
NEXT, OPEN, HELPING, WORDS = 0, 16, 32, 48
