"""A pool whose functions are Python's, for jobs of `counting`."""

import ctypes

import numpy

from rmsprop._core.cpu.kernels import entry, pool_words
from rmsprop._core.cpu.pools import GATE, POOL
from rmsprop._core.tables import HEAD

_TO_A_POOL = ctypes.CFUNCTYPE(*4 * [ctypes.c_int64])
_WORD = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)

#: Does pieces of the job of a ticket, as a thread of a pool.
help_with = ctypes.CFUNCTYPE(None, ctypes.c_int64)(entry("help_with"))


class PythonPool:
    """A pool for runs.

    Args:
        ask: a function of a ticket and a number of calls that are wanted, which returns how many there may be.
        allocates: whether there is memory for tickets.

    Attributes:
        issued: the addresses of tickets.
        freed: those that nobody knows of any more. Their memory stays, so that what is written to it is seen.
    """

    def __init__(self, ask, allocates=True):
        self.issued, self.freed, self._memory, self._allocates = [], [], [], allocates
        self._ask = _TO_A_POOL(lambda head, ticket, wanted: ask(ticket, wanted))
        self._malloc, self._free = _WORD(self._allocate), _WORD(self._note)
        self.words = numpy.array(pool_words(ctypes.cast(self._ask, ctypes.c_void_p).value), numpy.int64)
        for name, function in (("malloc", self._malloc), ("free", self._free)):
            self.words[POOL.index(name)] = ctypes.cast(function, ctypes.c_void_p).value

    def _allocate(self, size):
        if not self._allocates:
            return 0
        self._memory.append(numpy.zeros(size // 8, numpy.int64))
        self.issued.append(self._memory[-1].ctypes.data)
        return self.issued[-1]

    def _note(self, ticket):
        self.freed.append(ticket)
        return 0

    def memory(self, ticket):
        """Return the words of a ticket."""
        return self._memory[self.issued.index(ticket)]

    def gate(self, ticket):
        """Return the word that counts the threads that are inside, as an array."""
        return self.memory(ticket)[GATE : GATE + 1]

    def serve(self, run):
        """Let the jobs of a run have this pool."""
        run.words[HEAD.index("pool")] = self.words.ctypes.data
