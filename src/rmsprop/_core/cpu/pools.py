"""How the threads of a pool help with a job: the ticket that they get, and how its leader waits for them.

A pool is words in memory that begin with those of `POOL`. The leader of a job asks it to call `help_with`, a function
of one word, on other threads. It does not wait for calls that have not begun: a pool of a framework may make them much
later, one after the other, on the leader's own thread, or never.

The word is the address of a ticket, which belongs to one job of one call and is never used again. Its gate counts the
threads that are at the job. The leader does pieces itself, closes the gate, and waits until nobody is inside. A call
that comes later finds the gate closed and does not touch the job, whose memory may be another's by then. The ticket is
freed by the last that knows of it, the leader or a call.
"""

from typing import Final

from rmsprop._core.cpu.modes import pause
from rmsprop._core.cpu.target import jit, part
from rmsprop._core.cpu.words import (
    add_shared,
    call,
    call_system,
    call_with_three,
    call_word,
    less,
    read,
    read_shared,
    replace_shared,
    write,
    write_shared,
)
from rmsprop._core.tables import ARRIVED, COUNTERS, FINISHED, HEAD, JOB, NEXT, columns

#: The words of every pool, addresses of functions:
#:
#: * ask(head, ticket, wanted) has `help_with(ticket)` called up to `wanted` times, and returns how often it may be;
#: * take_back(head, ticket) returns how many of these calls will not come after all; 0 in a pool that cannot know;
#: * lead and help_with; C's and the system's functions; and the address of words that only the pool's functions know.
POOL: Final = ("ask", "take_back", "lead", "help_with", "malloc", "free", "yields", "own")
ASK, TAKE_BACK, LEAD, HELP_WITH, _MALLOC, _FREE, YIELD, OWN = range(len(POOL))

#: The words of a ticket: how many know of it, the gate, the job, the pool; and memory for the pool's own use in `ask`,
#: of which two sets of cores need most.
_KNOWN, GATE, JOB_OF, POOL_OF, SPARE = 0, 1, 2, 3, 8
SPARE_BYTES: Final = 256
_TICKET_BYTES: Final = 8 * SPARE + SPARE_BYTES

#: The gate is closed: its other bits count the threads that are still inside.
_CLOSED: Final = -(1 << 63)

#: How often a leader looks whether a helper is done before it lets others run.
_PATIENCE: Final = 1000

_KERNEL, _PIECES, _BATCH, _HEAD, _THREADS = (
    COUNTERS + number for number in columns(JOB, "kernel", "pieces", "batch", "head", "threads")
)
_POOL = HEAD.index("pool")


@jit
def _forget(ticket, many):
    """Note that `many` of those who knew of a ticket do not any more; the last frees it."""
    if add_shared(ticket + 8 * _KNOWN, -many) == many:
        call(read(read(ticket, POOL_OF), _FREE), ticket)


@jit
def help_now(ticket):
    """Do pieces of a ticket's job, unless its leader has closed it."""
    gate = ticket + 8 * GATE
    inside = read_shared(gate)
    while inside >= 0:
        if replace_shared(gate, inside, inside + 1):
            job = read(ticket, JOB_OF)
            call(read(job, _KERNEL), job)
            add_shared(gate, -1)
            break
        inside = read_shared(gate)


def help_with(ticket):
    """Do what a call of a pool has to do, once for each that was asked for."""
    help_now(ticket)
    _forget(ticket, 1)


@jit
def _issue(pool, job, wanted):
    """Return a ticket for a job, which so many calls and the leader know; 0 if there is no memory."""
    ticket = call_word(read(pool, _MALLOC), _TICKET_BYTES)
    if ticket != 0:
        write(ticket, JOB_OF, job)
        write(ticket, POOL_OF, pool)
        write_shared(ticket + 8 * GATE, 0)
        write_shared(ticket + 8 * _KNOWN, 1 + wanted)
    return ticket


@jit
def _close(head, pool, ticket):
    """Let nobody begin any more, and wait for those that have."""
    gate, looks = ticket + 8 * GATE, 0
    add_shared(gate, _CLOSED)
    if read(pool, TAKE_BACK) != 0:
        back = call_with_three(read(pool, TAKE_BACK), head, ticket, 0)
        if back > 0:
            _forget(ticket, back)
    while read_shared(gate) != _CLOSED:
        if looks < _PATIENCE:
            looks += 1
            pause()
        else:
            call_system(read(pool, YIELD), 0, 0)
    _forget(ticket, 1)


@part
def begin(job):
    """Make a job ready: no piece is done."""
    write_shared(job + 8 * NEXT, 0)
    write_shared(job + 8 * FINISHED, 0)
    write_shared(job + 8 * ARRIVED, 0)


def lead(job):
    """Do all pieces of a job, with the threads that its pool has for it; all are done with it when this returns."""
    begin(job)
    batch, head = read(job, _BATCH), job + read(job, _HEAD)
    wanted = less(read(job, _THREADS), (read(job, _PIECES) + batch - 1) // batch) - 1
    pool, ticket = read(head, _POOL), 0
    if wanted > 0:
        ticket = _issue(pool, job, wanted)
    if ticket != 0:
        asked = call_with_three(read(pool, ASK), head, ticket, wanted)
        if asked < wanted:
            _forget(ticket, wanted - asked)
    call(read(job, _KERNEL), job)
    if ticket != 0:
        _close(head, pool, ticket)
