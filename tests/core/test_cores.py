"""Where helpers wake: a system of Python functions says where threads run, then Linux itself."""

import contextlib
import ctypes
import os
import sys
import threading
import time

import numpy
import pytest
from counting import Counting, wait_until
from numba.core.caching import NullCache

from rmsprop._core.cpu import cores, helpers, system, team
from rmsprop._core.cpu.pools import SPARE_BYTES
from rmsprop._core.cpu.target import CFunction

_WORD = ctypes.c_int64
_MASK = cores.OWN_BYTES // 8


def wake_one(words, helper, own):
    cores.wake(words, helper, own)


def has_woken(words, helper, own):
    cores.woken(words, helper)


def begins(words, helper, own):
    cores.enter(words, helper)


@pytest.fixture(scope="module")
def compiled():
    """The functions of the module, each of the system's words, the helper's, and memory."""
    functions = wake_one, has_woken, begins
    return {one.__name__: CFunction(one, "void(int64, int64, int64)", NullCache()) for one in functions}


def as_set(words):
    return {number for number in range(64 * _MASK) if int(words[number // 64]) >> number % 64 & 1}


class PythonSystem:
    """A system whose functions write down their calls; its clock stands.

    Args:
        core: that of the calling thread.
        allowed: the cores on which it may run; None: the system does not tell.
        now: the time in nanoseconds.
    """

    def __init__(self, core=5, allowed=frozenset({1, 5, 70}), now=7_000_000_123):
        self.calls, self.core, self.allowed, self.now = [], core, allowed, now
        functions = {
            "post": (self._post, 2), "self": (lambda: 99, 0), "core": (lambda: self.core, 0), "cores": (self._get, 3),
            "set_cores": (self._set, 3), "clock": (self._tell, 2),
        }  # fmt: skip
        self._made = [
            ctypes.CFUNCTYPE(_WORD, *count * [_WORD])(function)
            for function, count in (functions[name] for name in cores.SYSTEM)
        ]
        self.words = numpy.array([system.address_of(one) for one in self._made], numpy.int64)
        self.helper, self.own = numpy.zeros(14, numpy.int64), numpy.zeros(_MASK, numpy.int64)

    def _post(self, semaphore, number):
        self.calls.append(("post", semaphore, number))
        return 0

    def _get(self, thread, size, address):
        assert (thread, size) == (0, cores.OWN_BYTES)
        if self.allowed is None:
            return 0xFFFFFFFF  # a C function's -1, whose register may hold anything above it
        found = numpy.zeros(_MASK, numpy.uint64)
        for core in self.allowed:
            found[core // 64] |= numpy.uint64(1 << core % 64)
        ctypes.memmove(address, found.ctypes.data, size)
        return 0

    def _set(self, thread, size, address):
        found = numpy.frombuffer(ctypes.string_at(address, size), numpy.uint64)
        self.calls.append(("set", thread, as_set(found)))
        return 0

    def _tell(self, clock, address):
        assert clock == time.CLOCK_MONOTONIC
        numpy.frombuffer((2 * _WORD).from_address(address), numpy.int64)[:] = divmod(self.now, 10**9)
        return 0

    def call(self, function):
        function.ctypes(self.words.ctypes.data, self.helper.ctypes.data, self.own.ctypes.data)


@pytest.fixture
def fake(compiled):
    made = PythonSystem()
    made.helper[cores.SEMAPHORE] = 44
    made.call(compiled["begins"])
    return made


def test_one_that_was_late_may_not_run_on_the_core_of_who_wakes_it(fake, compiled):
    """While it is woken; afterwards it may run wherever that thread may."""
    fake.helper[cores.APART] = 2
    expected = [("set", 99, {1, 70}), ("post", 44, 1), ("set", 99, {1, 5, 70})]
    fake.call(compiled["wake_one"])
    assert fake.calls == expected
    assert fake.helper[cores.APART] == 1
    fake.call(compiled["wake_one"])
    assert fake.calls == 2 * expected
    fake.call(compiled["wake_one"])
    assert fake.calls == [*2 * expected, ("post", 44, 1)]
    assert fake.helper[cores.APART] == 0


@pytest.mark.parametrize("core", [0, 63, 64, 1023])
def test_any_core_of_a_set(core, fake, compiled):
    fake.core, fake.allowed = core, {core, 7}
    fake.helper[cores.APART] = 1
    fake.call(compiled["wake_one"])
    assert fake.calls == [("set", 99, {7}), ("post", 44, 1), ("set", 99, {core, 7})]


@pytest.mark.parametrize(
    ("core", "allowed"),
    [(5, {5}), (5, None), (-1, {1, 5}), (0xFFFFFFFF, {1, 5}), (1024, {1, 5})],
    ids=["no other core", "cores unknown", "core unknown", "core unknown, 32 bits", "beyond the set"],
)
def test_where_it_cannot_be_told_it_is_woken_anywhere(core, allowed, fake, compiled):
    fake.core, fake.allowed = core, allowed
    fake.helper[cores.APART] = 9
    fake.call(compiled["wake_one"])
    assert fake.calls == [("post", 44, 1)]


@pytest.mark.parametrize(("took", "times"), [(0, 0), (cores.LATE, 0), (cores.LATE + 1, cores.TIMES)])
def test_late_is_who_runs_long_after_the_call(took, times, fake, compiled):
    fake.call(compiled["wake_one"])
    assert fake.helper[cores.WOKEN_AT] == fake.now
    fake.now += took
    fake.call(compiled["has_woken"])
    assert fake.helper[cores.APART] == times


def test_a_system_without_these_functions(compiled):
    """Windows and macOS: nobody is late, and nothing but the semaphore is called."""
    fake = PythonSystem()
    fake.words[1:] = 0
    for name in ("begins", "wake_one", "has_woken"):
        fake.call(compiled[name])
    assert fake.calls == [("post", 0, 1)]
    assert not fake.helper.any()


def test_the_words_have_room():
    """A set of cores in a ticket, a helper's words in its mailbox, the system's before the number of helpers."""
    assert cores.OWN_BYTES <= SPARE_BYTES
    assert max(cores.SEMAPHORE, cores.WOKEN_AT, cores.APART) + 4 <= team.BOX - team.HELPER
    assert team.CORES + len(cores.SYSTEM) == team.HELPERS < team.BOXES
    if found := system.system():
        assert len(found.words) == len(cores.SYSTEM)


def test_systems_other_than_linux_have_none_of_linuxs_functions(monkeypatch):
    library = ctypes.CDLL(None) if sys.platform != "win32" else ctypes.CDLL("msvcrt")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert system._of_threads(library) == [0] * (len(cores.SYSTEM) - 1)


linux = pytest.mark.skipif(
    not sys.platform.startswith("linux") or len(os.sched_getaffinity(0)) < 2,
    reason="Linux alone lets a thread choose its cores, and there must be two",
)


@pytest.fixture
def asleep():
    """A team of one helper that sleeps; a job that it helps with; a function that waits until it sleeps."""
    own = helpers._Team()
    counting = Counting(100, 2, pool=own)
    counting.run.execute()

    def sleep():
        wait_until(lambda: own._words[team.BOXES + team.ASLEEP] == 1)

    sleep()
    yield own, counting, sleep
    own.end()


def helper_of(own):
    (thread,) = own._threads.values()
    return thread.native_id


@linux
def test_linux_wakes_a_late_helper_apart(asleep):
    """What it may do during the call is read there, by a function that stands for the semaphore's."""
    own, counting, sleep = asleep
    words, apart = own._words, team.BOXES + team.HELPER + cores.APART
    number, seen = helper_of(own), []
    real = ctypes.CFUNCTYPE(ctypes.c_int, _WORD, _WORD)(int(words[team.CORES + cores.POST]))

    def post(semaphore, count):
        seen.append((os.sched_getaffinity(number), ctypes.CDLL(None).sched_getcpu()))
        return real(semaphore, count)

    instead = ctypes.CFUNCTYPE(ctypes.c_int, _WORD, _WORD)(post)
    mine = os.sched_getaffinity(0)
    words[team.CORES + cores.POST] = system.address_of(instead)
    try:
        with pinned(min(mine)):  # so that the core is the same before the call and in it
            words[apart] = 1
            counting.run.execute()
            sleep()
        for _ in range(5):
            words[apart] = 1
            counting.run.execute()
            sleep()
    finally:
        words[team.CORES + cores.POST] = ctypes.cast(real, ctypes.c_void_p).value
    assert seen[0] == (mine, min(mine))  # a thread with one core knows no other
    assert len(seen) == 6
    assert all(len(allowed) == len(mine) - 1 and allowed < mine for allowed, _ in seen[1:])
    assert os.sched_getaffinity(number) == mine
    assert (counting.done == 7).all()


@contextlib.contextmanager
def pinned(core):
    """Let this thread run on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@linux
def test_a_helper_may_run_where_its_leader_may(asleep):
    """Each thread that leads may have cores of its own, which a helper takes over with the next late wake."""
    own, counting, sleep = asleep
    apart, everything = team.BOXES + team.HELPER + cores.APART, os.sched_getaffinity(0)
    few = set(sorted(everything)[:2])

    def lead():
        os.sched_setaffinity(0, few)
        own._words[apart] = 1
        counting.run.execute()

    leader = threading.Thread(target=lead)
    leader.start()
    leader.join()
    assert os.sched_getaffinity(helper_of(own)) == few
    sleep()
    own._words[apart] = 1
    counting.run.execute()
    assert os.sched_getaffinity(helper_of(own)) == everything


@linux
def test_a_helper_on_its_leaders_core_is_late_and_then_woken_apart(asleep):
    """Both are given one core: the leader computes there for longer than it takes to be late."""
    own, counting, sleep = asleep
    words, apart = own._words, team.BOXES + team.HELPER + cores.APART
    core, number = min(os.sched_getaffinity(0)), helper_of(own)
    os.sched_setaffinity(number, {core})
    with pinned(core):
        deadline = time.monotonic() + 20
        while words[apart] == 0 and time.monotonic() < deadline:
            sleep()
            counting.run.execute()
            busy = time.perf_counter() + 0.002
            while time.perf_counter() < busy:
                pass
    sleep()
    left = words[apart]
    assert left > 0
    counting.run.execute()
    assert words[apart] == left - 1
    assert os.sched_getaffinity(number) == os.sched_getaffinity(0)
