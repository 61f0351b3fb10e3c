"""Keras's stateless scopes, in which values stand for variables, on every backend."""

from typing import Final

from rmsprop._core import versions

#: Whether this thread is in one.
in_stateless_scope: Final = versions.lookup(
    "rmsprop.keras", "keras", "keras.src.backend.common.stateless_scope", "in_stateless_scope"
)
