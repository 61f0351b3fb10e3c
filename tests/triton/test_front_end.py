"""Whole steps of `rmsprop.torch.RMSprop` through the CUDA engine, which Triton's interpreter runs on CPU tensors.

Beside each goes the same run through the CPU engine, and every bit is compared after every step.
"""

import copy
import io

import cases
import numpy
import pytest
import torch
from arrays import EVERYTHING
from front_end_runs import Both, other_defaults

from rmsprop import schedules
from rmsprop._core.cuda.launches import Launches
from rmsprop._torch import cuda, engine
from rmsprop.torch import RMSprop


def go_there(monkeypatch, goes):
    """Let parameters go the way of CUDA; what CUDA does not take of them belongs to nobody else."""

    def against_cuda(parameter, gradient, options, off="", warns=True):
        return "" if goes(parameter) and options.jit_compile and not off else "not there"

    monkeypatch.setattr(engine, "against_cuda", against_cuda)
    monkeypatch.setattr(engine, "against_cpu", lambda item: "not here" if goes(item.variable) else "")


@pytest.fixture
def both(monkeypatch):
    """Gives a function that makes a `Both`, whose first optimizer goes the way of CUDA."""
    there = []
    go_there(monkeypatch, lambda parameter: bool(there))

    def make(*arguments, **options):
        return Both(there, *arguments, **options)

    return make


@pytest.mark.parametrize("case", cases.PAIRWISE, ids=str)
@pytest.mark.matrix
def test_every_case_of_the_table(case, both):
    runs = both(**case.options)
    for seed in range(4):
        runs.step(seed)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.complex64, torch.complex128])
@pytest.mark.parametrize("options", [EVERYTHING, {"clipnorm": 0.5, "maximize": True}], ids=["all", "clipnorm"])
def test_every_type_of_number(dtype, options, both):
    runs = both(dtype=dtype, **options)
    for seed in range(3):
        runs.step(seed)


@pytest.mark.parametrize("options", [{}, {"clipvalue": 0.1}, {"clipnorm": 0.5}, EVERYTHING], ids=str)
def test_maximize(options, both):
    runs = both(maximize=True, **options)
    for seed in range(4):
        runs.step(seed, grad_scale=None if seed % 2 else 8.0)


def test_maximize_may_be_turned_on_and_off(both):
    runs = both(global_clipnorm=0.5)
    for seed in range(4):
        for optimizer in runs.optimizers:
            optimizer.param_groups[0]["maximize"] = seed % 2 == 1
        runs.step(seed)


def grouped(named):
    return RMSprop(
        [
            {"params": [named["w"]], "lr": 0.25, "momentum": 0.9, "maximize": True},
            {"params": [named["v"]], "lr": schedules.PiecewiseConstantDecay([1], [0.5, 0.125]), "use_ema": True,
             "ema_overwrite_frequency": 2},
            {"params": [named["u"]], "lr": torch.tensor(0.125), "global_clipnorm": None, "clipvalue": 0.1},
        ],
        weight_decay=0.01, global_clipnorm=0.5,
    )  # fmt: skip


def test_groups_with_options_of_their_own(both):
    runs = both(grouped)
    for seed in range(4):
        runs.step(seed)


def test_parameters_without_a_gradient_are_left_out(both):
    runs = both(**EVERYTHING)
    for seed, left_out in enumerate([(), "w", "vu", "wvu", "u", ()]):
        runs.step(seed, left_out)


SCHEDULES = [
    schedules.ExponentialDecay(0.5, 2, 0.5, staircase=True), schedules.PolynomialDecay(0.5, 4, 0.25),
    schedules.InverseTimeDecay(0.5, 2, 1.0), schedules.PiecewiseConstantDecay([1, 3], [0.5, 0.25, 0.125]),
    schedules.CosineDecay(0.5, 8, warmup_target=1.0, warmup_steps=2), schedules.CosineDecayRestarts(0.5, 2),
    lambda step: 0.5 / (1 + step), lambda: 0.5,
]  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_schedules_do_not_count_skipped_steps(schedule, both):
    runs = both(learning_rate=schedule)
    for seed, skip in enumerate([False, True, False, True, True, False, False]):
        runs.step(seed, skip=skip)


@pytest.mark.parametrize("options", [{}, EVERYTHING, {"maximize": True, "clipnorm": 0.5}], ids=["plain", "all", "up"])
def test_steps_are_skipped_and_scales_taken_out_as_on_the_cpu(options, both):
    runs = both(**options)
    for seed, skip in enumerate([False, False, True, False, True, False, False]):
        runs.step(seed, grad_scale=2.0**12, skip=skip, factor=numpy.inf if skip else 2.0**12)
    assert runs.optimizers[0].iterations == 5


def test_with_and_without_a_scaler_by_turns(both):
    runs = both(use_ema=True, ema_overwrite_frequency=3)
    for seed, skip in enumerate([None, True, None, False, None, True, None]):
        runs.step(seed, grad_scale=None if skip is None else 4.0, skip=skip)


def test_a_state_dict_holds_the_steps_that_only_the_device_counted(both):
    runs = both(grouped)
    for seed, skip in enumerate([False, True, False]):
        runs.step(seed, skip=skip)
    file = io.BytesIO()
    torch.save(runs.optimizers[0].state_dict(), file)
    saved = torch.load(io.BytesIO(file.getvalue()))
    assert [group["iterations"] for group in saved["param_groups"]] == [2, 2, 2]
    assert saved["param_groups"][1]["lr"] == 0.5
    runs.step(3)
    runs.optimizers[0] = grouped(runs.models[0])
    runs.optimizers[0].load_state_dict(saved)
    runs.optimizers[1].iterations = 2
    for name, w in runs.models[0].items():
        for slot, kept in runs.optimizers[1].state[runs.models[1][name]].items():
            kept.copy_(runs.optimizers[0].state[w][slot])
    for seed in range(4, 7):
        runs.step(seed)


def test_a_state_dict_loaded_while_steps_are_counted_on_the_device_sets_the_count(both, monkeypatch):
    counters, step = [], cuda.Cuda.step
    monkeypatch.setattr(
        cuda.Cuda, "step", lambda self, items, iterations, *rest, **more: (counters.append(iterations),
                                                                          step(self, items, iterations, *rest, **more)),
    )  # fmt: skip
    runs = both(use_ema=True, ema_overwrite_frequency=2)
    runs.step(0, skip=False)
    saved = [copy.deepcopy(optimizer.state_dict()) for optimizer in runs.optimizers]
    runs.step(1, skip=False)
    for optimizer, one in zip(runs.optimizers, saved, strict=True):
        optimizer.load_state_dict(one)
        assert optimizer.iterations == 1
    runs.step(2, skip=False)
    runs.step(3)
    assert len(counters) == 4
    assert all(one is counters[0] for one in counters)  # which a CUDA graph may hold


def test_a_copy_goes_on_with_the_devices_count(both):
    runs = both(learning_rate=schedules.InverseTimeDecay(0.5, 2, 1.0), momentum=0.5)
    for seed, skip in enumerate([False, True]):
        runs.step(seed, skip=skip)
    runs.models, runs.optimizers = copy.deepcopy((runs.models, runs.optimizers))
    runs.step(2)


def test_iterations_that_are_assigned_reach_the_device(both):
    runs = both(use_ema=True, ema_overwrite_frequency=5)
    runs.step(0)
    runs.step(1, skip=True)
    for optimizer in runs.optimizers:
        optimizer.iterations = 4
    runs.step(2)
    runs.step(3)


def test_axes_in_any_order_and_state_that_lies_alike(both):
    runs = both(**EVERYTHING)
    for named in runs.models:
        named["w"].data = named["w"].data.t().contiguous().t()
    for seed in range(3):
        runs.step(seed)


def test_a_stale_graph_is_noticed(both):
    runs = both()
    w = runs.models[0]["w"]
    loss = (w * w).sum()
    runs.step(0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("options", [{"global_clipnorm": 0.5}, {"clipnorm": 0.5}, EVERYTHING], ids=str)
def test_devices_may_be_mixed_and_share_the_global_norm(options, both, monkeypatch):
    runs = both(maximize=True, **options)
    split = runs.models[0]["v"]
    go_there(monkeypatch, lambda parameter: parameter is split)
    used = []
    original = cuda.Cuda.step
    monkeypatch.setattr(
        cuda.Cuda, "step", lambda self, items, *rest, **more: (used.append(len(items)),
                                                                      original(self, items, *rest, **more)),
    )  # fmt: skip
    for seed, skip in enumerate([None, False, True, None]):
        runs.step(seed, grad_scale=None if skip is None else 4.0, skip=skip)
    assert used == [1, 1, 1]


@pytest.mark.parametrize("mixed", [False, True], ids=["one device", "two"])
def test_default_types_and_devices_are_not_looked_at(mixed, both, monkeypatch):
    """The scale is that with which `GradScaler` starts, and which float16 does not have."""
    runs = both(global_clipnorm=0.5, momentum=0.9)
    if mixed:
        split = runs.models[0]["v"]
        go_there(monkeypatch, lambda parameter: parameter is split)
    for optimizer in runs.optimizers:
        optimizer.step = other_defaults()(optimizer.step)
    for seed in range(2):
        runs.step(seed, grad_scale=65536.0, factor=65536.0, skip=False)


@pytest.mark.parametrize("options", [{}, {"clipnorm": 0.5}, {"maximize": True}, EVERYTHING], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, torch.bfloat16])
def test_launches_are_those_that_are_explained(options, dtype, both, monkeypatch):
    runs, launched = both(dtype=dtype, **options), []
    launch = Launches._launch
    monkeypatch.setattr(
        Launches, "_launch", lambda self, work, begin: (launched.append(len(work)), launch(self, work, begin))
    )
    runs.there[:] = [True]
    found = runs.optimizers[0].explain()
    runs.step(0)
    assert {(one.way, one.compiler, one.reason) for one in found.variables.values()} == {("native", "triton", "")}
    assert launched == [found.launches]
    assert found.threads == 0


class Asked(Exception):
    """The host asked for a number of a tensor."""


READERS = ("item", "tolist", "__bool__", "__float__", "__int__", "__index__", "cpu", "numpy")


def test_the_host_asks_for_nothing(both, monkeypatch):
    runs = both(grouped)
    runs.step(0, grad_scale=2.0, skip=False)
    cuda, launched = runs.optimizers[0], []
    launch, readers = Launches._launch, {name: getattr(torch.Tensor, name) for name in READERS}

    def interpret(self, work, begin):
        # The interpreter itself reads tensors; what is left of the step is the host's.
        launched.append(len(work))
        if begin is not None:
            begin()
        with monkeypatch.context() as allowed:
            for name in READERS:
                allowed.setattr(torch.Tensor, name, readers[name])
            launch(self, work)

    def refuse(*arguments):
        raise Asked

    runs.there[:] = [True]
    with numpy.errstate(all="ignore"), monkeypatch.context() as patch:
        patch.setattr(Launches, "_launch", interpret)
        for name in READERS:
            patch.setattr(torch.Tensor, name, refuse)
        for skip in (0.0, 1.0, 0.0):
            cuda.found_inf = torch.full((1,), skip)
            cuda.step()
        with pytest.raises(Asked):
            print(cuda.iterations)
    assert len(launched) == 3
    assert cuda.iterations == 3
