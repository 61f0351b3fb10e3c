"""The models in the layers of a Keras, which tf_keras and Keras 3 name alike."""

from collections.abc import Callable
from typing import Any, Final

from bench.training.jobs import BLOCKS, DENSE, HEADS, INNER, MODELS, STAGES, TOKENS, WIDTH


def make_model(keras: Any, name: str) -> Any:
    """Make a model of the layers of `keras`; its outputs are scores."""
    one = MODELS[name]
    inputs = keras.Input(one.shape, dtype="int32" if one.tokens else "float32")
    return keras.Model(inputs, _MODELS[name](keras.layers, inputs))


def _dense(name: str, layers: Any, x: Any) -> Any:
    for width in DENSE[name][1:-1]:
        x = layers.Dense(width, "relu")(x)
    return layers.Dense(DENSE[name][-1])(x)


def _dqn(layers: Any, x: Any) -> Any:
    for channels, side, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
        x = layers.Conv2D(channels, side, stride, activation="relu")(x)
    return layers.Dense(MODELS["dqn"].classes)(layers.Dense(512, "relu")(layers.Flatten()(x)))


def _transformer(layers: Any, x: Any) -> Any:
    x = layers.Embedding(TOKENS, WIDTH)(x)
    for _ in range(BLOCKS):
        before = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(before, before)])
        inner = layers.Dense(INNER, "relu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(WIDTH)(inner)])
    return layers.Dense(TOKENS)(layers.LayerNormalization()(x))


def _resnet18(layers: Any, x: Any) -> Any:
    def convolve(x: Any, channels: int, side: int, stride: int = 1) -> Any:
        convolution = layers.Conv2D(channels, side, stride, padding="same", use_bias=False)
        return layers.BatchNormalization()(convolution(x))

    relu = layers.Activation("relu")
    x = layers.MaxPooling2D(3, 2, padding="same")(relu(convolve(x, 64, 7, 2)))
    for place, channels in enumerate(STAGES):
        for stride in (2 if place else 1, 1):
            middle = relu(convolve(x, channels, 3, stride))
            shortcut = x if (x.shape[-1], stride) == (channels, 1) else convolve(x, channels, 1, stride)
            x = relu(layers.Add()([convolve(middle, channels, 3), shortcut]))
    return layers.Dense(MODELS["resnet18"].classes)(layers.GlobalAveragePooling2D()(x))


_MODELS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "mlp": lambda layers, x: _dense("mlp", layers, x),
    "classifier": lambda layers, x: _dense("classifier", layers, x),
    "dqn": _dqn,
    "transformer": _transformer,
    "resnet18": _resnet18,
}
