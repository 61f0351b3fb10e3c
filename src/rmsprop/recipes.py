"""Published settings, as keyword sets: ``RMSprop(**recipes.DQN_NATURE)``.

Each set names its source, and what the source leaves to the reader. TensorFlow 1's RMSProp, which most of them used,
starts the velocity at one, hence ``initial_velocity=1.0``. Learning rates are the initial ones: where they fall in the
source, the text has the schedule, in terms of `rmsprop.schedules`.

The sets are read-only; change one with ``{**recipes.A2C, "learning_rate": 1e-3}``. ``help(recipes.A2C)`` shows the text
of one.

>>> from rmsprop import RMSprop, recipes
>>> RMSprop(**recipes.DQN_NATURE)
RMSprop(learning_rate=0.00025, rho=0.95, epsilon=0.01, centered=True)
"""

from collections.abc import Iterator, Mapping
from inspect import cleandoc
from typing import Any, Final, final

__all__ = [
    "A2C", "DQN_DOPAMINE", "DQN_NATURE", "EFFICIENTNET", "EFFICIENTNET_B0_TIMM", "IMPALA", "INCEPTION",
    "MOBILENETV3_LARGE_TIMM", "Recipe",
]  # fmt: skip


@final
class Recipe(Mapping[str, Any]):
    """Arguments of an optimizer, read-only, with a text of its own: ``help(recipes.A2C)``.

    Args:
        text: a description of the arguments, and their source.
        **arguments: the arguments.
    """

    _arguments: dict[str, Any]

    def __init__(self, text: str, **arguments: Any) -> None:
        vars(self).update(__doc__=cleandoc(text), _arguments=arguments)

    def __getitem__(self, name: str) -> Any:
        return self._arguments[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arguments)

    def __len__(self) -> int:
        return len(self._arguments)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._arguments)

    def __or__(self, others: Mapping[str, Any]) -> dict[str, Any]:
        return self._arguments | dict(others)

    def __ror__(self, others: Mapping[str, Any]) -> dict[str, Any]:
        return dict(others) | self._arguments

    def copy(self) -> dict[str, Any]:
        """Return the arguments as a new dictionary."""
        return self._arguments.copy()

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"{name}={value!r} cannot be assigned: a recipe is read-only, change one with {{**recipe, {name!r}: value}}"
        )

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name} cannot be deleted: a recipe is read-only")

    def __repr__(self) -> str:
        return f"Recipe({', '.join(f'{name}={value!r}' for name, value in self.items())})"


DQN_NATURE: Final = Recipe(
    """DQN as published: centered, epsilon 0.01 inside the root, no momentum, averages from zero.

    Source: V. Mnih et al., Human-level control through deep reinforcement learning, Nature 518, 2015, and the Lua code
    published with it (``NeuralQLearner.lua``). The loss's gradient is clipped there before backpropagation, per output.
    """,
    learning_rate=2.5e-4, rho=0.95, epsilon=0.01, centered=True,
)  # fmt: skip

DQN_DOPAMINE: Final = Recipe(
    """DQN in Dopamine's settings for the Nature paper, on TensorFlow 1.

    Source: google/dopamine, ``dopamine/agents/dqn/configs/dqn_nature.gin``.
    """,
    learning_rate=2.5e-4, rho=0.95, epsilon=1e-5, centered=True, initial_velocity=1.0,
)  # fmt: skip

A2C: Final = Recipe(
    """A2C of OpenAI baselines, on TensorFlow 1.

    The learning rate falls linearly to zero over the run: ``PolynomialDecay(7e-4, steps, end_learning_rate=0.0)``.
    Source: openai/baselines, ``baselines/a2c/a2c.py``.
    """,
    learning_rate=7e-4, rho=0.99, epsilon=1e-5, global_clipnorm=0.5, initial_velocity=1.0,
)  # fmt: skip

IMPALA: Final = Recipe(
    """IMPALA as released, on TensorFlow 1, without momentum.

    The learning rate falls linearly to zero over the run's environment frames: `PolynomialDecay` of the step, with the
    frames of a step divided out. Source: google-deepmind/scalable_agent, ``experiment.py``.
    """,
    learning_rate=4.8e-4, rho=0.99, epsilon=0.1, initial_velocity=1.0,
)  # fmt: skip

EFFICIENTNET: Final = Recipe(
    """EfficientNet and MnasNet, on TensorFlow 1; the learning rate is for a batch of 256 and grows with the batch.

    It rises from zero over 5 epochs and then is ``ExponentialDecay(0.016, 2.4 * steps_per_epoch, 0.97,
    staircase=True)`` of the same step. Source: tensorflow/tpu, ``models/official/efficientnet/utils.py`` and
    ``main.py``.
    """,
    learning_rate=0.016, rho=0.9, momentum=0.9, epsilon=1e-3, initial_velocity=1.0,
)  # fmt: skip

_TIMM: Final[Mapping[str, Any]] = {
    "rho": 0.9, "momentum": 0.9, "epsilon": 1e-3, "initial_velocity": 1.0,
    "use_ema": True, "ema_momentum": 0.9999, "ema_overwrite_frequency": None,
}  # fmt: skip

EFFICIENTNET_B0_TIMM: Final = Recipe(
    """EfficientNet-B0 with timm's ``rmsproptf``; the averaged weights are for evaluation.

    timm adds ``1e-5 * w`` to the gradient (an L2 penalty, not decoupled decay), so that term belongs into your loss.
    Source: timm's documentation, ``training_script.mdx``.
    """,
    learning_rate=0.048, **_TIMM,
)  # fmt: skip

MOBILENETV3_LARGE_TIMM: Final = Recipe(
    """MobileNetV3-Large with timm's ``rmsproptf``; as `EFFICIENTNET_B0_TIMM` but for the learning rate.

    Source: timm's documentation, ``training_script.mdx``.
    """,
    learning_rate=0.064, **_TIMM,
)  # fmt: skip

INCEPTION: Final = Recipe(
    """Inception in TF-Slim's defaults, on TensorFlow 1, with an epsilon of one.

    The learning rate falls in steps, ``ExponentialDecay(0.01, 2 * steps_per_epoch, 0.94, staircase=True)``.
    Source: tensorflow/models, ``research/slim/train_image_classifier.py``.
    """,
    learning_rate=0.01, rho=0.9, momentum=0.9, epsilon=1.0, initial_velocity=1.0,
)  # fmt: skip
