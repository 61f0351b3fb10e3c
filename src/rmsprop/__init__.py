"""RMSprop exactly as Keras 2 defines it, for NumPy, tf_keras, PyTorch, JAX and Keras 3.

`RMSprop` here is the one for NumPy arrays. Importing this loads NumPy and nothing heavier; the submodules `schedules`
and `recipes` are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rmsprop._rows import RowSparse
from rmsprop.numpy import RMSprop

if TYPE_CHECKING:
    from rmsprop import recipes, schedules

__version__ = "0.1.0"

__all__ = ["RMSprop", "RowSparse", "__version__", "recipes", "schedules"]


def __getattr__(name: str) -> Any:
    if name in ("recipes", "schedules"):
        return import_module(f"rmsprop.{name}")
    raise AttributeError(f"module 'rmsprop' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
