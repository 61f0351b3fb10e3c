"""Train a small network on handwritten digits with Keras 3: ``KERAS_BACKEND=jax python examples/train_keras.py``.

The backend may be tensorflow, jax or torch. Needed: ``pip install ".[keras]" scikit-learn`` in the folder above, and
the backend.
"""

import math

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from rmsprop import recipes
from rmsprop.keras import RMSprop

EPOCHS, BATCH = 15, 64

keras.utils.set_random_seed(0)
images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
images, test_images, labels, test_labels = train_test_split(
    images, labels, test_size=0.2, stratify=labels, random_state=0
)
steps = math.ceil(len(images) / BATCH)  # an epoch

model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.GaussianNoise(0.2),  # images with noise cannot be learnt by heart
        keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
        keras.layers.Conv2D(64, 3, strides=2, padding="same", activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ]
)

# EfficientNet's RMSprop with a smaller learning rate, which falls by a fifth every 2.4 epochs. Biases do not decay.
# `ema_overwrite_frequency=None`: the averages of the weights are for evaluation, training does not use them.
stairs = keras.optimizers.schedules.ExponentialDecay
rate = stairs(0.01, decay_steps=int(2.4 * steps), decay_rate=0.8, staircase=True)
options = {"weight_decay": 1e-4, "use_ema": True, "ema_momentum": 0.98, "ema_overwrite_frequency": None}
optimizer = RMSprop(**{**recipes.EFFICIENTNET, "learning_rate": rate, **options})
optimizer.exclude_from_weight_decay(var_names=["bias"])

loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(optimizer, loss, metrics=["accuracy"])
model.fit(images, labels, batch_size=BATCH, epochs=EPOCHS, verbose=2)

accuracy = model.evaluate(test_images, test_labels, verbose=0)[1]
print(f"test accuracy {accuracy:.2%}")
