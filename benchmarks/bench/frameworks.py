"""Frameworks, imported only by a benchmark that asks for them, and without their chatter."""

import os
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import threadpoolctl


def load(name: str) -> Any:
    """Import a module quietly; ImportError if it is missing or broken.

    TensorFlow's libraries write to the process's standard error past Python. What they write is shown if the import
    fails, and thrown away otherwise.
    """
    if (module := sys.modules.get(name)) is not None:
        return module
    if name in ("tensorflow", "keras"):
        # Triton, which torch.optim imports, aborts the process when TensorFlow's copy of LLVM is there before its own.
        # Keras imports TensorFlow whatever its backend, where that is installed.
        with suppress(ImportError):
            load("triton")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quietly():
        return import_module(name)


@contextmanager
def quietly() -> Iterator[None]:
    """Keep back warnings and what is written to standard error within a ``with`` block, and show that if it fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        failed = True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
            failed = False
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            if failed:
                chatter.seek(0)
                sys.stderr.write(chatter.read().decode(errors="replace"))


def reason(error: BaseException) -> str:
    """Return the line of an error that says what is wrong, or its type where it has no text.

    That is the first one. But TensorFlow's errors of graphs begin with headings, which end in colons, and with the
    places in the source, which are indented; their first line is returned only if there is nothing else.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return next((line for line in lines if line.strip() and line[0].strip() and line[-1] != ":"), lines[0])


def torch_to_compile() -> Any:
    """Return torch, made ready for a contender that it compiles."""
    # In this process: those that compile in others go on using the processor for a while.
    load("torch._inductor.config").compile_threads = 1
    torch = load("torch")
    # What earlier contenders compiled counts: after some eight, torch would give up and run this one uncompiled.
    torch.compiler.reset()
    return torch


def set_threads(threads: int, packages: Iterable[str] = ()) -> None:
    """Let NumPy's BLAS and the frameworks use so many threads.

    Args:
        threads: of each framework that is loaded; TensorFlow and JAX must not have run anything yet.
        packages: those that are not loaded yet and will be used: they are loaded before, where they are there.
    """
    for package in packages:
        with suppress(ImportError):
            load(package)
    threadpoolctl.threadpool_limits(threads, "blas")
    if "jax" in sys.modules:
        # What its runtime reads when it starts, and the runtimes of processes that this one starts.
        os.environ["PJRT_NPROC"] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "tensorflow" in sys.modules:
        threading = sys.modules["tensorflow"].config.threading
        threading.set_intra_op_parallelism_threads(threads)
        threading.set_inter_op_parallelism_threads(threads)
