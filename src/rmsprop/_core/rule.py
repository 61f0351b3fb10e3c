"""The RMSprop step of one element: the only place where the update is written.

Numba compiles `update` for CPU memory, Triton for CUDA memory, JAX and TensorFlow trace it, and a call with
arrays is plain NumPy. All of them read the same source, so it uses only what they all understand:

* arguments and results are numbers (or arrays) of ONE compute type; nothing is cast here;
* an option that is off arrives as ``None``, and ``x is not None`` is the only question asked about one:
  every compiler decides it while compiling, so an option that is off costs nothing;
* arguments may be None, RESULTS never (Triton cannot return None): the result for a slot that is off is a value
  of the compute type which the caller drops;
* statements: assignments to a name, ``if x is not None`` with or without ``else``, one ``return`` of a tuple;
  expressions: names, the literal 0.0, ``+ - *``, ``<`` and ``>``, and calls of `sqrt`, `divide` and `select`;
* choices are made by `select`, never by multiplying with 0 or 1, so that a NaN cannot leak from the side
  that is not chosen, and a NaN on the chosen side is never hidden.

``tests/core/test_rule_language.py`` holds the function to this list. The three functions are NumPy's here;
`bind` returns a copy of `update` in which they are another compiler's.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any, Final

from numpy import divide, sqrt
from numpy import where as select

#: The arguments of `update` that hold an element's state, in the order of arguments and of results.
STATE: Final = ("variable", "velocity", "momentum", "average_gradient", "average")

#: The arguments of `update` that are scalars of the step, in order.
SCALARS: Final = (
    "learning_rate", "clip_scale", "clip_value", "weight_decay", "rho", "rho_c",
    "mu", "epsilon", "ema_momentum", "ema_momentum_c", "overwrite",
)  # fmt: skip


def update(
    gradient: Any,
    variable: Any,
    velocity: Any,
    momentum: Any,
    average_gradient: Any,
    average: Any,
    learning_rate: Any,
    clip_scale: Any,
    clip_value: Any,
    weight_decay: Any,
    rho: Any,
    rho_c: Any,
    mu: Any,
    epsilon: Any,
    ema_momentum: Any,
    ema_momentum_c: Any,
    overwrite: Any,
) -> Any:
    """Advance one element by one step.

    ``rho_c`` and ``ema_momentum_c`` are the complements ``1 - rho`` and ``1 - ema_momentum``, computed in double
    and then rounded to the compute type. The slots `momentum`, `average_gradient` and `average`, and
    the scalars `clip_scale`, `clip_value`, `weight_decay`, `mu`, `ema_momentum`, `ema_momentum_c` and
    `overwrite` may be None.

    Returns:
        ``(variable, velocity, momentum, average_gradient, average)``.
    """
    if clip_scale is not None:
        gradient = gradient * clip_scale
    if clip_value is not None:
        gradient = select(gradient > clip_value, clip_value, select(gradient < -clip_value, -clip_value, gradient))
    if weight_decay is not None:
        variable = variable - variable * weight_decay * learning_rate

    velocity = rho * velocity + rho_c * (gradient * gradient)
    if average_gradient is not None:
        mean = rho * average_gradient + rho_c * gradient
        variance = velocity - mean * mean
        # Rounding can make it negative, and the square root of that would destroy the weight.
        denominator = select(variance < 0.0, 0.0, variance) + epsilon
    else:
        mean = velocity
        denominator = velocity + epsilon
    increment = divide(learning_rate * gradient, sqrt(denominator))
    if momentum is not None:
        increment = mu * momentum + increment
    variable = variable - increment

    if average is not None:
        smooth = ema_momentum * average + ema_momentum_c * variable
        if overwrite is not None:
            variable = select(overwrite, smooth, variable)
    else:
        smooth = variable
    return variable, velocity, increment, mean, smooth


def bind(**functions: Any) -> Callable[..., Any]:
    """Return `update` with a compiler's own spelling of its functions; the code object is shared.

    Args:
        **functions: ``sqrt(x)`` and ``divide(x, y)``, correctly rounded where the compiler can and without an error
            for a zero divisor; ``select(condition, x, y)``, element-wise, whose `x` may be the literal 0.0; and
            whatever else the compiler looks for among a function's globals (Triton: ``tl``).
    """
    bound = FunctionType(update.__code__, {"__name__": __name__, **functions}, update.__name__)
    bound.__module__ = __name__
    return bound
