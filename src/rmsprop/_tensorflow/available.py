"""Whether TensorFlow has what native steps need: tried once, because TensorFlow promises little of it."""

from functools import cache
from importlib import import_module
from typing import Any

import tensorflow as tf

from rmsprop._core.fallback import Refused, attempt, kernels


def problem() -> str:
    """Return why no step of this process can be native; "" if steps can, after our operation is registered."""
    return kernels() or _tensorflow()


@cache
def _tensorflow() -> str:
    return attempt(f"TensorFlow {tf.__version__} does not have what they need", _try)


def _try() -> None:
    from rmsprop._tensorflow import native, operation

    assert native  # imports everything that a native step needs
    if not hasattr(tf.__internal__.EagerTensor, "_numpy_internal"):
        raise Refused(f"an eager tensor of TensorFlow {tf.__version__} does not show its memory")
    if _xla_context() is None:
        raise Refused(f"TensorFlow {tf.__version__} does not tell whether XLA compiles a graph")
    operation.register()


def within_xla() -> bool:
    """Whether XLA will compile the graph that is being traced."""
    found = _xla_context()
    return found is not None and bool(found(tf.compat.v1.get_default_graph()))


@cache
def _xla_context() -> Any:
    try:
        return import_module("tensorflow.python.ops.control_flow_util").GraphOrParentsInXlaContext
    except (ImportError, AttributeError):
        return None
