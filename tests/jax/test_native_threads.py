"""One compiled step may run on several threads at once."""

import threading

import jax
import jax.numpy as jnp
import processes
from arrays import EVERYTHING
from native_runs import CALL, assert_same, optimizer, text


def test_threads_share_a_compiled_step(monkeypatch):
    one = optimizer(monkeypatch, **EVERYTHING)
    step = jax.jit(one.apply_gradients)
    starts = [{"kernel": jnp.full((400, 300), 1.0 + place), "bias": jnp.arange(5.0) - place} for place in range(4)]
    state = one.init(starts[0])
    assert CALL in text(one.apply_gradients, starts[0], starts[0], state)
    wanted = [step(params, params, state) for params in starts]
    failures = []

    def work(place):
        try:
            for _ in range(40):
                assert_same(step(starts[place], starts[place], state), wanted[place])
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(starts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


FIRST = """
import threading, jax, jax.numpy as jnp
from rmsprop.jax import RMSprop

together, failures = threading.Barrier(6), []

def work(size):
    try:
        one, params = RMSprop(0.5), jnp.ones(size)
        state = one.init(params)
        together.wait()
        found = one.apply_gradients(params, params, state)[0]
        assert abs(float(found[0]) - (1 - 0.5 / 0.1**0.5)) < 1e-5, found
    except BaseException as failure:
        failures.append(failure)

threads = [threading.Thread(target=work, args=(size,)) for size in range(1, 7)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(failures or "well")
"""


def test_the_first_steps_of_a_process_on_several_threads():
    assert processes.run(FIRST) == "well"
