"""Runs of `rmsprop.RMSprop` on NumPy arrays, in the form in which the oracle's and tf_keras's are kept."""

import cases

import rmsprop


def build(options, arrays):
    """An optimizer, built for named arrays."""
    optimizer = rmsprop.RMSprop(**options)
    optimizer.build(arrays)
    return optimizer


def state(optimizer, arrays):
    """The live arrays, slot -> name -> array, "variables" among the slots."""
    slots = {"variables": dict(arrays)}
    for key, array in optimizer.variables.items():
        slot, _, name = key.partition("/")
        if name:
            slots.setdefault(slot, {})[name] = array
    return slots


def step(optimizer, arrays, gradients):
    """Do a step with ``{name: gradient}``."""
    return optimizer.apply_gradients([(gradients[name], array) for name, array in arrays.items()])


def path(options, dtype, steps):
    """Do steps with the table's variables and gradients; slot -> name -> array with what is there after each."""
    arrays = cases.variables(dtype)
    optimizer = build(options, arrays)
    slots = state(optimizer, arrays)
    flat = cases.follow(
        lambda gradients: step(optimizer, arrays, gradients),
        lambda: {(slot, name): array for slot, named in slots.items() for name, array in named.items()},
        cases.gradients(steps, dtype),
    )
    assert optimizer.iterations == steps
    return {slot: {name: flat[slot, name] for name in named} for slot, named in slots.items()}
