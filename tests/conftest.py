"""What all folders share: no folder's tests may load another's framework, and what is not installed is not tested."""

import os
import sys
from importlib.machinery import PathFinder

import pytest
from hypothesis import settings

# A developer's runs look for new counterexamples; CI, which judges somebody's change, repeats the same examples.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

FRAMEWORKS = {"tensorflow", "torch", "jax"}

#: What a folder's tests may load. TensorFlow imports JAX where it is installed, and
#: Keras TensorFlow on any backend; Triton is handed torch tensors.
ALLOWED = {
    "tensorflow": {"tensorflow", "jax"}, "tf_keras": {"tensorflow", "jax"}, "torch": {"torch"}, "jax": {"jax"},
    "jax_sharded": {"jax"},
    "triton": {"torch"}, "triton_ptx": {"torch"}, "cuda": {"torch"},
    "tf_distribute": {"tensorflow", "jax"}, "tf_dtensor": {"tensorflow", "jax"},
    "clients": {"torch"},
    "keras_tensorflow": {"tensorflow", "jax"}, "keras_strategies": {"tensorflow", "jax"},
    "keras_jax": FRAMEWORKS - {"torch"}, "keras_torch": FRAMEWORKS,
}  # fmt: skip


class Module(pytest.Module):
    """A module of tests that is skipped where it imports a package which is not installed."""

    def collect(self):
        try:
            return super().collect()
        except self.CollectError as error:
            package = missing(error.__cause__)
            if package is None:
                raise
            pytest.skip(f"{package} is not installed")


def missing(error):
    """Give the package whose import failed because it is not installed; None for other errors and modules of ours."""
    while error is not None and not isinstance(error, ModuleNotFoundError):
        error = error.__cause__
    if error is None or not error.name:
        return None
    package = error.name.partition(".")[0]
    return None if package == "rmsprop" or PathFinder.find_spec(package) else package


def pytest_pycollect_makemodule(module_path, parent):
    return Module.from_parent(parent, path=module_path)


def pytest_sessionfinish(session, exitstatus):
    """Fail a session in which the tests of one folder loaded the framework of another; see `tests/run.py`."""
    folders = {item.path.parent.name for item in session.items}
    if exitstatus != 0 or len(folders) != 1:
        return
    folder = folders.pop()
    foreign = FRAMEWORKS & set(sys.modules) - ALLOWED.get(folder, set())
    if foreign:
        print(f"\ntests/{folder} loaded {', '.join(sorted(foreign))}")
        session.exitstatus = 1
