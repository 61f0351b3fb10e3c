"""The core on which a helper wakes: another than that of the thread that wakes it, where the system needs to be told.

Linux chooses a sleeping thread's core within the call that wakes it, and may choose the caller's own although others
are idle. The two then take turns, and steps take as long as on one thread or longer until the system moves one of them.

So a helper measures how long it took from the call until it ran. After it came late, it is woken apart for a while:
during the call it may run wherever its leader may, except on the leader's core; afterwards there, too.
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

#: The words of the system, addresses of its functions: what wakes a sleeper; and Linux's, 0 elsewhere, for the number
#: of the calling thread, its core, the cores on which a thread may run, read and set, and the time.
SYSTEM: Final = ("post", "self", "core", "cores", "set_cores", "clock")
POST, _SELF, _CORE, _CORES, _SET_CORES, _CLOCK = range(len(SYSTEM))

#: The words of a helper: the semaphore that it sleeps on, the system's number of its thread, when it was last woken in
#: nanoseconds, how many times it is still to be woken apart, and two for the system's answer to what time it is.
SEMAPHORE, _THREAD, WOKEN_AT, APART, _TIME = range(5)

#: Nanoseconds from the call until a helper runs from which it was late. One on an idle core needs 25 to 180 thousand,
#: one on its leader's core 0.5 to 5 million.
LATE: Final = 200_000

#: How many times a helper that was late is woken apart. Each costs 4 microseconds, and a helper on its leader's core
#: 3000 over the next ten steps (AMD EPYC, two virtual processors, DQN's parameters in NumPy, 30 ms without a step).
TIMES: Final = 256

#: Bytes of a set of cores: 1024 of them. Where it has more, the system refuses to tell.
OWN_BYTES: Final = 128

#: How the system's functions name the calling thread, and the clock that nobody sets.
_THIS, _MONOTONIC = 0, 1


@jit
def _now(system, answer):
    """Return the system's time in nanoseconds, for which `answer` is memory; 0 where it does not tell."""
    if read(system, _CLOCK) == 0 or ask(read(system, _CLOCK), _MONOTONIC, answer) != 0:
        return 0
    return 1_000_000_000 * read(answer, 0) + read(answer, 1)


@jit
def _toggle(cores, core):
    """Put a core into a set, or take it out of it."""
    write(cores, core >> 6, read(cores, core >> 6) ^ (1 << (core & 63)))


@jit
def _leave(system, cores):
    """Write the cores on which this thread may run, without its present one; return that, or -1 if no other is left."""
    if as_int(call_with_three(read(system, _CORES), _THIS, OWN_BYTES, cores)) < 0:
        return -1
    core, found = as_int(call_word(read(system, _CORE), 0)), 0
    if core < 0 or core >= 8 * OWN_BYTES:
        return -1
    _toggle(cores, core)
    for word in range(OWN_BYTES // 8):
        found |= read(cores, word)
    return core if found != 0 else -1


@jit
def wake(system, helper, own):
    """Wake a helper that sleeps.

    Args:
        system: address of the words of the system.
        helper: address of the words of the helper.
        own: address of `OWN_BYTES` bytes, which nobody else uses.
    """
    core, times = -1, read_shared(helper + 8 * APART)
    write_shared(helper + 8 * WOKEN_AT, _now(system, own))
    if times > 0:
        write_shared(helper + 8 * APART, times - 1)
        core = _leave(system, own)
    if core >= 0:
        call_with_three(read(system, _SET_CORES), read(helper, _THREAD), OWN_BYTES, own)
    call_system(read(system, POST), read(helper, SEMAPHORE), 1)
    if core >= 0:
        _toggle(own, core)
        call_with_three(read(system, _SET_CORES), read(helper, _THREAD), OWN_BYTES, own)


@jit
def enter(system, helper):
    """Write down the number of this thread, a helper that begins."""
    if read(system, _SELF) != 0:
        write(helper, _THREAD, as_int(call_word(read(system, _SELF), 0)))


@jit
def woken(system, helper):
    """Note whether this thread, a helper that was woken, came late."""
    now = _now(system, helper + 8 * _TIME)
    if now - read_shared(helper + 8 * WOKEN_AT) > LATE:
        write_shared(helper + 8 * APART, TIMES)
