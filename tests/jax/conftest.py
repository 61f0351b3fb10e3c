"""Where XLA takes no handler of ours, nothing is native that could be looked at."""

import oldest
import pytest

#: Modules of tests of native steps alone.
NATIVE = {f"test_native_{what}.py" for what in ("buffers", "compilations", "errors", "memory", "processes", "threads")}


def pytest_collection_modifyitems(items):
    if oldest.jax_is_traced():
        for item in items:
            if item.path.name in NATIVE:
                item.add_marker(pytest.mark.skip(reason="native steps need jaxlib 0.9"))
