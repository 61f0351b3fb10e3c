"""Clients as they are here: without a network, without their own reports, one seed."""

import os
from importlib.util import find_spec
from pathlib import Path

# Read when they are imported.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TRANSFORMERS_VERBOSITY": "error"}

import pytest


def declare_operators():
    """Let torchvision be imported beside a torch that its compiled part does not fit.

    timm and torchmetrics import it, and no test here calls an operator of it. Torch comes in builds with and without
    CUDA; torchvision for the other one raises, because these two operators are not there.
    """
    import torch

    (folder,) = find_spec("torchvision").submodule_search_locations
    try:
        torch.ops.load_library(Path(folder) / "_C.so")
    except OSError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library
    return None


_library = declare_operators() if find_spec("torchvision") else None


@pytest.fixture(autouse=True)
def _seeded():
    import torch

    torch.manual_seed(0)
