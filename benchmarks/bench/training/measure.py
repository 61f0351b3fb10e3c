"""The measurement of train steps: all contenders of a model in one process, in turns; and again in further processes.

One copy of a model is faster than another by some percent for as long as its process lives, however many steps are
timed. So the rounds of several processes are put together.
"""

import gc
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from bench.frameworks import quietly, reason
from bench.models import count_numbers
from bench.peers import OURS
from bench.processes import measure_in_child
from bench.timing import Budget, interleave, ratio, summary
from bench.training.contenders import (
    COMPILED,
    FRONTENDS,
    MODEL,
    SGD,
    WITHOUT_OPTIONS,
    Maker,
    Trains,
    base_of,
    counterpart,
)
from bench.training.jobs import MODELS, VARIANTS, Job, make_job

Row = dict[str, Any]

#: Seconds that a turn takes at least: several steps of most models, whose first ones wake threads.
TURN: Final = 0.05

#: Steps that each contender must do before it is timed: Keras's centered RMSprop on TensorFlow fails in the second one
#: where a gradient has rows twice.
TRIALS: Final = 3

#: A contender's name, and its variant of the options: "" where it has none.
Key = tuple[str, str]


def chosen(frontend: str, peers: Sequence[str] | None) -> list[str]:
    """Return the names of a front end's contenders; `peers` restricts the others' RMSprop, None does not."""
    names = list(FRONTENDS[frontend].makers())
    if peers is None:
        return names
    with_compiled = any(name.endswith(COMPILED) for name in peers)
    always = [MODEL, SGD, OURS] + ([MODEL + COMPILED, OURS + COMPILED] if with_compiled else [])
    return [name for name in names if name in (*always, *peers)]


def measure_training(
    frontend: str,
    model: str,
    variants: Sequence[str],
    names: Sequence[str],
    budget: Budget,
    processes: int = 1,
    threads: int | None = None,
) -> tuple[list[Row], dict[str, str]]:
    """Return the rows of a model, and why some contenders are left out.

    Args:
        frontend: ours.
        model: of `MODELS`.
        variants: of the options.
        names: of the contenders.
        budget: of each process.
        processes: in how many new ones to measure, one after the other; 1 measures in this one.
        threads: of all contenders in new processes; None: each contender's own.
    """
    if processes == 1:
        runs = [time_training(frontend, model, variants, names, budget)]
    else:
        words = (frontend, model, ",".join(variants), ",".join(names), *budget.words(), str(threads or ""))
        runs = [measure_in_child("train", *words) for _ in range(processes)]
    common: Row = {"kind": "train", "frontend": frontend, "model": model, "batch": MODELS[model].batch}
    common |= {"processes": processes, **runs[0]["sizes"]}
    left_out = {name: why for run in runs for name, why in run["left_out"].items()}
    return [{**common, **row} for row in rows(together(run["times"] for run in runs))], left_out


def time_training(
    frontend: str, model: str, variants: Sequence[str], names: Sequence[str], budget: Budget
) -> dict[str, Any]:
    """Time the train steps of a model in this process, and return what fits into JSON.

    Returns:
        "times": the seconds of each round, by name and variant with a slash between; "sizes": tensors and numbers of
        the model; "left_out": why some contenders are left out.
    """
    found, left_out = _make(frontend, model, variants, names)
    times = interleave({"/".join(key): one.step for key, one in found.items()}, budget, turn=TURN)
    shapes = [one.shape for one in next(iter(found.values())).weights()]
    return {
        "times": times,
        "sizes": {"tensors": len(shapes), "numbers": count_numbers(shapes)},
        "left_out": left_out,
    }


def together(runs: Iterable[Mapping[str, Sequence[float]]]) -> dict[Key, list[float]]:
    """Return the rounds of several processes, of the contenders that all of them have."""
    every = list(runs)
    found: dict[Key, list[float]] = {}
    for words in every[0]:
        if all(words in run for run in every):
            name, _, variant = words.partition("/")
            found[name, variant] = [seconds for run in every for seconds in run[words]]
    return found


def _try(make: Maker, job: Job, variant: str) -> Trains | Exception:
    """Return a contender that has done `TRIALS` steps, or its error."""
    try:
        with quietly():  # compilers chatter
            contender = make(job, VARIANTS[variant] if variant else {})
            for _ in range(TRIALS):
                contender.step()
    except Exception as error:  # of compilers and packages that are not there: whatever it is, is the answer
        return error
    return contender


def _make(
    frontend: str, model: str, variants: Sequence[str], names: Sequence[str]
) -> tuple[dict[Key, Trains], dict[str, str]]:
    """Make the contenders, each of which does `TRIALS` steps; those that cannot are left out with the reason.

    So is the compiled one of a contender that failed: XLA takes minutes to compile Keras's step that fails.
    """
    makers, job = FRONTENDS[frontend].makers(), make_job(model)
    found: dict[Key, Trains] = {}
    failed: dict[Key, Exception] = {}
    left_out: dict[str, str] = {}
    for name in names:
        for variant in ("",) if name in WITHOUT_OPTIONS else variants:
            made = failed.get((name.removesuffix(COMPILED), variant)) or _try(makers[name], job, variant)
            if isinstance(made, Exception):
                if name in (MODEL, OURS):
                    raise made
                failed[name, variant] = made
                left_out[f"{name} ({model}, {variant})" if variant else f"{name} ({model})"] = reason(made)
            else:
                found[name, variant] = made
    # What is nothing without the model alone beside it.
    kept = {key: one for key, one in found.items() if (base_of(key[0]), "") in found}
    gc.collect()
    return kept, left_out


def rows(times: Mapping[Key, Sequence[float]]) -> list[Row]:
    """Return the rows of one model from the times of each round.

    "part" is the optimizer's: the median over rounds of the difference to the model alone. "part_of_sgd" is that part
    over SGD's, of models that are not compiled; "part_ratio" that part over ours, and "ratio" the whole step over ours,
    on the same model with the same options. Parts that are not above 0 have no ratio.
    """
    parts = {key: _part(times, key) for key in times if key[0] != base_of(key[0])}
    found = []
    for (name, variant), seconds in times.items():
        row: Row = {"variant": variant, "peer": name, "base": base_of(name), **summary(seconds)}
        if (name, variant) in parts:
            part = parts[name, variant]
            row |= summary(part, "part_")
            row["part_of_sgd"] = _over(part, parts.get((SGD, ""))) if base_of(name) == MODEL else None
            ours = (counterpart(name), variant)
            row["part_ratio"] = _over(part, parts.get(ours))
            row["ratio"] = ratio(seconds, times[ours]) if ours in times else None
        found.append(row)
    return found


def _part(times: Mapping[Key, Sequence[float]], key: Key) -> list[float]:
    return [whole - alone for whole, alone in zip(times[key], times[base_of(key[0]), ""], strict=True)]


def _over(part: Sequence[float], other: Sequence[float] | None) -> float | None:
    """Return the ratio of medians: differences of single rounds are too near to 0 for ratios of their own."""
    if other is None or statistics.median(other) <= 0 or statistics.median(part) <= 0:
        return None
    return statistics.median(part) / statistics.median(other)
