"""The part of a step that is the backend's: one module for each of Keras's."""

from functools import cache
from importlib import import_module
from typing import Any, Final

import keras

from rmsprop._core import versions

_KNOWN: Final = ("tensorflow", "jax", "torch")

#: Whether this thread is in one of Keras's stateless scopes, in which values stand for variables.
in_stateless_scope: Final = versions.lookup(
    "rmsprop.keras", "keras", "keras.src.backend.common.stateless_scope", "in_stateless_scope"
)


@cache
def backend() -> Any:
    """Return the module for the backend that Keras runs on.

    Raises:
        ImportError: the backend computes no gradients, or is too old.
    """
    name = keras.backend.backend()
    if name not in _KNOWN:
        raise ImportError(
            f"rmsprop.keras steps variables of {', '.join(_KNOWN)}, and Keras runs on {name}: set KERAS_BACKEND "
            "before keras is imported"
        )
    versions.check(f"rmsprop.keras on {name}", name)
    return import_module(f"rmsprop._keras.{name}")
