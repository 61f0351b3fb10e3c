"""Schedules to JSON and back, in Keras's form."""

from collections.abc import Mapping
from typing import Any

from rmsprop.schedules._base import LearningRateSchedule
from rmsprop.schedules.cosine import CosineDecay, CosineDecayRestarts
from rmsprop.schedules.decay import ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay

_KNOWN: dict[str, type[LearningRateSchedule]] = {
    schedule.__name__: schedule
    for schedule in (
        CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay,
    )
}  # fmt: skip


def serialize(schedule: LearningRateSchedule) -> dict[str, Any]:
    """Return a schedule as a dictionary that JSON can hold.

    Args:
        schedule: the schedule.

    Returns:
        ``{"class_name": ..., "config": {...}}``.

    Raises:
        TypeError: `schedule` is no `LearningRateSchedule`.

    Example:
        >>> serialize(PiecewiseConstantDecay([10], [0.1, 0.01]))["config"]
        {'boundaries': [10], 'values': [0.1, 0.01], 'name': None}

    References:
        ``tf.keras.optimizers.schedules.serialize`` in the Keras 2 documentation.
    """
    if not isinstance(schedule, LearningRateSchedule):
        raise TypeError(f"schedule must be a LearningRateSchedule, got {schedule!r} of type {type(schedule).__name__}")
    return {"class_name": type(schedule).__name__, "config": schedule.get_config()}


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, type[LearningRateSchedule]] | None = None
) -> LearningRateSchedule:
    """Build a schedule from the result of `serialize`, or of tf_keras's function of that name.

    Args:
        config: a dictionary with the entries ``"class_name"`` and ``"config"``; tf_keras's ``"registered_name"`` is
            looked up too, other entries are not needed.
        custom_objects: your own classes by name, which come before the schedules here.

    Returns:
        The schedule.

    Raises:
        TypeError: `config` or its entry ``"config"`` is not a dictionary, a name is not a string, or a custom object
            is no subclass of LearningRateSchedule.
        ValueError: an entry is missing or the class is not known.

    Example:
        >>> deserialize({"class_name": "PiecewiseConstantDecay", "config": {"boundaries": [9], "values": [0.1, 0.01]}})
        PiecewiseConstantDecay(boundaries=[9], values=[0.1, 0.01])

    References:
        ``tf.keras.optimizers.schedules.deserialize`` in the Keras 2 documentation.
    """
    check_config(config)
    if custom_objects is not None and not isinstance(custom_objects, Mapping):
        raise TypeError(f"custom_objects must be a dictionary, got {custom_objects!r}")
    classes = {**_KNOWN, **(custom_objects or {})}
    names = (config["class_name"], config.get("registered_name"))
    found = next((name for name in names if name in classes), None)
    if found is None:
        raise ValueError(
            f"class_name must be one of {', '.join(sorted(classes))}, got {config['class_name']!r}; "
            "pass a class of your own as custom_objects={name: class}"
        )
    schedule = classes[found]
    if not (isinstance(schedule, type) and issubclass(schedule, LearningRateSchedule)):
        raise TypeError(f"custom_objects[{found!r}] must be a subclass of LearningRateSchedule, got {schedule!r}")
    try:
        arguments = {name: _plain(value) for name, value in config["config"].items()}
    except RecursionError:
        raise ValueError("config['config'] is nested too deeply") from None
    return schedule.from_config(arguments)


def check_config(config: Any) -> None:
    """Check the entries of a schedule's config, and their types.

    Raises:
        TypeError: `config` or an entry of it is of a wrong type.
        ValueError: an entry is missing.
    """
    if not isinstance(config, Mapping):
        raise TypeError(f"config must be a dictionary, got {config!r} of type {type(config).__name__}")
    if not {"class_name", "config"} <= config.keys():
        raise ValueError(f"config must have the entries 'class_name' and 'config', got {dict(config)!r}")
    if not isinstance(config["class_name"], str):
        raise TypeError(f"class_name must be a string, got {config['class_name']!r}")
    for name in ("registered_name", "module"):
        if not isinstance(config.get(name), str | None):
            raise TypeError(f"{name} must be a string or None, got {config[name]!r}")
    arguments = config["config"]
    if not isinstance(arguments, Mapping):
        raise TypeError(
            f"config['config'] must be a dictionary of {config['class_name']}'s arguments, got {arguments!r}"
        )
    for name in arguments:
        if not isinstance(name, str):
            raise TypeError(f"config['config'] has the name {name!r}, which is no string")


def _plain(value: Any) -> Any:
    """Return a config's value without the wrapping that tf_keras puts around tensors and arrays."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping) and value.get("class_name") in ("__tensor__", "__numpy__"):
        inner = value.get("config")
        if not isinstance(inner, Mapping) or "value" not in inner:
            raise ValueError(f"config['config'] holds {dict(value)!r}, which has no value")
        return inner["value"]
    return value
