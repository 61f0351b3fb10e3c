"""What JAX compiles; and where XLA takes no handler of ours, there are no native steps to look at."""

import logging

import compiled_once
import jax
import oldest
import pytest

compiled_once.keep()

#: Modules of tests of native steps in which others are told apart by their names.
SOME = {
    "test_native_elsewhere.py": {"test_switch"},
    "test_native_transformations.py": {"test_native"},
    "test_native_argument.py": {"test_what_decides", "test_what_is_explained", "test_a_transformation_by_our_kernels"},
}


def needs_native_steps(item):
    name = item.path.name
    return name.startswith("test_native_") and (name not in SOME or item.originalname in SOME[name])


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.filterwarnings(f"ignore:{compiled_once.WARNING}:UserWarning"))
    if oldest.jax_is_traced():
        for item in filter(needs_native_steps, items):
            item.add_marker(pytest.mark.skip(reason="native steps need jaxlib 0.9"))


class Compilations(logging.Handler):
    """Lists what JAX says it compiles."""

    def __init__(self):
        super().__init__()
        self.found = []

    def emit(self, record):
        if record.getMessage().startswith("Compiling"):
            self.found.append(record.getMessage())


@pytest.fixture
def compilations():
    """What was compiled so far, as JAX says it."""
    handler, logger = Compilations(), logging.getLogger("jax")
    logger.addHandler(handler)
    with jax.log_compiles():
        yield handler.found
    logger.removeHandler(handler)


@pytest.fixture
def compiled_steps(compilations):
    """A function that counts the compilations of steps, which a user compiles or the optimizer."""
    names = "jit(_step)", "jit(apply_gradients)"
    return lambda: sum(any(name in one for name in names) for one in compilations)
