"""Checkpoints of TensorFlow's that hold an optimizer's state in other ways than slot by slot.

tf_keras remembers what an optimizer refers to when it is first looked at. If that was before its first step, its
checkpoints hold the state in one list only: the iterations, then slot by slot what belongs to each variable. TensorFlow
restores by the names of attributes, and lets what has no attribute yet wait in `_deferred_dependencies`. There the list
comes by.
"""

from collections import UserDict
from collections.abc import Callable, Sequence
from itertools import combinations
from types import SimpleNamespace
from typing import Any, Final

from rmsprop._attributes import HOMES

#: The attribute that is the list of the whole state.
LIST: Final = "_variables"


class Waiting(UserDict[str, Any]):
    """What waits for attributes, name -> places in checkpoints. The list of the state does not wait.

    Args:
        waiting: TensorFlow's own dictionary.
        found: is called with the place of a list.
    """

    def __init__(self, waiting: dict[str, Any], found: Callable[[Any], None]) -> None:
        self.data, self._found = waiting, found

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Give the places that wait for an attribute, for one more to be appended."""
        return SimpleNamespace(append=self._found) if key == LIST else self.data.setdefault(key, default)


def is_by_slot(position: Any) -> bool:
    """Tell whether a checkpoint holds the slots as attributes, beside the list at `position`."""
    for node in _nodes(position):
        if any(child.node_id == position.proto_id and child.local_name == LIST for child in node.children):
            return any(child.local_name in HOMES.values() for child in node.children)
    return False


def elements(position: Any) -> list[Any]:
    """Give the places of what a list holds after the iterations."""
    children = sorted(_nodes(position)[position.proto_id].children, key=lambda child: int(child.local_name))
    return [position.create_child_position(child.node_id) for child in children[1:]]


def sorted_by_slot(positions: Sequence[Any], count: int) -> dict[str, Sequence[Any]]:
    """Sort the elements of a list by the slots that their names tell; nothing if they tell none.

    Args:
        positions: what `elements` gave.
        count: of the elements that a slot has.
    """
    size = len(positions) // max(1, count)
    if len(positions) != size * count:
        return {}
    names = [_name(position) for position in positions]
    for slots in combinations(HOMES, size):
        # The name of a scope, or of a variable, may hold that of another slot.
        told = all(f"/{slots[place // count]}/" in name for place, name in enumerate(names))
        if told and "velocity" in slots:
            return {slot: positions[place * count : (place + 1) * count] for place, slot in enumerate(slots)}
    return {}


def after(checkpoint: Any, call: Callable[[], None]) -> None:
    """Call a function as soon as TensorFlow has assigned what it is restoring from a checkpoint."""
    restore = checkpoint.restore_saveables

    def restore_and_call(*args: Any, **kwargs: Any) -> Any:
        del checkpoint.restore_saveables
        done = restore(*args, **kwargs)
        call()
        return done

    checkpoint.restore_saveables = restore_and_call


def _nodes(position: Any) -> Any:
    return position.checkpoint.object_graph_proto.nodes


def _name(position: Any) -> str:
    return "/" + "".join(attribute.full_name for attribute in position.object_proto.attributes[:1])
