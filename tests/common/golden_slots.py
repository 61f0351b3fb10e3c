"""Keras's list of an optimizer's variables, taken apart: what its documentation says of their order."""


def by_slot(case, variables, listed):
    """Slot -> name -> array, of the variables by name and the optimizer's variables in their order.

    The last of them are the slots, in this order, and in each all variables.
    """
    options = case.options
    on = {
        "average": options.get("use_ema"),
        "velocity": True,
        "momentum": options.get("momentum"),
        "average_gradient": options.get("centered"),
    }
    found, names = {"variables": variables}, list(variables)
    slots = [slot for slot, is_on in on.items() if is_on]
    kept = listed[len(listed) - len(slots) * len(names) :]
    for place, slot in enumerate(slots):
        found[slot] = dict(zip(names, kept[place * len(names) :], strict=False))
    return found
