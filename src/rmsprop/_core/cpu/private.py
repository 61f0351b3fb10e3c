"""Files in a folder that only its owner may write to, as the machine code in them is run.

The folder, its parent and the file must belong to the user or to root, and neither the group nor others may write to
them; a group is never private, as its members may change at any time. Each is checked after it has been opened, inside
of the one before: a name may be another file's a moment later.

Windows has no such owners and modes: the user's profile excludes others.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

#: Whether there are owners and modes, and folders can be opened.
_POSIX: Final = os.name == "posix"

#: Neither a link's target, nor a wait for the other end of a fifo.
_CAREFUL: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@final
class NotPrivate(Exception):
    """Others may write to a folder or a file; `str` names it."""


def read(folder: Path, name: str) -> bytes:
    """Read a file.

    Raises:
        NotPrivate: others may write to the file, its folder or the folder's parent.
        OSError: there is no such file, or it is no regular one.
    """
    with _opened(folder) as inside:
        handle = os.open(_inside(folder, name, inside), os.O_RDONLY | _CAREFUL, dir_fd=inside)
        with open(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(f"{folder / name} is no regular file")
            _check(folder / name, found)
            return file.read()


def write(folder: Path, name: str, data: bytes) -> None:
    """Write a file under its name in one move; folders that are missing are made, for the user alone.

    Raises:
        NotPrivate: others may write to the folder or to its parent.
        OSError: it cannot be written.
    """
    _make(folder)
    with _opened(folder) as inside:
        draft, target = (_inside(folder, one, inside) for one in (f"tmp{os.urandom(8).hex()}", name))
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CAREFUL, 0o600, dir_fd=inside)
        try:
            with open(handle, "wb") as file:
                file.write(data)
            os.replace(draft, target, src_dir_fd=inside, dst_dir_fd=inside)
        except BaseException:
            os.unlink(draft, dir_fd=inside)
            raise


def _make(folder: Path) -> None:
    """Make a folder and those above it that are missing, each with a mode of its own, not the umask's."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(0o700, exist_ok=True)


@contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    """Open a folder after a check of it and its parent; None where folders cannot be opened."""
    if not _POSIX:
        yield None
        return
    parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _check(folder.parent, os.fstat(parent))
        inside = os.open(folder.name, os.O_RDONLY | os.O_DIRECTORY | _CAREFUL, dir_fd=parent)
    finally:
        os.close(parent)
    try:
        _check(folder, os.fstat(inside))
        yield inside
    finally:
        os.close(inside)


def _inside(folder: Path, name: str, inside: int | None) -> str:
    """Return the name by which a file of a folder is opened."""
    return str(folder / name) if inside is None else name


def _check(path: Path, found: os.stat_result) -> None:
    if not _POSIX:
        return
    if found.st_uid not in (os.geteuid(), 0):
        raise NotPrivate(f"{path} belongs to the user {found.st_uid}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotPrivate(f"{path} may be written to by others (mode {stat.S_IMODE(found.st_mode):#o})")
