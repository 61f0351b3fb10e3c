"""The same bits as the NumPy front end's, for every row of the table."""

import cases
import ml_dtypes
import numpy
import ours
import pytest
import torch
from arrays import EVERYTHING, numbers
from torch_runs import array, assert_bits, path, tensor

import rmsprop
from rmsprop._core.run import Run
from rmsprop._core.switches import processors
from rmsprop.torch import RMSprop

STEPS = 20

#: Those whose kernels are compiled; the others take the same way, with another launch.
COMPILED = {case.desc for case in cases.PAIRWISE + cases.EXTREMES}


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize("case", cases.TABLE, ids=str)
@pytest.mark.matrix
def test_the_bits_are_those_of_numpy(case, dtype):
    options = dict(case.options) | {"jit_compile": case.desc in COMPILED}
    expected, found = ours.path(options, dtype, STEPS), path(options, dtype, STEPS)
    assert found.keys() == expected.keys()
    for slot, named in expected.items():
        for name, rows in named.items():
            assert_bits(found[slot][name], rows)


@pytest.mark.parametrize("dtype", [numpy.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("slot_dtype", [None, "float32"])
@pytest.mark.parametrize("case", cases.PAIRWISE[:4], ids=str)
@pytest.mark.matrix(8)
def test_half_types_have_the_bits_of_numpy(case, dtype, slot_dtype):
    options = dict(case.options) | {"slot_dtype": slot_dtype}
    expected, found = ours.path(options, dtype, STEPS), path(options, dtype, STEPS)
    for slot, named in expected.items():
        for name, rows in named.items():
            assert_bits(found[slot][name], rows)


@pytest.mark.parametrize("case", [case for case in cases.TABLE if case.exact], ids=str)
def test_closed_forms(case):
    found, gradients = path(case.options, "float32", STEPS), cases.gradients(STEPS, numpy.float32)
    for name, variable in cases.variables(numpy.float32).items():
        assert_bits(found["variables"][name][-1], numpy.asarray(case.exact(variable, gradients[name])))


def test_large_tensors_shared_out_among_threads_have_the_bits_of_numpy():
    """More chunks than one thread does alone, and norms over many of them."""
    w, gradient = numbers((700, 900)), numbers((700, 900), seed=1)
    parameter = torch.nn.Parameter(tensor(w))
    optimizer, other = RMSprop([parameter], **EVERYTHING), rmsprop.RMSprop(**EVERYTHING)
    before = torch.get_num_threads()
    try:
        for threads in (1, 3, 2):
            torch.set_num_threads(threads)
            parameter.grad = tensor(gradient)
            optimizer.step()
            other.apply_gradients([(gradient, w)])
            assert_bits(parameter, w)
    finally:
        torch.set_num_threads(before)
    assert array(optimizer.state[parameter]["velocity"]).any()


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_as_many_as_torchs(threads, monkeypatch):
    used, make, before = set(), Run.__init__, torch.get_num_threads()
    monkeypatch.setattr(
        Run, "__init__", lambda run, plan, most, compiled: used.add(most) or make(run, plan, most, compiled)
    )
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.grad = torch.ones(3)
    optimizer = RMSprop([parameter], clipnorm=1.0)
    optimizer.step()
    used.clear()
    torch.set_num_threads(threads)
    try:
        optimizer.step()
    finally:
        torch.set_num_threads(before)
    assert used == {min(threads, processors())}


def test_the_example_of_the_specification():
    w = torch.nn.Parameter(torch.tensor(10.0, dtype=torch.float64))
    assert RMSprop([w], learning_rate=0.1).minimize(lambda: w**2 / 2).item() == 50
    assert round(w.item(), 6) == 9.683772
