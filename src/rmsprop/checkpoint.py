"""Checkpoint files, which ``optimizer.save`` writes and ``optimizer.load`` reads, the same in every front end."""

import os

from rmsprop._core.saving import checkpoint

__all__ = ["read_metadata"]


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the texts that were given to ``optimizer.save(path, metadata=...)``, without an optimizer or a framework.

    Args:
        path: the file.

    Returns:
        The texts by name; empty if none were given.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be opened or read.
        ValueError: it is no checkpoint of an optimizer of this package, or is damaged.

    Example:
        >>> import tempfile, numpy as np
        >>> from rmsprop import RMSprop, checkpoint
        >>> optimizer = RMSprop()
        >>> optimizer.build([np.zeros(3)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     optimizer.save(f"{folder}/run", metadata={"epoch": "7"})
        ...     print(checkpoint.read_metadata(f"{folder}/run"))
        {'epoch': '7'}

    References:
        `safetensors` <https://huggingface.co/docs/safetensors>, the format of the files.
    """
    return checkpoint.read_metadata(path)
