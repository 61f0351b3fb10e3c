"""Torchvision beside a torch that its compiled part does not fit."""

from importlib.util import find_spec
from pathlib import Path


def declare_operators():
    """Let torchvision be imported there; keep what is returned.

    timm and torchmetrics import it, and no test here calls an operator of it. Torch comes in builds with and without
    CUDA; torchvision for the other one raises, because these two operators are not there.
    """
    found = find_spec("torchvision")
    if found is None:
        return None
    import torch

    (folder,) = found.submodule_search_locations
    try:
        torch.ops.load_library(Path(folder) / "_C.so")
    except OSError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library
    return None
