"""One of the processes that `test_distributed.py` starts: ``distributed_training.py RANK PROCESSES FOLDER``."""

import sys

import keras
import keras_runs as runs
import numpy
import torch

from rmsprop.keras import RMSprop

OPTIONS = {"momentum": 0.5, "centered": True, "global_clipnorm": 0.5, "use_ema": True, "ema_overwrite_frequency": 3}


def train(rank=0, processes=1):
    """Train by this process's part of each batch, and give the weights."""
    model = runs.network()
    parallel = torch.nn.parallel.DistributedDataParallel(model) if processes > 1 else model
    optimizer, (x, y) = RMSprop(0.01, **OPTIONS), runs.data()
    for place in range(0, 96, 16):
        rows = slice(place + rank * 16 // processes, place + (rank + 1) * 16 // processes)
        model.zero_grad()
        keras.ops.mean((parallel(torch.tensor(x[rows])) - torch.tensor(y[rows])) ** 2).backward()
        optimizer.apply([one.value.grad for one in model.trainable_weights], model.trainable_weights)
    return runs.weights(model)


if __name__ == "__main__":
    rank, processes, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=processes
    )
    numpy.savez(f"{folder}/{rank}.npz", *train(rank, processes))
    torch.distributed.destroy_process_group()
    if rank == 0:
        numpy.savez(f"{folder}/alone.npz", *train())
