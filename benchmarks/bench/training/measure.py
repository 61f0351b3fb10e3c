"""The measurement of train steps: all contenders of a model in one process, in turns."""

import gc
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bench.frameworks import quietly
from bench.models import count_numbers
from bench.peers import OURS
from bench.timing import Budget, interleave, ratio, summary
from bench.training.contenders import COMPILED, FRONTENDS, MODEL, SGD, WITHOUT_OPTIONS, Trains, base_of, counterpart
from bench.training.jobs import MODELS, VARIANTS, make_job

Row = dict[str, Any]

#: Seconds that a turn takes at least: several steps of most models, whose first ones wake threads.
TURN: Final = 0.05

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
    frontend: str, model: str, variants: Sequence[str], names: Sequence[str], budget: Budget
) -> tuple[list[Row], dict[str, str]]:
    """Return the rows of a model, and why some contenders are left out."""
    found, left_out = _make(frontend, model, variants, names)
    steps = {key: contender.step for key, contender in found.items()}
    times = interleave({"/".join(key): step for key, step in steps.items()}, budget, turn=TURN)
    by_key = {key: times["/".join(key)] for key in steps}
    weights = next(iter(found.values())).weights()
    common: Row = {"kind": "train", "frontend": frontend, "model": model, "batch": MODELS[model].batch}
    common |= {"tensors": len(weights), "numbers": count_numbers([one.shape for one in weights])}
    return [{**common, **row} for row in rows(by_key)], left_out


def _make(
    frontend: str, model: str, variants: Sequence[str], names: Sequence[str]
) -> tuple[dict[Key, Trains], dict[str, str]]:
    """Make the contenders, each of which does a step; those that cannot are left out with the reason."""
    makers, job = FRONTENDS[frontend].makers(), make_job(model)
    found: dict[Key, Trains] = {}
    left_out: dict[str, str] = {}
    for name in names:
        for variant in ("",) if name in WITHOUT_OPTIONS else variants:
            try:
                with quietly():  # compilers chatter
                    contender = makers[name](job, VARIANTS[variant] if variant else {})
                    contender.step()
            except Exception as error:  # of compilers and packages that are not there: whatever it is, is the answer
                if name in (MODEL, OURS):
                    raise
                left_out[f"{name} ({model})"] = (str(error).strip().splitlines() or [type(error).__name__])[0]
                break
            found[name, variant] = contender
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
