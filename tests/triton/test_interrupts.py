"""A step on a device that is interrupted leaves nothing behind that the state does not say; kernels are done whole."""

import numpy
import pytest
import torch
from arrays import EVERYTHING
from engine_runs import to_numpy
from front_end_runs import make as made
from interrupts import check_each_line, every_line, interrupted

from rmsprop import schedules
from rmsprop._torch import engine
from rmsprop.torch import RMSprop

SHAPES = {"w": (3, 4), "v": (7,)}


@pytest.fixture(autouse=True)
def device(monkeypatch):
    """Let everything go the way of CUDA."""
    monkeypatch.setattr(engine, "against_cuda", lambda *arguments: "")
    monkeypatch.setattr(engine, "against_cpu", lambda item: "not here")
    yield
    torch.set_grad_enabled(True)  # which an interrupt at the end of torch's own `no_grad` leaves off


class Run:
    def __init__(self, options):
        self.options, self.steps = options, 0
        types = torch.float32, torch.bfloat16
        self.parameters = [
            torch.nn.Parameter(made(shape, dtype, 9)) for shape, dtype in zip(SHAPES.values(), types, strict=True)
        ]
        self.optimizer = RMSprop(self.parameters, **options)

    def step(self):
        """The gradients' memory is another from time to time, and one of them comes and goes."""
        self.steps += 1
        for place, w in enumerate(self.parameters):
            gradient = made(w.shape, w.dtype, 10 * self.steps + place)
            keeps = w.grad is not None and self.steps % 3
            w.grad = w.grad.copy_(gradient) if keeps else gradient
        if self.steps % 4 == 0:
            self.parameters[1].grad = None
        with numpy.errstate(all="ignore"):  # the interpreter computes with NumPy
            self.optimizer.step()

    def anew(self):
        other = Run(self.options)
        other.steps = self.steps
        for w, mine in zip(other.parameters, self.parameters, strict=True):
            w.data.copy_(mine.data)
            if mine in self.optimizer.state:
                other.optimizer.state[w] = {name: one.clone() for name, one in self.optimizer.state[mine].items()}
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if "learning_rate" not in self.options:
            other.optimizer.param_groups[0]["lr"] = rates[0]
        other.optimizer.iterations = self.optimizer.iterations
        return other

    def read(self):
        found = {"iterations": numpy.array(self.optimizer.iterations)}
        for place, w in enumerate(self.parameters):
            found |= {f"{name} {place}": to_numpy(one) for name, one in self.optimizer.state[w].items()}
            found[f"w {place}"] = to_numpy(w)
        return {name: one.view(numpy.int16) if one.dtype.itemsize == 2 else one for name, one in found.items()}


CASES = {
    "plain": {},
    "everything": EVERYTHING,
    "schedule": {"learning_rate": schedules.InverseTimeDecay(0.5, 2, 1.0), "clipnorm": 0.5},
}


# Takes minutes: each of some hundred lines is ten interpreted steps of two optimizers
@pytest.mark.slow
@every_line
@pytest.mark.parametrize("steps", [0, 3, 5])
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_the_steps_after_an_interrupt(options, steps, every):
    def begin():
        run = Run(options)
        for _ in range(steps):
            run.step()
        if "learning_rate" not in options:
            run.optimizer.param_groups[0]["lr"] = 0.125
        return run

    # A kernel is not interrupted, and what launches it is, but for the launch itself.
    assert check_each_line(begin, Run.step, Run.anew, Run.read, 4 * every, skip=["_launch"]) > 0


@pytest.mark.slow
def test_types_that_come_back_after_an_interrupt():
    """What the interrupted step has found out of its tensors is not taken for what it has found out of the others'."""
    line = 0
    while True:
        w, other = (torch.nn.Parameter(made((40,), torch.float16, 9)) for _ in range(2))
        optimizer, expected = (RMSprop([one], 0.125, slot_dtype="float32") for one in (w, other))
        memory, both = w.data, ((w, optimizer), (other, expected))
        with numpy.errstate(all="ignore"):
            for one, stepper in both:
                one.grad = made((40,), torch.float16, 1)
                stepper.step()
            w.grad = None
            w.data = memory.view(torch.bfloat16)
            w.grad = made((40,), torch.bfloat16, 2)
            was = interrupted(optimizer.step, line, skip=["_launch"])
            w.grad = None
            w.data = memory.copy_(other.data)
            optimizer.state[w]["velocity"].copy_(expected.state[other]["velocity"])
            for one, stepper in both:
                one.grad = made((40,), torch.float16, 3)
                stepper.step()
        assert torch.equal(w, other), f"interrupted at line {line}"
        line += 1
        if not was:
            break
    assert line > 1


@pytest.mark.parametrize("what", ["parameter", "gradient", "velocity"])
def test_a_refused_step_leaves_no_state(what):
    a, b = (torch.nn.Parameter(made((40,), torch.float32, seed)) for seed in (1, 2))
    optimizer = RMSprop([a, b], 0.125, use_ema=True)
    b.grad = made((40,), torch.float32, 3)
    with numpy.errstate(all="ignore"):
        optimizer.step()
    a.grad = made((40,), torch.float32, 3)
    before = b.detach().clone(), optimizer.iterations
    tensor = {"parameter": b, "gradient": b.grad, "velocity": optimizer.state[b]["velocity"]}[what]
    kept = tensor.data
    tensor.data = torch.zeros(40)[:20].clone().resize_(40)
    tensor.data.untyped_storage().resize_(16)
    with pytest.raises(ValueError, match="its storage was resized"):
        optimizer.step()
    tensor.data = kept
    assert a not in optimizer.state
    assert torch.equal(b, before[0])
    assert optimizer.iterations == before[1]
