"""Write a file whole or not at all, in the place of an older one and with its rights."""

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

_DRAFT: Final = ".draft"

#: How much of a target's name its draft has, in bytes: the longest name of every file system has room for both.
_KEPT: Final = 100

#: Seconds after which a draft is abandoned.
_OLD: Final = 3600


def replace(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to a file in one move: no reader ever finds a part of it.

    A link stays, and its target is replaced. The mode of an older file stays, and its owner as far as that is allowed.

    Raises:
        OSError: the folder is missing or cannot be written, or the path is not that of a regular file.
    """

    def for_us_alone(path: str, flags: int) -> int:
        # Others may not read it: it has the rights of the older file before its contents.
        return os.open(path, flags, 0o600)

    target = Path(os.path.realpath(path))
    old = _older(target)
    with _names_of(target.parent) as flush_names:
        _sweep(target)
        draft = target.with_name(f"{_beginning(target)}{os.urandom(8).hex()}{_DRAFT}")
        try:
            with open(draft, "xb", opener=None if old is None else for_us_alone) as file:
                if old is not None:
                    _take_rights(file.fileno(), old)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, target)
            flush_names()
        finally:
            draft.unlink(missing_ok=True)


def _older(target: Path) -> os.stat_result | None:
    """Return the status of an older file, if there is one, and refuse what is no regular file."""
    try:
        found = os.stat(target)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "a folder is in the file's place", str(target))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "this is no regular file, and nothing else is replaced", str(target))
    return found


def _take_rights(handle: int, old: os.stat_result) -> None:
    """Copy the mode of the old file to the new one, and its owner and group as far as that is allowed."""
    if os.name != "posix":
        return
    mode, mine = stat.S_IMODE(old.st_mode), os.fstat(handle)
    if (mine.st_uid, mine.st_gid) != (old.st_uid, old.st_gid):
        for owner in (old.st_uid, -1):
            with contextlib.suppress(OSError):
                os.fchown(handle, owner, old.st_gid)
                break
        else:
            # The rights of the old group are not those of another one.
            mode &= ~stat.S_IRWXG
    if stat.S_IMODE(os.fstat(handle).st_mode) != mode:
        os.fchmod(handle, mode)


@contextlib.contextmanager
def _names_of(folder: Path) -> Iterator[Callable[[], None]]:
    """Open a folder, and yield a function that waits until its list of names is on the disk.

    It waits for nothing if the folder cannot be read, and on Windows, which cannot open one.
    """
    handle = None
    if os.name == "posix":
        with contextlib.suppress(PermissionError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def flush() -> None:
        if handle is None:
            return
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that do it only for files
                raise

    try:
        yield flush
    finally:
        if handle is not None:
            os.close(handle)


def _beginning(target: Path) -> str:
    """Return the beginning of the names of the target's drafts."""
    name = target.name
    while len(os.fsencode(name)) > _KEPT:
        name = name[:-1]
    return f".{name}."


def _sweep(target: Path) -> None:
    """Remove the drafts of this target that killed processes left."""
    draft = re.compile(f"{re.escape(_beginning(target))}[0-9a-f]{{16}}{re.escape(_DRAFT)}")
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            if not draft.fullmatch(entry.name):
                continue
            with contextlib.suppress(OSError):
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(found.st_mode) and time.time() - found.st_mtime > _OLD:
                    os.unlink(entry.path)
