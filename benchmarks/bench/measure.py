"""The measurement: from the options of the command line to the rows of a report."""

import argparse
import gc
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from bench import busy, limit, machine, memory, pauses, scaling, startup
from bench.devices import CPU, CUDA, DeviceMemory, check_device, device_name, waiter
from bench.frameworks import set_threads
from bench.models import MODELS, VARIANTS, count_numbers, make_task
from bench.peers import FRONTENDS, OURS, PEERS, Maker, choose_peers, load_frontend, who_can
from bench.report import (
    Report,
    Row,
    show_allocation,
    show_busy,
    show_compilation,
    show_limits,
    show_machine,
    show_memory,
    show_pauses,
    show_startup,
    show_steps,
)
from bench.timing import Budget, interleave, ratio, summary
from bench.training import contenders as training
from bench.training import jobs
from bench.training.measure import chosen, measure_training
from bench.training.show import show_scaling, show_training
from bench.workloads import WORKLOADS, Workload
from rmsprop._core.switches import default_threads
from rmsprop.cli import CommandError

if TYPE_CHECKING:
    from rich.console import Console

#: The models whose step is nothing but memory traffic.
_LIMITED: Final = {CPU: "flat25m", CUDA: "flat100m"}

#: The model for whose first step a program waits, and nothing else.
_STARTED: Final = "mlp"


#: The models whose steps are compiled for the clock: the smallest, and one of many tensors.
_COMPILED: Final = ("mlp", "resnet50")

#: The models whose steps are watched for the memory that they take, where new values are computed in new memory.
_LARGE: Final = ("resnet50", "flat25m")


class Session:
    """One run of the measurement; tables appear as soon as they are full.

    Args:
        options: of the command line.
        peers: which, by name; those that cannot run are left out and named.
        console: where to show.

    Attributes:
        report: what was measured so far.

    Raises:
        CommandError: what the front end needs is broken.
        ModuleNotFoundError: it is not installed.
    """

    def __init__(self, options: argparse.Namespace, peers: list[str], console: "Console") -> None:
        self._frontend: str = options.frontend
        self._ours = load_frontend(options.frontend)
        self._device: str = options.device
        check_device(self._device)
        everything = dict.fromkeys(name for workload in WORKLOADS.values() for name in workload.models)
        if self._device == CPU:
            # A figure of the 25 M model says the same, at a quarter of the memory.
            everything.pop(_LIMITED[CUDA], None)
        self._models: list[str] = list(dict.fromkeys(options.model or everything))
        self._given: list[str] = list(dict.fromkeys(options.variant or ()))
        self._variants: list[str] = self._given or list(VARIANTS)
        self._budget = Budget(options.seconds, options.repeat)
        self._options = options
        self._console = console
        self._peers, left_out = choose_peers(peers, self._device)
        if options.threads is not None:
            trains = "train" in (options.part or ())
            set_threads(options.threads, training.FRONTENDS[self._frontend].packages if trains else ())
        modules = [module for peer in (*self._peers.values(), self._ours.ours) for module in peer.modules]
        modules += [options.backend] if options.backend else []
        if "train" in (options.part or ()):
            modules += training.FRONTENDS[options.frontend].packages
        if {"scaling", "pauses"} & set(options.part or ()):
            modules += [module for name in self._usual_names() for module in PEERS[name].modules]
        packages = dict.fromkeys(["numpy", "numba", *(module.replace("_", "-") for module in modules)])
        self.report = Report(machine.describe_machine(packages, default_threads()), left_out)
        if self._device != CPU:
            self.report.machine["device"] = device_name(self._device)

    def measure(self, parts: Collection[str]) -> Report:
        """Measure these parts, of `bench.command.PARTS`, and return the report.

        Raises:
            CommandError: there is nothing to measure.
        """
        show_machine(self.report, self._console)
        watch = machine.Watch()
        with busy.every_core(self._options.busy) as others:
            if others:
                self.report.machine["other_processes"] = others
            self._measure(parts)
        if not self.report.rows:
            raise CommandError(f"--part {' '.join(parts)} measures nothing of --model {' '.join(self._models)}")
        self.report.machine["busy_elsewhere"] = watch.busy_elsewhere()
        show_busy(self.report, self._console)
        return self.report

    def _measure(self, parts: Collection[str]) -> None:
        for part, workload in WORKLOADS.items():
            if part in parts:
                self._compare(workload)
        if "limit" in parts and _LIMITED[self._device] in self._models:
            self._limits()
        least_and_most = list(dict.fromkeys([self._variants[0], self._variants[-1]]))
        plain = [model for model in self._models if model in MODELS]
        if "compilation" in parts:
            compiled = [model for model in plain if model in _COMPILED]
            rows = startup.measure_compilation(self._frontend, compiled, least_and_most, self._relatives())
            self._collect("compilation", rows, show_compilation)
        if "startup" in parts:
            rows = startup.measure_startup(self._frontend, _STARTED, least_and_most, self._relatives(), self._device)
            self._collect("start of a process", rows, show_startup)
        if "allocation" in parts and plain:
            rows = memory.measure_allocation(self._frontend, plain[-1], self._variants, self._relatives(), self._device)
            self._collect("memory that a step takes", rows, show_allocation)
        if "memory" in parts:
            large = [model for model in plain if model in _LARGE]
            rows = memory.measure_memory(self._frontend, large, least_and_most, self._relatives())
            self._collect("memory that steps take", rows, show_memory)
        if "train" in parts:
            self._train()
        if "scaling" in parts:
            rows = scaling.measure_scaling(self._frontend, self._usual_peers(), self._budget)
            self._collect("scaling", rows, show_scaling)
        if "pauses" in parts:
            models = plain if self._options.model else [pauses.MODEL]
            what = (models, self._given or least_and_most, self._usual_peers())
            rows = pauses.measure_pauses(self._frontend, *what, self._budget, self._options.threads)
            self._collect("pauses", rows, show_pauses)

    def _train(self) -> None:
        """Measure train steps of the models that the front end trains, in the variants that they have."""
        known = training.FRONTENDS[self._frontend].models
        models = [name for name in self._options.model or known if name in known]
        variants = [name for name in self._given or jobs.VARIANTS if name in jobs.VARIANTS]
        names = chosen(self._frontend, self._options.peer)
        for model in models:
            with self._console.status(f"train steps, {model}"):
                limits = (self._budget, self._options.processes, self._options.threads)
                rows, left_out = measure_training(self._frontend, model, variants, names, *limits)
                self.report.rows += rows
                self.report.left_out |= left_out
            gc.collect()
        show_training(self.report, self._console)

    def _usual_peers(self) -> list[str]:
        """Return those of `_usual_names` that can run."""
        peers, left_out = choose_peers(self._usual_names(), self._device)
        self.report.left_out |= left_out
        return [*peers]

    def _usual_names(self) -> list[str]:
        """Return the peers that are named, or else those that are usual where much is measured."""
        return [name for name in self._options.peer or scaling.DEFAULT_PEERS[self._frontend] if name in PEERS]

    def _relatives(self) -> list[str]:
        """Return the peers on the front end's own framework: only their costs of a process compare with ours."""
        mine = set(self._ours.ours.modules)
        return [name for name, peer in self._peers.items() if mine & set(peer.modules)]

    def _collect(self, what: str, rows: Iterable[Row], show: Callable[[Report, "Console"], None]) -> None:
        with self._console.status(what):
            self.report.rows += rows
        show(self.report, self._console)

    def _compare(self, workload: Workload) -> None:
        kind = workload.kind
        makers = {OURS: self._ours.ours.makers[kind]}
        makers |= {name: peer.makers[kind] for name, peer in self._peers.items() if kind in peer.makers}
        for model in self._models:
            if model not in workload.models:
                continue
            for variant in self._given or workload.variants:
                able = {OURS: makers[OURS]} | {name: makers[name] for name in who_can([*makers][1:], variant)}
                with self._console.status(f"{kind}, {model}, {variant}"):
                    rows = measure_steps(self._frontend, model, variant, able, self._budget, workload, self._device)
                    self.report.rows += rows
                gc.collect()
            show_steps(self.report, kind, model, self._console)

    def _limits(self) -> None:
        model = _LIMITED[self._device]
        for variant in self._variants:
            torch = any("torch" in peer.modules for peer in self._peers.values())
            with self._console.status(f"limit of memory, {variant}"):
                size = count_numbers(MODELS[model]())
                rows = measure_limit(self._frontend, size, variant, self._budget, torch=torch, device=self._device)
                self.report.rows += [{**row, "model": model} for row in rows]
            gc.collect()
        show_limits(self.report, self._console)


def measure_steps(
    frontend: str,
    model: str,
    variant: str,
    makers: Mapping[str, Maker],
    budget: Budget,
    workload: Workload = WORKLOADS["steps"],
    device: str = CPU,
) -> list[Row]:
    """Let contenders do the same job in turns; `makers` holds `OURS`, which the ratios refer to."""
    shapes = workload.models[model]()
    task: Any = workload.make_task(shapes, VARIANTS[variant])
    if device != CPU:
        task = task._replace(device=device)
    contenders = {name: make(task) for name, make in makers.items()}
    calls = interleave({name: contender.step for name, contender in contenders.items()}, budget, waiter(device))
    times = {name: [seconds / task.steps for seconds in figures] for name, figures in calls.items()}
    common: Row = {"kind": workload.kind, "frontend": frontend, "model": model, "variant": variant}
    common |= {"tensors": len(shapes), "numbers": count_numbers(shapes)}
    return [
        {**common, "peer": name, **summary(times[name]), "ratio": ratio(times[name], times[OURS])}
        for name in contenders
    ]


def measure_limit(
    frontend: str, size: int, variant: str, budget: Budget, *, torch: bool, device: str = CPU
) -> list[Row]:
    """Let a step on one tensor take turns with loops that move the same bytes; "part_of_limit" is 1 at the limit."""
    options = VARIANTS[variant]
    slots = 1 + bool(options.get("momentum")) + bool(options.get("centered")) + bool(options.get("use_ema"))
    norm = "global_clipnorm" in options
    ours = FRONTENDS[frontend].ours.make(make_task([(size,)], options)._replace(device=device))
    if device == CPU:
        with limit.Memory(size, slots, norm=norm, threads=default_threads()) as memory:
            times = interleave({OURS: ours.step, **memory.loops(torch=torch)}, budget)
            moved = memory.moved
    else:
        with DeviceMemory(size, slots, norm=norm, device=device) as there:
            times = interleave({OURS: ours.step, **there.loops()}, budget, waiter(device))
            moved = there.moved
    best = min(times.keys() - {OURS}, key=lambda name: statistics.median(times[name]))
    common = {"kind": "limit", "frontend": frontend, "variant": variant, "bytes": moved}
    return [
        {**common, "loop": name, **summary(seconds), "part_of_limit": ratio(times[best], seconds)}
        for name, seconds in times.items()
    ]
