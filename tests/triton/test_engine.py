"""The CUDA engine, run by the interpreter, has the bits of `rmsprop.RMSprop` on NumPy arrays."""

import cases
import ml_dtypes
import numpy
import ours
import pytest
import torch
from arrays import EVERYTHING, TYPES, numbers
from engine_runs import Group, Pair, unaligned

from rmsprop._core import plan
from rmsprop._core.cuda import launches

STORAGE = [
    pytest.param(variable, slots, id=f"{numpy.dtype(variable).name}-{slots}")
    for variable in TYPES
    for slots in (None, "float32", "float64", "bfloat16")
    if numpy.dtype(variable).name != slots
]


@pytest.fixture
def made(monkeypatch):
    """The tensors for which launches were made, a list for each time."""
    found, make = [], launches.Launches.__init__

    def noting(self, tensors, up, groups, device):
        found.append(tensors)
        make(self, tensors, up, groups, device)

    monkeypatch.setattr(launches.Launches, "__init__", noting)
    return found


def run(pair, steps, dtype=numpy.float32, first=0):
    given = cases.gradients(first + steps, dtype)
    for i in range(first, first + steps):
        pair.step_both(cases.at(given, i))


@pytest.mark.parametrize("case", cases.TABLE, ids=str)
@pytest.mark.matrix
def test_every_setting(case):
    pair = Pair(case.options, cases.variables(numpy.float32))
    # The second of these is a seventh step, in which averages replace variables.
    pair.optimizer.iterations = 5
    pair.iterations.fill_(5)
    run(pair, 2)


@pytest.mark.parametrize("case", cases.PAIRWISE, ids=str)
@pytest.mark.matrix
def test_settings_in_float64_for_nine_steps(case):
    run(Pair(case.options, cases.variables(numpy.float64)), 9, numpy.float64)


@pytest.mark.parametrize(("variable", "slots"), STORAGE)
@pytest.mark.matrix
def test_every_storage(variable, slots):
    options = EVERYTHING | {"slot_dtype": slots}
    run(Pair(options, cases.variables(variable)), 3, variable)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("dtype", TYPES)
def test_sizes_about_those_of_blocks_and_chunks_in_one_launch(aligned, dtype, made):
    sizes = [0, 1, 7, 1023, 1024, 1025, 4095, 4096, 4097, 9000]
    place = (lambda tensor: tensor) if aligned else unaligned
    arrays = {str(size): numbers(size, dtype, size) for size in sizes}
    pair = Pair(EVERYTHING, arrays, place)
    pair.step_both({str(size): numbers(size, dtype, 100 + size) for size in sizes})
    (tensors,) = made
    assert {tensor.aligned for tensor in tensors if tensor.size} == {aligned}
    assert len(plan.step_launches(tensors)) == 1


def test_both_alignments_and_two_types_are_four_launches(made):
    def place(tensor):
        return unaligned(tensor) if tensor.numel() == 5 else tensor

    arrays = {f"{size} {dtype.__name__}": numbers(size, dtype) for size in (4, 5) for dtype in TYPES[2:]}
    pair = Pair({"momentum": 0.9, "clipnorm": 0.5}, arrays, place)
    for step in range(2):
        pair.step_both({name: numbers(array.shape, array.dtype, step) for name, array in arrays.items()})
    assert len(plan.step_launches(made[-1])) == 4


def test_zeros_infinities_and_nan_go_the_same_way():
    special = numpy.array([0, -0.0, 1e-30, 1e-45, 1e15, 3e38, numpy.inf, -numpy.inf, numpy.nan], numpy.float32)
    arrays = {"w": numpy.repeat(special, special.size)}
    for options in (EVERYTHING, {"clipvalue": 1.0, "centered": True}, {"epsilon": 0.0, "clipnorm": 1.0}):
        pair = Pair(options, arrays)
        with numpy.errstate(all="ignore"):
            for _ in range(3):
                pair.step_both({"w": numpy.tile(special, special.size)})


@pytest.mark.parametrize("slots", ["float16", "bfloat16"])
def test_float64_is_rounded_once_to_half_types(slots):
    # Gradients whose squares lie next to the middle of two half numbers, on either side of it: 1 + 2**-n and so on.
    random = numpy.random.default_rng(0)
    middle = 1 + (2 * random.integers(0, 64, 200) + 1) * 2.0 ** (-12 if slots == "float16" else -9)
    near = middle * (1 + numpy.repeat([-1e-12, 0, 1e-12, 1e-9], 50))
    pair = Pair({"rho": 0.0, "slot_dtype": slots}, {"w": numpy.ones(200)})
    pair.step_both({"w": numpy.sqrt(near)})


def test_learning_rate_may_be_a_tensor():
    arrays = {"w": numbers(5)}
    pair = Pair({"weight_decay": 0.01}, arrays)
    for step, rate in enumerate((0.5, 0.25, 0.125)):
        gradients = {"w": numbers(5, seed=step)}
        pair.step(gradients, torch.tensor(rate))
        pair.optimizer.learning_rate = rate
        ours.step(pair.optimizer, pair.arrays, gradients)
        pair.compare()


def test_groups_have_options_and_learning_rates_of_their_own():
    settings = [{"global_clipnorm": 0.5, "learning_rate": 0.1}, {"momentum": 0.9, "centered": True}, {"clipnorm": 0.1}]
    arrays = numbers((3, 5))
    pairs = [Pair(options, {"w": row}) for options, row in zip(settings, arrays, strict=True)]
    engine, iterations = pairs[0].engine, torch.zeros((), dtype=torch.int64)
    for step in range(3):
        given = {"w": numbers(5, seed=step)}
        items = [pair.items(given)[0]._replace(group=Group(pair.options, pair.options.learning_rate)) for pair in pairs]
        engine.step(items, iterations)
        for pair in pairs:
            pair.iterations.copy_(iterations)
            ours.step(pair.optimizer, pair.arrays, given)
            pair.compare()


def test_weight_decay_may_leave_some_out():
    from rmsprop import RMSprop

    pair = Pair({"weight_decay": 0.1}, {"w": numbers(5), "bias": numbers(5, seed=1)})
    pair.optimizer = RMSprop(weight_decay=0.1)
    pair.optimizer.exclude_from_weight_decay(var_names=["bias"])
    pair.optimizer.build(pair.arrays)
    given = {"w": numbers(5, seed=2), "bias": numbers(5, seed=3)}
    decayed, left = pair.items(given)
    pair.engine.step([decayed, left._replace(decays=False)], pair.iterations)
    ours.step(pair.optimizer, pair.arrays, given)
    pair.compare()


def test_plans_are_kept_and_used_again(made):
    pair = Pair(EVERYTHING, {"w": numbers(5), "v": numbers(3)})
    for step in range(4):
        pair.step_both({"w": numbers(5, seed=step), "v": numbers(3, seed=step)})
    assert len(made) == 1


def test_a_mixed_gradient_type_is_widened():
    pair = Pair(EVERYTHING, {"w": numbers(1030)})
    for dtype in TYPES:
        pair.step_both({"w": numbers(1030, dtype)})


def test_an_empty_call_changes_nothing():
    pair = Pair({}, {"w": numbers(3)})
    pair.step({})
    pair.compare()


def test_an_unknown_type_is_refused():
    pair = Pair({}, {"w": numbers(3)})
    item = pair.items({"w": numbers(3)})[0]
    with pytest.raises(TypeError, match=r"torch.complex64: float16, bfloat16, float32 or float64 is needed"):
        pair.engine.step([item._replace(gradient=torch.zeros(3, dtype=torch.complex64))], pair.iterations)
    pair.compare()


def test_bfloat16_is_what_numpy_knows_by_that_name():
    pair = Pair({}, {"w": numbers(3, ml_dtypes.bfloat16)})
    assert pair.parameters["w"].dtype is torch.bfloat16
