"""A step that is interrupted at any of its lines leaves nothing behind that its visible state does not say."""

import pytest
import torch
from arrays import numbers
from interrupts import check_each_line, every_line, interrupted
from torch_runs import array, tensor

from rmsprop.torch import RMSprop

SHAPES = {"w": (6, 3), "v": (40,), "u": ()}
EVERYTHING = {"momentum": 0.9, "centered": True, "weight_decay": 0.01, "use_ema": True, "ema_momentum": 0.5}


class Run:
    """An optimizer with parameters of several types and the gradients of the steps to come.

    Args:
        options: the optimizer's.
        given: number of a step -> gradients by name; None: a new dense one of each parameter.
        dtypes: of the parameters, in turn.
    """

    def __init__(self, options, given=None, dtypes=(torch.float32,)):
        self.options, self.given, self.dtypes, self.steps = options, given or dense, dtypes, 0
        self.parameters = {
            name: torch.nn.Parameter(tensor(numbers(shape, seed=place)).to(dtypes[place % len(dtypes)]))
            for place, (name, shape) in enumerate(SHAPES.items())
        }
        self.optimizer = RMSprop(self.parameters.items(), **options)

    def step(self):
        """Step with the next gradients: in the same memory for three steps, then in memory of their own."""
        gradients = self.given(self, self.steps)
        self.steps += 1
        for name, parameter in self.parameters.items():
            gradient, old = gradients[name], parameter.grad
            both = [one for one in (gradient, old) if one is not None and one.layout is torch.strided]
            parameter.grad = old.copy_(gradient) if len(both) == 2 and self.steps % 3 else gradient
        self.optimizer.step()

    def anew(self):
        """Give another run that knows only what can be seen of this one."""
        other = Run(self.options, self.given, self.dtypes)
        other.steps = self.steps
        for name, parameter in self.parameters.items():
            other.parameters[name].data.copy_(parameter.data)
            if parameter in self.optimizer.state:
                slots = {slot: one.clone() for slot, one in self.optimizer.state[parameter].items()}
                other.optimizer.state[other.parameters[name]] = slots
        for entry, mine in zip(other.optimizer.param_groups, self.optimizer.param_groups, strict=True):
            entry |= {name: value for name, value in mine.items() if name not in ("params", "param_names")}
        other.optimizer.iterations = self.optimizer.iterations
        return other

    def read(self):
        found = {name: array(parameter) for name, parameter in self.parameters.items()}
        for name, parameter in self.parameters.items():
            found |= {f"{slot} of {name}": array(one) for slot, one in self.optimizer.state[parameter].items()}
        return found


def dense(run, step):
    return {
        name: tensor(numbers(one.shape, seed=10 * step + place)).to(one.dtype)
        for place, (name, one) in enumerate(run.parameters.items())
    }


def coming_and_going(run, step):
    found = dense(run, step)
    found["wvu"[step // 2 % 3]] = None
    return found


def sparse_by_turns(run, step):
    found = dense(run, step)
    if step % 4 < 2:
        rows = torch.tensor([[4, 1, 4]])
        found["w"] = torch.sparse_coo_tensor(rows, found["w"][:3], found["w"].shape, check_invariants=True)
    return found


MIXED = (torch.float32, torch.bfloat16, torch.float64)
LONG = "coming and going", "sparse", "without kernels"  # more than a thousand lines, and so more than five seconds
CASES = {
    "plain": ({}, None, (torch.float32,)),
    "plain, mixed types": ({}, None, MIXED),
    "everything": (EVERYTHING | {"ema_overwrite_frequency": 3, "global_clipnorm": 0.5}, None, MIXED),
    "clipnorm": ({"clipnorm": 0.1, "momentum": 0.5}, None, MIXED),
    "coming and going": ({"global_clipnorm": 0.5}, coming_and_going, MIXED),
    "sparse": ({"momentum": 0.5}, sparse_by_turns, (torch.float32,)),
    "without kernels": (EVERYTHING | {"jit_compile": False}, None, MIXED),
}


def check(case, steps, change, every):
    """Interrupt the step after so many, before which `change` does something to the optimizer."""

    def make():
        run = Run(*case)
        for _ in range(steps):
            run.step()
        change(run.optimizer)
        return run

    make().step()  # what only the first step of a process does is done
    assert check_each_line(make, Run.step, Run.anew, Run.read, every) > 0


def set_rate(optimizer):
    optimizer.param_groups[0]["lr"] = 0.125


def set_options(optimizer):
    optimizer.param_groups[0] |= {"lr": 0.125, "rho": 0.5, "weight_decay": 0.25}


@every_line
@pytest.mark.parametrize("case", [
    pytest.param(case, id=name, marks=[pytest.mark.slow] * (name in LONG))
    for name, case in CASES.items()
])  # fmt: skip
def test_a_step_with_a_new_rate(case, every):
    # By the fourth step memory is another; the third and the fifth go the short way.
    check(case, 4, set_rate, every)


#: With mixed types every line that options lead to is run as well, in `make test-all`.
plain_and_everything = pytest.mark.parametrize(
    "case",
    [pytest.param(CASES["plain, mixed types"], marks=pytest.mark.slow), CASES["everything"]],
    ids=["plain", "everything"],
)


@every_line
@plain_and_everything
def test_a_first_step(case, every):
    check(case, 0, set_rate, every)


@every_line
@plain_and_everything
def test_a_step_with_new_options(case, every):
    check(case, 5, set_options, every)


@every_line
def test_gradients_that_are_again_where_they_were(every):
    """An allocator gives the same two pieces of memory by turns, and the step between is interrupted."""
    line = 0
    while True:
        w = torch.nn.Parameter(torch.zeros(10))
        optimizer = RMSprop([w], 1.0, rho=0.0, epsilon=0.0)
        here, there = torch.full((10,), 1.0), torch.full((10,), 2.0)
        for _ in range(3):
            w.grad = here
            optimizer.step()
        w.grad = there
        if not interrupted(optimizer.step, line):
            break
        w.grad = here.fill_(-3.0)
        there.fill_(torch.nan)  # as memory that is somebody else's by now
        w.data.zero_()
        optimizer.step()
        # Without an average each weight moves by its gradient's sign.
        assert torch.equal(w.detach(), torch.ones(10)), f"interrupted at line {line}"
        line += min(every, 3)
    assert line > 0


def test_options_that_are_set_back_after_an_interrupt():
    line = 0
    while True:
        w, other = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
        optimizer, expected = RMSprop([w], 0.5, rho=0.5), RMSprop([other], 0.5, rho=0.5)
        for _ in range(2):
            w.grad, other.grad = torch.ones(3), torch.ones(3)
            optimizer.step()
            expected.step()
        before = w.detach().clone(), optimizer.state[w]["velocity"].clone()
        optimizer.param_groups[0]["rho"] = 0.0
        if not interrupted(optimizer.step, line):
            break
        optimizer.param_groups[0]["rho"] = 0.5
        w.data.copy_(before[0])
        optimizer.state[w]["velocity"].copy_(before[1])
        for one in (optimizer, expected):
            one.step()
        assert torch.equal(w, other), f"interrupted at line {line}"
        line += 1
    assert line > 0


@every_line
def test_a_group_that_was_added_while_it_was_interrupted(every):
    line = 0
    while True:
        w, other = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
        w.grad, other.grad = torch.ones(3), torch.ones(3)
        optimizer = RMSprop([w], 0.5)
        optimizer.step()
        optimizer.param_groups.append(optimizer.param_groups[0] | {"params": [other]})
        if not interrupted(optimizer.step, line):
            break
        other.data.fill_(1.0)
        optimizer.step()
        assert other[0].item() < 1, f"interrupted at line {line}"
        line += every
    assert line > 0
