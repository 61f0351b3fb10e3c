"""What only torch has."""

import keras
import keras_runs as runs
import numpy
import pytest
import torch

from rmsprop.keras import RMSprop


def test_a_step_is_in_place_and_shows():
    """What a graph has saved of the old values is not used unnoticed."""
    optimizer, named = runs.build({}, {"w": numpy.ones(4, "float32")})
    (parameter,) = (one.value for one in named.values())
    start, loss = parameter.data_ptr(), (parameter**2).sum()
    optimizer.apply([torch.ones(4)], list(named.values()))
    assert named["w"].value is parameter
    assert parameter.data_ptr() == start
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_gradients_elsewhere_at_every_step():
    """Gradients of other sets of variables, of other strides and types, each time in new memory."""
    arrays = {"a": numpy.ones((4, 3), "float32"), "b": numpy.ones(5, "float32")}
    (optimizer, named), (plain, others) = runs.build({}, arrays), runs.build({}, arrays)
    a, b = named.values()
    for place in range(12):
        full = torch.full((3, 4), place + 1.0).T
        given = [(full if place % 2 else full.contiguous(), a), (torch.full((5,), 2.0, dtype=torch.float64), b)]
        given = given if place % 3 else given[::-1]
        optimizer.apply_gradients(given)
        plain.apply_gradients([(torch.full((4, 3), place + 1.0), others["a"]), (torch.full((5,), 2.0), others["b"])])
    runs.assert_same([runs.array(one) for one in (a, b)], [runs.array(one) for one in others.values()])


def test_a_parameter_in_another_order():
    """State lies as its variable does, and stays the optimizer's."""
    parameter = torch.nn.Parameter(torch.ones(2, 3, 4, 4).to(memory_format=torch.channels_last))
    variable, other = keras.Variable(parameter), keras.Variable(numpy.ones((2, 3, 4, 4), "float32"))
    gradient = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    for one in (variable, other):
        optimizer = RMSprop(momentum=0.5)
        for _ in range(3):
            optimizer.apply([gradient], [one])
        assert (runs.array(optimizer._velocities[0]) > 0).all()
    assert variable.value is parameter
    numpy.testing.assert_array_equal(runs.array(variable), runs.array(other))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's own, with Keras 3.11
def test_torch_compile():
    model, alone = runs.model(RMSprop(0.01), jit_compile=True), runs.model(RMSprop(0.01))
    optimizer, x, y = model.optimizer, *map(torch.tensor, runs.data(16))

    @torch.compile(backend="eager")
    def step():
        model.zero_grad()
        keras.ops.mean((model(x) - y) ** 2).backward()
        optimizer.apply([one.value.grad for one in model.trainable_weights], model.trainable_weights)

    step()
    alone.train_on_batch(*runs.data(16))
    runs.assert_same(runs.weights(model), runs.weights(alone), tolerance=1e-6)


def test_torchs_own_parameters():
    with pytest.raises(TypeError, match=r"rmsprop\.torch\.RMSprop steps torch's tensors"):
        RMSprop().build([torch.nn.Parameter(torch.ones(3))])
