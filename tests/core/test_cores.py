"""Where helpers wake: a system of Python functions says where threads run, then Linux itself."""

import ctypes
import os
import sys
import time
from pathlib import Path

import numpy
import pytest
from counting import Counting, wait_until
from numba.core.caching import NullCache

from rmsprop._core.cpu import cores, helpers, system, team
from rmsprop._core.cpu.pools import SPARE_BYTES
from rmsprop._core.cpu.target import CFunction

_WORD = ctypes.c_int64

#: Linux's number of it, which other systems have not.
CLOCK_MONOTONIC = 1

#: The number of a thread.
HELPER = 99
_MASK = cores.SET_BYTES // 8


def wake_one(words, helper, scratch):
    cores.wake(words, helper, scratch)


def has_woken(words, helper, scratch):
    cores.woken(words, helper)


@pytest.fixture(scope="module")
def compiled():
    """The functions of the module, each of the system's words, the helper's, and memory."""
    functions = wake_one, has_woken
    return {one.__name__: CFunction(one, "void(int64, int64, int64)", NullCache()) for one in functions}


def as_set(words):
    return {number for number in range(64 * _MASK) if int(words[number // 64]) >> number % 64 & 1}


class PythonSystem:
    """A system whose functions write down their calls; its clock stands.

    Attributes:
        calls: what was called.
        core: that of the calling thread, number 0.
        allowed: thread -> the cores on which it may run; None: the system does not tell.
        now: the time in nanoseconds.
    """

    def __init__(self):
        self.calls, self.core, self.now = [], 5, 7_000_000_123
        self.allowed = dict.fromkeys((0, HELPER), frozenset({1, 5, 70}))
        functions = {
            "post": (self._post, 2), "core": (lambda: self.core, 0), "cores": (self._get, 3),
            "set_cores": (self._set, 3), "clock": (self._tell, 2),
        }  # fmt: skip
        self._made = [
            ctypes.CFUNCTYPE(_WORD, *count * [_WORD])(function)
            for function, count in (functions[name] for name in cores.SYSTEM)
        ]
        self.words = numpy.array([system.address_of(one) for one in self._made], numpy.int64)
        self.helper = numpy.zeros(cores.HELPER_WORDS, numpy.int64)
        self.helper[[cores.SEMAPHORE, cores.THREAD]] = 44, HELPER
        self.scratch = numpy.zeros(cores.SCRATCH_BYTES // 8, numpy.int64)

    def _post(self, semaphore, number):
        self.calls.append(("post", semaphore, number))
        return 0

    def _get(self, thread, size, address):
        if size != cores.SET_BYTES or self.allowed[thread] is None:
            return 0xFFFFFFFF  # a C function's -1, whose register may hold anything above it
        found = numpy.zeros(_MASK, numpy.uint64)
        for core in self.allowed[thread]:
            found[core // 64] |= numpy.uint64(1 << core % 64)
        ctypes.memmove(address, found.ctypes.data, size)
        return 0

    def _set(self, thread, size, address):
        found = numpy.frombuffer(ctypes.string_at(address, size), numpy.uint64)
        self.calls.append(("set", thread, as_set(found)))
        return 0

    def _tell(self, clock, address):
        if clock != CLOCK_MONOTONIC:
            return -1
        numpy.frombuffer((2 * _WORD).from_address(address), numpy.int64)[:] = divmod(self.now, 10**9)
        return 0

    def call(self, function):
        function.ctypes(self.words.ctypes.data, self.helper.ctypes.data, self.scratch.ctypes.data)


@pytest.fixture
def fake():
    return PythonSystem()


def test_one_that_was_late_may_not_run_on_the_core_of_who_wakes_it(fake, compiled):
    """While it is woken; afterwards it may run wherever that thread may."""
    fake.helper[cores.APART] = 2
    expected = [("set", HELPER, {1, 70}), ("post", 44, 1), ("set", HELPER, {1, 5, 70})]
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
    fake.core, fake.allowed = core, {0: {core, 7}, HELPER: {core, 7}}
    fake.helper[cores.APART] = 1
    fake.call(compiled["wake_one"])
    assert fake.calls == [("set", HELPER, {7}), ("post", 44, 1), ("set", HELPER, {core, 7})]


@pytest.mark.parametrize(
    ("core", "leaders", "helpers"),
    [
        (5, {5}, {5}),
        (5, None, {1, 5}),
        (5, {1, 5}, None),
        (5, {1, 5}, {1, 5, 6}),
        (5, {1, 5, 6}, {1, 5}),
        (5, {1, 5}, {7}),
        (-1, {1, 5}, {1, 5}),
        (0xFFFFFFFF, {1, 5}, {1, 5}),
        (1024, {1, 5}, {1, 5}),
    ],
    ids=[
        "no other core", "leader's cores unknown", "helper's cores unknown", "helper's are more", "helper's are fewer",
        "helper's are others", "core unknown", "core unknown, 32 bits", "core beyond the set",
    ],
)  # fmt: skip
def test_otherwise_cores_are_left_as_they_are(core, leaders, helpers, fake, compiled):
    """Where they cannot be told, where there is no other, and where a user gave a thread its own."""
    fake.core, fake.allowed = core, {0: leaders, HELPER: helpers}
    fake.helper[cores.APART] = 9
    fake.call(compiled["wake_one"])
    assert fake.calls == [("post", 44, 1)]
    assert fake.helper[cores.APART] == 8


@pytest.mark.parametrize(("took", "times"), [(0, 0), (cores.LATE, 0), (cores.LATE + 1, cores.TIMES)])
def test_late_is_who_runs_long_after_the_call(took, times, fake, compiled):
    fake.call(compiled["wake_one"])
    assert fake.helper[cores.WOKEN_AT] == fake.now
    fake.now += took
    fake.call(compiled["has_woken"])
    assert fake.helper[cores.APART] == times


@pytest.mark.parametrize("apart", [True, False])
def test_late_is_not_who_was_woken_apart_or_has_no_number(apart, fake, compiled):
    """The cores of such a thread are not what made it late, or cannot be changed."""
    fake.helper[cores.APART if apart else cores.THREAD] = int(apart)
    fake.call(compiled["wake_one"])
    fake.now += 1000 * cores.LATE
    fake.call(compiled["has_woken"])
    assert fake.helper[cores.APART] == 0


def test_a_system_without_these_functions(fake, compiled):
    """Windows and macOS: nobody is late, and nothing but the semaphore is called."""
    fake.words[1:] = 0
    for name in ("wake_one", "has_woken"):
        fake.call(compiled[name])
    assert fake.calls == [("post", 44, 1)]
    assert fake.helper[cores.APART] == 0


def test_the_words_have_room():
    """Sets of cores in a ticket, a helper's words in its mailbox, the system's before the number of helpers."""
    assert cores.SCRATCH_BYTES <= SPARE_BYTES
    assert team.HELPER + cores.HELPER_WORDS <= team.BOX
    assert team.CORES + len(cores.SYSTEM) == team.HELPERS < team.BOXES
    if found := system.system():
        assert len(found.words) == len(cores.SYSTEM)


def test_systems_other_than_linux_have_none_of_linuxs_functions(monkeypatch):
    library = ctypes.CDLL(None) if sys.platform != "win32" else ctypes.CDLL("msvcrt")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert system._of_threads(library) == [0] * (len(cores.SYSTEM) - 1)


linux = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not all(system.system().words) or len(os.sched_getaffinity(0)) < 2,
    reason="a C library of Linux has the functions, and there must be two cores",
)


class Asleep:
    """A team of one helper that sleeps, whose semaphore is posted by a function of Python's.

    Attributes:
        number: the system's of the helper's thread.
        posted: what `look` returned before each post.
    """

    def __init__(self):
        self._team = helpers._Team()
        self._counting = Counting(100, 2, pool=self._team)
        self._counting.run.execute()
        (thread,) = self._team._threads.values()
        self.number, self.posted, self._steps = thread.native_id, [], 1
        where, kind = team.CORES + cores.POST, ctypes.CFUNCTYPE(ctypes.c_int, _WORD, _WORD)
        real = kind(int(self._team._words[where]))
        self.look = lambda: None

        def post(semaphore, count):
            self.posted.append(self.look())
            return real(semaphore, count)

        self._instead, self._real = kind(post), real
        self.sleep()
        self._team._words[where] = system.address_of(self._instead)
        self.times = 0  # it may have been late already

    @property
    def times(self):
        """How many times the helper is still to be woken apart."""
        return int(self._team._words[team.BOXES + team.HELPER + cores.APART])

    @times.setter
    def times(self, number):
        self._team._words[team.BOXES + team.HELPER + cores.APART] = number

    def _entries(self):
        """The entries of what Linux says of the helper: its state and how often it has slept, among others."""
        lines = Path(f"/proc/self/task/{self.number}/status").read_text().splitlines()
        return dict(line.split(":\t", 1) for line in lines)

    def sleep(self):
        """Wait until the helper sleeps: also until the system has it sleep."""
        words = self._team._words
        wait_until(lambda: words[team.BOXES + team.ASLEEP] == 1 and self._entries()["State"].startswith("S"))

    def step(self):
        """Do a step, for which it is woken."""
        self.sleep()
        self._counting.run.execute()
        self._steps += 1
        assert (self._counting.done == self._steps).all()

    def interrupt(self):
        """Wake it as a signal does, without a leader."""
        self.sleep()
        slept = self._entries()["voluntary_ctxt_switches"]
        self._real(int(self._team._words[team.BOXES + team.HELPER + cores.SEMAPHORE]), 1)
        wait_until(lambda: self._entries()["voluntary_ctxt_switches"] != slept)

    def end(self):
        self._team._words[team.CORES + cores.POST] = system.address_of(self._real)
        self._team.end()


@pytest.fixture
def asleep():
    made = Asleep()
    yield made
    made.end()


@linux
def test_linux_wakes_a_late_helper_apart(asleep):
    """What the helper may do during the call is read there."""
    mine = os.sched_getaffinity(0)
    asleep.look = lambda: os.sched_getaffinity(asleep.number)
    for _ in range(5):
        asleep.times = 1
        asleep.step()
        assert os.sched_getaffinity(asleep.number) == mine
    assert [len(allowed) for allowed in asleep.posted] == 5 * [len(mine) - 1]
    assert all(allowed < mine for allowed in asleep.posted)


@linux
@pytest.mark.parametrize("whose", ["leader", "helper"])
def test_linux_leaves_threads_with_cores_of_their_own_alone(whose, asleep):
    everything = os.sched_getaffinity(0)
    number, few = 0 if whose == "leader" else asleep.number, {min(everything)}
    asleep.look = lambda: os.sched_getaffinity(asleep.number)
    os.sched_setaffinity(number, few)
    try:
        asleep.times = 1
        asleep.step()
    finally:
        os.sched_setaffinity(0, everything)
    assert asleep.posted == [everything if whose == "leader" else few]
    assert os.sched_getaffinity(asleep.number) == asleep.posted[0]


@linux
def test_linux_tells_a_helper_that_it_was_late(asleep):
    """Here because the call that wakes it takes long. A helper that was woken apart is not late."""
    asleep.look = lambda: time.sleep(2e-9 * cores.LATE)
    asleep.step()
    asleep.sleep()
    assert asleep.times == cores.TIMES
    asleep.times = 1
    asleep.step()
    asleep.sleep()
    assert asleep.times == 0


@linux
def test_one_that_nobody_woke_is_not_late(asleep):
    """A signal ends the system's wait, and so does what was posted for a helper that found its mail before it slept."""
    asleep.step()
    asleep.sleep()
    asleep.times = 0
    time.sleep(2e-9 * cores.LATE)
    asleep.interrupt()
    asleep.sleep()
    assert asleep.times == 0
