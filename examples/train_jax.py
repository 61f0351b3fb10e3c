"""Train a small network on handwritten digits with JAX: ``python examples/train_jax.py``.

Needed: ``pip install ".[jax]" scikit-learn`` in the folder above.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from rmsprop import recipes
from rmsprop.jax import RMSprop

EPOCHS, BATCH, NOISE = 30, 64, 0.2

images, labels = load_digits(return_X_y=True)
images = (images / 16).astype(np.float32)
images, test_images, labels, test_labels = train_test_split(
    images, labels, test_size=0.2, stratify=labels, random_state=0
)
steps = len(images) // BATCH  # an epoch

normal = jax.nn.initializers.he_normal()
keys = jax.random.split(jax.random.key(0))
params = {
    "hidden": {"kernel": normal(keys[0], (64, 256)), "bias": jnp.zeros(256)},
    "output": {"kernel": normal(keys[1], (256, 10)), "bias": jnp.zeros(10)},
}


def scores(params, images):
    """Return ten numbers for each image, the largest of which is at the digit that the network sees."""
    hidden = jax.nn.relu(images @ params["hidden"]["kernel"] + params["hidden"]["bias"])
    return hidden @ params["output"]["kernel"] + params["output"]["bias"]


def loss(params, images, labels):
    """Return the mean cross-entropy."""
    return optax.softmax_cross_entropy_with_integer_labels(scores(params, images), labels).mean()


# EfficientNet's RMSprop with a smaller learning rate, which falls by a fifth every 2.4 epochs. Biases do not decay.
# `ema_overwrite_frequency=None`: the averages of the weights are for evaluation, training does not use them.
rate = optax.exponential_decay(0.01, transition_steps=int(2.4 * steps), decay_rate=0.8, staircase=True)
options = {"weight_decay": 1e-4, "use_ema": True, "ema_momentum": 0.98, "ema_overwrite_frequency": None}
optimizer = RMSprop(**{**recipes.EFFICIENTNET, "learning_rate": rate, **options})
optimizer.exclude_from_weight_decay(var_names=["bias"])
state = optimizer.init(params)


@partial(jax.jit, donate_argnums=(0, 1))
def train_step(params, state, images, labels):
    """Return parameters and state after a step, in the memory of the old ones, and the loss before it."""
    return optimizer.minimize(loss, params, state, images, labels)


rng = np.random.default_rng(0)
for epoch in range(EPOCHS):
    order = rng.permutation(len(images))
    for step in range(steps):
        batch = order[step * BATCH : (step + 1) * BATCH]
        # With noise on the images the network cannot learn them by heart.
        noisy = images[batch] + NOISE * rng.normal(size=(BATCH, 64)).astype(np.float32)
        params, state, value = train_step(params, state, noisy, labels[batch])
    print(f"epoch {epoch + 1:2}   loss {value:.4f}")

averaged = optimizer.finalize_variable_values(params, state)
accuracy = jnp.mean(scores(averaged, test_images).argmax(axis=1) == test_labels)
print(f"test accuracy {accuracy:.2%}")
