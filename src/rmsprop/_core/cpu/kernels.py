"""The compiled functions by what they are for: found on disk or compiled, and known by their addresses.

Each is a C function, so that compiled code of any framework may call it: ``void kernel(int64 job)`` for a launch,
``void execute(int64 head)`` for a whole step.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from numba.core import sigutils
from numba.core.ccallback import CFunc

from rmsprop._core import scales
from rmsprop._core.cpu import gather, looks, norms, pieces, step, team
from rmsprop._core.cpu.cache import KernelCache
from rmsprop._core.cpu.modes import compute_exactly, restore
from rmsprop._core.cpu.words import read
from rmsprop._core.forks import compiling
from rmsprop._core.tables import HEAD, JOB_WORDS, MEASURE, NOTHING

_GIVEN, _NORM_JOBS, _NORMS, _STEP_JOBS, _STEPS = (
    HEAD.index(name) for name in ("given", "norm_jobs", "norms", "step_jobs", "steps")
)
_JOB_BYTES = 8 * JOB_WORDS


def execute(head):
    """Do a step: squares, what gradients are multiplied by, and the launches; see `rmsprop._core.tables`."""
    mode = compute_exactly()
    given = read(head, _GIVEN)
    if given <= NOTHING:
        for number in range(read(head, _NORM_JOBS)):
            team.lead(head + read(head, _NORMS) + _JOB_BYTES * number)
        norms.fold(head)
    if given != MEASURE:
        norms.prepare(head)
        for number in range(read(head, _STEP_JOBS)):
            team.lead(head + read(head, _STEPS) + _JOB_BYTES * number)
    restore(mode)


_WORD: Final = "void(int64)"
_TWO_WORDS: Final = "void(int64, int64)"

#: What serves every step: the function, its signature, and the modules that it is made of.
_ENTRIES: Final = {
    "execute": (execute, _WORD, (sys.modules[__name__], norms, scales, gather, pieces, team)),
    "serve": (team.serve, _TWO_WORDS, (team,)),
    "dismiss": (team.dismiss, _TWO_WORDS, (team,)),
    "look": (looks.look, "int64(int64)", (looks,)),
}

_found: dict[Any, CFunc] = {}


def entry(name: str) -> int:
    """Give the address of a function that serves every step, one of `_ENTRIES`."""
    return _address(name, name, lambda: _ENTRIES[name])


def kernel(key: Any) -> int:
    """Give the address of the kernel for a `rmsprop._core.plan.Kernel`."""
    module = step if key.work == "step" else norms
    return _address(
        key,
        pieces.name_of(key),
        lambda: (pieces.over_pieces(key, module.make(key)), _WORD, (module, gather, pieces)),
    )


def _address(key: Any, name: str, need: Callable[[], tuple[Any, str, Sequence[Any]]]) -> int:
    found = _found.get(key)
    if found is None:
        with compiling():
            found = _found.get(key)
            if found is None:
                function, signature, modules = need()
                found = CFunc(function, sigutils.normalize_signature(signature), {}, {"error_model": "numpy"})
                found._cache = KernelCache(name, tuple(module.__file__ for module in modules))
                found.compile()
                _found[key] = found
    address: int = found.address
    return address
