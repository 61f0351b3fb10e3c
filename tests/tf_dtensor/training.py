"""Training on the mesh whose gradients are computed where they are used, in one function, and summed over its devices.

There DTensor's compiler puts sums over devices together, and moves them, and what waits for them, past what reads the
same variables later. So who assigns a variable and then reads it within the function may read what was there before.
The environment variable DTENSOR_ENABLE_COMBINE_ALL_REDUCES_OPTIMIZATION=0, set before the process starts, turns it off.
"""

import tensorflow as tf

STEPS = 6


def loss(variables):
    """A loss some of whose gradients are sums over the mesh."""
    one, both, bias, number = variables.values()
    return tf.reduce_sum((one**2 + bias) ** 2) / 8 + number * tf.reduce_sum(tf.sin(both))


def train(run, steps=STEPS, in_one=True):
    """Train a `meshes.OnMesh` or `meshes.Alone`; not `in_one` function, the optimizer steps eagerly."""
    variables = list(run.variables.values())

    @tf.function(autograph=False)
    def gradients():
        with tf.GradientTape() as tape:
            value = loss(run.variables)
        return tape.gradient(value, variables)

    def step():
        run.optimizer.apply_gradients(zip(gradients(), variables, strict=True))

    step = tf.function(step, autograph=False) if in_one else step
    for _ in range(steps):
        step()
    return run
