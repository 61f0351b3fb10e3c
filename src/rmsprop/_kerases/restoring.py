"""How TensorFlow's checkpoints bring an optimizer of Keras 2 or 3 its state: by the names of attributes.

They hold the state twice, slot by slot and as one list. By its place in the list a momentum would pass for an average
of gradients, so the list is not restored. It tells what else a checkpoint is. One from before the first step holds no
slots. One of tf_keras may hold them in the list only, because tf_keras remembers what an optimizer refers to when it is
first looked at: the iterations, then slot by slot what belongs to each variable.

TensorFlow restores by the names of attributes, and lets what has no attribute yet wait in `_deferred_dependencies`.
There the list comes by.
"""

from collections import UserDict
from collections.abc import Callable, Sequence
from itertools import combinations
from types import SimpleNamespace
from typing import Any, Final, final
from weakref import WeakMethod, ref

from rmsprop._core.slots import KERAS_ATTRIBUTES
from rmsprop._kerases.built import Built
from rmsprop._kerases.following import Count, no_step_since

#: The attribute that is the list of the whole state.
LIST: Final = "_variables"


@final
class Waiting(UserDict[str, Any]):
    """What waits for attributes, name -> places in checkpoints; the list of the state is passed to `found` instead."""

    def __init__(self, waiting: dict[str, Any], found: Callable[[Any], None]) -> None:
        self.data, self._found = waiting, found

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the places that wait for an attribute, for one more to be appended."""
        return SimpleNamespace(append=self._found) if key == LIST else self.data.setdefault(key, default)


def is_by_slot(position: Any) -> bool:
    """Whether a checkpoint holds the slots as attributes, beside the list at `position`."""
    for node in _nodes(position):
        if any(child.node_id == position.proto_id and child.local_name == LIST for child in node.children):
            return any(child.local_name in KERAS_ATTRIBUTES.values() for child in node.children)
    return False


def elements(position: Any) -> list[Any]:
    """Return the places of a list's elements after the iterations."""
    children = sorted(_nodes(position)[position.proto_id].children, key=lambda child: int(child.local_name))
    return [position.create_child_position(child.node_id) for child in children[1:]]


def sorted_by_slot(positions: Sequence[Any], count: int) -> dict[str, Sequence[Any]]:
    """Sort a list's `elements` by the slots that their names tell, `count` for each; nothing if they tell none."""
    size = len(positions) // max(1, count)
    if len(positions) != size * count:
        return {}
    names = [_name(position) for position in positions]
    for slots in combinations(KERAS_ATTRIBUTES, size):
        # The name of a scope, or of a variable, may hold that of another slot.
        fits = all(f"/{slots[place // count]}/" in name for place, name in enumerate(names))
        if fits and "velocity" in slots:
            return {slot: positions[place * count : (place + 1) * count] for place, slot in enumerate(slots)}
    return {}


def _after(checkpoint: Any, call: Callable[[], None]) -> None:
    """Call a function whenever TensorFlow has assigned what it is restoring from a checkpoint."""
    owner: Any = ref(checkpoint)
    others = vars(checkpoint).get("restore_saveables")

    def restore_and_call(*args: Any, **kwargs: Any) -> Any:
        # Another optimizer's function, or TensorFlow's own; bound to the checkpoint it would keep that alive.
        restore = others or type(owner()).restore_saveables.__get__(owner())
        done = restore(*args, **kwargs)
        call()
        return done

    checkpoint.restore_saveables = restore_and_call


def _nodes(position: Any) -> Any:
    return position.checkpoint.object_graph_proto.nodes


def _name(position: Any) -> str:
    return "/" + "".join(attribute.full_name for attribute in position.object_proto.attributes[:1])


def start_again_after(checkpoint: Any, count: Count, built: Built) -> None:
    """Start a state again when a checkpoint from before the first step is read.

    Its variables may be made, or known to the checkpoint, later still: then averages start again too.
    """
    method, reference = WeakMethod(count), ref(built)
    still: Callable[[], bool] | None = None

    def start() -> None:
        nonlocal still
        counted, state = method(), reference()
        if counted is None or state is None or counted() is None:
            return
        if still is None:
            state.start()
            still = no_step_since(counted)
        elif still():
            state.start_averages()

    _after(checkpoint, start)
