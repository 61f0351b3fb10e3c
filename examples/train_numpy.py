"""Train a small network of NumPy arrays on handwritten digits: ``python examples/train_numpy.py``.

Needed: ``pip install ".[cli]"`` in the folder above, for scikit-learn's digits and for autograd's gradients.
"""

import autograd.numpy as anp
import numpy as np
from autograd import value_and_grad
from autograd.scipy.special import logsumexp
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from rmsprop import RMSprop, recipes, schedules

EPOCHS, BATCH, NOISE = 30, 64, 0.2

images, labels = load_digits(return_X_y=True)
images = (images / 16).astype(np.float32)
images, test_images, labels, test_labels = train_test_split(
    images, labels, test_size=0.2, stratify=labels, random_state=0
)
steps = len(images) // BATCH  # an epoch

rng = np.random.default_rng(0)
weights = {
    "hidden/kernel": (rng.normal(size=(64, 256)) * (2 / 64) ** 0.5).astype(np.float32),
    "hidden/bias": np.zeros(256, np.float32),
    "output/kernel": (rng.normal(size=(256, 10)) * (2 / 256) ** 0.5).astype(np.float32),
    "output/bias": np.zeros(10, np.float32),
}


def scores(weights, images):
    """Return ten numbers for each image, the largest of which is at the digit that the network sees."""
    hidden = anp.maximum(anp.dot(images, weights["hidden/kernel"]) + weights["hidden/bias"], 0)
    return anp.dot(hidden, weights["output/kernel"]) + weights["output/bias"]


def loss(weights, images, labels):
    """Return the mean cross-entropy."""
    found = scores(weights, images)
    return anp.mean(logsumexp(found, axis=1) - found[anp.arange(len(labels)), labels])


# EfficientNet's RMSprop with a smaller learning rate, which falls by a fifth every 2.4 epochs. Biases do not decay.
# `ema_overwrite_frequency=None`: the averages of the weights are for evaluation, training does not use them.
rate = schedules.ExponentialDecay(0.01, decay_steps=2.4 * steps, decay_rate=0.8, staircase=True)
options = {"weight_decay": 1e-4, "use_ema": True, "ema_momentum": 0.98, "ema_overwrite_frequency": None}
optimizer = RMSprop(**{**recipes.EFFICIENTNET, "learning_rate": rate, **options})
optimizer.exclude_from_weight_decay(var_names=["bias"])
optimizer.build(weights)  # as a mapping, in which variables have names

for epoch in range(EPOCHS):
    order = rng.permutation(len(images))
    for step in range(steps):
        batch = order[step * BATCH : (step + 1) * BATCH]
        # With noise on the images the network cannot learn them by heart.
        noisy = images[batch] + NOISE * rng.normal(size=(BATCH, 64)).astype(np.float32)
        value, gradients = value_and_grad(loss)(weights, noisy, labels[batch])
        optimizer.apply_gradients([(gradients[name], weights[name]) for name in weights])
    print(f"epoch {epoch + 1:2}   loss {value:.4f}")

optimizer.finalize_variable_values(weights)  # the averages take the weights' place
accuracy = np.mean(scores(weights, test_images).argmax(axis=1) == test_labels)
print(f"test accuracy {accuracy:.2%}")
