"""A package that is not installed, as far as imports can tell."""

import sys


class Missing:
    """A finder for the front of ``sys.meta_path`` that does not find `package`.

    ``None`` in ``sys.modules`` is shorter; but SciPy stumbles over it, and an import of a submodule then blames that.
    """

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def hide(package):
    """Let this process no longer find a package that it has not loaded yet."""
    sys.meta_path.insert(0, Missing(package))
