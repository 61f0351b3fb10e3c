"""Draw who is who, w under each library's RMSprop with the same settings: ``python docs/tools/who.py``.

Each starts at w = 0.1, sees the gradients of w**2 / 2 (which are w), and has learning rate 0.002, decay 0.9 and epsilon
0.01, without momentum: where epsilon stands and what the velocity starts at is all that differs. Needs every framework,
as ``make env`` installs them.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

os.environ["KERAS_BACKEND"] = "tensorflow"

ROOT = Path(__file__).parents[2]
START, STEPS, RATE, DECAY, EPSILON = 0.1, 60, 0.002, 0.9, 0.01

#: Lines that can be told apart in black and white: color, dashes, marker.
STYLES = {
    "rmsprop, tf_keras, Keras 3, optax": ("#1b4f8a", "-", ""),
    "TensorFlow 1, timm, Stable-Baselines3": ("#3f8f5b", "--", "s"),
    "torch.optim, Keras up to 2.10": ("#c8641e", ":", "o"),
}


def ours(**options):
    """Step a NumPy array by this package."""
    from rmsprop import RMSprop

    w = np.array([START])
    optimizer = RMSprop(RATE, DECAY, epsilon=EPSILON, **options)
    return w, lambda: optimizer.apply_gradients([(w, w)]), lambda: w[0]


def of_torch(make):
    """Step a parameter by an optimizer of torch's kind."""
    import torch

    w = torch.nn.Parameter(torch.tensor([START], dtype=torch.float64))
    optimizer = make([w])

    def step():
        w.grad = w.detach().clone()
        optimizer.step()

    return w, step, lambda: w.item()


def of_tf_keras(make):
    """Step a variable by an optimizer of tf_keras's kind."""
    import tensorflow as tf

    w = tf.Variable([START], dtype="float64")
    optimizer = make()
    return w, lambda: optimizer.apply_gradients([(tf.identity(w), w)]), lambda: float(w[0])


def of_optax(make):
    """Step an array by a transformation of optax's."""
    import jax.numpy as jnp
    import optax

    optimizer = make()
    held = [jnp.array([START])]
    held.append(optimizer.init(held[0]))

    def step():
        updates, held[1] = optimizer.update(held[0], held[1], held[0])
        held[0] = optax.apply_updates(held[0], updates)

    return held, step, lambda: float(held[0][0])


def contenders():
    """List the label of a line, the name of an optimizer, and what steps it."""
    sys.path.insert(0, str(ROOT / "tests" / "common"))
    from operators import declare_operators

    library = declare_operators()  # torchvision, which timm imports
    with suppress(ImportError):
        import triton  # noqa: F401 - before TensorFlow, after which it ends the process
    import keras
    import optax
    import tensorflow as tf
    import tf_keras
    import timm.optim
    import torch
    from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike

    same, old, other = STYLES
    yield same, "rmsprop", ours()
    yield old, "rmsprop, initial_velocity=1", ours(initial_velocity=1.0)
    yield same, "tf_keras", of_tf_keras(lambda: tf_keras.optimizers.RMSprop(RATE, DECAY, epsilon=EPSILON))
    yield same, "optax", of_optax(lambda: optax.rmsprop(RATE, DECAY, eps=EPSILON))
    yield same, "Keras 3", of_tf_keras(lambda: keras.optimizers.RMSprop(RATE, DECAY, epsilon=EPSILON))
    first = tf.compat.v1.train.RMSPropOptimizer
    yield old, "TensorFlow 1", of_tf_keras(lambda: first(RATE, DECAY, epsilon=EPSILON))
    yield old, "Stable-Baselines3", of_torch(lambda w: RMSpropTFLike(w, RATE, alpha=DECAY, eps=EPSILON))
    yield old, "timm", of_torch(lambda w: timm.optim.RMSpropTF(w, RATE, alpha=DECAY, eps=EPSILON))
    yield other, "torch.optim", of_torch(lambda w: torch.optim.RMSprop(w, RATE, alpha=DECAY, eps=EPSILON))
    legacy = tf_keras.optimizers.legacy.RMSprop
    yield other, "Keras up to 2.10", of_tf_keras(lambda: legacy(RATE, DECAY, epsilon=EPSILON))
    del library


def trajectories():
    """Return the lines by their labels; optimizers of one line must agree."""
    lines = {}
    for label, name, (_held, step, read) in contenders():
        found = [read()]
        for _ in range(STEPS):
            step()
            found.append(read())
        line = lines.setdefault(label, found)
        # float32 where optax computes
        np.testing.assert_allclose(found, line, rtol=0, atol=1e-5, err_msg=f"{name} is not on the line of {label}")
    return lines


def main():
    """Write the picture."""
    figure, panel = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    for label, line in trajectories().items():
        color, dashes, marker = STYLES[label]
        panel.plot(line, dashes, color=color, marker=marker, markevery=6, markersize=5, linewidth=1.8, label=label)
    panel.set_xlabel("step")
    panel.set_ylabel("w")
    panel.set_ylim(0, None)
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False)
    panel.set_title(f"w**2 / 2 with learning rate {RATE}, decay {DECAY}, epsilon {EPSILON}, no momentum", fontsize=10)
    figure.savefig(ROOT / "docs" / "assets" / "who.png", dpi=150, facecolor="white")


if __name__ == "__main__":
    main()
