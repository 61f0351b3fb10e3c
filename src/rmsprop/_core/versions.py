"""Versions of the frameworks that front ends run on, and the errors for others."""

import re
import sys
from importlib import import_module
from typing import Any, Final

#: Package -> the oldest version that a front end runs on, as in pyproject.toml, and the newest that was tried.
TRIED: Final = {
    "numpy": ("2.0", "2.5.5"),
    "tensorflow": ("2.18.1", "2.21.0"),
    "tf_keras": ("2.18", "2.21.0"),
    "torch": ("2.6", "2.13.0"),
    "jax": ("0.8", "0.12.0.1"),
    "optax": ("0.2.4", "0.2.8"),
    "keras": ("3.11", "3.15.1"),
}


def numbers(version: str) -> tuple[int, ...]:
    """Return the whole numbers at the beginning of a version, for comparisons; () if it begins otherwise."""
    found = re.match(r"[\d.]*", version)
    return tuple(int(number) for number in found[0].split(".") if number) if found else ()


def check(front_end: str, *packages: str) -> None:
    """Raise an ImportError if a package is too old for a front end, or has no version.

    A folder of the package's name on the path has none. `packages` are keys of `TRIED`.
    """
    for package in packages:
        module, oldest = import_module(package), TRIED[package][0]
        found = getattr(module, "__version__", None)
        if found is None:
            raise ImportError(f"{front_end} needs {package} {oldest} or newer, and {module!r} has no version")
        if numbers(found) < numbers(oldest):
            raise ImportError(
                f"{front_end} needs {package} {oldest} or newer, and this is {package} {found}: "
                f'pip install --upgrade "{package}>={oldest}"'
            )


def lookup(front_end: str, package: str, module: str, name: str) -> Any:
    """Return a name of a package that is not part of its public interface, or raise an ImportError."""
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ImportError(_lost(front_end, package, f"{module}.{name}")) from error


def gone(front_end: str, error: ImportError) -> str:
    """Return the error text for a module or a name that a package does not have; "" if the error is another."""
    module = error.name or ""
    package = module.partition(".")[0]
    if package not in TRIED or not hasattr(sys.modules.get(package), "__version__"):
        return ""  # another package, or one whose own import failed
    if isinstance(error, ModuleNotFoundError):
        return _lost(front_end, package, module)
    name = re.match(r"cannot import name '(\w+)'", error.msg)
    return _lost(front_end, package, f"{module}.{name[1]}") if name else ""


def _lost(front_end: str, package: str, name: str) -> str:
    oldest, newest = TRIED[package]
    return (
        f"{front_end} needs {name}, which {package} {import_module(package).__version__} does not have: "
        f"{package} {oldest} to {newest} were tried"
    )
