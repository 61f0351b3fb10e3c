"""Several threads, forked children, the end of the interpreter."""

import threading
import time

import numba
import numpy
import pytest
from processes import run

from rmsprop import RMSprop
from rmsprop._core.tables import HELPING, NEXT, OPEN
from rmsprop.compilers import _threads
from rmsprop.compilers._threads import SMALL, Shared
from rmsprop.compilers._turns import drawn

SIZE = 16384 * 40


def trajectory(seed, steps=10, rendezvous=None):
    random = numpy.random.default_rng(seed)
    w = random.normal(size=SIZE).astype(numpy.float32)
    gradients = random.normal(size=(3, SIZE)).astype(numpy.float32)
    optimizer = RMSprop(momentum=0.9, global_clipnorm=1.0)
    if rendezvous:
        rendezvous.wait()
    for step in range(steps):
        optimizer.apply_gradients([(gradients[step % 3], w)])
    return w


def test_threads_step_different_optimizers_at_once(monkeypatch):
    monkeypatch.setenv("RMSPROP_NUM_THREADS", "3")
    seeds = range(6)
    expected = [trajectory(seed) for seed in seeds]
    found, rendezvous = {}, threading.Barrier(len(seeds))

    def work(seed):
        found[seed] = trajectory(seed, rendezvous=rendezvous)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in seeds:
        numpy.testing.assert_array_equal(found[seed], expected[seed])


@numba.njit(nogil=True)
def mark(first, last, done):
    """Stands for a kernel: counts how often each chunk is done."""
    for chunk in range(first, last):
        done[chunk] += 1


draw = numba.njit(nogil=True)(drawn(mark))


@pytest.mark.parametrize("chunks", [0, 1, SMALL - 1, SMALL, 100, 1001])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_chunk_is_done_once(chunks, threads):
    done = numpy.zeros(chunks, int)
    shared = Shared(lambda *draws: draw(*draws, done), chunks, threads)
    shared.compile()
    for _ in range(50):
        shared.run()
    assert (done == 50).all()


def test_others_help():
    """A helper that is there in time does chunks, and is the only one."""
    begun, who = threading.Event(), []

    def work(turns, leads, run, chunks, some):
        if leads:
            turns[OPEN] = run
            assert begun.wait(10)
            draw(turns, True, run, 0, 1, done)
        else:
            turns[HELPING] += 1
            begun.set()
            who.append(threading.current_thread().name)
            time.sleep(0.05)
            turns[HELPING] -= 1

    done = numpy.zeros(100, int)
    Shared(work, 100, 2).run()
    assert who == ["rmsprop"]


def test_a_helper_that_is_late_does_nothing():
    finished, left, done = threading.Event(), threading.Event(), numpy.zeros(100, int)

    def work(*draws):
        leads = draws[1]
        if not leads:
            assert finished.wait(10)
        draw(*draws, done)
        if not leads:
            left.set()

    shared = Shared(work, 100, 2)
    shared.run()
    assert (done == 1).all()
    finished.set()
    assert left.wait(10)
    assert (done == 1).all()
    shared.run()
    assert (done == 2).all()


def test_a_helper_does_no_chunk_of_a_later_run():
    """What it has looked up may be another run's."""
    looked_up, later, left = threading.Event(), threading.Event(), threading.Event()
    done = {1: numpy.zeros(100, int), 2: numpy.zeros(100, int)}
    place = 1

    def work(*draws):
        leads, run = draws[1:3]
        mine = done[place]
        if not leads and run == 1:
            looked_up.set()
            assert later.wait(10)
            draw(*draws, mine)
            left.set()
        elif leads and run == 2:
            draws[0][NEXT], draws[0][OPEN] = 0, 2
            later.set()
            assert left.wait(10)
            draw(*draws, mine)
        elif leads:
            draw(*draws, mine)

    shared = Shared(work, 100, 2)
    shared.run()
    assert looked_up.wait(10)
    place = 2
    shared.run()
    assert all((one == 1).all() for one in done.values())


def test_helpers_that_do_not_come_are_not_asked_again(monkeypatch):
    monkeypatch.setattr(_threads, "_team", _threads._Team())
    held, asked, done = threading.Event(), [], numpy.zeros(100, int)

    def work(*draws):
        if not draws[1]:
            asked.append(1)
            assert held.wait(10)
        draw(*draws, done)

    shared = Shared(work, 100, 2)
    shared.run()
    while not asked:
        time.sleep(0.001)
    for _ in range(49):
        shared.run()
    assert (done == 50).all()
    assert len(asked) + len(shared._asked) == 2  # one has come, and one more was asked
    held.set()
    _threads._team.end()
    assert (done == 50).all()


@pytest.mark.parametrize("failing", ["leader", "helper"])
def test_an_error_before_the_first_chunk(failing):
    """A leader's is raised; what a helper did not do, the leader does, and the helper comes again."""
    done, came = numpy.zeros(100, int), []

    def work(*draws):
        came.append(draws[1])
        if draws[1] == (failing == "leader"):
            raise MemoryError("no scratch memory")
        if draws[1]:
            deadline = time.monotonic() + 10
            while False not in came and time.monotonic() < deadline:
                time.sleep(0.001)
        draw(*draws, done)

    shared = Shared(work, 100, 2)
    for time_ in range(1, 3):
        came.clear()
        if failing == "leader":
            with pytest.raises(MemoryError, match="no scratch memory"):
                shared.run()
            assert not done.any()
        else:
            shared.run()
            assert False in came
            assert (done == time_).all()


def test_a_thread_that_cannot_start_is_done_without(monkeypatch):
    """The first helper starts, the second one cannot; all chunks are done."""
    monkeypatch.setattr(_threads, "_team", _threads._Team())
    original, starts = threading.Thread.start, []

    def start(thread):
        starts.append(thread)
        if len(starts) > 1:
            raise RuntimeError("can't start new thread")
        original(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    done = numpy.zeros(100, int)
    Shared(lambda *draws: draw(*draws, done), 100, 4).run()
    assert len(starts) >= 2
    assert (done == 1).all()
    _threads._team.end()
    assert not starts[0].is_alive()


def test_when_no_thread_can_start_the_caller_does_it_all_and_asks_again(monkeypatch):
    monkeypatch.setattr(_threads, "_team", _threads._Team())
    started, original = [], threading.Thread.start

    def start(thread):
        started.append(thread)
        if len(started) <= 2:
            raise RuntimeError("can't start new thread")
        original(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    done = numpy.zeros(100, int)
    shared = Shared(lambda *draws: draw(*draws, done), 100, 2)
    for _ in range(3):
        shared.run()
    assert len(started) == 3
    assert (done == 3).all()
    _threads._team.end()


def test_an_interrupt_waits_for_the_helpers():
    """Ctrl-C while a helper still works: the memory it works on must not be given back before it is done."""
    source = """
        import signal, threading, time
        from rmsprop._core.tables import HELPING
        from rmsprop.compilers._threads import Shared
        ended, begun = [], threading.Event()

        def work(turns, leads, run, chunks, some):
            if leads:
                begun.wait()
                signal.setitimer(signal.ITIMER_REAL, 0.3)
            else:
                turns[HELPING] += 1
                begun.set()
                time.sleep(1.0)
                ended.append(1)
                turns[HELPING] -= 1

        signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            Shared(work, 100, 2).run()
        except KeyboardInterrupt:
            print(len(ended))
    """
    assert run(source) == "1"


FORKED = """
    import os, sys, warnings, numpy
    from rmsprop import RMSprop

    warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what this is about
    size = 16384 * 40
    w, gradient = numpy.ones(size, numpy.float32), numpy.full(size, 0.5, numpy.float32)
    optimizer = RMSprop(momentum=0.9)
    optimizer.apply_gradients([(gradient, w)])
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            optimizer.apply_gradients([(gradient, w)])
            expected = numpy.ones(size, numpy.float32)
            alone = RMSprop(momentum=0.9, jit_compile=False)
            for _ in range(2):
                alone.apply_gradients([(gradient, expected)])
            os._exit(0 if numpy.array_equal(w, expected) else 1)
        children.append(child)
    optimizer.apply_gradients([(gradient, w)])
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    print("done")
"""


def test_a_child_does_not_wait_for_helpers_of_its_parent():
    source = """
        import os, warnings
        from rmsprop._core.tables import HELPING
        from rmsprop.compilers._threads import Shared

        warnings.simplefilter("ignore", DeprecationWarning)
        shared = Shared(lambda *draws: None, 100, 2)
        shared._turns[HELPING] = 1  # as it is while one works
        child = os.fork()
        if child == 0:
            shared.run()
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert run(source, timeout=30) == "7"


def test_a_forked_child_steps():
    assert run(FORKED, RMSPROP_NUM_THREADS="2", timeout=60) == "done"


def test_a_child_that_forked_before_the_first_step_steps():
    source = FORKED.replace("    optimizer.apply_gradients([(gradient, w)])\n    children", "    children").replace(
        "range(2)", "range(1)"
    )
    assert source != FORKED
    assert run(source, RMSPROP_NUM_THREADS="2", timeout=60) == "done"


def test_multiprocessing_with_fork():
    source = """
        import multiprocessing, warnings, numpy
        from rmsprop import RMSprop
        warnings.simplefilter("ignore", DeprecationWarning)

        def work(seed):
            w = numpy.ones(16384 * 40)
            RMSprop().apply_gradients([(w * seed, w)])
            return float(w[0])

        if __name__ == "__main__":
            first = work(1.0)
            with multiprocessing.get_context("fork").Pool(2) as pool:
                assert pool.map(work, [1.0, 1.0, 1.0]) == [first] * 3
            print("done")
    """
    assert run(source, RMSPROP_NUM_THREADS="2", timeout=60) == "done"


def test_a_step_at_the_end_of_the_interpreter():
    """The pool takes no more work then; the caller does all of it."""
    source = """
        import atexit, numpy
        from rmsprop import RMSprop
        w = numpy.ones(16384 * 40)
        optimizer = RMSprop()
        optimizer.apply_gradients([(w.copy(), w)])

        class Last:
            def __del__(self):
                optimizer.apply_gradients([(w.copy(), w)])
                print(optimizer.iterations, w[0] == w[-1])

        last = Last()
        atexit.register(optimizer.apply_gradients, [(w.copy(), w)])
    """
    assert run(source, RMSPROP_NUM_THREADS="2") == "3 True"
