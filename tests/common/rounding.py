"""How far one step of a limited precision may be from the oracle's: an error analysis, element by element.

Every operation of the rule errs by a factor of up to ``1 + unit`` (2**-24 in float32). An error of the gradient, from
clipping, enters the velocity twice. Centered, the difference of two numbers of velocity's size keeps their absolute
errors, which the division then sees relative to the denominator: this is where it is ill-conditioned.
"""

import copy

import numpy

# Operations on the way to each number, the clip's three and half of the root's error among them. Not fitted: counted.
_GRADIENT, _VELOCITY, _MEAN, _INCREMENT, _SUM = 3, 10, 6, 8, 4


SLOTS = ("variables", "velocity", "momentum", "average_gradient", "average")


def step_from(oracle, state, iterations, gradients, unit):
    """Put the oracle into a state, slot -> name -> array, do a step, and give the allowance for it."""
    oracle.iterations = iterations
    for slot, arrays in state.items():
        setattr(oracle, slot, {name: numpy.array(array, numpy.float64) for name, array in arrays.items()})
    before = copy.deepcopy(oracle)
    oracle.step(gradients)
    return allowance(before, oracle, unit)


def allowance(before, after, unit):
    """What one step may differ by.

    Args:
        before: the oracle before a step.
        after: the oracle after it.
        unit: half the distance from 1 to the next number of the compute type.

    Returns:
        slot -> name -> array, with "variables" among the slots.
    """
    found = {slot: {} for slot in SLOTS}
    for name, increment in after.increment.items():
        velocity, mean = after.velocity[name], after.average_gradient[name]
        found["velocity"][name] = _VELOCITY * unit * velocity
        old = before.rho * before.average_gradient[name]
        found["average_gradient"][name] = _MEAN * unit * (abs(old) + abs(mean - old))

        moved = _INCREMENT * unit * abs(increment)
        if after.centered:
            slack = found["velocity"][name] + 2 * abs(mean) * found["average_gradient"][name]
            variance = numpy.maximum(velocity - mean**2, 0)
            denominator, highest = variance + after.epsilon, variance + slack + after.epsilon
            lowest = numpy.maximum(variance - slack, 0) + after.epsilon
            largest = abs(increment) * numpy.sqrt(denominator / lowest)
            moved = _INCREMENT * unit * largest + largest - abs(increment) * numpy.sqrt(denominator / highest)
        if after.mu:
            moved = moved + _SUM * unit * (abs(after.mu * before.momentum[name]) + abs(increment))
        found["momentum"][name] = moved

        was = abs(before.variables[name])
        stepped = was + abs(after.momentum[name] if after.mu else increment)
        found["average"][name] = found["variables"][name] = moved + _SUM * unit * stepped
        if after.use_ema:
            smooth = _SUM * unit * (abs(before.average[name]) + stepped)
            found["average"][name] = found["variables"][name] + smooth
            found["variables"][name] = found["average"][name]
    return found
