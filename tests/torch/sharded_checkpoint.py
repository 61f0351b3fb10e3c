"""Saves a sharded run, or goes on with one; run as ``sharded_checkpoint.py save|load PROCESSES FOLDER``.

When it goes on it prints the largest difference of its weights from those of a run that nobody interrupted.
"""

import os
import sys
import warnings

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from sharded_training import EVERYTHING, distribute, make_model, whole
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh

from rmsprop.torch import RMSprop

OPTIONS = EVERYTHING | {"lr": 0.01, "global_clipnorm": 0.05}


def train(model, optimizer, steps, rank=0, count=1):
    """Do the given steps, each on this process's part of eight rows."""
    for step in steps:
        x = torch.randn(8, 5, generator=torch.Generator().manual_seed(step))
        mine = x[8 * rank // count : 8 * (rank + 1) // count]
        optimizer.minimize((model(mine) ** 2).mean())


def main(rank, phase, count, folder):
    warnings.simplefilter("ignore")  # of torch's own, about what is new and what is old
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meeting-{phase}-{count}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=count)
    model = distribute("fsdp", make_model(), init_device_mesh("cpu", (count,)))
    optimizer = RMSprop(model.parameters(), **OPTIONS)
    if phase == "save":
        train(model, optimizer, range(4), rank, count)
    weights, state = get_state_dict(model, optimizer)
    held = {"model": weights, "optimizer": state}
    if phase == "save":
        dcp.save(held, checkpoint_id=f"{folder}/checkpoint")
    else:
        dcp.load(held, checkpoint_id=f"{folder}/checkpoint")
        set_state_dict(model, optimizer, model_state_dict=held["model"], optim_state_dict=held["optimizer"])
        assert optimizer.iterations == 4
        train(model, optimizer, range(4, 8), rank, count)
        reference = make_model()
        train(reference, RMSprop(reference.parameters(), **OPTIONS), range(8))
        pairs = zip(reference.parameters(), model.parameters(), strict=True)
        difference = max((whole(v) - w).abs().max().item() for w, v in pairs)
        os.write(1, f"{difference}\n".encode())
    dist.barrier()  # a process that ends while another still talks to it ends that one
    dist.destroy_process_group()


if __name__ == "__main__":
    phase, count, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    torch.multiprocessing.spawn(main, (phase, count, folder), nprocs=count)
