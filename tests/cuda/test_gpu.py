"""On a GPU: the bits of the CPU, CUDA graphs, and no wait for the device."""

import numpy
import ours
import pytest
import torch
from arrays import EVERYTHING, numbers

from rmsprop._options import Options
from rmsprop.engines.torch._cuda import Cuda
from rmsprop.engines.torch._cuda_items import Item

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SIZES = (0, 1, 1025, 4096, 40000)
SETTINGS = [{}, {"clipvalue": 0.5}, {"clipnorm": 0.5, "centered": True}, EVERYTHING]


class Model:
    """The engine on the device, and NumPy's optimizer, with the same variables and gradients."""

    def __init__(self, options, dtype=numpy.float32):
        self.arrays = {str(size): numbers(size, dtype, size) for size in SIZES}
        self.optimizer = ours.build(options, self.arrays)
        self.engine, self.iterations = Cuda(Options(**options)), torch.zeros((), dtype=torch.int64, device="cuda")
        state = ours.state(self.optimizer, self.arrays)
        self.tensors = {
            slot: {name: torch.from_numpy(array).cuda() for name, array in named.items()}
            for slot, named in state.items()
            if slot != "iterations"
        }
        self.gradients = {name: torch.zeros_like(tensor) for name, tensor in self.tensors["variables"].items()}

    def items(self):
        return [
            Item(
                tensor,
                self.gradients[name],
                {slot: named[name] for slot, named in self.tensors.items() if slot != "variables"},
                True,
            )
            for name, tensor in self.tensors["variables"].items()
        ]

    def step(self, seed, do=None):
        given = {name: numbers(array.shape, array.dtype, seed) for name, array in self.arrays.items()}
        for name, array in given.items():
            self.gradients[name].copy_(torch.from_numpy(array))
        if do is None:
            self.engine.step(self.items(), 0.001, self.iterations)
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
        model.engine.step(model.items(), 0.001, model.iterations)
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
    items, found, scale = model.items(), torch.zeros(1, device="cuda"), torch.ones(1, device="cuda")
    model.engine.step(items, 0.5, model.iterations, scale, found)  # compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        model.engine.step(items, 0.25, model.iterations, scale, found)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_first_step_may_not_be_captured():
    model = Model({})
    with (
        pytest.raises(RuntimeError, match="the first step of these parameters"),
        torch.cuda.graph(torch.cuda.CUDAGraph()),
    ):
        model.engine.step(model.items(), 0.001, model.iterations)
