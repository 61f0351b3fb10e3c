"""Parameters and groups that are saved, copied and stepped."""

import io

import torch


def parameter(value=1.0):
    w = torch.nn.Parameter(torch.full((2,), value))
    w.grad = torch.ones(2)
    return w


def saved(state_dict):
    """Through a file, as weights only."""
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def steps(optimizer, count):
    for _ in range(count):
        for group in optimizer.param_groups:
            for w in group["params"]:
                w.grad = torch.ones_like(w)
        optimizer.step()


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]
