"""`torch.compile`: a training step breaks the graph at the optimizer, and gives the same numbers."""

import pytest
import torch
from arrays import numbers
from processes import run
from torch_runs import tensor

from rmsprop.schedules import CosineDecay
from rmsprop.torch import RMSprop

# Torch's compiler looks at the gradient of every tensor it meets; not of ours, and with torch.optim too.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


@pytest.mark.parametrize("minimizes", [False, True])
@pytest.mark.parametrize("rate", [0.125, CosineDecay(0.125, 5)], ids=["number", "schedule"])
def test_a_compiled_training_step(rate, minimizes):
    torch._dynamo.reset()

    def run(wrap):
        w = torch.nn.Parameter(tensor(numbers((5,))))
        optimizer = RMSprop([w], rate, momentum=0.5, clipnorm=1.0)

        def train(x):
            if minimizes:
                return optimizer.minimize(((w - x) ** 2).sum())
            loss = ((w - x) ** 2).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(train)
        losses = [step(torch.ones(5)).item() for _ in range(4)]
        assert optimizer.iterations == 4
        return w, losses

    expected, losses = run(lambda function: function)
    found, others = run(lambda function: torch.compile(function, backend="eager"))
    assert torch.equal(found, expected)
    assert others == losses


def test_a_compiled_step_alone():
    torch._dynamo.reset()
    w, v = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    one, other = RMSprop([w]), RMSprop([v])
    step = torch.compile(lambda: one.step(), backend="eager")
    for _ in range(3):
        w.grad, v.grad = torch.ones(3), torch.ones(3)
        step()
        other.step()
    assert torch.equal(w, v)


def test_hooks_are_called_where_the_step_is_compiled():
    torch._dynamo.reset()
    w = torch.nn.Parameter(torch.ones(3))
    optimizer, seen = RMSprop([w]), []
    optimizer.register_step_pre_hook(lambda one, args, kwargs: seen.append(("before", one.iterations)))
    optimizer.register_step_post_hook(lambda one, args, kwargs: seen.append(("after", one.iterations)))
    step = torch.compile(lambda: optimizer.step(), backend="eager")
    for _ in range(2):
        w.grad = torch.ones(3)
        step()
    assert seen == [("before", 0), ("after", 1), ("before", 1), ("after", 2)]


def test_the_import_loads_no_compiler():
    """It takes longer than all of torch, which itself loads it when a first optimizer is made."""
    assert run("import sys, rmsprop.torch; print('torch._dynamo' in sys.modules)") == "False"
