"""Learning rates in the configs of Keras's optimizers, of Keras 2 and 3: schedules of the library's own and of ours.

`library` is `tf_keras` or `keras`, whichever the optimizer is made for.
"""

from collections.abc import Mapping
from typing import Any

from rmsprop._core.rates import is_schedule
from rmsprop.schedules import LearningRateSchedule, serialize
from rmsprop.schedules._serialization import check_config


def to_config(schedule: Any, library: Any) -> Any:
    """Return the config of a schedule, the library's or ours."""
    if isinstance(schedule, library.optimizers.schedules.LearningRateSchedule):
        return library.optimizers.schedules.serialize(schedule)
    if not is_schedule(schedule):
        raise ValueError(
            f"learning_rate={schedule!r} is a plain function and cannot be written to a config: "
            "make it a subclass of rmsprop.schedules.LearningRateSchedule with get_config"
        )
    registered = library.saving.get_registered_name(type(schedule))
    known = {"module": type(schedule).__module__, "registered_name": registered if ">" in registered else None}
    return {**serialize(schedule), **known}


def from_config(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None, library: Any) -> Any:
    """Make the schedule of a config; that of a schedule of ours is returned, for `Options.from_config` to read."""
    if config.get("class_name") != "function":  # one of Keras's users', by its name
        check_config(config)
    name, registered = config["class_name"], config.get("registered_name")
    known = (library.saving.get_registered_object(key, custom_objects) for key in (name, registered) if key)
    mine = next((found for found in known if found is not None), None)
    if isinstance(mine, type) and issubclass(mine, LearningRateSchedule):
        return mine.from_config(config["config"])
    module = (config.get("module") or "keras").partition(".")[0]
    if module == "rmsprop":
        return config
    if mine is None and registered is None and module not in ("keras", "tf_keras"):
        # Not one that is built in, though it may have the name of one.
        raise ValueError(
            f"learning_rate={dict(config)!r} is a schedule of an unknown class: "
            f"pass custom_objects={{{name!r}: the class}}"
        )
    try:
        return library.optimizers.schedules.deserialize(dict(config), custom_objects=custom_objects)
    except (AttributeError, LookupError, RecursionError) as error:
        raise ValueError(f"learning_rate={dict(config)!r} cannot be read: {error!r}") from error


def plain_number(given: Any, current: Any) -> float:
    """Return the learning rate as the user wrote it, or the variable's number `current` if that was changed since."""
    return float(given) if current == current.dtype.type(given) else float(current)
