"""Gradients and parameters may lie in memory as they like."""

import numpy
import ours
import pytest
import torch
from arrays import EVERYTHING, TYPES, numbers
from engine_runs import Group, Pair, same_bits, to_numpy, to_torch

import rmsprop
from rmsprop._core.items import Item

SHAPE = (4, 3, 5, 2)


def fortran(array):
    return numpy.asfortranarray(array)


def channels_last(array):
    return array.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)


@pytest.mark.parametrize("gradient", [numpy.copy, fortran, channels_last])
@pytest.mark.parametrize("variable", [numpy.copy, fortran, channels_last])
@pytest.mark.parametrize("options", [{"clipnorm": 1.0, "momentum": 0.9}, EVERYTHING], ids=["clipnorm", "all"])
def test_axes_in_any_order(variable, gradient, options):
    pair = Pair(options, {"w": variable(numbers(SHAPE))})
    for step in range(2):
        pair.step_both({"w": gradient(numbers(SHAPE, seed=step))})


def engine_step(pair, gradient):
    item = pair.items({"w": to_numpy(pair.parameters["w"])})[0]
    pair.engine.step([item._replace(gradient=gradient)], pair.iterations)


def test_an_expanded_gradient():
    pair = Pair({"global_clipnorm": 1.0}, {"w": numbers((6, 4))})
    row = numbers(4, seed=1)
    engine_step(pair, torch.from_numpy(row).expand(6, 4))
    ours.step(pair.optimizer, pair.arrays, {"w": numpy.broadcast_to(row, (6, 4)).copy()})
    pair.compare()


def test_parameters_and_slots_in_one_flat_buffer():
    pair = Pair({"clipnorm": 1.0}, {"a": numbers((3, 3)), "b": numbers(5)})
    flat = torch.empty(14)
    for name, part in (("a", flat[:9].view(3, 3)), ("b", flat[9:])):
        pair.parameters[name] = part.copy_(pair.parameters[name])
    pair.step_both({"a": numbers((3, 3), seed=1), "b": numbers(5, seed=2)})


def test_a_parameter_with_gaps_is_returned_to_its_place():
    pair = Pair(EVERYTHING, {"w": numbers((4, 3))})
    wide = torch.full((4, 8), 7.0)
    pair.parameters["w"] = wide[:, 2:5].copy_(pair.parameters["w"])
    for step in range(3):
        pair.step_both({"w": numbers((4, 3), seed=step)})
    assert (wide[:, [0, 1, 5, 6, 7]] == 7).all()


def test_a_gradient_may_be_the_parameter_itself():
    pair = Pair(EVERYTHING, {"w": numbers(1030)})
    engine_step(pair, pair.parameters["w"])
    ours.step(pair.optimizer, pair.arrays, {"w": pair.arrays["w"]})
    pair.compare()
    assert pair.engine._overlaps[2] == []


def test_a_shifted_overlap_is_copied_before_anything_is_written():
    memory = torch.from_numpy(numbers(9000))
    pair = Pair({}, {"w": memory[:8000].numpy(), "v": numbers(8000, seed=1)})
    pair.parameters["w"] = memory[:8000]
    given = {"w": memory[1000:].numpy().copy(), "v": memory[:8000].numpy().copy()}
    items = pair.items(given)
    items = [items[0]._replace(gradient=memory[1000:]), items[1]._replace(gradient=memory[:8000])]
    pair.engine.step(items, pair.iterations)
    ours.step(pair.optimizer, pair.arrays, given)
    pair.compare()
    assert pair.engine._overlaps[2] == [0, 1]


@pytest.mark.parametrize("dtype", TYPES)
def test_a_sparse_gradient_is_the_dense_one_with_duplicates_summed(dtype):
    # Two of a row: the order in which more are added is not defined, and NumPy's differs from torch's by an ulp.
    rows, values = [5, 0, 5, 2], numbers((4, 3), dtype)
    pair = Pair(EVERYTHING, {"w": numbers((7, 3), dtype)})
    for _ in range(2):
        engine_step(pair, torch.sparse_coo_tensor([rows], to_torch(values), (7, 3), check_invariants=True))
        ours.step(pair.optimizer, pair.arrays, {"w": rmsprop.RowSparse(rows, values, (7, 3))})
        pair.compare()


@pytest.mark.filterwarnings("ignore:Sparse BSR tensor support is in beta")
def test_another_sparse_layout_is_refused():
    pair = Pair({}, {"w": numbers((7, 3))})
    with pytest.raises(TypeError, match=r"torch.sparse_bsr: dense or sparse COO is needed"):
        engine_step(pair, torch.zeros(7, 3).to_sparse_bsr((1, 1)))


def test_a_gradient_of_another_shape_is_refused():
    pair = Pair({}, {"w": numbers((7, 3))})
    with pytest.raises(ValueError, match=r"shape \(3, 7\) on cpu, its parameter \(7, 3\) on cpu"):
        engine_step(pair, torch.zeros(3, 7))
    pair.compare()


@pytest.mark.parametrize(
    ("state", "match"),
    [
        (torch.zeros(3, 7).T, r"velocity is torch.float32 of shape \(7, 3\) with strides \(1, 7\)"),
        (torch.zeros(8, 3), r"velocity is torch.float32 of shape \(8, 3\)"),
        (None, r"a parameter of shape \(7, 3\) has no state velocity"),
    ],
)
def test_state_that_does_not_fit_is_refused(state, match):
    pair = Pair({}, {"w": numbers((7, 3))})
    pair.step_both({"w": numbers((7, 3), seed=1)})
    # Also where all has been well before.
    slots = pair.slots["w"]
    pair.slots["w"] = {} if state is None else {"velocity": state}
    with pytest.raises(ValueError, match=match):
        engine_step(pair, torch.zeros(7, 3))
    pair.slots["w"] = slots
    pair.step_both({"w": numbers((7, 3), seed=2)})


def test_tensors_may_be_replaced_between_steps():
    pair = Pair(EVERYTHING, {"w": numbers((7, 3)), "v": numbers(5)})
    for step in range(4):
        pair.step_both({"w": numbers((7, 3), seed=step), "v": numbers(5, seed=step)})
        if step == 1:
            pair.parameters["w"] = pair.parameters["w"].clone()
        if step == 2:
            pair.slots["v"] = {slot: tensor.clone() for slot, tensor in pair.slots["v"].items()}


def test_backward_through_a_stale_graph_raises():
    parameter = torch.nn.Parameter(torch.ones(3))
    pair = Pair({}, {"w": numpy.ones(3, numpy.float32)})
    loss = (parameter * parameter).sum()
    pair.engine.step([Item(parameter, torch.ones(3), pair.slots["w"], True, Group(pair.options))], pair.iterations)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_everything_written_gets_a_new_version():
    pair = Pair(EVERYTHING, {"w": numbers(3)})
    written = [pair.parameters["w"], *pair.slots["w"].values(), pair.iterations]
    before = [tensor._version for tensor in written]
    gradient = torch.ones(3)
    engine_step(pair, gradient)
    assert all(tensor._version > version for tensor, version in zip(written, before, strict=True))
    assert gradient._version == 0
    same_bits(gradient.numpy(), numpy.ones(3, numpy.float32))
