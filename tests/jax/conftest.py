"""Where XLA takes no handler of ours, there are no native steps to look at."""

import oldest
import pytest

#: Modules of tests of native steps in which others are told apart by their names.
SOME = {"test_native_elsewhere.py": {"test_switch"}, "test_native_transformations.py": {"test_native"}}


def needs_native_steps(item):
    name = item.path.name
    return name.startswith("test_native_") and (name not in SOME or item.originalname in SOME[name])


def pytest_collection_modifyitems(items):
    if oldest.jax_is_traced():
        for item in filter(needs_native_steps, items):
            item.add_marker(pytest.mark.skip(reason="native steps need jaxlib 0.9"))
