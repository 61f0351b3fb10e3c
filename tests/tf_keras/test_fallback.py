"""Ways in which native steps of TensorFlow's are lost: each is fallen back from, in the numbers of traced steps."""

import fallbacks
import pytest

TENSORFLOW = """
import tensorflow as tf
import tensorflow.python.eager.context, tensorflow.python.framework.kernels
import tensorflow.python.framework.op_def_registry, tensorflow.python.ops.control_flow_util

def explain():
    from rmsprop.tf_keras import RMSprop
    return RMSprop().explain([tf.Variable(start)])

compiled = False

def step(native):
    from rmsprop.tf_keras import RMSprop
    w, optimizer = tf.Variable(start), RMSprop(**options, native=native)
    step = lambda: optimizer.apply_gradients([(tf.convert_to_tensor(w), w)])
    step = tf.function(step) if compiled else step
    for _ in range(steps):
        step()
    return w.numpy()
"""

WAYS = [
    ("take('tensorflow.python.framework.op_def_registry')", "does not have what they need: "),
    ("take('tensorflow.python.framework.op_def_registry', 'get')", "does not have what they need: AttributeError: "),
    ("take('tensorflow.python.framework.kernels', 'get_registered_kernels_for_op')", "they need: ImportError: "),
    ("take('tensorflow.python.ops.control_flow_util', 'GraphOrParentsInXlaContext')", "does not tell whether XLA"),
    ("take('tensorflow.python.ops.control_flow_util')", "does not tell whether XLA"),
    ("instead('TF_NewKernelBuilder', None)", "they need: AttributeError: undefined symbol: TF_NewKernelBuilder"),
    ("instead('TF_TensorData', None)", "they need: AttributeError: undefined symbol: TF_TensorData"),
    ("tf.sysconfig.get_lib = lambda: os.devnull", "they need: OSError: there is no libtensorflow_framework"),
    (
        """
def refuse(name, builder, status):
    from rmsprop._tensorflow import interface
    import ctypes
    interface.library().TF_SetStatus(ctypes.c_void_p(status), 3, b"no kernels any more")
instead("TF_RegisterKernelBuilder", refuse)
""",
        "TensorFlow does not take our operation: no kernels any more",
    ),
    ("instead('TF_RegisterKernelBuilder', lambda name, builder, status: None)", "does not find our operation"),
]


NUMBA = [
    ("take('numba')", "Numba cannot be loaded: ModuleNotFoundError: "),
    ("os.environ['NUMBA_DISABLE_JIT'] = '1'", "NUMBA_DISABLE_JIT=1 keeps Numba from compiling"),
]


#: In a function.
COMPILED = [(f"globals().update(compiled=True)\n{way}", said) for way, said in NUMBA]


def test_some_ways():
    """A function of C and Numba are not there, Numba in a function."""
    fallbacks.check(TENSORFLOW, [WAYS[5], COMPILED[0]])


@pytest.mark.slow
def test_every_way():
    """Eagerly, and without Numba in a function as well."""
    fallbacks.check(TENSORFLOW, [*WAYS, *NUMBA, *COMPILED])
