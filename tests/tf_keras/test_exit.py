"""The end of the process, and of optimizers, while values and variables live: clean, with status 0."""

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
    "nothing": "",
    "the optimizer first": "del step, optimizer; gc.collect()",
    "the variables first": "del variables; step = None; gc.collect()",
    "tensors last": "del step, optimizer, variables; gc.collect()",
    "views last": "del step, optimizer, variables, held; gc.collect()",
    "one by one": "del views, held; gc.collect(); del variables; gc.collect(); del step, optimizer; gc.collect()",
    "more steps after a collection": "del held; gc.collect(); [step() for _ in range(5)]",
    "a daemon that reads": """
    def read():
        while True:
            numpy.asarray(memoryview(variables[1].read_value())).sum()
    threading.Thread(target=read, daemon=True).start()
    for _ in range(20):
        step()
    """,
    "a daemon that steps": """
    def work():
        while True:
            step()
    threading.Thread(target=work, daemon=True).start()
    for _ in range(20):
        variables[1].read_value()
    """,
    "values in a cycle": "cycle = [held, step, optimizer]; cycle.append(cycle); del held, step, optimizer",
    "values in a module": "import json; json.held, json.variables = held, variables; del held, variables",
    "a step at exit": "import atexit; atexit.register(step)",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_process_ends_cleanly(ending):
    lines = ENDINGS[ending].strip().splitlines()
    source = PREPARED + "".join(f"    {line.removeprefix('    ')}\n" for line in lines)
    source += "    assert all((view == old).all() for view, old in zip(globals().get('views', []), before))\n"
    source += "    print('done')\n"
    assert run(source, CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3") == "done"


def test_a_value_that_is_freed_after_the_interpreter():
    """TensorFlow's runtime holds variables until the process has ended; nothing of Python's is left then."""
    source = (
        PREPARED
        + """
    import os, sys
    sys.stdout.write("done"); sys.stdout.flush()
    context = tf.compat.v1.get_default_graph  # keep TensorFlow's modules
    sys.modules["keeper"] = type(sys)("keeper")
    sys.modules["keeper"].everything = [variables, held, views, step, optimizer]
    """
    )
    assert run(source, CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3") == "done"
