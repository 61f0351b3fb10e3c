"""How much memory steps take for a while, measured in fresh interpreters.

Where variables are changed in place that is nothing of a tensor's size, and what Python and NumPy allocate is watched.
Where new values are computed in new memory, the process's resident memory is watched, of ours and of peers.
"""

import statistics
from collections.abc import Iterator, Sequence
from typing import Any, Final

from bench.models import MODELS, count_numbers
from bench.peers import FRONTENDS, OURS, who_can
from bench.processes import measure_in_child

Row = dict[str, Any]

#: Processes for each peak: how many operations of a framework's hold memory at the same moment is not always the same.
_REPEATS: Final = 3


def measure_allocation(
    frontend: str, model: str, variants: Sequence[str], peers: Sequence[str] = (), device: str = "cpu"
) -> Iterator[Row]:
    """Return rows on the memory that a step needs for a while, beside the size of the model's largest tensor."""
    for variant in variants:
        for who in (OURS, *who_can(peers, variant)):
            found = measure_in_child("memory", frontend, who, model, variant, device)
            yield {"kind": "allocation", "model": model, "variant": variant, "peer": who, **_largest(model), **found}


def measure_memory(
    frontend: str, models: Sequence[str], variants: Sequence[str], peers: Sequence[str]
) -> Iterator[Row]:
    """Return rows on how far steps raise the resident memory above that before the first, of ours and of peers."""
    bucket = FRONTENDS[frontend].bucket
    for model in models:
        for variant in variants:
            for who in (OURS, *peers):
                if who == OURS:
                    # Compiles the kernels, which takes memory too.
                    measure_in_child("peak", frontend, who, model, variant)
                runs = [measure_in_child("peak", frontend, who, model, variant) for _ in range(_REPEATS)]
                found = {entry: _median([one[entry] for one in runs]) for entry in runs[0]}
                row = {"kind": "memory", "frontend": frontend, "model": model, "variant": variant, "peer": who}
                yield {**row, **_largest(model), "bucket_bytes": bucket() if bucket else 0, **found}


def _median(sizes: Sequence[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return int(statistics.median(known)) if known else None


def _largest(model: str) -> Row:
    return {"largest_tensor_bytes": max(count_numbers([shape]) for shape in MODELS[model]()) * 4}
