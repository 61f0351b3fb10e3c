"""Clients as they are here: without a network, without their own reports, one seed."""

import os

# Read when they are imported.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TRANSFORMERS_VERBOSITY": "error"}

import pytest
from operators import declare_operators

_library = declare_operators()


@pytest.fixture(autouse=True)
def _seeded():
    import torch

    torch.manual_seed(0)
