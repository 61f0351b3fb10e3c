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
from typing import Any, Final
from weakref import ref

from rmsprop._kerases.attributes import COLLECTED, HOMES
from rmsprop._kerases.following import no_step_since

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


class Restored:
    """An optimizer that TensorFlow's checkpoints bring its state by the names of attributes.

    A subclass has `_count()`, as `no_step_since` needs it; `_start_again()`, which takes the state back to its start;
    and `_start_averages()`, which does so for averages alone.
    """

    def _lookup_dependency(self, name: str, *args: Any, **kwargs: Any) -> Any:
        found: Any = None if name == LIST else super()._lookup_dependency(name, *args, **kwargs)  # type: ignore[misc]
        return found

    @property
    def _deferred_dependencies(self) -> Waiting:
        return Waiting(super()._deferred_dependencies, self._find_list)  # type: ignore[misc]

    def _find_list(self, position: Any) -> None:
        """Take note of the list in a checkpoint that is being restored."""
        raise NotImplementedError

    def _go_back(self, position: Any, built: bool) -> None:
        """Restore a checkpoint from before the first step.

        Args:
            position: that of its list.
            built: whether there is any state.
        """
        if built:
            self._start_again_after(position.checkpoint)
            return
        # What earlier ones hold is out of date.
        for home in (*HOMES.values(), COLLECTED):
            self._deferred_dependencies.pop(home, None)

    def _start_again_after(self, checkpoint: Any) -> None:
        """Start again when what a checkpoint holds is read; its variables may be made, or known to it, later still."""
        owner: Any = ref(self)
        still: Callable[[], bool] | None = None

        def start() -> None:
            nonlocal still
            one = owner()
            if one is None or one._count() is None:
                return
            if still is None:
                one._start_again()
                still = no_step_since(one)
            elif still():
                one._start_averages()

        after(checkpoint, start)
