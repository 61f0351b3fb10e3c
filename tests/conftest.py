"""What all folders share: no folder's tests may load another's framework; what may be missing is left out."""

import gc
import os
import sys

import matrix
import oldest
import pytest
import quick
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
    """A module of tests, skipped without a package that it needs, if `tests/common/quick.py` lets that be missing."""

    def collect(self):
        selection = self.config.option.markexpr
        excused = quick.excused(quick.NEEDS.get(self.path.parent.name, ()), selection)
        if excused:
            pytest.skip(f"{' and '.join(excused)} not installed")
        try:
            return super().collect()
        except self.CollectError as error:
            cause = error.__cause__
            while cause is not None and not isinstance(cause, ModuleNotFoundError):
                cause = cause.__cause__
            package = (getattr(cause, "name", None) or "rmsprop").partition(".")[0]
            if not quick.excused([package], selection):
                raise
            pytest.skip(f"{package} not installed")


def pytest_pycollect_makemodule(module_path, parent):
    return Module.from_parent(parent, path=module_path)


def pytest_ignore_collect(collection_path, config):
    """Leave out the modules, and so what they import, that `-m quick` runs no test of."""
    if config.option.markexpr == "quick" and collection_path.match("test_*.py"):
        return not quick.is_chosen(f"{collection_path.parent.name}/{collection_path.name}") or None
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items, config):
    """Mark what `tests/common/quick.py` names, and what `make test` leaves out."""
    matrix.mark_the_rest(items)
    names = {
        item: "::".join([f"{item.path.parent.name}/{item.path.name}", *item.nodeid.split("::")[1:]]) for item in items
    }
    for item, name in names.items():
        if quick.is_chosen(name):
            item.add_marker("quick")
        if oldest.jax_is_traced() and item.path.parent.name in oldest.JAX:
            # The first step of the process says so, in whichever test that is.
            item.add_marker(pytest.mark.filterwarnings(f"ignore:{oldest.WARNING}:UserWarning"))
    if config.option.markexpr == "quick" and all(os.path.isdir(one) for one in config.args):
        for folder in {item.path.parent.name for item in items}:
            for chosen in quick.CHOSEN.get(folder, ()):
                if not any(name.startswith(f"{folder}/{chosen}") for name in names.values()):
                    raise pytest.UsageError(f"tests/common/quick.py names {folder}/{chosen}, but there is no such test")


def pytest_collection_finish():
    """Let the garbage collector pass over what the frameworks' modules hold, which takes it most of a second each time.

    Many tests call it, and it comes by itself while a graph is traced. Nothing that a test makes is there yet.
    """
    gc.collect()
    gc.freeze()
    # Compiling and tracing make millions of objects, few of them garbage: with the usual thresholds (700, 10, 10)
    # the collector takes a sixth of the time of tests that compile.
    gc.set_threshold(20_000, 20, 20)


def pytest_unconfigure():
    """Let the modules be collected at the end: libraries report objects that are left."""
    gc.unfreeze()


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
