"""The end of the process, and of optimizers, while values and variables live: clean, with status 0."""

from textwrap import dedent

import pytest
from processes import run

PREPARED = """
    import gc, threading, warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf
    import numpy
    from rmsprop.engines.tensorflow import _native
    from rmsprop.tf_keras import RMSprop
    _native.BUCKET = 1 << 20

    variables = [tf.Variable(tf.ones(size)) for size in (3, 300_000, 500_000)]
    optimizer = RMSprop(momentum=0.9, use_ema=True, global_clipnorm=1.0)
    step = tf.function(lambda: optimizer.apply_gradients([(variable * 0.5, variable) for variable in variables]))
    for _ in range(5):
        step()
    optimizer.apply_gradients([(variable * 0.5, variable) for variable in variables])
    held = [variable.read_value() for variable in (*variables, *optimizer.variables)]
    views = [numpy.asarray(memoryview(value)) for value in held[:3]]
    before = [view.copy() for view in views]
"""

#: What a program may do with all that before it ends.
ENDINGS = {
    "with everything alive": "",
    "views last": "del step, optimizer, variables, held; gc.collect()",
    "variables last": "del step, optimizer, held, views; gc.collect()",
    "a daemon steps on": """
        def work():
            while True:
                step()
        threading.Thread(target=work, daemon=True).start()
        for _ in range(20):
            variables[1].read_value()
    """,
    "a step at exit, and values that the last module holds": """
        import atexit, sys
        atexit.register(step)
        sys.modules["keeper"] = type(sys)("keeper")
        sys.modules["keeper"].everything = [variables, held, views, step, optimizer]
    """,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_process_ends_cleanly(ending):
    source = (
        dedent(PREPARED)
        + dedent(ENDINGS[ending])
        + dedent("""
        for view, old in zip(globals().get("views", []), before):
            assert (view == old).all()
        print("done")
    """)
    )
    assert run(source, CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3") == "done"
