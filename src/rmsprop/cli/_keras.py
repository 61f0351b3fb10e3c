"""Keras 3, on the backend that its user wants; Keras itself is told before it is imported, and stays with it."""

import os
import sys
from typing import Any, Final

from rmsprop.cli import CommandError
from rmsprop.cli.bench.frameworks import load

#: What Keras reads when it is imported.
VARIABLE: Final = "KERAS_BACKEND"

#: Those that compute gradients.
BACKENDS: Final = ("jax", "tensorflow", "torch")


def load_keras() -> Any:
    """Import Keras, on the backend that the environment or else its own file of settings names.

    Raises:
        CommandError: `rmsprop.keras` does not run on that backend.
        ModuleNotFoundError: Keras, or what the backend needs, is not installed.
    """
    name = os.environ.get(VARIABLE)
    if name and "keras" not in sys.modules:
        _check(name)
    keras = load("keras")
    _check(keras.backend.backend())
    return keras


def _check(backend: str) -> None:
    if backend not in BACKENDS:
        raise CommandError(f"{VARIABLE}={backend}: rmsprop.keras runs on {', '.join(BACKENDS)}")


def wish(backend: str) -> None:
    """Let Keras run on a backend, if nothing has said yet on which."""
    if "keras" not in sys.modules:
        os.environ.setdefault(VARIABLE, backend)
