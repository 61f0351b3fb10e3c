"""Checkpoint files in the safetensors format: named state, the iteration and the config, written whole or not at all.

Tensors are called ``<slot>/<variable>``; the header's texts hold the iteration and the config under names that begin
with ``rmsprop.``, and whatever the user adds. Any program that reads safetensors reads these files.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from rmsprop import _slots
from rmsprop._options import Options

Array = NDArray[Any]
PathLike = str | os.PathLike[str]

_OURS = "rmsprop."
_FORMAT = "1"


class Checkpoint(NamedTuple):
    """What `read` found."""

    tensors: dict[str, Array]
    iterations: int
    config: dict[str, Any]
    metadata: dict[str, str]


def write(
    path: PathLike, tensors: Mapping[str, Array], iterations: int, options: Options, metadata: Mapping[str, str]
) -> None:
    """Write a checkpoint; whoever reads `path`, even after a crash, finds the old file or the new one.

    Raises:
        OSError: the folder is missing or cannot be written.
        ValueError: `metadata` uses a name of ours.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    for name in metadata:
        if name.startswith(_OURS):
            raise ValueError(f"metadata has the name {name!r}: names that begin with {_OURS!r} are taken")
    texts = {"format": _FORMAT, "iterations": str(iterations), "config": json.dumps(_config(options))}
    target = Path(path)
    # Always the same name, so that drafts of killed processes do not pile up.
    draft = target.with_name(f".{target.name}.draft")
    # safetensors writes the bytes as they lie in memory, so what lies otherwise is copied first.
    ordered = {name: numpy.asarray(array, order="C") for name, array in tensors.items()}
    try:
        save_file(ordered, draft, metadata={_OURS + name: text for name, text in texts.items()} | dict(metadata))
        _flush(draft)
        os.replace(draft, target)
        _flush(target.parent)
    except SafetensorError as error:  # which is no OSError, though it reports one
        raise OSError(f"{os.fspath(path)!r} cannot be written: {error}") from error
    finally:
        draft.unlink(missing_ok=True)


def read(path: PathLike, needed: Mapping[str, Array]) -> Checkpoint:
    """Read the tensors that are `needed`, after checking that the file holds them and no other state.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a checkpoint, is damaged, or holds other tensors; the error lists the differences.
    """
    from safetensors import SafetensorError, safe_open

    shown = os.fspath(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no checkpoint {shown!r}")
    try:
        with safe_open(path, framework="np") as file:
            texts = file.metadata() or {}
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names if name in needed or not _is_variable(name)}
    except SafetensorError as error:
        raise ValueError(f"{shown!r} is not a checkpoint, or is damaged: {error}") from error
    if texts.get(_OURS + "format") != _FORMAT:
        raise ValueError(f"{shown!r} is a safetensors file, but not a checkpoint of this optimizer")
    lines = _slots.differences(_summary(needed), _summary(tensors))
    if lines:
        raise ValueError(f"{shown!r} does not fit this optimizer:\n  " + "\n  ".join(lines))
    config = json.loads(texts[_OURS + "config"])
    metadata = {key: text for key, text in texts.items() if not key.startswith(_OURS)}
    return Checkpoint(tensors, int(texts[_OURS + "iterations"]), config, metadata)


def _config(options: Options) -> dict[str, Any]:
    try:
        return options.get_config()
    except (ValueError, NotImplementedError):
        # A learning rate that cannot be written down is no reason to lose the state.
        return replace(options, learning_rate=0.0).get_config() | {"learning_rate": None}


def _is_variable(key: str) -> bool:
    return key.startswith(_slots.key("variable", ""))


def _summary(tensors: Mapping[str, Array]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: (array.dtype.name, array.shape) for name, array in tensors.items()}


def _flush(path: PathLike) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    if os.name == "nt":  # Windows can open neither for this
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
