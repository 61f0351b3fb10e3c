"""What is dropped goes at once, without waiting for the garbage collector: optimizer, parameters, state."""

import gc
from weakref import ref

import pytest
import torch
from arrays import EVERYTHING

from rmsprop import schedules
from rmsprop.torch import RMSprop

OPTIONS = [
    {}, EVERYTHING, {"clipnorm": 0.5, "jit_compile": False}, {"global_clipnorm": 0.5},
    {"learning_rate": schedules.ExponentialDecay(0.5, 2, 0.5)}, {"learning_rate": lambda step: 0.5 / (1 + step)},
]  # fmt: skip


def train(options, steps):
    """Give weak references to everything that a dropped optimizer has had."""
    parameters = [torch.nn.Parameter(torch.ones(50, 2, dtype=dtype)) for dtype in (torch.float32, torch.float64)]
    parameters.append(torch.nn.Parameter(torch.ones(2, 50).t()))
    optimizer = RMSprop([(f"w{place}", one) for place, one in enumerate(parameters)], **options)
    optimizer.exclude_from_weight_decay([parameters[0]], ["w1"])
    for step in range(steps):
        for parameter in parameters[: 1 + step % 3]:
            parameter.grad = torch.ones_like(parameter)
        if step == 2:
            parameters[0].grad = torch.ones(50, 2).to_sparse(1)
        optimizer.step()
    optimizer.state_dict()
    slots = [slot for state in optimizer.state.values() for slot in state.values()]
    return [ref(one) for one in (optimizer, *parameters, *slots)]


@pytest.mark.parametrize("steps", [0, 1, 6])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_dropped_optimizer(options, steps):
    train(options, steps)  # what only a process's first does is done
    gc.collect()
    gc.disable()
    try:
        assert [one() for one in train(options, steps)] == [None] * len(train(options, steps))
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_parameter_that_was_given_other_memory_keeps_none_of_the_old():
    w = torch.nn.Parameter(torch.ones(1000))
    optimizer = RMSprop([w])
    w.grad = torch.ones(1000)
    optimizer.step()
    old = ref(w.untyped_storage())
    w.data = torch.empty(0)
    assert old() is None
