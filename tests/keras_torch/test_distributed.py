"""`DistributedDataParallel` around a model of Keras's, in two processes."""

import os
import sys
import warnings
from pathlib import Path

from processes import run

OPTIONS = {"momentum": 0.5, "centered": True, "global_clipnorm": 0.5, "use_ema": True, "ema_overwrite_frequency": 3}


def train(rank, path, processes):
    """Train by this process's half of each batch; the first writes down the weights."""
    warnings.simplefilter("default")
    sys.path.insert(0, str(Path(__file__).parent.parent))
    import keras
    import keras_runs as runs
    import numpy
    import torch

    from rmsprop.keras import RMSprop

    if processes > 1:
        torch.distributed.init_process_group("gloo", init_method=f"file://{path}/meet", rank=rank, world_size=processes)
    model = runs.model(None)
    parallel = torch.nn.parallel.DistributedDataParallel(model) if processes > 1 else model
    optimizer, (x, y) = RMSprop(0.01, **OPTIONS), runs.data()
    for place in range(0, 96, 16):
        rows = slice(place + rank * 16 // processes, place + (rank + 1) * 16 // processes)
        model.zero_grad()
        keras.ops.mean((parallel(torch.tensor(x[rows])) - torch.tensor(y[rows])) ** 2).backward()
        optimizer.apply([one.value.grad for one in model.trainable_weights], model.trainable_weights)
    if rank == 0:
        numpy.savez(f"{path}/{processes}.npz", *runs.weights(model))
    if processes > 1:
        torch.distributed.destroy_process_group()


def test_two_processes_train_as_one(tmp_path):
    import numpy

    # From a process that has run nothing: after `torch.compile` in this one, those that it spawns do not end.
    run(
        """
        import sys
        sys.path.insert(0, sys.argv[1])
        import test_distributed, torch.multiprocessing
        for processes in (1, 2):
            torch.multiprocessing.spawn(test_distributed.train, (sys.argv[2], processes), processes)
        """,
        Path(__file__).parent,
        tmp_path,
        PYTHONPATH=os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]),
    )
    one, two = (numpy.load(tmp_path / f"{processes}.npz") for processes in (1, 2))
    assert len(one.files) == 4
    for name in one.files:
        numpy.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-6)
