"""What the README says to whoever comes from another RMSprop: each rule written down here, and ours with what to write.

They are written from the documentation of each: timm's `RMSpropTF`, Stable-Baselines3's `RMSpropTFLike`, TensorFlow 1's
`RMSPropOptimizer`, torch's. Optax itself is asked in `tests/jax/test_optax.py`.
"""

import numpy
import pytest

from rmsprop import RMSprop, schedules

RATE = schedules.ExponentialDecay(0.05, 10, 0.5)


def follow(rule, ours, steps=60):
    """Do the same steps with a rule and with ours; give the largest difference."""
    random = numpy.random.default_rng(0)
    start = random.normal(size=40)
    gradients = random.normal(0.1, 0.5, size=(steps, 40))
    w, state, mine = start.copy(), {}, start.copy()
    for step, g in enumerate(gradients):
        w = rule(w, g, state, RATE(step))
        ours.apply_gradients([(g, mine)])
    return abs(w - mine).max()


def timm(w, g, state, lr, alpha=0.9, eps=1e-3, momentum=0.9, weight_decay=0.01):
    """RMSpropTF with decoupled_decay=True and lr_in_momentum=True, its default."""
    w = w * (1 - lr * weight_decay)
    state["square"] = square = state.get("square", 1.0) + (1 - alpha) * (g**2 - state.get("square", 1.0))
    state["moment"] = momentum * state.get("moment", 0.0) + lr * g / numpy.sqrt(square + eps)
    return w - state["moment"]


def timm_with_penalty(w, g, state, lr):
    """RMSpropTF as by default: the weight decay goes into the gradient."""
    return timm(w, g + 0.01 * w, state, lr, weight_decay=0.0)


def stable_baselines(w, g, state, lr, alpha=0.99, eps=1e-5, momentum=0.0):
    state["square"] = square = alpha * state.get("square", 1.0) + (1 - alpha) * g * g
    step = g / numpy.sqrt(square + eps)
    if momentum:
        state["moment"] = step = momentum * state.get("moment", 0.0) + step
    return w - lr * step


def torch(w, g, state, lr, alpha=0.99, eps=1e-8):
    state["square"] = square = alpha * state.get("square", 0.0) + (1 - alpha) * g * g
    return w - lr * g / (numpy.sqrt(square) + eps)


def test_timm():
    ours = RMSprop(RATE, rho=0.9, momentum=0.9, epsilon=1e-3, initial_velocity=1.0, weight_decay=0.01)
    # 2e-16 was measured, in weights near 1.
    assert follow(timm, ours) < 1e-14


def test_timms_weight_decay_is_a_penalty_in_the_loss():
    random = numpy.random.default_rng(0)
    w = random.normal(size=40)
    mine, state = w.copy(), {}
    ours = RMSprop(RATE, rho=0.9, momentum=0.9, epsilon=1e-3, initial_velocity=1.0)
    for step in range(60):
        g = random.normal(0.1, 0.5, size=40)
        w = timm_with_penalty(w, g, state, RATE(step))
        ours.apply_gradients([(g + 0.01 * mine, mine)])
    assert abs(w - mine).max() < 1e-14


def test_stable_baselines_without_momentum():
    ours = RMSprop(RATE, rho=0.99, epsilon=1e-5, initial_velocity=1.0)
    assert follow(stable_baselines, ours) < 1e-14


def test_stable_baselines_with_momentum_is_another_algorithm_under_a_schedule():
    ours = RMSprop(RATE, rho=0.99, epsilon=1e-5, initial_velocity=1.0, momentum=0.9)
    assert follow(lambda *a: stable_baselines(*a, momentum=0.9), ours) > 1e-2


@pytest.mark.parametrize("epsilon", [1e-16, 1e-8, 1e-5])
def test_no_epsilon_inside_reproduces_one_outside(epsilon):
    """Gradients of very different sizes tell them apart, whichever epsilon is chosen inside."""
    w, state, mine = numpy.zeros(3), {}, numpy.zeros(3)
    ours = RMSprop(1.0, rho=0.99, epsilon=epsilon)
    for _ in range(3):
        g = numpy.array([1e-9, 1e-6, 1.0])
        w = torch(w, g, state, 1.0)
        ours.apply_gradients([(g, mine)])
    assert (abs(w - mine) / abs(w)).max() > 0.05
