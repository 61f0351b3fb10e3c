"""XLA's own threads as a pool for the jobs of a step: what `rmsprop._core.cpu.pools` needs of one, compiled.

XLA may run a task late, on the thread of the step, or one after another, and never takes one back. It has one pool for
all CPU devices of a process, whose threads run XLA's other work, too: while a train step computes, they are awake.
"""

from rmsprop._core.cpu.pools import HELP_WITH, SPARE
from rmsprop._core.cpu.words import call, call_word, less, read, write
from rmsprop._core.tables import HEAD
from rmsprop._jax import xla_ffi

_POOL, _CALL = HEAD.index("pool"), HEAD.index("call")
_API, _CONTEXT = xla_ffi.Frame.api.offset, xla_ffi.Frame.context.offset
_SCHEDULE, _THREADS = xla_ffi.Api.schedule.offset, xla_ffi.Api.threads.offset
_DESTROY = xla_ffi.Api.error_destroy.offset

#: What both functions of XLA's are given, in the words of a ticket that are a pool's own: a size, no extension, the
#: call's context, and where to write the number of threads, or the task and its argument. Then that number.
_GIVEN = 8 * SPARE
_SIZE, _EXTENSION, _CONTEXT_TO, _TASK, _DATA, _NUMBER = range(6)
_THREADS_BYTES, _SCHEDULE_BYTES, _DESTROY_BYTES = 32, 40, 24


def ask(head, ticket, wanted):
    """Schedule a task for each of the calls, as far as XLA's pool has threads; return how many."""
    frame, given = read(head, _CALL), ticket + _GIVEN
    api = read(frame + _API, 0)
    write(given, _SIZE, _THREADS_BYTES)
    write(given, _EXTENSION, 0)
    write(given, _CONTEXT_TO, read(frame + _CONTEXT, 0))
    write(given, _TASK, given + 8 * _NUMBER)
    write(given, _NUMBER, 0)
    error, asked = call_word(read(api + _THREADS, 0), given), 0
    if error == 0:
        wanted = less(wanted, read(given, _NUMBER) - 1)
        write(given, _SIZE, _SCHEDULE_BYTES)
        write(given, _TASK, read(read(head, _POOL), HELP_WITH))
        write(given, _DATA, ticket)
        while asked < wanted and error == 0:
            error = call_word(read(api + _SCHEDULE, 0), given)
            if error == 0:
                asked += 1
    if error != 0:  # there is no pool, and the step is done by its own thread
        write(given, _SIZE, _DESTROY_BYTES)
        write(given, _CONTEXT_TO, error)
        call(read(api + _DESTROY, 0), given)
    return asked
