"""Training on the mesh whose gradients are computed where they are used, in one function, and summed over its devices.

There DTensor's compiler puts sums over devices together, and moves them, and what waits for them, past what reads the
same variables later. So who assigns a variable and then reads it within the function may read what was there before.
"""

import meshes
import tensorflow as tf

#: The environment variable that turns that off with the value 0; it is read when a function is compiled.
SWITCH = "DTENSOR_ENABLE_COMBINE_ALL_REDUCES_OPTIMIZATION"

STEPS = 6


def loss(variables):
    """A loss that needs sums over the mesh; gradients of all sizes from 0.1 to 100."""
    one, both, bias, number = variables.values()
    products = tf.reduce_sum(one**2) * tf.reduce_sum(tf.sin(both)) / 8
    return products + number * tf.reduce_sum(bias) + tf.reduce_sum((bias - tf.reduce_mean(one)) ** 2)


def train(run, steps=STEPS):
    """Train a `meshes.OnMesh` or `meshes.Alone`."""
    variables = list(run.variables.values())

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            value = loss(run.variables)
        run.optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))

    for _ in range(steps):
        step()
    return run
