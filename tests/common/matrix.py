"""Large matrices of options: of the rows of a test that is marked `matrix`, `make test` runs some, `make test-all` all.

Which ones follows from their names, so it does not change with the order, nor from run to run. A name is taken apart
into its words, as "momentum-clipnorm-float64" has three. Rows are chosen one after the other: first those with most
words that no row before has, then those in which most pairs of words meet for the first time. So few rows hold every
value of each option, and most of what any two options do together; and tests of the same options choose the same rows,
which share kernels. Eight rows are run, and up to ten where the ninth and the tenth have words that none before has.
Where a mark asks for fewer, for what takes long or is held elsewhere, a word may have no row. Rows that are marked
`slow` are none of them.
"""

import re
from itertools import combinations
from zlib import crc32

import pytest

#: Rows of each test in `make test`, unless its marker says how many: ``matrix(4)``.
ROWS = 8

#: Rows of a test whose words do not fit into as few.
MOST = 10


def mark_the_rest(items):
    """Mark as slow what `make test` leaves out."""
    tests = {}
    for item in items:
        marker = item.get_closest_marker("matrix")
        if marker and not item.get_closest_marker("slow"):
            tests.setdefault((item.nodeid.partition("[")[0], *marker.args), []).append(item)
    for (_, *count), rows in tests.items():
        chosen = choose({item.name.partition("[")[2] for item in rows}, *count)
        for item in rows:
            if item.name.partition("[")[2] not in chosen:
                item.add_marker(pytest.mark.slow)


def choose(names, count=ROWS):
    """Choose so many of the names of a test's rows, as a set; of `ROWS`, up to `MOST` if more bring new words."""
    most = MOST if count == ROWS else count
    # Where two are alike, the checksum chooses, which is as good as chance.
    words = {
        # No options are a word, too.
        name: set(re.split(r"[^\w.]+", name)) - {""} | set(re.findall(r"\{\}", name))
        for name in sorted(names, key=lambda one: crc32(one.encode()))
    }
    pairs = {name: set(combinations(sorted(found), 2)) for name, found in words.items()}
    chosen, met, paired = set(), set(), set()
    while len(chosen) < min(most, len(words)):
        rest = [name for name in words if name not in chosen]
        best = max(rest, key=lambda name: (len(words[name] - met), len(pairs[name] - paired)))
        if len(chosen) >= count and words[best] <= met:
            break
        chosen.add(best)
        met |= words[best]
        paired |= pairs[best]
    return chosen
