"""The first steps after a pause: threads that help have gone to sleep, and arrays may have left the caches.

So are all steps of a program that steps now and then, as one that gathers experience or waits for data.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final

from bench.models import MODELS, VARIANTS, count_numbers, make_task
from bench.peers import OURS, Peer, who_can
from bench.processes import measure_in_child
from bench.timing import Budget, Step, ratio, settle, summary, take_turns, without_collections

Row = dict[str, Any]

#: Seconds between the last of some steps of a contender and the next.
PAUSES: Final = (0.0, 0.001, 0.01, 0.03, 0.1)

#: Steps before a pause, and steps that are timed together after it.
STEPS: Final = 5

#: The model whose steps are measured where none is named.
MODEL: Final = "dqn"


def measure_pauses(
    frontend: str,
    models: Sequence[str],
    variants: Sequence[str],
    peers: Sequence[str],
    budget: Budget,
    threads: int | None = None,
) -> Iterator[Row]:
    """Yield a row for each model, variant, pause and contender; "ratio" is to ours after the same pause.

    Args:
        frontend: ours.
        models: of `MODELS`.
        variants: of the options.
        peers: by name.
        budget: of a model and variant, which have a process of their own.
        threads: of all contenders; None: each contender's own.
    """
    for model, variant in product(models, variants):
        names = who_can(peers, variant)
        words = (frontend, model, variant, ",".join(names), *budget.words(), str(threads or ""))
        yield from measure_in_child("pauses", *words)["rows"]


def time_pauses(frontend: str, model: str, variant: str, everybody: Mapping[str, Peer], budget: Budget) -> list[Row]:
    """Measure a model and variant in this process, with all contenders in turns; `everybody` has ours, too."""
    shapes = MODELS[model]()
    contenders = {name: one.make(make_task(shapes, VARIANTS[variant])) for name, one in everybody.items()}
    times = time_steps({name: one.step for name, one in contenders.items()}, budget)
    common: Row = {"kind": "pauses", "frontend": frontend, "model": model, "variant": variant, "steps": STEPS}
    common |= {"tensors": len(shapes), "numbers": count_numbers(shapes)}
    return [
        {**common, "pause": pause, "peer": name, **summary(found), "ratio": ratio(found, times[pause, OURS])}
        for (pause, name), found in times.items()
    ]


def time_steps(steps: Mapping[str, Step], budget: Budget) -> dict[tuple[float, str], list[float]]:
    """Return the seconds that a step takes, one figure a round, by the pause before it and the contender."""
    with without_collections():
        for step in steps.values():
            _several(step)
        return take_turns([*product(PAUSES, steps)], budget, lambda turn: _after(turn[0], steps[turn[1]]))


def _after(pause: float, step: Step) -> float:
    settle()  # until no thread of another contender spins
    _several(step)
    if pause:
        time.sleep(pause)
    return _several(step)


def _several(step: Step) -> float:
    """Return the seconds that a step takes."""
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - start) / STEPS
