"""What a native step costs without its work: the framework's call of our operation, which reads, checks and returns."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, final
from unittest.mock import patch

from bench.contenders.jax import Ours
from bench.contenders.tf_keras import InFunction
from bench.frameworks import load
from bench.models import Task

#: A step that is like no other in the process: JAX's are found by what they are made of.
_EPSILON: Final = 1.5e-7


@cache
def _nothing() -> Any:
    return load("numba").cfunc("void(int64)")(_do_nothing)


def _do_nothing(head):  # type: ignore[no-untyped-def]
    pass


@contextmanager
def _without_work() -> Iterator[None]:
    """Let steps that are made meanwhile run no kernel."""
    with patch.object(load("rmsprop._core.cpu.copies"), "entry", lambda name: _nothing().address):
        yield


def _changed(task: Task) -> Task:
    return task._replace(options={**task.options, "epsilon": _EPSILON})


@final
class InJax(Ours):
    """A jitted step of ours that leaves everything as it is."""

    def __init__(self, task: Task) -> None:
        super().__init__(_changed(task))
        with _without_work():
            self.prepare()


@final
class InTensorFlow(InFunction):
    """A step of ours in a `tf.function` that assigns new memory as it is."""

    def __init__(self, task: Task) -> None:
        super().__init__(load("rmsprop.tf_keras").RMSprop, _changed(task))
        with _without_work():
            self.prepare()
