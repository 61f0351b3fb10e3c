"""The part of a step that is the backend's: one module for each of Keras's."""

from functools import cache
from importlib import import_module
from typing import Any, Final

import keras

from rmsprop._core import versions

_KNOWN: Final = ("tensorflow", "jax", "torch")


@cache
def backend() -> Any:
    """Give the module for the backend that Keras runs on.

    Raises:
        ImportError: it is none of those that compute gradients, or too old.
    """
    name = keras.backend.backend()
    if name not in _KNOWN:
        raise ImportError(
            f"rmsprop.keras steps variables of {', '.join(_KNOWN)}, and Keras runs on {name}: set KERAS_BACKEND "
            "before keras is imported"
        )
    versions.check(f"rmsprop.keras on {name}", name)
    return import_module(f"rmsprop._keras.{name}")
