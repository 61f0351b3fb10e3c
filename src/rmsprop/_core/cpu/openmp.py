"""A framework's OpenMP team as a pool: its threads are awake after the framework's own work, where ours would sleep.

`GOMP_parallel` of GNU's runtime, which LLVM's and Intel's have, too, calls a function on a number of threads at once,
the caller's among them, and waits for all of them. So a job is done when `ask` returns.

That is also what is dear: where another process has the core of a thread, everybody waits until the system runs that
thread, some milliseconds, even if it finds nothing left to do. So the time from the last piece to the end of the region
is measured. After a team that came late, the next jobs are this package's own threads', for which nobody waits before
they have begun; and the more often it comes late, the longer.
"""

from typing import Final

from rmsprop._core.cpu.pools import JOB_OF, POOL, POOL_OF, SPARE, help_now
from rmsprop._core.cpu.target import jit
from rmsprop._core.cpu.words import (
    add_shared,
    as_int,
    call_with_four,
    call_with_three,
    call_word,
    greater,
    less,
    nanoseconds,
    read,
    read_shared,
    replace_shared,
    write_shared,
)
from rmsprop._core.tables import COUNTERS, FINISHED, HEAD, JOB, columns

#: The words of such a pool, after those of every pool: functions of the runtime, `take_part`, and the `ask` of this
#: package's own threads; whether there is a team, which a forked child has not; then what is measured: how many jobs
#: are still to be done without the team, and how many it will be when it comes late again.
OPENMP: Final = (*POOL, "parallel", "in_parallel", "clock", "take_part", "ask_ours", "is_there", "without", "rest")
_PARALLEL, _IN_PARALLEL, _CLOCK, _TAKE_PART, _ASK_OURS, IS_THERE, WITHOUT, REST = range(len(POOL), len(OPENMP))

#: Nanoseconds from the last piece to the end of a region from which its team was late. Threads that spin or are woken
#: need 1 to 50 microseconds, one that waits for a core 4 milliseconds or more.
LATE: Final = 200_000

#: Jobs that are done without a team that was late, at least and at most: it doubles with each time. At most some
#: seconds: one late region in a few thousand steps is not felt.
FEWEST, MOST = 64, 4096

#: The part by which that falls, and by one more, with each job for which the team was in time. It takes 63 of them
#: (from 128) to 87 (from 4096) to undo a doubling: so it grows where more than one in about 64 to 88 is late.
_FORGIVES: Final = 128

#: The word of a ticket that says when its job's last piece was done.
_DONE = SPARE

_POOL = HEAD.index("pool")
_PIECES, _THREADS = (COUNTERS + number for number in columns(JOB, "pieces", "threads"))


def take_part(ticket):
    """Do pieces of a job in a region; the first that sees that all are done writes down when."""
    help_now(ticket)
    job, done = read(ticket, JOB_OF), ticket + 8 * _DONE
    if read_shared(job + 8 * FINISHED) == read(job, _PIECES) and read_shared(done) == 0:
        replace_shared(done, 0, nanoseconds(read(read(ticket, POOL_OF), _CLOCK)))


def come(counter):
    """Count the threads of a region."""
    add_shared(counter, 1)


@jit
def _note(pool, late):
    """Note whether the team was late."""
    rest = read_shared(pool + 8 * REST)
    if late > LATE:
        write_shared(pool + 8 * WITHOUT, rest)
        write_shared(pool + 8 * REST, less(2 * rest, MOST))
    elif rest > FEWEST:
        write_shared(pool + 8 * REST, greater(FEWEST, rest - rest // _FORGIVES - 1))


def ask(head, ticket, wanted):
    """Do a job in a parallel region, or ask this package's own threads."""
    pool = read(head, _POOL)
    if read_shared(pool + 8 * IS_THERE) != 0 and as_int(call_word(read(pool, _IN_PARALLEL), 0)) == 0:
        if read_shared(pool + 8 * WITHOUT) <= 0:
            write_shared(ticket + 8 * _DONE, 0)
            threads = read(read(ticket, JOB_OF), _THREADS)
            call_with_four(read(pool, _PARALLEL), read(pool, _TAKE_PART), ticket, threads, 0)
            _note(pool, nanoseconds(read(pool, _CLOCK)) - read_shared(ticket + 8 * _DONE))
            return 0
        add_shared(pool + 8 * WITHOUT, -1)
    return call_with_three(read(pool, _ASK_OURS), head, ticket, wanted)
