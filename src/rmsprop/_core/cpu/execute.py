"""A whole step in compiled code: its phases one after the other."""

from rmsprop._core.cpu import norms, team
from rmsprop._core.cpu.modes import compute_exactly, restore
from rmsprop._core.cpu.words import read
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
    if given >= NOTHING:
        for number in range(read(head, _STEP_JOBS)):
            team.lead(head + read(head, _STEPS) + _JOB_BYTES * number)
    restore(mode)
