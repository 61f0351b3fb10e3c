"""The end of a process, and of optimizers, while values and variables live: clean, with status 0."""

import json
from textwrap import dedent

#: What each process has loaded. No operation of TensorFlow's has run, as its threads would be lost in a child.
PREPARED = """
    import gc, json, os, sys, threading, warnings
    from types import SimpleNamespace
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf
    import numpy
    from rmsprop._tensorflow import native
    from rmsprop.tf_keras import RMSprop
    native.PART_BYTES = 1 << 20

    def prepared():
        variables = [tf.Variable(tf.ones(size)) for size in (3, 300_000, 500_000)]
        optimizer = RMSprop(momentum=0.9, use_ema=True, global_clipnorm=1.0)
        step = tf.function(lambda: optimizer.apply_gradients([(variable * 0.5, variable) for variable in variables]))
        for _ in range(5):
            step()
        optimizer.apply_gradients([(variable * 0.5, variable) for variable in variables])
        held = [variable.read_value() for variable in (*variables, *optimizer.variables)]
        views = [numpy.asarray(memoryview(value)) for value in held[:3]]
        before = [view.copy() for view in views]
        return SimpleNamespace(**locals())
"""

#: What a program may do with all that before it ends; `kept` are views of values, with what they showed before.
ENDINGS = {
    "daemons step on": """
        import ctypes
        if hasattr(ctypes.CDLL(None), "mallopt"):
            ctypes.CDLL(None).mallopt(-6, 165)  # M_PERTURB: what is freed is written over
        globals().update(vars(prepared()))
        kept = [*zip(views, before)]
        def work():
            while True:
                step()
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        for _ in range(20):
            variables[1].read_value()
    """,
    "views last, and variables last": """
        one, other = prepared(), prepared()
        del one.step, one.optimizer, one.variables, one.held
        del other.step, other.optimizer, other.held, other.views
        gc.collect()
        kept = [*zip(one.views, one.before)]
    """,
    "with everything alive, a step at exit, and values that the last module holds": """
        import atexit, sys
        globals().update(vars(prepared()))
        last = prepared()
        kept = [*zip(views, before), *zip(last.views, last.before)]
        atexit.register(last.step)
        sys.modules["keeper"] = type(sys)("keeper")
        sys.modules["keeper"].everything = [last.variables, last.held, last.views, last.step, last.optimizer]
    """,
}

#: A child for each program, which comes to its end as any process does.
CHILDREN = """
    source = None
    for program in json.loads(sys.argv[1]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads
            child = os.fork()
        if child == 0:
            source = program
            break
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    if source is not None:
        exec(source)
        for view, old in kept:
            assert (view == old).all()
        print(len(kept), "done", flush=True)
"""


def test_a_process_ends_cleanly(loaded):
    """Whatever it has left, in each of `ENDINGS`."""
    programs = json.dumps([dedent(one) for one in ENDINGS.values()])
    printed = loaded.run(dedent(PREPARED) + dedent(CHILDREN), programs)
    expected = [[f"{6 if 'module' in ending else 3} done", "0"] for ending in ENDINGS]
    assert printed.splitlines() == [line for lines in expected for line in lines]
