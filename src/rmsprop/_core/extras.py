"""The packages that a front end needs besides this one, and how to install them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rmsprop._core import versions

#: Extra, by the name of its front end -> the packages that it installs, by import name.
EXTRAS: Final = {
    "cli": ("autograd", "matplotlib", "rich", "sklearn", "threadpoolctl"),
    "jax": ("jax", "jaxlib", "optax"),
    "keras": ("keras",),
    "tf_keras": ("tensorflow", "tf_keras"),
    "torch": ("torch",),
}

#: The front ends that are loaded when they are first used; each has the name of its extra.
FRONT_ENDS: Final = ("jax", "keras", "tf_keras", "torch")


def installed(extra: str) -> bool:
    """Whether the packages of an extra are installed, found without loading them."""
    from importlib.util import find_spec

    try:
        return all(find_spec(module) is not None for module in EXTRAS[extra])
    except ImportError:  # as a user's own finder may raise it
        return False
    except ValueError:  # a module that replaces one has no spec
        return True


def advice(missing: ModuleNotFoundError) -> str:
    """Return how to install a package that was not found; "" if no extra has it. None has a package's submodule."""
    module = missing.name
    for extra, modules in EXTRAS.items():
        if module in modules:
            # With a hyphen, as in the metadata: a pip before 23.3 knows no other spelling and installs nothing.
            named = extra.replace("_", "-")
            return f'needs the package {module}: pip install ".[{named}]" in the folder of rmsprop\'s sources'
    return ""


@contextmanager
def naming_the_extra(front_end: str) -> Iterator[None]:
    """Replace the error of an import of a framework, or of a part of it, by one with the remedy.

    Raises:
        ModuleNotFoundError: a package or a module of it was not found.
        ImportError: a module does not have a name that is imported from it.
    """
    try:
        yield
    except ImportError as error:
        text = advice(error) if isinstance(error, ModuleNotFoundError) else ""
        text = f"{front_end} {text}" if text else versions.gone(front_end, error)
        if not text:
            raise
        raise type(error)(text, name=error.name, path=error.path) from error
