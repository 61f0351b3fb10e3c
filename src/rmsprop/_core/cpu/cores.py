"""The core on which a helper wakes: another than that of the thread that wakes it, where the system needs to be told.

Linux chooses a sleeping thread's core within the call that wakes it, and may choose the caller's own although others
are idle. The two then take turns, and steps take as long as on one thread or longer until the system moves one of them.

So a helper measures how long it took from the call until it ran. After it came late, it is woken apart for a while:
during the call it may not run on the caller's core. That is done only for a helper that may run wherever the caller
may, which it may again after the call. A user who gives either thread cores of its own is not overruled.
"""

from typing import Final

from rmsprop._core.cpu.target import jit
from rmsprop._core.cpu.words import (
    as_int,
    ask,
    call_system,
    call_with_three,
    call_word,
    read,
    read_shared,
    write,
    write_shared,
)

#: The words of the system, addresses of its functions: what wakes a sleeper; and Linux's, 0 elsewhere, for the core of
#: the calling thread, the cores on which a thread may run, read and set, and the time.
SYSTEM: Final = ("post", "core", "cores", "set_cores", "clock")
POST, _CORE, _CORES, _SET_CORES, _CLOCK = range(len(SYSTEM))

#: The words of a helper: the semaphore that it sleeps on, the system's number of its thread (0 if that is not known),
#: when it was last woken in nanoseconds (0 for a wake that is not measured), how many times it is still to be woken
#: apart, and two for the system's answer to what time it is.
SEMAPHORE, THREAD, WOKEN_AT, APART, _TIME = range(5)
HELPER_WORDS: Final = _TIME + 2

#: Nanoseconds from the call until a helper runs from which it was late. On AMD EPYC, two virtual processors, Linux
#: 6.18, one on an idle core needed 25 to 180 thousand, one on its leader's core 0.5 to 5 million.
LATE: Final = 200_000

#: How many times a helper that was late is woken apart. There, each costs 4 microseconds, and a helper on its leader's
#: core 3000 microseconds over the next ten steps (DQN's parameters in NumPy after 30 ms without a step).
TIMES: Final = 256

#: Bytes of a set of cores, 1024 of them: the system refuses to tell where it has more. And what `wake` needs.
SET_BYTES: Final = 128
SCRATCH_BYTES: Final = 2 * SET_BYTES

#: How the system's functions name the calling thread, and Linux's clock that nobody sets.
_THIS, _MONOTONIC = 0, 1


@jit
def _now(system, answer):
    """Return the system's time in nanoseconds, for which `answer` is memory; 0 where it does not tell."""
    if read(system, _CLOCK) == 0 or ask(read(system, _CLOCK), _MONOTONIC, answer) != 0:
        return 0
    return 1_000_000_000 * read(answer, 0) + read(answer, 1)


@jit
def _read_cores(system, thread, cores):
    """Write the cores on which a thread may run, and return whether the system tells."""
    return as_int(call_with_three(read(system, _CORES), thread, SET_BYTES, cores)) >= 0


@jit
def _set_cores(system, thread, cores):
    call_with_three(read(system, _SET_CORES), thread, SET_BYTES, cores)


@jit
def _others(system, thread, scratch):
    """Write the cores on which this thread and another may run, twice; leave this one's present core out of the second.

    Returns:
        Whether the two may run on the same cores, of which there is another.
    """
    cores, others = scratch, scratch + SET_BYTES
    if not (_read_cores(system, _THIS, others) and _read_cores(system, thread, cores)):
        return False
    core, different, left = as_int(call_word(read(system, _CORE), 0)), 0, 0
    if core < 0 or core >= 8 * SET_BYTES:
        return False
    for word in range(SET_BYTES // 8):
        different |= read(cores, word) ^ read(others, word)
    write(others, core >> 6, read(others, core >> 6) & ~(1 << (core & 63)))
    for word in range(SET_BYTES // 8):
        left |= read(others, word)
    return different == 0 and left != 0


@jit
def wake(system, helper, scratch):
    """Wake a helper that sleeps.

    Args:
        system: address of the words of the system.
        helper: address of the words of the helper.
        scratch: address of `SCRATCH_BYTES` bytes, which nobody else uses.
    """
    thread, times, apart = read(helper, THREAD), read_shared(helper + 8 * APART), False
    if times > 0:
        write_shared(helper + 8 * APART, times - 1)
        write_shared(helper + 8 * WOKEN_AT, 0)
        apart = _others(system, thread, scratch)
    else:
        write_shared(helper + 8 * WOKEN_AT, _now(system, scratch))
    if apart:
        _set_cores(system, thread, scratch + SET_BYTES)
    call_system(read(system, POST), read(helper, SEMAPHORE), 1)
    if apart:
        _set_cores(system, thread, scratch)


@jit
def woken(system, helper):
    """Note whether this thread, a helper that was woken, came late."""
    since = read_shared(helper + 8 * WOKEN_AT)
    if since != 0 and read(helper, THREAD) != 0 and _now(system, helper + 8 * _TIME) - since > LATE:
        write_shared(helper + 8 * APART, TIMES)
