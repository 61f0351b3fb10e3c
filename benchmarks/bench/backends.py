"""Keras 3, on the backend that its user wants; Keras itself is told before it is imported, and stays with it."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from bench.frameworks import load
from rmsprop.cli import CommandError

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


@contextmanager
def running_on(backend: str | None) -> Iterator[str]:
    """Let Keras, in this process and its children, run on a backend within a ``with`` block; yields its name.

    Args:
        backend: its name; None: the one that Keras itself chooses.

    Raises:
        CommandError: `rmsprop.keras` does not run on that backend, or Keras runs on another one already.
    """
    before = os.environ.get(VARIABLE)
    if backend is not None:
        os.environ[VARIABLE] = backend
    try:
        found = str(load_keras().backend.backend())
        if backend not in (None, found):
            raise CommandError(f"--backend {backend}: Keras runs on {found} in this process")
        # Said to children, and in the report.
        os.environ[VARIABLE] = found
        yield found
    finally:
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before


def on_cpu(keras: Any) -> AbstractContextManager[Any]:
    """Place tensors on the CPU within a ``with`` block."""
    # Of torch "cpu:0" is another device than "cpu": Keras would copy its variables there, which then get no gradients.
    scope: AbstractContextManager[Any] = keras.device("cpu" if keras.backend.backend() == "torch" else "cpu:0")
    return scope
