"""Eager code that does not wait for its operations, and a process that ends before they are done."""

from textwrap import dedent

import pytest

PREPARED = """
    import threading, time, warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf
    from rmsprop.tf_keras import RMSprop
    w = tf.Variable(tf.ones(100_000))
    optimizer = RMSprop(0.1, momentum=0.9)
    optimizer.build([w])
    function = tf.function(lambda: optimizer.apply_gradients([(w * 1.0, w)]))
    def eager():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(w**2)
        optimizer.apply_gradients([(tape.gradient(loss, w), w)])
"""

ASYNCHRONOUS = "    tf.config.experimental.set_synchronous_execution(False)\n"

PROGRAMS = {
    "eager steps": PREPARED + ASYNCHRONOUS + "    for _ in range(20): eager()\n    w.numpy()",
    "functions": PREPARED + ASYNCHRONOUS + "    for _ in range(20): function()\n    w.numpy()",
    "switched between": PREPARED + "    eager()\n" + ASYNCHRONOUS + "    for _ in range(20): eager()\n    w.numpy()",
    "an end without waiting": PREPARED + ASYNCHRONOUS + "    for _ in range(20): eager(); function()",
    "an end while a thread steps": PREPARED
    + """
    function()
    def work():
        while True: function()
    threading.Thread(target=work, daemon=True).start()
    time.sleep(0.2)
    """,
}


@pytest.mark.parametrize(
    "program", [next(iter(PROGRAMS)), *(pytest.param(one, marks=pytest.mark.slow) for one in [*PROGRAMS][1:])]
)
def test_it_ends(program, loaded):
    source = dedent(PROGRAMS[program]) + "\nprint('done')"
    assert loaded.run(source) == "done"
