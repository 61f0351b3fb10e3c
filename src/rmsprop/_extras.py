"""The packages that a front end needs beside this one, and how they are installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: Extra -> the packages that it installs, by import name.
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
    """Whether the packages of an extra are there; none is loaded to find out."""
    from importlib.util import find_spec

    try:
        return all(find_spec(module) is not None for module in EXTRAS[extra])
    except ImportError:  # as a finder of somebody's own may say it
        return False
    except ValueError:  # a module that was put in the place of one has no spec
        return True


def advice(missing: ModuleNotFoundError) -> str:
    """Say how to install a package that was not found; "" if no extra has it."""
    module = (missing.name or "").partition(".")[0]
    for extra, modules in EXTRAS.items():
        if module in modules:
            return f'needs the package {module}: pip install ".[{extra}]" in the folder of rmsprop\'s sources'
    return ""


@contextmanager
def naming_the_extra(front_end: str) -> Iterator[None]:
    """Let an import that fails for want of a framework say what brings it.

    Args:
        front_end: the module that imports, for the error text.

    Raises:
        ModuleNotFoundError: a package was not found.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if text := advice(error):
            raise ModuleNotFoundError(f"{front_end} {text}", name=error.name, path=error.path) from error
        raise
