"""Steps of `rmsprop.torch.RMSprop` by the CUDA engine, on CPU tensors, beside those by the CPU engine."""

from contextlib import contextmanager

import numpy
import torch
from arrays import numbers
from engine_runs import same_bits, to_numpy, to_torch

from rmsprop.torch import RMSprop

SHAPES = {"w": (3, 5), "v": (1030,), "u": ()}


class Both:
    """Two optimizers with equal parameters, one on "CUDA", which `there` tells while it steps, one on the CPU."""

    def __init__(self, there, build=None, dtype=torch.float32, **options):
        self.there = there
        self.models = [
            {name: torch.nn.Parameter(make(shape, dtype, 9)) for name, shape in SHAPES.items()} for _ in range(2)
        ]
        build = build or (lambda named: RMSprop(named.items(), **{"learning_rate": 0.125, **options}))
        self.optimizers = [build(named) for named in self.models]

    def step(self, seed, left_out=(), grad_scale=None, skip=None, factor=1.0):
        """Step both with the same gradients; `skip` tells `found_inf`, None: there is no scaler."""
        for named, optimizer, there in zip(self.models, self.optimizers, (True, False), strict=True):
            for place, (name, w) in enumerate(named.items()):
                w.grad = None if name in left_out else make(w.shape, w.dtype, 10 * seed + place) * factor
            # As `GradScaler` tells them.
            optimizer.found_inf = None if skip is None else torch.full((1,), float(skip))
            optimizer.grad_scale = None if grad_scale is None else torch.full((1,), grad_scale)
            self.there[:] = [True] * there
            with numpy.errstate(all="ignore"):  # the interpreter computes with NumPy
                optimizer.step()
            self.there.clear()
        self.compare()

    def compare(self):
        cuda, cpu = self.optimizers
        assert cuda.iterations == cpu.iterations
        for name in SHAPES:
            w, v = (named[name] for named in self.models)
            assert_bits(w, v, name)
            assert cuda.state[w].keys() == cpu.state[v].keys()
            for slot, kept in cpu.state[v].items():
                assert_bits(cuda.state[w][slot], kept, f"{slot} of {name}")


@contextmanager
def other_defaults():
    """A default type and a default device with which nothing would go as it should."""
    torch.set_default_dtype(torch.float16)
    try:
        with torch.device("meta"):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def make(shape, dtype, seed):
    if dtype.is_complex:
        return torch.complex(*(to_torch(numbers(shape, seed=seed + part)) for part in (0, 100))).to(dtype)
    return to_torch(numpy.asarray(numbers(shape, seed=seed))).to(dtype)


def assert_bits(found, wanted, what):
    found, wanted = (torch.view_as_real(one.detach()) if one.is_complex() else one for one in (found, wanted))
    same_bits(to_numpy(found), to_numpy(wanted), what)
