"""The benchmark's tests: those that need no framework, and a module for each framework, which is a process of its own.

Modules `test_on_*` are run where they are named, as `tests/run.py` does, and not with the folder.
"""

import os
import sys

collect_ignore_glob = ["test_on_*.py"]

# Read when a framework is imported.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_sessionfinish(session, exitstatus):
    """Fail a session of modules that need no framework and loaded one."""
    if exitstatus != 0 or any(item.path.name.startswith("test_on_") for item in session.items):
        return
    foreign = {"tensorflow", "torch", "jax"} & set(sys.modules)
    if foreign:
        print(f"\nthe benchmark's tests without a framework loaded {', '.join(sorted(foreign))}")
        session.exitstatus = 1
