"""Steps on one device, beside others and beside a copy: cases of tensors, and the rows of each."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from bench.devices import CUDA, waiter
from bench.frameworks import load, quietly, reason
from bench.gpu.contenders import CONTENDERS, OURS, moved
from bench.models import Shape, count_numbers, resnet50
from bench.timing import Budget, Step, interleave, ratio, summary
from bench.training.jobs import VARIANTS

Row = dict[str, Any]

COPY: Final = "copy"

#: Case -> tensors. The small ones come first: what a run is stopped at is the largest.
CASES: Final[dict[str, list[Shape]]] = {
    "1 M": [(1_000_000,)],
    "ResNet-50": resnet50(),
    "25 M": [(25_000_000,)],
    "300 M": [(300_000_000,)],
}

#: Those of a run that only shows that the code runs.
TINY: Final[dict[str, list[Shape]]] = {"1 k": [(1000,)], "12 tensors": [(16, 8), (8,), (3,)] * 4}


class Session:
    """One run on a device.

    Args:
        device: "cuda" or "cpu".
        budget: for each case and variant.

    Attributes:
        rows: those found so far.
        left_out: contender, with case and variant where it is left out of that alone -> the reason.
        failed: names of contenders that failed in some case and variant.
    """

    def __init__(self, device: str, budget: Budget) -> None:
        self._device, self._budget = device, budget
        self.rows: list[Row] = []
        self.left_out: dict[str, str] = {}
        self.failed: set[str] = set()

    def measure(self, case: str, shapes: list[Shape], variant: str) -> None:
        """Let all contenders step the same tensors in turns, and keep their rows."""
        torch = load("torch")
        torch.manual_seed(0)
        parameters = [torch.nn.Parameter(torch.randn(shape, device=self._device)) for shape in shapes]
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter).mul_(0.01)
        steps: dict[str, Step] = {}
        for name in CONTENDERS:
            step = self._make(name, case, variant, parameters)
            if step is not None:
                steps[name] = step
        steps[COPY] = _copy(parameters)
        times = interleave(steps, self._budget, waiter(self._device))
        self.rows += _rows(times, case, variant, shapes)
        del parameters, steps
        gc.collect()
        if self._device == CUDA:
            torch.cuda.empty_cache()

    def _make(self, name: str, case: str, variant: str, parameters: list[Any]) -> Step | None:
        """Make a contender and let it do a step; None if it cannot, with the reason in `left_out`."""
        contender = CONTENDERS[name]
        if contender.only_on not in ("", self._device):
            self.left_out[name] = f"{contender.why} needs {contender.only_on}, this is {self._device}"
            return None
        try:
            with quietly():  # compilers chatter
                step = contender.make(parameters, VARIANTS[variant])
                step()
                waiter(self._device)()
        except Exception as error:  # of memory, compilers, packages that are not there: whatever it is, is the answer
            self.left_out[f"{name} ({case}, {variant})"] = f"{type(error).__name__}: {reason(error)}"
            self.failed.add(name)
            return None
        return step


def _copy(parameters: list[Any]) -> Step:
    """Return a copy of all parameters' numbers from one tensor to another."""
    torch = load("torch")
    count = sum(parameter.numel() for parameter in parameters)
    source, target = (torch.zeros(count, device=parameters[0].device) for _ in range(2))
    return lambda: target.copy_(source)


def _rows(times: Mapping[str, list[float]], case: str, variant: str, shapes: list[Shape]) -> list[Row]:
    """Return the rows of one case: "part_of_copy" is the bandwidth over that of the copy in the same rounds."""
    numbers = count_numbers(shapes)
    common = {"kind": "gpu", "case": case, "variant": variant, "tensors": len(shapes), "numbers": numbers}
    sizes = {name: 8 * numbers if name == COPY else moved(name, VARIANTS[variant], numbers) for name in times}
    found = []
    for name, seconds in times.items():
        row = {**common, "peer": name, "bytes": sizes[name], **summary(seconds)}
        row["bytes_per_second"] = sizes[name] / statistics.median(seconds)
        row["part_of_copy"] = ratio(times[COPY], seconds) * sizes[name] / sizes[COPY]
        row["ratio"] = ratio(seconds, times[OURS]) if OURS in times else None
        found.append(row)
    return found


def without_rows(session: Session, cases: Mapping[str, list[Shape]]) -> list[str]:
    """Return the cases and variants that have no rows yet."""
    there = {(row["case"], row["variant"]) for row in session.rows}
    return [f"{case}, {variant}" for case in cases for variant in VARIANTS if (case, variant) not in there]


def measure_all(session: Session, cases: Mapping[str, list[Shape]], left: Callable[[], float]) -> list[str]:
    """Measure all cases while there is time, and return those that were not.

    Args:
        session: keeps what is found.
        cases: of `CASES` or `TINY`.
        left: returns the seconds that are left.
    """
    wanted = [(case, variant) for case in cases for variant in VARIANTS]
    missed: list[str] = []
    longest = 0.0
    for place, (case, variant) in enumerate(wanted):
        if left() < 1.3 * longest:
            return missed + [f"{case}, {variant}" for case, variant in wanted[place:]]
        start = time.monotonic()
        try:
            session.measure(case, cases[case], variant)
        except RuntimeError as error:  # a device's, as of memory
            missed.append(f"{case}, {variant} ({reason(error)})")
        longest = max(longest, time.monotonic() - start)
        print(f"{case}, {variant}: {time.monotonic() - start:.0f} s", flush=True)
    return missed
