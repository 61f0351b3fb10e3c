"""Interrupts, and want of memory, while helpers are asked: help goes on, and the interpreter comes to its end."""

import pytest
from processes import run

#: Steps of which two threads share the chunks, interrupted at one line after the other of the asking.
INTERRUPTED = """
    import sys, threading, numpy
    from rmsprop import RMSprop

    size = 16384 * 40
    w, gradient = numpy.ones(size, numpy.float32), numpy.full(size, 0.5, numpy.float32)
    optimizer = RMSprop()

    def step():
        optimizer.apply_gradients([(gradient, w)])

    def interrupted(line):
        passed = 0

        def local(frame, event, argument):
            nonlocal passed
            if event == "line":
                passed += 1
                if passed > line:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return local

        def enter(frame, event, argument):
            asks = frame.f_code.co_filename.endswith("cpu/helpers.py") or frame.f_code.co_qualname == "Run.execute"
            return local if asks else None

        sys.settrace(enter)
        try:
            step()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(None)
        return False

    def helped():
        # A helper's own processor time grows, if it is asked.
        mine = [thread for thread in threading.enumerate() if thread.name == "rmsprop"]
        def used():
            return sum(int(value) for thread in mine for value in
                       open(f"/proc/self/task/{thread.native_id}/schedstat").read().split()[2:])
        before = used()
        for _ in range(20):
            step()
        return used() > before
"""


@pytest.mark.parametrize("first", [True, False], ids=["first step", "later step"])
def test_an_interrupt_anywhere_leaves_helpers_that_help_and_end(first):
    source = INTERRUPTED + (
        """
    line = 0
    if FIRST:
        while interrupted(line):
            line += 1
            step()
    else:
        step()
        while interrupted(line):
            line += 1
    assert line > 5, line
    assert helped()
    assert sum(thread.name == "rmsprop" for thread in threading.enumerate()) <= 3
    print("done")
    """.replace("FIRST", str(first))
    )
    assert run(source, RMSPROP_NUM_THREADS="2", timeout=120) == "done"


@pytest.mark.slow
def test_an_interrupt_while_the_first_helper_starts():
    """At each line of the asking, in a process of its own: all of them come to their end."""
    source = (
        INTERRUPTED
        + """
    import os, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    from rmsprop._core.cpu import helpers  # what the children have in common
    for line in range(60):
        child = os.fork()
        if child == 0:
            again = interrupted(line)
            step()
            step()
            assert helped()
            import atexit
            atexit._run_exitfuncs()  # as at the end of the interpreter
            os._exit(0 if again else 7)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, 7), (line, status)
        if status == 7:
            break
    print(line > 5 and status == 7)
    """
    )
    assert run(source, RMSPROP_NUM_THREADS="2", timeout=240) == "True"


def test_no_memory_for_a_thread():
    """MemoryError where a thread starts is like RuntimeError: the caller does it all, and asks again a second later."""
    source = """
        import threading, time, numpy
        from rmsprop import RMSprop

        def start(self):
            raise MemoryError("no memory for a stack")

        size = 16384 * 40
        w = numpy.ones(size, numpy.float32)
        original, threading.Thread.start = threading.Thread.start, start
        optimizer = RMSprop(0.5, rho=0.0)
        optimizer.apply_gradients([(w.copy(), w)])
        threading.Thread.start = original
        time.sleep(1.1)
        optimizer.apply_gradients([(w.copy(), w)])
        print(optimizer.iterations, len(numpy.unique(w)), sum(t.name == "rmsprop" for t in threading.enumerate()))
    """
    assert run(source, RMSPROP_NUM_THREADS="2", timeout=120) == "2 1 1"
