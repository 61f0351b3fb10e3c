"""A whole step in compiled code: its phases one after the other."""

from rmsprop._core.cpu import norms, pools
from rmsprop._core.cpu.modes import compute_exactly, restore
from rmsprop._core.cpu.target import part
from rmsprop._core.cpu.words import call, read
from rmsprop._core.tables import COUNTERS, HEAD, JOB, JOB_WORDS, MEASURE, NOTHING, columns

_GIVEN, _NORM_JOBS, _NORMS, _STEP_JOBS, _STEPS = columns(HEAD, "given", "norm_jobs", "norms", "step_jobs", "steps")
_POOL, _JOB_BYTES = HEAD.index("pool"), 8 * JOB_WORDS
_KERNEL, _THREADS = (COUNTERS + number for number in columns(JOB, "kernel", "threads"))


@part
def _lead_all(head, jobs, count):
    job, pool = head + jobs, read(head, _POOL)
    end = job + _JOB_BYTES * count
    while job < end:
        if pool != 0 and read(job, _THREADS) > 1:
            call(read(pool, pools.LEAD), job)
        else:
            pools.begin(job)
            call(read(job, _KERNEL), job)
        job += _JOB_BYTES


def execute(head):
    """Do a step: squares, scales of gradients, and the launches; see `rmsprop._core.tables`."""
    mode = compute_exactly()
    given = read(head, _GIVEN)
    if given <= NOTHING:
        _lead_all(head, read(head, _NORMS), read(head, _NORM_JOBS))
        norms.fold(head)
    if given != MEASURE:
        norms.prepare(head)
    if given >= NOTHING:
        _lead_all(head, read(head, _STEPS), read(head, _STEP_JOBS))
    restore(mode)
