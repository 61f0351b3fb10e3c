"""Large matrices of options: of the rows of a test that is marked `matrix`, `make test` runs some, `make test-all` all.

Which ones follows from their names, so it does not change with the order, nor from run to run, and every value of each
option is among them as often as by chance. The pairwise rows of other tests hold what any two options do together.
"""

from zlib import crc32

import pytest

#: Rows of each test in `make test`.
ROWS = 16


def mark_the_rest(items):
    """Mark as slow what `make test` leaves out."""
    tests = {}
    for item in items:
        if item.get_closest_marker("matrix"):
            tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for rows in tests.values():
        for item in sorted(rows, key=lambda item: crc32(item.name.encode()))[ROWS:]:
            item.add_marker(pytest.mark.slow)
