"""How steps are timed so that their times may be compared.

All contenders run in one process, in turns: whatever slows the machine down for a while slows each of them down. The
order changes from round to round. Before each turn the process settles, because a peer's OpenMP or Eigen threads go on
spinning for a while after its step and would bill the next one. A turn times as many calls as fill a few milliseconds,
so that the clock's own cost vanishes. Medians are compared, and the 10th and 90th percentile say how calm it was.
"""

import gc
import statistics
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Final, TypeVar

#: Seconds that a turn takes at least.
TURN: Final = 0.004

#: Where Linux describes each thread of this process; and seconds after which other systems have counted what a running
#: thread uses.
_TASKS: Final = Path("/proc/self/task")
_ACCOUNTED: Final = 0.02

#: Rounds that are done even when the budget is spent; and when it is spent three times over.
_FEW, _FEWEST = 7, 3

Step = Callable[[], object]

#: What takes turns.
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Budget:
    """How long to measure: a number of rounds if one is given, else seconds for all contenders together."""

    seconds: float = 3.0
    rounds: int | None = None

    def spent(self, rounds: int, seconds: float) -> bool:
        """Whether enough is done after so many rounds and seconds."""
        if self.rounds is not None:
            return rounds >= self.rounds
        return seconds >= self.seconds and rounds >= (_FEW if seconds < 3 * self.seconds else _FEWEST)

    def words(self) -> tuple[str, str]:
        """Return what `read` makes a budget of: arguments of another process."""
        return str(self.seconds), str(self.rounds or "")

    @classmethod
    def read(cls, seconds: str, rounds: str) -> "Budget":
        """Make the budget that these words describe."""
        return cls(float(seconds), int(rounds) if rounds else None)


def nothing() -> None:
    """Wait for nothing: most steps are done when they return."""


def interleave(
    steps: Mapping[str, Step], budget: Budget, wait: Step = nothing, turn: float = TURN
) -> dict[str, list[float]]:
    """Return the seconds a call takes, one figure a contender and round, in the order of the rounds.

    Args:
        steps: the contenders'.
        budget: how long.
        wait: returns when what was called is done; it is called once a turn, not once a step.
        turn: seconds that a turn takes at least.
    """
    with without_collections():
        calls = {name: _calls(step, wait, turn) for name, step in steps.items()}
        return take_turns(list(steps), budget, lambda name: _turn(steps[name], calls[name], wait))


def take_turns(names: Sequence[Name], budget: Budget, seconds_of: Callable[[Name], float]) -> dict[Name, list[float]]:
    """Let a function time each of the names once a round, in changing order; return what it returned for each."""
    times: dict[Name, list[float]] = {name: [] for name in names}
    start, rounds = time.perf_counter(), 0
    while not budget.spent(rounds, time.perf_counter() - start):
        for name in _order(list(names), rounds):
            times[name].append(seconds_of(name))
        rounds += 1
    return times


def _order(names: list[Name], turn: int) -> list[Name]:
    """Rotate the names, and turn round every other rotation, so that nobody always follows the same one."""
    place = turn // 2 % len(names)
    order = names[place:] + names[:place]
    return order if turn % 2 == 0 else order[::-1]


def _calls(step: Step, wait: Step, turn: float) -> int:
    """Warm a step up - the first ones compile, trace and allocate - and find how many calls a turn needs."""
    for _ in range(2):
        step()
    wait()
    settle()
    count = 1
    while (seconds := _timed(step, count, wait)) < turn:
        count = max(2 * count, min(64 * count, round(1.2 * count * turn / seconds)))
    return count


def _turn(step: Step, calls: int, wait: Step) -> float:
    settle()
    if calls > 1:
        # A short step finds its code and data in the caches, as in a loop of its own.
        step()
        wait()
    return _timed(step, calls, wait) / calls


def _timed(step: Step, calls: int, wait: Step) -> float:
    start = time.perf_counter()
    for _ in repeat(None, calls):
        step()
    wait()
    return time.perf_counter() - start


def settle(limit: float = 0.2) -> None:
    """Wait until no other thread of this process works or spins, but not longer than `limit` seconds."""
    deadline = time.perf_counter() + limit
    while time.perf_counter() < deadline:
        before = time.process_time()
        time.sleep(0.001 if _TASKS.is_dir() else _ACCOUNTED)
        if not _others_run(before):
            return


def _others_run(before: float) -> bool:
    """Whether other threads of this process have a core or wait for one.

    Args:
        before: the processor time of this process some time ago, which is asked where the system says nothing of
            single threads. Linux adds that of a thread which goes on running only with its clock's next tick.
    """
    if not _TASKS.is_dir():
        return time.process_time() - before > 0.1 * _ACCOUNTED
    mine = str(threading.get_native_id())
    return any(_state(task) == "R" for task in _TASKS.iterdir() if task.name != mine)


def _state(task: Path) -> str:
    """Return the letter of a thread's state; none for one that has ended."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@contextmanager
def without_collections() -> Iterator[None]:
    """Keep the garbage collector out, as timeit does: with frameworks loaded one collection takes 0.1 s."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def summary(times: Sequence[float], prefix: str = "") -> dict[str, Any]:
    """Return median, percentiles and count of some seconds, as a row of the report has them."""
    tenths = statistics.quantiles(times, n=10, method="inclusive") if len(times) > 1 else [times[0]] * 9
    return {
        f"{prefix}seconds": statistics.median(times),
        f"{prefix}seconds_p10": tenths[0],
        f"{prefix}seconds_p90": tenths[8],
        f"{prefix}samples": len(times),
    }


def ratio(times: Sequence[float], others: Sequence[float]) -> float:
    """Return the median of the rounds' ratios: both sides of each were measured within moments."""
    return statistics.median(one / other for one, other in zip(times, others, strict=True))
