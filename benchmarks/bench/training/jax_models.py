"""The models in `jax.numpy` and `jax.lax`: parameters, and the loss as a function of them and of a batch."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import numpy

from bench.frameworks import load
from bench.models import Array
from bench.training.jobs import BLOCKS, DENSE, HEADS, INNER, STAGES, TOKENS, WIDTH

Params = dict[str, Any]
Apply = Callable[[Params, Any], Any]

#: Added to variances.
_EPSILON: Final = 1e-5


def make_model(name: str) -> tuple[Params, Callable[[Params, Any, Any], Any]]:
    """Return parameters and the loss: of parameters, inputs and labels."""
    params, scores = _MODELS[name](numpy.random.default_rng(0))

    def loss(params: Params, inputs: Any, labels: Any) -> Any:
        jax = load("jax")
        logs = jax.nn.log_softmax(scores(params, inputs))
        return -jax.numpy.take_along_axis(logs, labels[..., None], -1).mean()

    return params, loss


def _layer(generator: Any, *shape: int) -> Params:
    """Draw the kernel of a dense layer or a convolution, inputs before outputs, and biases of zero."""
    scale = math.sqrt(2 / math.prod(shape[:-1]))
    kernel: Array = generator.standard_normal(shape, numpy.float32) * numpy.float32(scale)
    return {"kernel": kernel, "bias": numpy.zeros(shape[-1], numpy.float32)}


def _norm(width: int) -> Params:
    return {"scale": numpy.ones(width, numpy.float32), "bias": numpy.zeros(width, numpy.float32)}


def _dense(params: Params, x: Any) -> Any:
    return x @ params["kernel"] + params["bias"]


def _convolve(kernel: Any, x: Any, stride: int, padding: str) -> Any:
    lax = load("jax").lax
    return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _normalize(params: Params, x: Any, axes: tuple[int, ...]) -> Any:
    """Normalize over axes, the last for a layer norm, all others for a batch norm."""
    shifted = x - x.mean(axes, keepdims=True)
    variance = (shifted**2).mean(axes, keepdims=True)
    return shifted * load("jax").lax.rsqrt(variance + _EPSILON) * params["scale"] + params["bias"]


def _classifier(name: str, generator: Any) -> tuple[Params, Apply]:
    params = {str(place): _layer(generator, *ends) for place, ends in enumerate(pairwise(DENSE[name]))}

    def apply(params: Params, x: Any) -> Any:
        *hidden, last = params.values()
        for layer in hidden:
            x = load("jax").nn.relu(_dense(layer, x))
        return _dense(last, x)

    return params, apply


def _dqn(generator: Any) -> tuple[Params, Apply]:
    kernels = {"a": (8, 8, 4, 32), "b": (4, 4, 32, 64), "c": (3, 3, 64, 64), "d": (3136, 512), "e": (512, 18)}
    params = {name: _layer(generator, *shape) for name, shape in kernels.items()}

    def apply(params: Params, x: Any) -> Any:
        relu = load("jax").nn.relu
        for name, stride in (("a", 4), ("b", 2), ("c", 1)):
            x = relu(_convolve(params[name]["kernel"], x, stride, "VALID") + params[name]["bias"])
        return _dense(params["e"], relu(_dense(params["d"], x.reshape(len(x), -1))))

    return params, apply


def _transformer(generator: Any) -> tuple[Params, Apply]:
    def block() -> Params:
        layers = {"in": (WIDTH, 3 * WIDTH), "out": (WIDTH, WIDTH), "up": (WIDTH, INNER), "down": (INNER, WIDTH)}
        made = {name: _layer(generator, *shape) for name, shape in layers.items()}
        return made | {"before attention": _norm(WIDTH), "before dense": _norm(WIDTH)}

    params = {
        "table": generator.standard_normal((TOKENS, WIDTH), numpy.float32),
        "blocks": [block() for _ in range(BLOCKS)],
        "norm": _norm(WIDTH),
        "last": _layer(generator, WIDTH, TOKENS),
    }

    def apply(params: Params, tokens: Any) -> Any:
        x = params["table"][tokens]
        for one in params["blocks"]:
            x = x + _attend(one, _normalize(one["before attention"], x, (-1,)))
            inner = load("jax").nn.relu(_dense(one["up"], _normalize(one["before dense"], x, (-1,))))
            x = x + _dense(one["down"], inner)
        return _dense(params["last"], _normalize(params["norm"], x, (-1,)))

    return params, apply


def _attend(params: Params, x: Any) -> Any:
    jax = load("jax")
    query, key, value = jax.numpy.split(_dense(params["in"], x).reshape(*x.shape[:2], HEADS, -1), 3, -1)
    return _dense(params["out"], jax.nn.dot_product_attention(query, key, value).reshape(x.shape))


def _resnet18(generator: Any) -> tuple[Params, Apply]:
    def convolution(*shape: int) -> Params:
        return {"kernel": _layer(generator, *shape)["kernel"], "norm": _norm(shape[-1])}

    def block(inputs: int, outputs: int, stride: int) -> Params:
        made = {"a": convolution(3, 3, inputs, outputs), "b": convolution(3, 3, outputs, outputs)}
        return made | ({"short": convolution(1, 1, inputs, outputs)} if (inputs, stride) != (outputs, 1) else {})

    blocks = []
    for place, (inputs, outputs) in enumerate(zip((64, *STAGES), STAGES, strict=False)):
        blocks += [block(inputs, outputs, 2 if place else 1), block(outputs, outputs, 1)]
    params = {"first": convolution(7, 7, 3, 64), "blocks": blocks, "last": _layer(generator, 512, 1000)}

    def convolve(params: Params, x: Any, stride: int = 1) -> Any:
        return _normalize(params["norm"], _convolve(params["kernel"], x, stride, "SAME"), (0, 1, 2))

    def apply(params: Params, x: Any) -> Any:
        jax = load("jax")
        x = jax.nn.relu(convolve(params["first"], x, 2))
        x = jax.lax.reduce_window(x, -jax.numpy.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
        for place, one in enumerate(params["blocks"]):
            stride = 2 if place in (2, 4, 6) else 1
            middle = jax.nn.relu(convolve(one["a"], x, stride))
            shortcut = convolve(one["short"], x, stride) if "short" in one else x
            x = jax.nn.relu(convolve(one["b"], middle) + shortcut)
        return _dense(params["last"], x.mean((1, 2)))

    return params, apply


_MODELS: Final[dict[str, Callable[[Any], tuple[Params, Apply]]]] = {
    "mlp": lambda generator: _classifier("mlp", generator),
    "classifier": lambda generator: _classifier("classifier", generator),
    "dqn": _dqn,
    "transformer": _transformer,
    "resnet18": _resnet18,
}
