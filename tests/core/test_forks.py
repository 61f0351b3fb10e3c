"""Children forked while threads of their parent load, compile or step."""

import pytest
from processes import run

#: What a child does, and how the parent waits for it: a child that hangs is ended by its alarm.
CHILDREN = """
    import faulthandler, os, sys, threading, time, warnings
    import numpy
    from rmsprop import RMSprop

    warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what this is about

    def step(size=100, options={"momentum": 0.9}):
        w = numpy.ones(size, numpy.float32)
        optimizer = RMSprop(0.5, **options)
        for _ in range(2):
            optimizer.apply_gradients([(numpy.full(size, 0.5, numpy.float32), w)])
        return w

    def fork(work):
        child = os.fork()
        if child == 0:
            faulthandler.dump_traceback_later(150, exit=True)
            work()
            os._exit(0)
        return child

    def ended(children):
        return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
"""


@pytest.mark.parametrize(
    "loaded",
    [pytest.param(True, id="compiles"), pytest.param(False, id="imports Numba", marks=pytest.mark.slow)],
)
def test_a_fork_while_another_thread_compiles(loaded):
    source = CHILDREN + (
        """
    if LOADED:
        from rmsprop._core.cpu import helpers
    thread = threading.Thread(target=step)
    thread.start()
    children = []
    while thread.is_alive() and len(children) < 2:
        time.sleep(0.3)
        children.append(fork(step))
    found = ended(children)
    print(len(found) > 0 and not any(found))
    """.replace("LOADED", str(loaded))
    )
    assert run(source, RMSPROP_CACHE_DIR="", timeout=240) == "True"


@pytest.mark.slow
def test_fifty_forks_at_random_moments():
    """Of a process in which two threads step, with helpers and with new kernels and plans all the time."""
    source = (
        CHILDREN
        + """
    import random
    expected = {size: step(size) for size in (100, 16384 * 20)}
    stop, wrong = threading.Event(), []

    def steps(size):
        while not stop.is_set():
            if not numpy.array_equal(step(size), expected[size]):
                wrong.append(size)

    threads = [threading.Thread(target=steps, args=(size,)) for size in expected]
    for thread in threads:
        thread.start()

    def work():
        for size, w in expected.items():
            if not numpy.array_equal(step(size), w):
                os._exit(1)
        step(100, {"centered": True})

    found = []
    for _ in range(50):
        time.sleep(random.uniform(0, 0.05))
        found += ended([fork(work)])
    stop.set()
    for thread in threads:
        thread.join()
    print(len(found), sum(map(abs, found)), wrong)
    """
    )
    assert run(source, RMSPROP_NUM_THREADS="2", timeout=600) == "50 0 []"
