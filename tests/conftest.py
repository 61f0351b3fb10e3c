"""What all folders share: no folder's tests may load another's framework."""

import sys

FRAMEWORKS = {"tensorflow": "tensorflow", "torch": "torch", "jax": "jax", "triton": "torch"}


def pytest_sessionfinish(session, exitstatus):
    """Fail a session in which the tests of one folder loaded the framework of another; see `tests/run.py`."""
    folders = {item.path.parent.name for item in session.items}
    allowed = {FRAMEWORKS.get(folder) for folder in folders}
    loaded = {name for name in set(FRAMEWORKS.values()) if name in sys.modules}
    if exitstatus == 0 and len(folders) == 1 and loaded - allowed:
        print(f"\n{folders.pop()}: loaded {', '.join(sorted(loaded - allowed))}")
        session.exitstatus = 1
