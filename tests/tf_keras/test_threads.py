"""Readers and steps on several threads: no value is torn, none that somebody holds changes, nothing ends the process.

Every variable is filled with one number and its gradient too, so that each value is one number for as long as it lives.
"""

import threading
import time

import numpy
import pytest
import runs
import tensorflow as tf

from rmsprop._tensorflow import native as _native
from rmsprop.tf_keras import RMSprop

SIZES = {"small": [1, 3, 1000], "large": [200_000, 5, 700_000, 300_000]}
SECONDS = 2.0

EVERYTHING = {"momentum": 0.9, "centered": True, "global_clipnorm": 1.0, "use_ema": True, "ema_overwrite_frequency": 7}


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch):
    monkeypatch.setattr(_native, "PART_BYTES", 4 << 20)
    monkeypatch.setattr(_native, "STREAMED", 4 << 20)


def made(sizes, options, native=True):
    variables = [tf.Variable(tf.fill([size], 2.0)) for size in SIZES[sizes]]
    optimizer = RMSprop(2.0**-7, **options, native=native)
    optimizer.build(variables)
    gradients = [[tf.fill([size], value) for size in SIZES[sizes]] for value in (1.0, -0.5, 0.25)]
    return optimizer, variables, gradients


class Readers:
    """Threads that read variables as fast as they can, look whether a value is one number, and look again later."""

    def __init__(self, variables, count=2):
        self.wrong, self.read, self._end = [], 0, threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(variables, i)) for i in range(count)]

    def _work(self, variables, seed):
        random, held = numpy.random.default_rng(seed), []
        while not self._end.is_set():
            array = numpy.asarray(memoryview(variables[random.integers(len(variables))].read_value()))
            held.append((array, array[0]))
            if len(held) > 8:
                held.pop(random.integers(len(held)))
            for one, number in held:
                if (one != number).any():
                    self.wrong.append((one.shape, number, one[one != number][0]))
            self.read += 1

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._end.set()
        for thread in self._threads:
            thread.join()


def until(seconds, step, *arguments):
    """Step for so long, at least thrice; the number of steps."""
    end, count = time.monotonic() + seconds, 0
    while count < 3 or time.monotonic() < end:
        step(*arguments)
        count += 1
    return count


@pytest.mark.parametrize("way", [pytest.param("eager", marks=pytest.mark.slow), "function"])
@pytest.mark.parametrize("sizes", SIZES)
def test_readers_never_see_a_value_change(sizes, way):
    """Thousands of steps of the small ones, hundreds of the large ones."""
    optimizer, variables, gradients = made(sizes, EVERYTHING)
    step = runs.WAYS[way](lambda given: optimizer.apply_gradients(zip(given, variables, strict=True)))
    owners = [*variables, *optimizer.variables[1:]]
    step(gradients[0])
    with Readers(owners) as readers:
        count = until(SECONDS, lambda: [step(given) for given in gradients])
    assert not readers.wrong
    assert readers.read > 20
    assert optimizer.iterations.numpy() == 3 * count + 1
    for owner in owners:
        assert len(set(owner.numpy())) == 1


@pytest.mark.parametrize("sizes", SIZES)
def test_two_threads_call_the_same_step(sizes):
    """Their steps may mix, as with any variables of TensorFlow; but each variable gets whole values of one of them."""
    optimizer, variables, gradients = made(sizes, {"momentum": 0.5})
    step = tf.function(lambda given: optimizer.apply_gradients(zip(given, variables, strict=True)))
    step(gradients[0])
    counts, errors = [], []

    def work(given):
        try:
            counts.append(until(SECONDS, step, given))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(given,)) for given in gradients]
    with Readers(variables, 1) as readers:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors
    assert not readers.wrong
    assert optimizer.iterations.numpy() == sum(counts) + 1
    for variable in variables:
        assert len(set(variable.numpy())) == 1
        assert numpy.isfinite(variable.numpy()[0])


@pytest.mark.parametrize("way", ["eager", "function"])
@pytest.mark.matrix(1)
def test_threads_with_optimizers_of_their_own(way):
    """Each comes to what it comes to alone."""

    def trajectory(found, place, rendezvous=None):
        optimizer, variables, gradients = made("large", EVERYTHING)
        step = runs.WAYS[way](lambda given: optimizer.apply_gradients(zip(given, variables, strict=True)))
        if rendezvous is not None:
            rendezvous.wait()
        for i in range(20 + place):
            step(gradients[i % 3])
        found[place] = [variable.numpy() for variable in (*variables, *optimizer.variables)]

    alone, together, rendezvous = {}, {}, threading.Barrier(3)
    threads = [threading.Thread(target=trajectory, args=(together, place, rendezvous)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place in range(3):
        trajectory(alone, place)
        for one, other in zip(together[place], alone[place], strict=True):
            runs.assert_bits(one, other)


def test_the_first_steps_of_many_threads(loaded):
    """All make, trace and register at once, in a process in which nothing of ours has run."""
    source = """
        import threading, warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tensorflow as tf
        from rmsprop.tf_keras import RMSprop
        rendezvous, done = threading.Barrier(6), []

        def work(eager):
            optimizer, w = RMSprop(1.0, rho=1.0, epsilon=1.0), tf.Variable(tf.zeros(1000))
            optimizer.build([w])
            step = lambda: optimizer.apply_gradients([(-tf.ones(1000), w)])
            step = step if eager else tf.function(step)
            rendezvous.wait()
            for _ in range(50):
                step()
            assert (w.numpy() == 50).all()
            done.append(0)

        threads = [threading.Thread(target=work, args=(i % 2,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(len(done))
    """
    assert loaded.run(source) == "6"
