"""Jobs of a step on torch's own OpenMP team, and where there is none, or it is late, on threads of this package."""

import ctypes
import textwrap
import threading

import processes
import pytest
import torch
from counting import Counting

from rmsprop._core.cpu.openmp import FEWEST, LATE, MOST, OPENMP
from rmsprop._core.tables import ARRIVED
from rmsprop._torch import openmp

_TAKE_PART = ctypes.CFUNCTYPE(None, ctypes.c_size_t)


class Runtime:
    """An OpenMP runtime whose threads are Python's, and whose clock goes on only where a region ends.

    Args:
        late: nanoseconds from the last piece to the end of a region.
        comes: how many threads of a team come, at most.

    Attributes:
        regions: how many threads each was for.
    """

    def __init__(self, late=0, comes=100):
        self.late, self.regions, self._now, self._inside, self._comes = late, [], 1.0, 0, comes
        self.GOMP_parallel = ctypes.CFUNCTYPE(None, *2 * [ctypes.c_void_p], *2 * [ctypes.c_uint])(self._parallel)
        self.omp_in_parallel = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: self._inside)
        self.omp_get_wtime = ctypes.CFUNCTYPE(ctypes.c_double)(lambda: self._now)
        self.omp_get_max_threads = torch.get_num_threads

    def _parallel(self, function, word, threads, flags):
        assert flags == 0
        self.regions.append(threads)
        each = [
            threading.Thread(target=_TAKE_PART(function), args=(word,)) for _ in range(min(threads, self._comes) - 1)
        ]
        for thread in each:
            thread.start()
        _TAKE_PART(function)(word)
        for thread in each:
            thread.join()
        self._now += self.late / 1e9

    def enter(self):
        """Be in a region of somebody else's."""
        self._inside = 1

    def leave(self):
        """Be out of it again."""
        self._inside = 0


def made(runtime, threads=3, pieces=100):
    """A job, and the team of a runtime."""
    team = openmp.OpenMP(runtime)
    counting = Counting(pieces, threads, pool=team)
    counting.team = team
    return counting


def word(counting, name):
    return ctypes.c_int64.from_address(counting.team.words_at() + 8 * OPENMP.index(name)).value


def test_a_job_is_done_in_one_region():
    runtime = Runtime()
    counting = made(runtime)
    for _ in range(20):
        counting.run.execute()
    assert (counting.done == 20).all()
    assert runtime.regions == 20 * [3]
    assert (word(counting, "without"), word(counting, "rest")) == (0, FEWEST)


def test_a_region_with_fewer_threads_than_it_was_for():
    counting = made(Runtime(comes=1))
    counting.run.execute()
    assert (counting.done == 1).all()
    assert counting.job[ARRIVED] == 1


def test_no_region_within_a_region():
    runtime = Runtime()
    counting = made(runtime)
    runtime.enter()
    counting.run.execute()
    assert runtime.regions == []
    assert (counting.done == 1).all()


def test_a_team_that_was_late_is_not_asked_for_a_while():
    """The more often it is late the longer, up to a limit."""
    runtime, done, between = Runtime(late=2 * LATE), 0, []
    counting = made(runtime)
    for _ in range(9):
        regions_before = len(runtime.regions)
        counting.run.execute()
        assert len(runtime.regions) == regions_before + 1
        between.append(word(counting, "without"))
        done += 1
        for _ in range(between[-1]):
            counting.run.execute()
            done += 1
        assert len(runtime.regions) == regions_before + 1
    assert between == [64, 128, 256, 512, 1024, 2048, 4096, 4096, 4096] == [min(FEWEST << n, MOST) for n in range(9)]
    assert (counting.done == done).all()
    runtime.late = LATE // 2
    for _ in range(2000):
        counting.run.execute()
    assert len(runtime.regions) == 9 + 2000
    assert word(counting, "rest") == FEWEST


def test_without_the_team_threads_of_this_package_are_started(monkeypatch):
    started = []
    counting = made(Runtime(late=2 * LATE), threads=4)
    monkeypatch.setattr(counting.team._ours, "have", started.append)
    counting.run.execute()
    assert started == []
    counting.run.execute()  # without the team, which was late
    assert started == [3]
    again = made(Runtime(), threads=4)
    monkeypatch.setattr(again.team._ours, "have", started.append)
    again.run.execute()
    assert started == [3]
    again.team.leave()
    again.run.execute()
    assert started == [3, 3]
    assert (counting.done == 2).all()
    assert (again.done == 2).all()


@pytest.fixture
def fresh(monkeypatch):
    """No team is known yet, and three threads are wanted."""
    before = torch.get_num_threads()
    openmp._tried.cache_clear()
    torch.set_num_threads(3)
    yield monkeypatch
    torch.set_num_threads(before)
    openmp._tried.cache_clear()


def test_a_runtime_is_tried_first(fresh):
    runtime = Runtime()
    fresh.setattr(openmp, "_library", lambda: runtime)
    assert openmp.team() is openmp.team() is not None
    assert runtime.regions == [3]


@pytest.mark.parametrize("why", ["fewer threads", "another number of threads", "within a region", "none"])
def test_what_is_not_used(fresh, why):
    runtime = Runtime(comes=2 if why == "fewer threads" else 100)
    if why == "another number of threads":
        runtime.omp_get_max_threads = lambda: 2
    if why == "within a region":
        runtime.enter()
    fresh.setattr(openmp, "_library", lambda: None if why == "none" else runtime)
    assert openmp.team() is None
    assert runtime.regions == [3] * (why == "fewer threads")


def test_a_refusal_that_is_of_one_moment_is_not_remembered(fresh):
    """Of a call within somebody's parallel region, and of a thread with another number of threads."""
    runtime = Runtime()
    fresh.setattr(openmp, "_library", lambda: runtime)
    runtime.enter()
    assert openmp.team() is None
    runtime.leave()
    runtime.omp_get_max_threads = lambda: 2
    assert openmp.team() is None
    runtime.omp_get_max_threads = torch.get_num_threads
    assert openmp.team() is not None
    assert runtime.regions == [3]


def test_a_failed_trial_is_remembered(fresh):
    runtime = Runtime(comes=2)
    fresh.setattr(openmp, "_library", lambda: runtime)
    assert openmp.team() is openmp.team() is None
    assert runtime.regions == [3]


def test_other_numbers_of_threads_than_torch_s_are_our_own_threads(monkeypatch):
    """A team of another size than that of torch's operations would be made anew each time."""
    own = torch.get_num_threads()
    monkeypatch.setenv("RMSPROP_NUM_THREADS", str(own + 1))
    assert openmp.threads_and_pool() == (own + 1, None)
    monkeypatch.setenv("RMSPROP_NUM_THREADS", "1")
    assert openmp.threads_and_pool() == (1, None)


def test_a_forked_child_does_without(fresh):
    """Runs that are made there share launches by what is worth it for threads of this package."""
    fresh.setattr(openmp, "_forked", [True])
    fresh.setattr(openmp, "default_threads", lambda own: own)  # however few processors there are
    assert openmp.team() is None
    assert openmp.threads_and_pool() == (3, None)


START = """
import ctypes, os, signal, sys, threading, time, warnings, numpy, torch
from rmsprop._core.cpu.openmp import OPENMP
from rmsprop.torch import RMSprop
from rmsprop._torch import openmp

warnings.simplefilter("ignore")  # forking with threads is what some of this is about
torch.set_num_threads(2)
SIZE = 16384 * 40

def made(seed, size=SIZE):
    w = torch.nn.Parameter(torch.from_numpy(numpy.random.default_rng(seed).normal(size=size).astype("f")))
    w.grad = torch.from_numpy(numpy.random.default_rng(seed + 100).normal(size=size).astype("f"))
    return w, RMSprop([w], 0.01, momentum=0.9, global_clipnorm=1.0)

def trained(seed, steps=10, size=SIZE):
    w, one = made(seed, size)
    for _ in range(steps):
        one.step()
    return w.detach().numpy().tobytes()
"""

gnu = pytest.mark.skipif(openmp._library() is None, reason="torch has no OpenMP runtime with this entry")


@gnu
def test_torch_s_own_team_does_it():
    """As many threads as the region has are there, and none of this package's, unless the machine is busy."""
    source = """
        assert openmp.team() is not None
        w, one = made(1)
        one.step()
        late = openmp.team()._words[-2] > 0
        assert late or not any(thread.name == "rmsprop" for thread in threading.enumerate())
        print("done")
    """
    assert run(source) == "done"


def run(source, timeout=120, **environment):
    return processes.run(START + textwrap.dedent(source), timeout=timeout, **environment)


BITS = """
import hashlib
print(hashlib.sha256(trained(1) + trained(2, size=300_000)).hexdigest())
"""


@pytest.fixture(scope="module")
def bits_of_one_thread():
    return run(BITS, RMSPROP_NUM_THREADS="1")


@pytest.mark.parametrize(
    "environment",
    [
        {}, pytest.param({"OMP_WAIT_POLICY": "passive"}, marks=pytest.mark.slow),
        pytest.param({"RMSPROP_NUM_THREADS": "5"}, marks=pytest.mark.slow),
        pytest.param({"OMP_THREAD_LIMIT": "1"}, marks=pytest.mark.slow),
    ],
    ids=str,
)  # fmt: skip
def test_bits_do_not_depend_on_who_does_a_piece(environment, bits_of_one_thread):
    assert run(BITS, **environment) == bits_of_one_thread


def test_threads_step_at_once_while_torch_s_number_changes():
    source = """
        wanted, failures = [trained(seed) for seed in range(8)], []

        def work(seed):
            try:
                for number in range(4):
                    torch.set_num_threads(1 + (seed + number) % 3)
                    w, one = made(seed)
                    for step in range(10):
                        one.step()
                        if step % 3 == 0:
                            torch.set_num_threads(1 + (seed + number + step) % 4)
                    assert w.detach().numpy().tobytes() == wanted[seed]
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(failures or "done")
    """
    assert run(source) == "done"


CHILD = """
def child(steps, wanted):
    team = openmp.team()
    if team is not None:  # as if it were never late: the child's first step would ask it
        ctypes.c_int64.from_address(team.words_at() + 8 * OPENMP.index("without")).value = 0
    number = os.fork()
    if number == 0:
        signal.alarm(60)
        for _ in range(steps):
            one.step()
        os._exit(7 if w.detach().numpy().tobytes() == wanted else 8)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
"""


def test_a_forked_child_steps():
    """GNU's runtime would wait for threads that the child has not."""
    source = """
        w, one = made(1)
        for _ in range(3):
            one.step()
        wanted = trained(1, 8)
        print([child(5, wanted) for _ in range(3)])
    """
    assert run(CHILD + textwrap.dedent(source)) == "[7, 7, 7]"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_first_step_in_a_forked_child_of_a_parent_with_a_team(when):
    """Torch's own operations have made the team. The child's are too small for it: it would wait for ever."""
    source = """
        import os, signal, warnings, torch
        BEFORE
        warnings.simplefilter("ignore")
        torch.set_num_threads(2)
        torch.sin(torch.ones(1_000_000))
        number = os.fork()
        if number == 0:
            signal.alarm(60)
            from rmsprop.torch import RMSprop
            parameters = [torch.nn.Parameter(torch.ones(30_000)) for _ in range(6)]
            for one in parameters: one.grad = torch.ones(30_000)
            optimizer = RMSprop(parameters, 0.01)
            for _ in range(3): optimizer.step()
            assert optimizer.explain().threads == 2
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]))
    """.replace("BEFORE", "import rmsprop.torch" if when == "before" else "")
    assert processes.run(textwrap.dedent(source), timeout=120) == "7"


def test_a_fork_while_another_thread_steps():
    source = """
        w, one = made(1)
        one.step()
        wanted, ended = trained(1, 4), threading.Event()

        def others():
            other, its = made(2)
            while not ended.is_set():
                its.step()

        thread = threading.Thread(target=others)
        thread.start()
        print([child(3, wanted) for _ in range(5)])
        ended.set()
        thread.join()
    """
    assert run(CHILD + textwrap.dedent(source)) == "[7, 7, 7, 7, 7]"


def test_workers_of_a_data_loader_step():
    source = """
        w, one = made(1)
        one.step()
        wanted = numpy.frombuffer(trained(1, 4), "f")

        class Data(torch.utils.data.Dataset):
            def __len__(self):
                return 4

            def __getitem__(self, place):
                mine, its = made(1)
                for _ in range(4):
                    its.step()
                return bool((mine.detach().numpy() == wanted).all())

        context = torch.multiprocessing.get_context("fork")
        loader = torch.utils.data.DataLoader(Data(), num_workers=2, multiprocessing_context=context, batch_size=None)
        print([bool(found) for found in loader])
    """
    assert run(source) == "[True, True, True, True]"


@pytest.mark.parametrize(("pieces", "threads"), [(3, 1), (4, 3), (8, 3)])
def test_small_jobs_are_the_leader_s_own(pieces, threads):
    runtime = Runtime()
    counting = made(runtime, pieces=pieces)
    counting.run.execute()
    assert runtime.regions == [threads] * (threads > 1)
    assert (counting.done == 1).all()
