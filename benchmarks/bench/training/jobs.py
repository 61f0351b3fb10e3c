"""What is trained: models, a batch of data for each, and variants of the optimizer's options.

Every step sees the same batch, and the learning rate is so small that the weights hardly move: gradients keep their
size however many steps are timed.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy
from numpy.typing import NDArray

#: Of every optimizer.
RATE: Final = 1e-6

#: Variant -> options, by the names that they have in tf_keras and here.
VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "plain": {},
    "centered+momentum+decay": {"momentum": 0.9, "centered": True, "weight_decay": 1e-4},
}

#: Numbers of features between the layers of the dense models.
DENSE: Final = {"mlp": (8, 64, 64, 4), "classifier": (784, 1024, 1024, 10)}

#: Of the transformer: tokens, features, heads, features within a block, blocks. Positions, which cost nothing, are not
#: told apart.
TOKENS, WIDTH, HEADS, INNER, BLOCKS = 256, 128, 4, 512, 4

#: Channels of the four stages of ResNet-18, of two blocks each.
STAGES: Final = (64, 128, 256, 512)


class Model(NamedTuple):
    """One that is trained.

    Attributes:
        words: what it is, for readers.
        batch: examples a step.
        shape: of an example.
        classes: that an example, or each token of it, may have.
        tokens: whether an example is a row of tokens.
    """

    words: str
    batch: int
    shape: tuple[int, ...]
    classes: int
    tokens: bool = False


MODELS: Final[dict[str, Model]] = {
    "mlp": Model("MLP 8-64-64-4", 32, (8,), 4),
    "classifier": Model("784-1024-1024-10", 32, (784,), 10),
    "dqn": Model("DQN", 32, (84, 84, 4), 18),
    "transformer": Model("transformer", 16, (64,), TOKENS, tokens=True),
    # Of 224 by 224 pixels a step of the model takes a second on two cores, beside which no optimizer is seen.
    "resnet18": Model("ResNet-18", 8, (64, 64, 3), 1000),
}


class Job(NamedTuple):
    """A model and the batch that it is trained on.

    Attributes:
        model: its name, of `MODELS`.
        inputs: the examples; images have their channels last.
        labels: the class of each example or token.
    """

    model: str
    inputs: NDArray[Any]
    labels: NDArray[numpy.int64]


def make_job(model: str, models: Mapping[str, Model] = MODELS) -> Job:
    """Draw a batch."""
    one, generator = models[model], numpy.random.default_rng(0)
    shape = (one.batch, *one.shape)
    if one.tokens:
        return Job(model, generator.integers(0, TOKENS, shape), generator.integers(0, one.classes, shape))
    return Job(model, generator.random(shape, numpy.float32), generator.integers(0, one.classes, one.batch))
