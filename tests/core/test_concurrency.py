"""Several threads, forked children, the end of the interpreter."""

import threading
import time

import numpy
import pytest
from processes import run

from rmsprop import RMSprop
from rmsprop.compilers import _threads
from rmsprop.compilers._threads import SMALL, share_out

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


@pytest.mark.parametrize("chunks", [0, 1, SMALL - 1, SMALL, 100, 101])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_chunk_is_done_once(chunks, threads):
    done, lock = [], threading.Lock()

    def work(first, last):
        with lock:
            done.extend(range(first, last))

    share_out(work, chunks, threads)
    assert sorted(done) == list(range(chunks))


@pytest.mark.parametrize("failing", ["caller", "helper"])
def test_an_error_in_a_piece_is_raised_when_nobody_works_any_more(failing):
    here = threading.current_thread()
    working = []

    def work(first, last):
        working.append(first)
        time.sleep(0.02)
        if (threading.current_thread() is here) == (failing == "caller"):
            raise MemoryError("no scratch memory")
        working.remove(first)

    with pytest.raises(MemoryError, match="no scratch memory"):
        share_out(work, 1000, 4)
    left = list(working)
    time.sleep(0.1)
    assert working == left  # no piece begun or ended since


def test_a_thread_that_cannot_start_is_done_without(monkeypatch):
    """The first helper starts, the second one cannot; all chunks are done, and by nobody afterwards."""
    monkeypatch.setattr(_threads, "_pool", None)
    original, starts = threading.Thread.start, []

    def start(thread):
        starts.append(thread)
        if len(starts) > 1:
            raise RuntimeError("can't start new thread")
        original(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    done, lock = [], threading.Lock()

    def work(first, last):
        time.sleep(0.01)
        with lock:
            done.extend(range(first, last))

    share_out(work, 100, 4)
    assert len(starts) == 2
    assert sorted(done) == list(range(100))


def test_an_interrupt_waits_for_the_helpers():
    """Ctrl-C while a helper still works: the memory it works on must not be given back before it is done."""
    source = """
        import signal, threading, time
        from rmsprop.compilers._threads import share_out
        main, ended, begun = threading.current_thread(), [], threading.Event()

        def work(first, last):
            if threading.current_thread() is main:
                begun.wait()
            else:
                begun.set()
                signal.setitimer(signal.ITIMER_REAL, 0.3)
                time.sleep(1.0)
                ended.append(first)

        signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            share_out(work, 100, 2)
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
