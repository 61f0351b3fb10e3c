"""Where XLA takes no handler of ours, there are no native steps to look at."""

import oldest
import pytest


def needs_native_steps(item):
    """Whether a test is of them; most of those of transformations show what traced steps ask of JAX, too."""
    if item.path.name == "test_native_transformations.py":
        return item.originalname == "test_native"
    return item.path.name.startswith("test_native_")


def pytest_collection_modifyitems(items):
    if oldest.jax_is_traced():
        for item in filter(needs_native_steps, items):
            item.add_marker(pytest.mark.skip(reason="native steps need jaxlib 0.9"))
