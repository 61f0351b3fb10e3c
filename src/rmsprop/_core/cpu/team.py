"""A few threads that help with the pieces of a job, and wait in compiled code, without the interpreter.

Numba's own parallel loops are not used: their OpenMP layer kills a forked child and their workqueue layer aborts when
two threads of the caller's program call at once. A helper here is a Python thread that calls `serve` once and stays in
it without the interpreter's lock; `rmsprop._core.cpu.helpers` starts the helpers. A helper looks for mail for a moment,
then sleeps on a semaphore of the system.

Each helper has a mailbox. The leader of a job writes its address into empty mailboxes, does pieces itself, and empties
the mailboxes that have not been read. So it waits only for helpers that have begun, and no helper has the job's address
when it returns. Several jobs may be led at once; each is helped by the helpers that are free.
"""

from typing import Any, Final

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from rmsprop._core.cpu.modes import IS_ARM, IS_X86
from rmsprop._core.cpu.words import (
    call,
    call_system,
    exchange_shared,
    jit,
    less,
    read,
    read_shared,
    replace_shared,
    write_shared,
)
from rmsprop._core.tables import ARRIVED, COUNTERS, FINISHED, HEAD, JOB, NEXT, columns

#: Numba's helpers, which have no types.
_tools: Any = cgutils

#: Helpers of a team at most.
MOST: Final = 255

#: Words of the team: the number of helpers, and the system's functions. Then the mailboxes, of `BOX` words each: the
#: mail, whether the helper sleeps, and the semaphore that it sleeps on.
HELPERS, WAIT, POST, YIELD, BOXES = 0, 1, 2, 3, 16
MAIL, ASLEEP, HANDLE, BOX = 0, 1, 2, 16

#: What a mailbox holds besides the address of a job, which is even: nothing, or the request to end.
EMPTY, END = 0, -1

#: How often a helper looks for mail before it sleeps, about 50 microseconds: the next step of a loop is sooner.
_LOOKS: Final = 2000

#: How often a leader looks whether a helper is done before it lets others run.
_PATIENCE: Final = 1000

_KERNEL, _PIECES, _BATCH, _HEAD, _THREADS = (
    COUNTERS + number for number in columns(JOB, "kernel", "pieces", "batch", "head", "threads")
)
_TEAM = HEAD.index("team")


@intrinsic
def _pause(typing_context: Any) -> Any:
    """Hint to the processor that this thread waits for a word to change."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if IS_X86 or IS_ARM:
            name, given = ("llvm.x86.sse2.pause", []) if IS_X86 else ("llvm.aarch64.hint", [ir.IntType(32)(1)])
            kind = ir.FunctionType(ir.VoidType(), [one.type for one in given])
            builder.call(_tools.get_or_insert_function(builder.module, kind, name), given)
        return context.get_dummy_value()

    return types.void(), generate


def serve(box, team):
    """Help with the jobs in a mailbox, until END is in it."""
    looks = 0
    while True:
        mail = read_shared(box + 8 * MAIL)
        if mail == END:
            return
        if mail != EMPTY:
            if replace_shared(box + 8 * MAIL, mail, mail + 1):
                call(read(mail, _KERNEL), mail)
                write_shared(box + 8 * MAIL, EMPTY)
            looks = 0
        elif looks < _LOOKS:
            looks += 1
            _pause()
        else:
            # In this order, and the leader's the other way round: it sees that this sleeps, or this sees the mail.
            write_shared(box + 8 * ASLEEP, 1)
            if read_shared(box + 8 * MAIL) == EMPTY:
                call_system(read(team, WAIT), read(box, HANDLE), -1)
            exchange_shared(box + 8 * ASLEEP, 0)
            looks = 0


@jit
def lead(job):
    """Do all pieces of a job, with the helpers that are free; all of them are done with it when this returns."""
    write_shared(job + 8 * NEXT, 0)
    write_shared(job + 8 * FINISHED, 0)
    write_shared(job + 8 * ARRIVED, 0)
    batch = read(job, _BATCH)
    wanted = less(read(job, _THREADS), (read(job, _PIECES) + batch - 1) // batch) - 1
    box, end, team = 0, 0, read(job + read(job, _HEAD), _TEAM)
    if wanted > 0 and team != 0:
        box = team + 8 * BOXES
        end = box + 8 * BOX * read_shared(team + 8 * HELPERS)
    first = box
    while box < end and wanted > 0:
        if replace_shared(box + 8 * MAIL, EMPTY, job):
            wanted -= 1
            if exchange_shared(box + 8 * ASLEEP, 0) == 1:
                call_system(read(team, POST), read(box, HANDLE), 1)
        box += 8 * BOX
    call(read(job, _KERNEL), job)
    looks = 0
    while first < end:
        replace_shared(first + 8 * MAIL, job, EMPTY)
        if read_shared(first + 8 * MAIL) != job + 1:
            first += 8 * BOX
        elif looks < _PATIENCE:
            looks += 1
            _pause()
        else:
            call_system(read(team, YIELD), 0, 0)


def dismiss(box, team):
    """End a helper, after the job that it works on."""
    while not replace_shared(box + 8 * MAIL, EMPTY, END):
        call_system(read(team, YIELD), 0, 0)
    if exchange_shared(box + 8 * ASLEEP, 0) == 1:
        call_system(read(team, POST), read(box, HANDLE), 1)
