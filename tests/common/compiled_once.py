"""What XLA compiles in a process of tests, compiled once: many tests trace the same step anew."""

import tempfile

import jax

_folder = tempfile.TemporaryDirectory(prefix="xla-")


def keep():
    """Let JAX keep everything that it compiles, in a folder that goes with the process.

    Processes that tests start have none of it: JAX writes a file in place, which another process may find half done.
    """
    jax.config.update("jax_compilation_cache_dir", _folder.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


#: For a thread that finds another one's file half done. JAX then compiles.
WARNING = "Error reading persistent compilation cache entry"
