"""On a GPU: the bits of the CPU, CUDA graphs, and no wait for the device."""

from typing import Any, NamedTuple

import numpy
import ours
import pytest
import torch
from arrays import EVERYTHING, numbers

from rmsprop import schedules
from rmsprop._core.items import Item
from rmsprop._core.options import Options
from rmsprop._torch.cuda import Cuda
from rmsprop.torch import RMSprop

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SIZES = (0, 1, 1025, 4096, 40000)
SETTINGS = [{}, {"clipvalue": 0.5}, {"clipnorm": 0.5, "centered": True}, EVERYTHING]


class Group(NamedTuple):
    """What the engine reads of a parameter group."""

    options: Options
    rate: Any = 0.001
    maximize: bool = False


class Model:
    """The engine on the device, and NumPy's optimizer, with the same variables and gradients."""

    def __init__(self, options, dtype=numpy.float32):
        self.arrays = {str(size): numbers(size, dtype, size) for size in SIZES}
        self.optimizer = ours.build(options, self.arrays)
        self.options, self.engine, self.iterations = (
            Options(**options),
            Cuda(),
            torch.zeros((), dtype=torch.int64, device="cuda"),
        )
        state = ours.state(self.optimizer, self.arrays)
        self.tensors = {
            slot: {name: torch.from_numpy(array).cuda() for name, array in named.items()}
            for slot, named in state.items()
            if slot != "iterations"
        }
        self.gradients = {name: torch.zeros_like(tensor) for name, tensor in self.tensors["variables"].items()}

    def items(self, rate=0.001):
        group = Group(self.options, rate)
        return [
            Item(
                tensor,
                self.gradients[name],
                {slot: named[name] for slot, named in self.tensors.items() if slot != "variables"},
                True,
                group,
            )
            for name, tensor in self.tensors["variables"].items()
        ]

    def step(self, seed, do=None):
        given = {name: numbers(array.shape, array.dtype, seed) for name, array in self.arrays.items()}
        for name, array in given.items():
            self.gradients[name].copy_(torch.from_numpy(array))
        if do is None:
            self.engine.step(self.items(), self.iterations)
        else:
            do()
        ours.step(self.optimizer, self.arrays, given)

    def compare(self):
        assert self.iterations.item() == self.optimizer.iterations
        for slot, named in ours.state(self.optimizer, self.arrays).items():
            for name, array in named.items() if slot in self.tensors else ():
                numpy.testing.assert_array_equal(self.tensors[slot][name].cpu().numpy(), array, f"{slot} of {name}")


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_bits_are_the_cpus(options, dtype):
    model = Model(options, dtype)
    for seed in range(4):
        model.step(seed)
    model.compare()


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_a_captured_step_is_replayed_after_others(options):
    model = Model(options)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for seed in range(2):
            model.step(seed)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        model.engine.step(model.items(), model.iterations)
    model.step(2, graph.replay)
    kept = model.gradients
    # Other addresses, sent to the tables that steps outside of the graph use.
    model.gradients = {name: torch.empty_like(tensor) for name, tensor in kept.items()}
    model.step(3)
    model.gradients = kept
    model.step(4, graph.replay)
    model.compare()


def test_nothing_waits_for_the_device():
    model = Model(EVERYTHING)
    model.step(0)
    items, found, scale = model.items(0.5), torch.zeros(1, device="cuda"), torch.ones(1, device="cuda")
    model.engine.step(items, model.iterations, scale, found)  # compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        model.engine.step(model.items(0.25), model.iterations, scale, found)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_first_step_may_not_be_captured():
    model = Model({})
    with (
        pytest.raises(RuntimeError, match="the first step of these parameters"),
        torch.cuda.graph(torch.cuda.CUDAGraph()),
    ):
        model.engine.step(model.items(), model.iterations)


class FrontEnd:
    """`rmsprop.torch.RMSprop` on the device and on the CPU, with the same parameters and gradients."""

    def __init__(self, **options):
        self.models = [
            [torch.nn.Parameter(torch.from_numpy(numbers(size, seed=size)).to(device)) for size in SIZES]
            for device in ("cuda", "cpu")
        ]
        self.optimizers = [RMSprop(model, **options) for model in self.models]
        for w in self.models[0]:
            w.grad = torch.zeros_like(w)

    def give(self, seed):
        """Write new gradients where the old ones were."""
        for cuda, cpu in zip(*self.models, strict=True):
            cpu.grad = torch.from_numpy(numbers(tuple(cpu.shape), seed=seed))
            cuda.grad.copy_(cpu.grad)

    def step(self, seed, do=None):
        self.give(seed)
        (do or self.optimizers[0].step)()
        self.optimizers[1].step()

    def compare(self):
        cuda, cpu = self.optimizers
        assert cuda.iterations == cpu.iterations
        for w, v in zip(*self.models, strict=True):
            numpy.testing.assert_array_equal(w.detach().cpu().numpy(), v.detach().numpy())
            for slot, kept in cpu.state[v].items():
                numpy.testing.assert_array_equal(cuda.state[w][slot].cpu().numpy(), kept.numpy(), slot)


#: Computed on the device without rounding.
SCHEDULE = schedules.PiecewiseConstantDecay([1, 3], [0.5, 0.25, 0.125])


@pytest.mark.parametrize("options", [*SETTINGS, {"maximize": True}, {"maximize": True, "clipnorm": 0.5}], ids=str)
def test_the_front_end_has_the_bits_of_the_cpu(options):
    runs = FrontEnd(lr=SCHEDULE, **options)
    for seed in range(4):
        runs.step(seed)
    runs.compare()


def test_the_default_device_may_be_the_gpu():
    runs = FrontEnd(**EVERYTHING)
    for seed in range(2):
        runs.give(seed)
        with torch.device("cuda"):
            for optimizer in runs.optimizers:
                optimizer.step()
    runs.compare()


@pytest.mark.parametrize("fused", [None, True])
def test_a_grad_scaler_skips_steps_as_on_the_cpu(fused):
    runs = FrontEnd(lr=SCHEDULE, fused=fused, **EVERYTHING)
    scalers = [torch.amp.GradScaler(device, init_scale=4.0) for device in ("cuda", "cpu")]
    for seed in range(6):
        runs.give(seed)
        for model, optimizer, scaler in zip(runs.models, runs.optimizers, scalers, strict=True):
            for w in model:
                w.grad *= scaler.scale(torch.ones((), device=w.device)) * (numpy.inf if seed in (1, 4) else 1.0)
            scaler.step(optimizer)
            scaler.update()
    assert runs.optimizers[0].iterations == 4
    runs.compare()


@pytest.mark.parametrize("rate", [SCHEDULE, lambda step: 0.5 / (1 + step), 0.5], ids=["formula", "function", "number"])
def test_a_step_of_the_front_end_waits_for_nothing(rate):
    runs = FrontEnd(lr=rate, **EVERYTHING)
    for seed in range(2):
        runs.step(seed)
    runs.give(2)
    optimizer = runs.optimizers[0]
    if not callable(rate) or rate is SCHEDULE:
        optimizer.found_inf, optimizer.grad_scale = torch.zeros(1, device="cuda"), torch.ones(1, device="cuda")
        optimizer.step()  # compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(2):
            optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_captured_step_of_the_front_end_follows_its_schedule():
    runs = FrontEnd(lr=SCHEDULE, **EVERYTHING)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        runs.step(0)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        runs.optimizers[0].step()
    for seed in range(1, 5):
        runs.step(seed, graph.replay)
        assert runs.optimizers[0].iterations == seed + 1
    for optimizer in runs.optimizers:
        optimizer.iterations = 1
    runs.step(5, graph.replay)
    runs.step(6)
    runs.compare()


def test_a_global_norm_is_that_of_both_devices():
    named = [torch.nn.Parameter(torch.from_numpy(numbers(40, seed=seed))) for seed in range(2)]
    mixed = [
        torch.nn.Parameter(w.detach().clone().to(device)) for w, device in zip(named, ("cuda", "cpu"), strict=True)
    ]
    for model in (named, mixed):
        for seed, w in enumerate(model):
            w.grad = torch.from_numpy(numbers(40, seed=10 + seed)).to(w.device)
        RMSprop(model, 0.5, global_clipnorm=0.5).step()
    for w, v in zip(named, mixed, strict=True):
        numpy.testing.assert_array_equal(v.detach().cpu().numpy(), w.detach().numpy())
