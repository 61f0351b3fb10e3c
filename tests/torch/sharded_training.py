"""Trains one model whole and, by several processes, distributed; run as ``sharded_training.py PROCESSES FOLDER``.

Each process prints, a line a way and a setting, the largest difference of its weights and of their averages from those
of the whole model.
"""

import os
import sys
import warnings

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from rmsprop.torch import RMSprop

EVERYTHING = {
    "momentum": 0.9, "centered": True, "weight_decay": 0.01, "use_ema": True, "ema_overwrite_frequency": 3,
    "ema_momentum": 0.9,
}  # fmt: skip
WAYS = ["ddp", "zero", "fsdp", "tensor_parallel"]
CLIPS = [{}, {"global_clipnorm": 0.05}, {"clipnorm": 0.05}]


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))


def distribute(way, model, mesh):
    """The model in its distributed form."""
    if way in ("ddp", "zero"):
        return nn.parallel.DistributedDataParallel(model)
    if way == "tensor_parallel":
        return parallelize_module(model, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
    for layer in (model[0], model[2]):
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def whole(parameter):
    return parameter.full_tensor() if hasattr(parameter, "full_tensor") else parameter


def train(way, options, rank, count):
    """Give the largest difference after seven steps, one more than a multiple of those at which averages overwrite."""
    reference, model = make_model(), make_model()
    model = distribute(way, model, init_device_mesh("cpu", (count,)))
    one = RMSprop(reference.parameters(), 0.01, **options)
    if way == "zero":
        other = ZeroRedundancyOptimizer(model.parameters(), optimizer_class=RMSprop, lr=0.01, **options)
    else:
        other = RMSprop(model.parameters(), 0.01, **options)
    generator = torch.Generator().manual_seed(1)
    for _ in range(7):
        x = torch.randn(4 * count, 5, generator=generator)
        # Where the data is split the gradients of the processes are averaged.
        mine = x if way == "tensor_parallel" else x[4 * rank : 4 * rank + 4]
        one.minimize((reference(x) ** 2).mean())
        other.zero_grad()
        (model(mine) ** 2).mean().backward()
        other.step()
    found = difference(reference, model)
    if way != "zero":  # which is no optimizer of ours
        with one.averaged_weights(), other.averaged_weights():
            found = max(found, difference(reference, model))
        found = max(found, difference(reference, model))
    return found


def difference(reference, model):
    pairs = zip(reference.parameters(), model.parameters(), strict=True)
    return max((whole(v) - w).abs().max().item() for w, v in pairs)


def main(rank, count, folder):
    warnings.simplefilter("ignore")  # of torch's own, about what is new and what is old
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=count)
    for way in WAYS:
        for clip in CLIPS:
            if way == "zero" and "global_clipnorm" in clip:
                continue  # each process has an optimizer for its share of the parameters, which sees no other gradients
            difference = train(way, EVERYTHING | clip, rank, count)
            os.write(1, f"{way} {difference}\n".encode())  # in one piece: the others write too
    dist.barrier()  # a process that ends while another still talks to it ends that one
    dist.destroy_process_group()


if __name__ == "__main__":
    count, folder = int(sys.argv[1]), sys.argv[2]
    torch.multiprocessing.spawn(main, (count, folder), nprocs=count)
