"""Triton's interpreter is chosen by the environment when Triton is imported, so this folder has its own process."""

import os

os.environ["TRITON_INTERPRET"] = "1"
