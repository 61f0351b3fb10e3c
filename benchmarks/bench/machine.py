"""On which machine, at which commit and with which versions the figures were measured."""

import os
import platform
import subprocess
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import rmsprop

#: Variables that change how fast a contender is: which way it goes, threads, their waiting, huge pages, allocators.
_SETTINGS: Final = (
    "RMSPROP_NUM_THREADS", "RMSPROP_NATIVE", "TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT",
    "KMP_BLOCKTIME", "THP_MEM_ALLOC_ENABLE", "NUMPY_MADVISE_HUGEPAGE", "MALLOC_CONF", "GLIBC_TUNABLES", "LD_PRELOAD",
    "XLA_FLAGS", "PJRT_NPROC", "JAX_PLATFORMS", "JAX_ENABLE_X64", "JAX_COMPILATION_CACHE_DIR", "KERAS_BACKEND",
)  # fmt: skip


def describe_machine(packages: Iterable[str], threads: int) -> dict[str, Any]:
    """Return processor, cores, threads, system, settings, commit, and the versions of Python, rmsprop and `packages`.

    The commit is that of the checkout from which rmsprop is imported, with "-dirty" behind it where tracked files were
    changed; None where it is installed otherwise, and its version says what there is to say. A process that the system
    prefers to others, or the other way round, says how much: "nice".
    """
    nice = os.getpriority(os.PRIO_PROCESS, 0) if hasattr(os, "getpriority") else 0
    return ({"nice": nice} if nice else {}) | {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "settings": {name: os.environ[name] for name in _SETTINGS if name in os.environ},
        "commit": _commit(Path(rmsprop.__file__)),
        "versions": {"Python": platform.python_version(), "rmsprop": rmsprop.__version__, **_versions(packages)},
    }


class Watch:
    """Measures how much other processes keep the machine's cores busy from when it is made."""

    def __init__(self) -> None:
        self._start = self._read()

    def busy_elsewhere(self) -> float | None:
        """Return the mean number of cores that other processes used since; None where the system does not tell."""
        if self._start is None or (now := self._read()) is None:
            return None
        wall, others = (end - start for end, start in zip(now, self._start, strict=True))
        return max(0.0, others / wall)

    @staticmethod
    def _read() -> tuple[float, float] | None:
        """Return the wall clock, and the processor seconds of all processes but this one and its children."""
        mine = sum(os.times()[:4])
        try:
            jiffies = [int(number) for number in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        except OSError:
            return None
        user, nice, system, _, _, interrupts, soft_interrupts = jiffies[:7]
        everything = user + nice + system + interrupts + soft_interrupts
        return time.monotonic(), everything / os.sysconf("SC_CLK_TCK") - mine


def _versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _commit(file: Path) -> str | None:
    """Return the commit that a source file of ours is checked out from; None where it is in no checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(file.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # A package that is installed in some other repository's folder is not tracked there.
        git("ls-files", "--error-unmatch", file.name)
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    """Return the processor's name; platform.processor() is empty on Linux."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
