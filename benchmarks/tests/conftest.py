"""The benchmark's tests: those that need no framework, and a module for each framework, which is a process of its own.

Modules `test_on_*` are run where they are named, as `tests/run.py` does, and not with the folder.
"""

import os
import sys

import pytest

collect_ignore_glob = ["test_on_*.py"]

# Read when a framework is imported.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

#: Keras's own way from its variables to NumPy lacks a keyword that NumPy 2 wants; and torch's word on Python 3.13.0,
#: about its own guards.
QUIET = (
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning",
    "ignore:Guards may run slower on Python 3.13.0:RuntimeWarning",
)


def pytest_collection_modifyitems(items):
    """Let no warning of a framework's own be an error."""
    for item in items:
        for text in QUIET:
            item.add_marker(pytest.mark.filterwarnings(text))


def pytest_sessionfinish(session, exitstatus):
    """Fail a session of modules that need no framework and loaded one."""
    if exitstatus != 0 or any(item.path.name.startswith("test_on_") for item in session.items):
        return
    foreign = {"tensorflow", "torch", "jax"} & set(sys.modules)
    if foreign:
        print(f"\nthe benchmark's tests without a framework loaded {', '.join(sorted(foreign))}")
        session.exitstatus = 1
