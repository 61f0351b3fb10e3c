"""One training in every front end, saved in the middle and gone on with: ``python portable.py FRONT_END FILE``.

It does the first steps, saves to FILE and says so. Then it reads a line from its input, in JSON: OUT and the files of
all front ends. It does all steps; then it loads each file into a new optimizer, whose variables are in another order
and have other values, and does the last steps. It writes variables and state to OUT, an .npz file:
"0/<slot>/<variable>" of the whole training, "1/...", "2/..." of those gone on with.
"""

import json
import sys
from contextlib import nullcontext

import numpy

OPTIONS = {
    "learning_rate": 0.125, "momentum": 0.9, "epsilon": 1e-3, "centered": True, "weight_decay": 0.01,
    "global_clipnorm": 2.0, "use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3,
}  # fmt: skip

SHAPES = {"layer/kernel": (5, 4), "layer/bias": (4,), "scale": ()}
FIRST, LAST = 5, 4
SLOTS = "average", "velocity", "momentum", "average_gradient", "variable"


def start(name):
    """Give a variable's first value."""
    return numpy.random.default_rng(len(name)).normal(size=SHAPES[name]).astype("f4")


def gradient(name, step):
    """Give the gradient of a variable in a step."""
    return numpy.random.default_rng([len(name), step]).normal(size=SHAPES[name]).astype("f4")


class Numpy:
    """The training in NumPy; the others have the same methods.

    Args:
        values: the variables' values by name.
        options: of the optimizer.
    """

    def __init__(self, values, options):
        from rmsprop import RMSprop

        self.variables, self.optimizer = {name: value.copy() for name, value in values.items()}, RMSprop(**options)
        self.optimizer.build(self.variables)

    def step(self, gradients):
        self.optimizer.apply_gradients((gradients[name], one) for name, one in self.variables.items())

    def save(self, path, **options):
        self.optimizer.save(path, **options)

    def load(self, path, **options):
        return self.optimizer.load(path, **options)


class Torch(Numpy):
    def __init__(self, values, options):
        import torch

        from rmsprop.torch import RMSprop

        self.variables = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in values.items()}
        self.optimizer = RMSprop(self.variables.items(), **options)

    def step(self, gradients):
        import torch

        for name, parameter in self.variables.items():
            parameter.grad = torch.tensor(gradients[name])
        self.optimizer.step()


class Jax:
    def __init__(self, values, options):
        import jax.numpy as jnp

        from rmsprop.jax import RMSprop

        self.params = self.tree({name: jnp.array(one) for name, one in values.items()})
        self.optimizer = RMSprop(**options)
        self.state = self.optimizer.init(self.params)

    def tree(self, values):
        layer = {name.removeprefix("layer/"): one for name, one in values.items() if name.startswith("layer/")}
        return {"layer": layer, "scale": values["scale"]}

    def step(self, gradients):
        self.params, self.state = self.optimizer.apply_gradients(self.tree(gradients), self.params, self.state)

    def save(self, path, **options):
        self.optimizer.save(path, self.params, self.state, **options)

    def load(self, path, **options):
        self.params, self.state = self.optimizer.load(path, self.params, **options)


class TfKeras(Numpy):
    def __init__(self, values, options):
        import tensorflow as tf

        from rmsprop.tf_keras import RMSprop

        self.variables = {name: tf.Variable(one, name=name) for name, one in values.items()}
        self.optimizer = RMSprop(**options)
        self.optimizer.build([*self.variables.values()])

    def step(self, gradients):
        import tensorflow as tf

        self.optimizer.apply_gradients((tf.constant(gradients[name]), one) for name, one in self.variables.items())


class Keras(Numpy):
    def __init__(self, values, options):
        import keras

        from rmsprop.keras import RMSprop

        self.variables = {}
        for name, value in values.items():
            scope, _, last = name.rpartition("/")
            with keras.name_scope(scope) if scope else nullcontext():
                self.variables[name] = keras.Variable(value, name=last)
        self.optimizer = RMSprop(**options)
        self.optimizer.build([*self.variables.values()])

    def step(self, gradients):
        import keras

        pairs = [(keras.ops.convert_to_tensor(gradients[name]), one) for name, one in self.variables.items()]
        self.optimizer.apply_gradients(pairs)


FRONT_ENDS = {"numpy": Numpy, "torch": Torch, "jax": Jax, "tf_keras": TfKeras, "keras": Keras}


def run(training, steps):
    for step in steps:
        training.step({name: gradient(name, step) for name in SHAPES})


def write(front_end, path):
    training = FRONT_ENDS[front_end]({name: start(name) for name in SHAPES}, OPTIONS)
    run(training, range(FIRST))
    training.save(path, variables=True, metadata={"epoch": "5"})


def go_on(front_end, out, *paths):
    from safetensors.numpy import load_file

    found = {}
    for place, path in enumerate([None, *paths]):
        if path is None:
            training, first = FRONT_ENDS[front_end]({name: start(name) for name in SHAPES}, OPTIONS), 0
        else:
            values = {name: numpy.zeros(SHAPES[name], "f4") for name in reversed(SHAPES)}
            training, first = FRONT_ENDS[front_end](values, OPTIONS | {"learning_rate": 0.5}), FIRST
            texts = training.load(path, variables=True)
            assert texts in ({"epoch": "5"}, None)
        run(training, range(first, FIRST + LAST))
        training.save(f"{out}.st", variables=True)
        found |= {f"{place}/{key}": value for key, value in load_file(f"{out}.st").items()}
    numpy.savez(out, **found)


def main(front_end, path):
    """Write a file, say so, and go on with the files that a line from outside names, behind the result's."""
    write(front_end, path)
    print("written", flush=True)
    if line := sys.stdin.readline():
        go_on(front_end, *json.loads(line))


if __name__ == "__main__":
    main(*sys.argv[1:])
