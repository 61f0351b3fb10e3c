"""The pool of this package: a few threads that wait in compiled code, without the interpreter.

Numba's own parallel loops are not used: their OpenMP layer kills a forked child and their workqueue layer aborts when
two threads of the caller's program call at once. A helper here is a Python thread that calls `serve` once and stays in
it without the interpreter's lock; `rmsprop._core.cpu.helpers` starts the helpers. A helper looks for mail for a moment,
then sleeps on a semaphore of the system.

Each helper has a mailbox. A ticket is put into empty mailboxes, and what has not been read when its leader is done is
taken back, so that the mailbox is free for the next job. Several jobs may be led at once; each is helped by the helpers
that are free.
"""

from typing import Final

from rmsprop._core.cpu.cores import POST, SEMAPHORE, SYSTEM, wake, woken
from rmsprop._core.cpu.modes import pause
from rmsprop._core.cpu.pools import HELP_WITH, OWN, POOL, SPARE, YIELD
from rmsprop._core.cpu.words import call, call_system, exchange_shared, read, read_shared, replace_shared, write_shared
from rmsprop._core.tables import HEAD

#: Helpers of a team at most.
MOST: Final = 255

#: Words of the team: those of every pool, the function that waits for a semaphore, the system's of
#: `rmsprop._core.cpu.cores`, and the number of helpers. Then the mailboxes, of `BOX` words each: the mail, whether the
#: helper sleeps, and a helper's of that module.
WAIT, CORES, HELPERS, BOXES = len(POOL), len(POOL) + 1, len(POOL) + 1 + len(SYSTEM), 16
MAIL, ASLEEP, HELPER, BOX = 0, 1, 2, 16

#: What a mailbox holds besides a ticket: nothing, that its helper has taken one and is not done, or the request to end.
EMPTY, BUSY, END = 0, 1, -1

#: How often a helper looks for mail before it sleeps, about 50 microseconds: the next step of a loop is sooner.
_LOOKS: Final = 2000

_POOL = HEAD.index("pool")


def serve(box, team):
    """Help with the jobs whose tickets are in a mailbox, until END is in it."""
    helper, looks = box + 8 * HELPER, 0
    while True:
        mail = read_shared(box + 8 * MAIL)
        if mail == END:
            return
        if mail != EMPTY:
            if replace_shared(box + 8 * MAIL, mail, BUSY):
                call(read(team, HELP_WITH), mail)
                write_shared(box + 8 * MAIL, EMPTY)
            looks = 0
        elif looks < _LOOKS:
            looks += 1
            pause()
        else:
            # In this order, and the other way round in `ask`: it sees that this sleeps, or this sees the mail.
            write_shared(box + 8 * ASLEEP, 1)
            waits = read_shared(box + 8 * MAIL) == EMPTY
            if waits:
                call_system(read(team, WAIT), read(helper, SEMAPHORE), -1)
            # Nobody woke this if the word is still 1: a signal did, or what was posted when there was mail already.
            if exchange_shared(box + 8 * ASLEEP, 0) == 0 and waits:
                woken(team + 8 * CORES, helper)
            looks = 0


def ask(head, ticket, wanted):
    """Put a ticket into so many empty mailboxes, and return into how many."""
    team, asked = read(read(head, _POOL), OWN), 0
    box = team + 8 * BOXES
    end = box + 8 * BOX * read_shared(team + 8 * HELPERS)
    while box < end and asked < wanted:
        if replace_shared(box + 8 * MAIL, EMPTY, ticket):
            asked += 1
            if exchange_shared(box + 8 * ASLEEP, 0) == 1:
                wake(team + 8 * CORES, box + 8 * HELPER, ticket + 8 * SPARE)
        box += 8 * BOX
    return asked


def take_back(head, ticket, unused):
    """Take a ticket out of the mailboxes whose helpers have not read it, and return out of how many."""
    team, found = read(read(head, _POOL), OWN), 0
    box = team + 8 * BOXES
    end = box + 8 * BOX * read_shared(team + 8 * HELPERS)
    while box < end:
        if read_shared(box + 8 * MAIL) == ticket and replace_shared(box + 8 * MAIL, ticket, EMPTY):
            found += 1
        box += 8 * BOX
    return found


def dismiss(box, team):
    """End a helper, after the job that it works on."""
    while not replace_shared(box + 8 * MAIL, EMPTY, END):
        call_system(read(team, YIELD), 0, 0)
    if exchange_shared(box + 8 * ASLEEP, 0) == 1:
        call_system(read(team + 8 * CORES, POST), read(box + 8 * HELPER, SEMAPHORE), 1)
