"""How the benchmark measures: models, turns of the contenders, and the loops that the limit of memory is taken from."""

import hashlib
import platform
import re
import threading
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest

from bench import limit, measure, timing
from bench.models import MODELS, VARIANTS, count_numbers, make_task, resnet50
from bench.peers import OURS
from bench.timing import Budget
from rmsprop import RMSprop

FEW = Budget(rounds=2)


class TestModels:
    @pytest.mark.parametrize(
        ("model", "tensors", "numbers"),
        [
            ("mlp", 6, 4_996),
            ("dqn", 10, 1_693_362),
            ("resnet50", 161, 25_557_032),
            ("flat25m", 1, 25_000_000),
            ("flat100m", 1, 100_000_000),
        ],
    )
    def test_totals(self, model: str, tensors: int, numbers: int) -> None:
        shapes = MODELS[model]()
        assert (len(shapes), count_numbers(shapes)) == (tensors, numbers)

    def test_resnet_50_has_53_convolutions_each_with_a_batch_norm(self) -> None:
        shapes = resnet50()
        kernels = [index for index, shape in enumerate(shapes) if len(shape) == 4]
        assert len(kernels) == 53
        assert all(shapes[index + 1] == shapes[index + 2] == shapes[index][:1] for index in kernels)
        assert shapes[0] == (64, 3, 7, 7)
        assert shapes[-2:] == [(1000, 2048), (1000,)]

    def test_variants_hold_what_they_say(self) -> None:
        for options in VARIANTS.values():
            RMSprop(**options)
        assert VARIANTS["plain"] == {}
        everything = {"momentum", "centered", "weight_decay", "global_clipnorm", "use_ema", "ema_overwrite_frequency"}
        assert set(VARIANTS["everything"]) == everything

    @pytest.mark.parametrize("model", ["mlp", "dqn"])
    def test_everything_clips(self, model: str) -> None:
        task = make_task(MODELS[model](), VARIANTS["everything"])
        norm = sum(float(numpy.vdot(gradient, gradient)) for gradient in task.gradients) ** 0.5
        assert norm > 1.3 * task.options["global_clipnorm"]


class TestTiming:
    def test_each_contender_follows_each_other_and_is_first_equally_often(self) -> None:
        names = ["a", "b", "c", "d"]
        orders = [timing._order(names, turn) for turn in range(8)]
        assert all(sorted(order) == names for order in orders)
        assert sorted(order[0] for order in orders) == sorted(2 * names)
        before = {(one, other) for order in orders for one, other in pairwise(order)}
        assert {(one, other) for one in "abcd" for other in "abcd" if abs(ord(one) - ord(other)) == 1} <= before

    def test_figures_are_seconds_a_call(self) -> None:
        calls = {"slow": 0, "fast": 0}

        def step(name: str, seconds: float) -> None:
            calls[name] += 1
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                pass

        steps = {"slow": lambda: step("slow", 6e-3), "fast": lambda: step("fast", 2e-4)}
        times = timing.interleave(steps, Budget(rounds=3))
        assert {name: len(figures) for name, figures in times.items()} == {"slow": 3, "fast": 3}
        assert min(times["slow"]) >= 6e-3
        assert min(times["fast"]) >= 2e-4
        assert min(times["fast"]) < 2e-3  # of one call, not of a turn
        assert calls["slow"] < 10 < calls["fast"]

    def test_figures_hold_what_was_ordered_and_is_done_later(self) -> None:
        """As on a device that is waited for once a turn."""
        ordered = []

        def wait() -> None:
            time.sleep(1e-3 * len(ordered))
            ordered.clear()

        (times,) = timing.interleave({"later": lambda: ordered.append(1)}, Budget(rounds=3), wait).values()
        assert all(1e-3 <= seconds < 1e-2 for seconds in times)

    def test_a_budget_of_seconds_has_a_least_number_of_rounds(self) -> None:
        budget = Budget(seconds=2.0)
        assert not budget.spent(rounds=6, seconds=5.9)
        assert budget.spent(rounds=7, seconds=2.0)
        assert not budget.spent(rounds=7, seconds=1.9)
        assert not budget.spent(rounds=2, seconds=60.0)
        assert budget.spent(rounds=3, seconds=6.0)

    @pytest.mark.parametrize(("spinning", "waits"), [(0.0, 0.02), (0.06, 0.08), (1e9, 0.2)])
    def test_waits_for_threads_that_spin_but_not_for_ever(self, monkeypatch, spinning: float, waits: float) -> None:
        """Where the system does not say what single threads do."""
        monkeypatch.setattr(timing, "_TASKS", Path("/nowhere"))
        now = 0.0

        def sleep(seconds: float) -> None:
            nonlocal now
            now += seconds

        clock = SimpleNamespace(sleep=sleep, perf_counter=lambda: now, process_time=lambda: min(now, spinning))
        monkeypatch.setattr(timing, "time", clock)
        timing.settle()
        assert now == pytest.approx(waits, abs=0.0201)

    def test_waits_for_a_thread_that_the_system_has_not_counted_yet(self) -> None:
        """Linux counts what a thread uses with each tick of its clock, 1 to 10 ms."""
        ended: list[float] = []

        def spin() -> None:
            hashlib.pbkdf2_hmac("sha256", b"without", b"the interpreter", 60_000)
            ended.append(time.perf_counter())

        for _ in range(5):
            thread = threading.Thread(target=spin)
            thread.start()
            timing.settle(20.0)
            settled = time.perf_counter()
            thread.join()
            assert settled > ended.pop() - 0.002

    def test_does_not_wait_for_threads_that_sleep(self) -> None:
        event = threading.Event()
        thread = threading.Thread(target=event.wait)
        thread.start()
        begin = time.perf_counter()
        timing.settle(20.0)
        assert time.perf_counter() - begin < 10.0
        event.set()
        thread.join()

    def test_medians_and_ratios(self) -> None:
        row = timing.summary([3.0, 1.0, 2.0, 4.0, 5.0])
        assert row == {"seconds": 3.0, "seconds_p10": 1.4, "seconds_p90": 4.6, "samples": 5}
        assert timing.summary([2.0])["seconds_p90"] == 2.0
        assert timing.ratio([2.0, 30.0, 6.0], [1.0, 10.0, 1.0]) == 3.0


class TestLimit:
    @pytest.mark.parametrize("count", limit.TOGETHER)
    def test_loops_move_vectors(self, count: int) -> None:
        arrays = [numpy.full(1000, value, numpy.float32) for value in range(1, count + 2)]
        limit.TOGETHER[count](*arrays)
        for value, array in enumerate(arrays[1:], start=2):
            assert (array == value + 1).all()
        assert_vectorised(limit.TOGETHER[count], "add")

    def test_the_sum_of_squares_moves_vectors(self) -> None:
        assert limit.square_sum(numpy.full(1000, 2, numpy.float32)) == 4000
        assert_vectorised(limit.square_sum, "(mul|fmadd|fmla)")

    def test_the_loop_in_blocks_reaches_every_number(self) -> None:
        arrays = [numpy.full(1000, value, numpy.float32) for value in (1, 2, 3)]
        limit.one_by_one(256, *arrays)
        assert [set(array.tolist()) for array in arrays] == [{1.0}, {3.0}, {4.0}]

    @pytest.mark.parametrize("threads", [1, 3])
    def test_every_loop_covers_all_parts(self, threads: int) -> None:
        with limit.Memory(10_007, 2, norm=True, threads=threads) as memory:
            memory._gradient.fill(1)
            for name, loop in memory.loops(torch=False).items():
                before = [state.copy() for state in memory._states]
                loop()
                if name != "numpy.copyto":
                    pairs = zip(before, memory._states, strict=True)
                    assert all((state == old + 1).all() for old, state in pairs), name

    @pytest.mark.parametrize(("variant", "passes"), [("plain", 5), ("momentum", 7), ("everything", 12)])
    def test_counts_what_a_step_must_move(self, variant: str, passes: int) -> None:
        rows = measure.measure_limit("numpy", 100_000, variant, FEW, torch=False)
        assert {row["bytes"] for row in rows} == {passes * 400_000}
        loops = [row for row in rows if row["loop"] != OURS]
        assert len(loops) == len(rows) - 1
        best = min(loops, key=lambda row: row["seconds"])
        assert best["part_of_limit"] == 1
        assert all(row["part_of_limit"] > 0 for row in rows)


def assert_vectorised(function: SimpleNamespace, operation: str) -> None:
    """Look for the operation on several float32 at a time in the machine code."""
    assembly = "\n".join(function.inspect_asm().values())
    registers = {"x86_64": rf"v?{operation}.*ps\b.*[xyz]mm", "arm64": rf"f?{operation}.*\.4s", "aarch64": None}
    pattern = registers.get(platform.machine()) or registers["arm64"]
    assert re.search(pattern, assembly), "no vector instruction"
