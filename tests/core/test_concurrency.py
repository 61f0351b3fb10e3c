"""Several threads, forked children, the end of the interpreter."""

import textwrap
import threading
import time

import numpy
import pytest
from counting import Counting, wait_until
from processes import path, run

from rmsprop import RMSprop
from rmsprop._core.cpu import helpers
from rmsprop._core.cpu.team import ASLEEP, BOX, BOXES, END, HELPERS, MAIL
from rmsprop._core.run import SMALL
from rmsprop._core.tables import ARRIVED, FINISHED, HEAD

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


@pytest.fixture
def team(monkeypatch):
    """A team of helpers of this test's own."""
    own = helpers._Team()
    monkeypatch.setattr(helpers, "OUR_TEAM", own)
    yield own
    found = [*own._threads.values()]
    own.end()
    assert not any(thread.is_alive() for thread in found)


def leading(counting):
    """Run on a thread of its own."""
    thread = threading.Thread(target=counting.run.execute)
    thread.start()
    return thread


@pytest.mark.parametrize("pieces", [1, SMALL - 1, SMALL, 100, 1001])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_piece_is_done_once(pieces, threads):
    counting = Counting(pieces, threads)
    for _ in range(50):
        counting.run.execute()
        assert counting.job[FINISHED] == pieces
    assert (counting.done == 50).all()


@pytest.mark.parametrize("helpers", [1, 3])
def test_others_help(helpers, team):
    """The leader and all helpers are at a piece at the same time."""
    counting = Counting(100, 1 + helpers, is_open=False)
    leader = leading(counting)
    counting.wait_for(1 + helpers)
    counting.open()
    leader.join()
    assert (counting.done == 1).all()
    assert counting.job[ARRIVED] == 1 + helpers
    assert [thread.name for thread in team._threads.values()] == ["rmsprop"] * helpers


def test_helpers_that_sleep_are_woken(team):
    counting = Counting(100, 2)
    counting.run.execute()
    for _ in range(3):
        wait_until(lambda: team._words[BOXES + ASLEEP] == 1)
        closed = Counting(100, 2, is_open=False)
        leader = leading(closed)
        closed.wait_for(2)
        closed.open()
        leader.join()
        assert (closed.done == 1).all()


def test_a_small_launch_is_done_by_its_leader_alone(team):
    counting = Counting(SMALL - 1, 4)
    counting.run.execute()
    assert team._threads == {}
    assert counting.job[ARRIVED] == 1


def test_several_leaders_at_once(team):
    """Each job is done by its leader and whoever is free; nothing is done twice, and nothing left."""
    found = [Counting(64 + number, 3) for number in range(4)]

    def lead(counting):
        for _ in range(200):
            counting.run.execute()

    threads = [threading.Thread(target=lead, args=(one,)) for one in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for counting in found:
        assert (counting.done == 200).all()
    assert len(team._threads) == 2
    assert not team._words[[BOXES + MAIL, BOXES + BOX + MAIL]].any()


def test_a_leader_does_not_wait_for_helpers_of_another_job(team):
    held = Counting(100, 2, is_open=False)
    leader = leading(held)
    held.wait_for(2)
    counting = Counting(100, 2)
    for _ in range(50):
        counting.run.execute()
    assert (counting.done == 50).all()
    assert counting.job[ARRIVED] == 1
    assert not held.done.any()
    held.open()
    leader.join()
    assert (held.done == 1).all()


def test_a_helper_that_is_late_does_nothing():
    counting = Counting(100)
    counting.run.execute()
    counting.come()
    assert (counting.done == 1).all()
    counting.run.execute()
    assert (counting.done == 2).all()


def test_a_mailbox_that_nobody_reads_does_no_harm(team):
    """The leader takes its mail back, and waits for nobody."""
    counting = Counting(100, 3)
    team.have = lambda helpers: None
    team._words[HELPERS] = 2
    for _ in range(50):
        counting.run.execute()
        assert not team._words[[BOXES + MAIL, BOXES + BOX + MAIL]].any()
    assert (counting.done == 50).all()
    team._words[BOXES + MAIL] = END
    counting.run.execute()
    assert (counting.done == 51).all()
    assert team._words[BOXES + MAIL] == END


def test_a_helper_works_on_only_while_the_leader_waits(team):
    """When a run is done, its memory may be another's: what a helper still wrote would be seen."""
    for number in range(300):
        counting = Counting(SMALL + number % 5, 3)
        counting.run.execute()
        before = counting.run.words.copy()
        assert (counting.done == 1).all()
        counting.done[:] = 0
        if number % 50 == 0:
            time.sleep(0.01)
        assert not counting.done.any()
        numpy.testing.assert_array_equal(counting.run.words, before)


def test_no_memory_for_scratch_is_refused_before_anything_is_written(monkeypatch):
    """Each thread's scratch memory is there when a run is made, so that no helper has to get it."""
    w = numpy.ones((200, 3), numpy.float32)[:, ::2]
    optimizer = RMSprop()
    optimizer.build([w])

    def refuse(*arguments, **keywords):
        raise MemoryError("no scratch memory")

    with monkeypatch.context() as patch:
        patch.setattr(numpy, "empty", refuse)
        with pytest.raises(MemoryError, match="no scratch memory"):
            optimizer.apply_gradients([(numpy.ones_like(w), w)])
    assert (w == 1).all()
    assert optimizer.iterations == 0
    optimizer.apply_gradients([(numpy.ones_like(w), w)])
    assert (w != 1).all()


def test_a_thread_that_cannot_start_is_done_without(monkeypatch, team):
    """The first helper starts, the second one cannot; all pieces are done."""
    original, starts = threading.Thread.start, []

    def start(thread):
        starts.append(thread)
        if len(starts) > 1:
            raise RuntimeError("can't start new thread")
        original(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    counting = Counting(100, 4)
    counting.run.execute()
    assert len(starts) == 2
    assert (counting.done == 1).all()
    team.end()
    assert not starts[0].is_alive()


def test_a_system_that_gives_no_thread_is_not_asked_at_every_step(monkeypatch, team):
    started = []

    def start(thread):
        started.append(thread)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(helpers, "_PAUSE", 60.0)
    counting = Counting(100, 2)
    for _ in range(4):
        counting.run.execute()
    assert len(started) == 1
    assert (counting.done == 4).all()


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, OSError])
def test_when_no_thread_can_start_the_caller_does_it_all_and_asks_again(monkeypatch, team, error):
    monkeypatch.setattr(helpers, "_PAUSE", 0.0)
    started, original = [], threading.Thread.start

    def start(thread):
        started.append(thread)
        if len(started) <= 2:
            raise error("can't start new thread")
        original(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    counting = Counting(100, 2)
    for _ in range(4):
        counting.run.execute()
    assert len(started) == 3
    assert (counting.done == 4).all()
    monkeypatch.undo()
    assert_helps(team)


def assert_helps(team):
    """The helper that is there comes."""
    closed = Counting(100, 2, is_open=False)
    closed.run.words[HEAD.index("pool")] = team.words_at()
    leader = leading(closed)
    closed.wait_for(2)
    closed.open()
    leader.join()
    assert (closed.done == 1).all()


def test_when_the_system_has_no_semaphores_the_caller_does_it_all(monkeypatch, team):
    monkeypatch.setattr(helpers, "system", lambda: None)
    counting = Counting(100, 4)
    counting.run.execute()
    assert (counting.done == 1).all()
    assert team._threads == {}


def test_after_the_end_of_the_team_the_caller_does_it_all(team):
    counting = Counting(100, 3)
    counting.run.execute()
    found = list(team._threads.values())
    assert len(found) == 2
    team.end()
    assert not any(thread.is_alive() for thread in found)
    counting.run.execute()
    assert (counting.done == 2).all()
    assert counting.job[ARRIVED] == 1
    assert team._threads == {}
    team.end()


def test_the_end_of_the_team_waits_for_what_helpers_do(team):
    held = Counting(100, 2, is_open=False)
    leader = leading(held)
    held.wait_for(2)
    ending = threading.Thread(target=team.end)
    ending.start()
    ending.join(0.2)
    assert ending.is_alive()
    held.open()
    ending.join(20)
    leader.join(20)
    assert not ending.is_alive()
    assert (held.done == 1).all()


#: A job in a process of its own that a leader and a helper are at.
HELD = """
    import os, signal, threading, time, warnings
    from counting import Counting, wait_until

    warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what some of this is about
    held = Counting(100, 2, is_open=False)

    def open_later(seconds):
        timer = threading.Timer(seconds, held.open)
        timer.daemon = True
        timer.start()

    def lead():
        leader = threading.Thread(target=held.run.execute, daemon=True)
        leader.start()
        held.wait_for(2)
        return leader
"""


def run_held(source, timeout=60):
    return run(textwrap.dedent(HELD) + textwrap.dedent(source), PYTHONPATH=path(), timeout=timeout)


def test_an_interrupt_waits_for_the_helpers():
    """Ctrl-C while a helper still works: the memory it works on must not be given back before it is done."""
    source = """
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        open_later(1.0)
        try:
            held.run.execute()
        except KeyboardInterrupt:
            print(int(held.done.sum()))
    """
    assert run_held(source) == "100"


@pytest.mark.parametrize("state", ["asleep", "busy"])
def test_a_process_ends_whatever_its_helpers_do(state):
    source = """
        from rmsprop._core.cpu.helpers import OUR_TEAM
        from rmsprop._core.cpu.team import ASLEEP, BOXES
        lead()
        if STATE == "asleep":
            held.open()
            wait_until(lambda: OUR_TEAM._words[BOXES + ASLEEP] == 1)
        else:
            open_later(0.5)
        print("done")
    """
    assert run_held(source.replace("STATE", repr(state))) == "done"


def test_a_child_does_not_wait_for_helpers_of_its_parent():
    """One that is forked while its parent's leader and helper are at a job steps, with a helper of its own."""
    source = """
        leader = lead()
        child = os.fork()
        if child == 0:
            mine = Counting(100, 2)
            mine.run.execute()
            again = Counting(100, 2, is_open=False)
            thread = threading.Thread(target=again.run.execute)
            thread.start()
            again.wait_for(2)
            again.open()
            thread.join()
            held.open()
            held.run.execute()  # in the child, nobody is at it
            os._exit(7 if mine.done.sum() == again.done.sum() == held.done.sum() == 100 else 8)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        held.open()
        leader.join()
        print(int(held.done.sum()))
    """
    assert run_held(source, timeout=60) == "7\n100"


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
