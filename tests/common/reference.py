"""The oracle: RMSprop written once more, in float64 and for one variable after the other, from the specification alone.

It imports nothing of ours, not even a constant, and does nothing fast: what it computes is meant to be seen by
reading. `tests/tensorflow/test_oracle.py` holds it to `tf_keras.optimizers.RMSprop`.
"""

import re

import numpy


class Reference:
    """RMSprop as Keras 2 defines it, on float64 copies of named variables.

    Args:
        variables: name -> array; copied, whatever the dtype.
        learning_rate: a number, or a function of the number of steps done before.
        exclude: regular expressions; weight decay leaves a variable alone whose name one of them is found in.
        scalars: the type that the scalars of a step are rounded to, once, before they are used in float64. With
            float32 variables 0.9 and 1 - 0.9 are rounded apart and no longer add up to 1, which moves an average that
            is written back by 7e-6 in 300 steps; rounding is part of the specification there.
        others: as in the optimizer itself.

    Attributes:
        variables, velocity, momentum, average_gradient, average: name -> float64 array, all kept whether they are
            used or not.
        increment: name -> what the last step added to the momentum, or took off the variable.
        iterations: steps done.
    """

    def __init__(
        self, variables, *, learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False,
        weight_decay=None, clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
        ema_overwrite_frequency=100, initial_velocity=0.0, exclude=(), scalars=numpy.float64,
    ):  # fmt: skip
        self.scalar = lambda value: float(scalars(value))
        self.learning_rate, self.centered = learning_rate, centered
        self.weight_decay, self.exclude = weight_decay, exclude
        self.rho, self.rho_c, self.mu, self.epsilon = map(self.scalar, (rho, 1 - rho, momentum, epsilon))
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.ema_momentum, self.ema_momentum_c = self.scalar(ema_momentum), self.scalar(1 - ema_momentum)
        self.use_ema, self.ema_overwrite_frequency = use_ema, ema_overwrite_frequency
        self.iterations = 0
        self.increment = {}
        self.variables = {name: numpy.array(array, numpy.float64) for name, array in variables.items()}
        self.velocity = {name: numpy.full(w.shape, float(initial_velocity)) for name, w in self.variables.items()}
        self.momentum = {name: numpy.zeros(w.shape) for name, w in self.variables.items()}
        self.average_gradient = {name: numpy.zeros(w.shape) for name, w in self.variables.items()}
        self.average = {name: w.copy() for name, w in self.variables.items()}

    def step(self, gradients):
        """Do one step with ``{name: gradient or None}`` and return the number of steps done.

        A variable without a gradient keeps its value and its state: no decay, no average, no overwriting.
        """
        if not gradients:
            return self.iterations
        given = {name: numpy.array(g, numpy.float64) for name, g in gradients.items() if g is not None}
        if not given:
            raise ValueError("all gradients are None")
        self.increment = {}
        lr = self.scalar(self.learning_rate(self.iterations) if callable(self.learning_rate) else self.learning_rate)
        with numpy.errstate(all="ignore"):  # NaN and inf are results here, not accidents
            for name, gradient in self._clip(given).items():
                self._decay(name, lr)
                self._update(name, gradient, lr)
                if self.use_ema:
                    self._average(name)
        self.iterations += 1
        return self.iterations

    def finalize(self):
        """Write the averages into the variables, where there are averages."""
        if self.use_ema:
            self.variables = {name: average.copy() for name, average in self.average.items()}

    def _clip(self, gradients):
        if self.clipvalue is not None:
            limit = self.scalar(self.clipvalue)
            return {name: numpy.clip(g, -limit, limit) for name, g in gradients.items()}
        if self.clipnorm is not None:
            return {name: g * self._scale(_norm([g]), self.clipnorm) for name, g in gradients.items()}
        if self.global_clipnorm is not None:
            norm = _norm(gradients.values())  # infinite: NaN for all, where a scale of 0 would hide it
            scale = self._scale(norm, self.global_clipnorm) if numpy.isfinite(norm) else numpy.nan
            return {name: g * scale for name, g in gradients.items()}
        return gradients

    def _scale(self, norm, limit):
        return self.scalar(limit / numpy.maximum(norm, limit))  # numpy.maximum keeps a NaN; exactly 1 up to the limit

    def _decay(self, name, lr):
        excluded = any(re.search(pattern, name) for pattern in self.exclude)
        if self.weight_decay and not excluded:  # 0 is off, as None is
            w = self.variables[name]
            self.variables[name] = w - (w * self.scalar(self.weight_decay)) * lr

    def _update(self, name, g, lr):
        self.velocity[name] = self.rho * self.velocity[name] + self.rho_c * g**2
        variance = self.velocity[name]
        if self.centered:
            self.average_gradient[name] = self.rho * self.average_gradient[name] + self.rho_c * g
            variance = variance - self.average_gradient[name] ** 2
            variance = numpy.where(variance < 0, 0, variance)  # rounding can make it negative; a NaN stays
        move = self.increment[name] = lr * g / numpy.sqrt(variance + self.epsilon)
        if self.mu:
            move = self.momentum[name] = self.mu * self.momentum[name] + move
        self.variables[name] = self.variables[name] - move

    def _average(self, name):
        self.average[name] = self.ema_momentum * self.average[name] + self.ema_momentum_c * self.variables[name]
        every = self.ema_overwrite_frequency
        if every is not None and (self.iterations + 1) % every == 0:
            self.variables[name] = self.average[name].copy()


def _norm(gradients):
    return numpy.sqrt(sum(numpy.sum(g**2) for g in gradients))
