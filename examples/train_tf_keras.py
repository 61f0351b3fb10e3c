"""Train a small network on handwritten digits with tf_keras: ``python examples/train_tf_keras.py``.

A custom loop; ``train_keras.py`` has `fit`, which is the same here. Needed: ``pip install ".[tf-keras]" scikit-learn``
in the folder above.
"""

import tensorflow as tf
import tf_keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from rmsprop import recipes
from rmsprop.tf_keras import RMSprop

EPOCHS, BATCH = 15, 64

tf_keras.utils.set_random_seed(0)
images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
images, test_images, labels, test_labels = train_test_split(
    images, labels, test_size=0.2, stratify=labels, random_state=0
)
batches = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(images)).batch(BATCH)

model = tf_keras.Sequential(
    [
        tf_keras.layers.GaussianNoise(0.2, input_shape=(8, 8, 1)),  # images with noise cannot be learnt by heart
        tf_keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
        tf_keras.layers.Conv2D(64, 3, strides=2, padding="same", activation="relu"),
        tf_keras.layers.Flatten(),
        tf_keras.layers.Dense(10),
    ]
)
loss_of = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)

# EfficientNet's RMSprop with a smaller learning rate, which falls by a fifth every 2.4 epochs. Biases do not decay.
# `ema_overwrite_frequency=None`: the averages of the weights are for evaluation, training does not use them.
stairs = tf_keras.optimizers.schedules.ExponentialDecay
rate = stairs(0.01, decay_steps=int(2.4 * len(batches)), decay_rate=0.8, staircase=True)
options = {"weight_decay": 1e-4, "use_ema": True, "ema_momentum": 0.98, "ema_overwrite_frequency": None}
optimizer = RMSprop(**{**recipes.EFFICIENTNET, "learning_rate": rate, **options})
optimizer.exclude_from_weight_decay(var_names=["bias"])


@tf.function
def train_step(batch, expected):
    """Do a step, and return the loss before it."""
    with tf.GradientTape() as tape:
        loss = loss_of(expected, model(batch, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return loss


for epoch in range(EPOCHS):
    for batch, expected in batches:
        loss = train_step(batch, expected)
    print(f"epoch {epoch + 1:2}   loss {loss.numpy():.4f}")

optimizer.finalize_variable_values(model.trainable_variables)  # the averages take the weights' place
accuracy = (model(test_images).numpy().argmax(axis=1) == test_labels).mean()
print(f"test accuracy {accuracy:.2%}")
