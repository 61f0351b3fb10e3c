"""The measurement itself: from what was asked for to the rows of a report."""

import argparse
import gc
import statistics
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Final

from rmsprop.cli.bench import limit, machine, startup
from rmsprop.cli.bench.frameworks import set_threads
from rmsprop.cli.bench.models import MODELS, VARIANTS, Task, count_numbers, make_task
from rmsprop.cli.bench.peers import FRONTENDS, OURS, Contender, choose_peers
from rmsprop.cli.bench.report import (
    Report,
    Row,
    show_allocation,
    show_busy,
    show_limits,
    show_machine,
    show_startup,
    show_steps,
)
from rmsprop.cli.bench.timing import Budget, interleave, ratio, summary
from rmsprop.compilers._threads import default_threads

if TYPE_CHECKING:
    from rich.console import Console

#: The model whose step is nothing but memory traffic.
_LIMITED: Final = "flat25m"

#: The model for whose first step a program waits, and nothing else.
_STARTED: Final = "mlp"


class Session:
    """One run of the measurement; tables appear as soon as they are full.

    Args:
        options: of the command line.
        peers: which, by name; those that cannot run are left out and named.
        console: where to show.
    """

    def __init__(self, options: argparse.Namespace, peers: list[str], console: "Console") -> None:
        self._frontend: str = options.frontend
        self._models: list[str] = list(dict.fromkeys(options.model or MODELS))
        self._variants: list[str] = list(dict.fromkeys(options.variant or VARIANTS))
        self._budget = Budget(options.seconds, options.repeat)
        self._console = console
        self._peers, left_out = choose_peers(peers)
        if options.threads is not None:
            set_threads(options.threads)
        modules = [module for peer in self._peers.values() for module in peer.modules]
        packages = dict.fromkeys(["numpy", "numba", *(module.replace("_", "-") for module in modules)])
        self._report = Report(machine.describe_machine(packages, default_threads()), left_out)

    def measure(self, parts: Collection[str]) -> Report:
        """Measure these parts, of `rmsprop.cli.bench.PARTS`, and give the report."""
        show_machine(self._report, self._console)
        watch = machine.Watch()
        if "steps" in parts:
            self._steps()
        if "limit" in parts and _LIMITED in self._models:
            self._limits()
        if "startup" in parts:
            least_and_most = list(dict.fromkeys([self._variants[0], self._variants[-1]]))
            rows = startup.measure_startup(self._frontend, _STARTED, least_and_most)
            self._collect("start of a process", rows, show_startup)
        if "allocation" in parts:
            rows = startup.measure_allocation(self._frontend, self._models[-1], self._variants)
            self._collect("memory that a step takes", rows, show_allocation)
        self._report.machine["busy_elsewhere"] = watch.busy_elsewhere()
        show_busy(self._report, self._console)
        return self._report

    def _collect(self, what: str, rows: Iterable[Row], show: Callable[[Report, "Console"], None]) -> None:
        with self._console.status(what):
            self._report.rows += rows
        show(self._report, self._console)

    def _steps(self) -> None:
        makers: dict[str, Callable[[Task], Contender]] = {OURS: FRONTENDS[self._frontend]}
        makers |= {name: peer.make for name, peer in self._peers.items()}
        for model in self._models:
            for variant in self._variants:
                with self._console.status(f"{model}, {variant}"):
                    self._report.rows += measure_steps(self._frontend, model, variant, makers, self._budget)
                gc.collect()
            show_steps(self._report, model, self._console)

    def _limits(self) -> None:
        for variant in self._variants:
            torch = any("torch" in peer.modules for peer in self._peers.values())
            with self._console.status(f"limit of memory, {variant}"):
                size = count_numbers(MODELS[_LIMITED]())
                rows = measure_limit(self._frontend, size, variant, self._budget, torch=torch)
                self._report.rows += [{**row, "model": _LIMITED} for row in rows]
            gc.collect()
        show_limits(self._report, self._console)


def measure_steps(
    frontend: str, model: str, variant: str, makers: dict[str, Callable[[Task], Contender]], budget: Budget
) -> list[Row]:
    """Let contenders do the same job in turns; `makers` holds `OURS`, which the ratios refer to."""
    shapes = MODELS[model]()
    task = make_task(shapes, VARIANTS[variant])
    contenders = {name: make(task) for name, make in makers.items()}
    times = interleave({name: contender.step for name, contender in contenders.items()}, budget)
    common: Row = {"kind": "step", "frontend": frontend, "model": model, "variant": variant}
    common |= {"tensors": len(shapes), "numbers": count_numbers(shapes)}
    return [
        {**common, "peer": name, **summary(times[name]), "ratio": ratio(times[name], times[OURS])}
        for name in contenders
    ]


def measure_limit(frontend: str, size: int, variant: str, budget: Budget, *, torch: bool) -> list[Row]:
    """Let a step on one tensor take turns with loops that move the same bytes; "part_of_limit" is 1 at the limit."""
    options = VARIANTS[variant]
    slots = 1 + bool(options.get("momentum")) + bool(options.get("centered")) + bool(options.get("use_ema"))
    norm = "global_clipnorm" in options
    ours = FRONTENDS[frontend](make_task([(size,)], options))
    with limit.Memory(size, slots, norm=norm, threads=default_threads()) as memory:
        times = interleave({OURS: ours.step, **memory.loops(torch=torch)}, budget)
        moved = memory.moved
    best = min(times.keys() - {OURS}, key=lambda name: statistics.median(times[name]))
    common = {"kind": "limit", "frontend": frontend, "variant": variant, "bytes": moved}
    return [
        {**common, "loop": name, **summary(seconds), "part_of_limit": ratio(times[best], seconds)}
        for name, seconds in times.items()
    ]
