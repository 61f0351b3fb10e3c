"""Trains one model whole and in FullyShardedDataParallel; run as ``fsdp1_training.py PROCESSES FOLDER``.

Each process prints, a line a way and a setting, the largest difference of its weights from those of the whole model, or
how a step was refused.
"""

import os
import sys
import warnings

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from rmsprop.torch import RMSprop

CLIPS = [{}, {"global_clipnorm": 0.05}, {"clipnorm": 0.05}, {"clipvalue": 0.01}]


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))


def train(original, options, rank):
    reference = make_model()
    model = FullyShardedDataParallel(make_model(), device_id=torch.device("cpu"), use_orig_params=original)
    one, other = (RMSprop(each.parameters(), 0.01, momentum=0.9, **options) for each in (reference, model))
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        x = torch.randn(8, 5, generator=generator)
        one.minimize((reference(x) ** 2).mean())
        other.zero_grad()
        (model(x[4 * rank : 4 * rank + 4]) ** 2).mean().backward()
        try:
            other.step()
        except ValueError as error:
            assert not other.state
            return f"refused: {error}"
    with FullyShardedDataParallel.summon_full_params(model):
        pairs = [(whole(reference), whole(model))]
        return max((v - w).abs().max().item() for v, w in pairs)


def whole(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def main(rank, count, folder):
    warnings.simplefilter("ignore")  # of torch's own: there is a newer way
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=count)
    for original in (False, True):
        for clip in CLIPS:
            found = train(original, clip, rank)
            os.write(1, f"{original} {'_'.join(clip)}|{found}\n".encode())
    dist.barrier()  # a process that ends while another still talks to it ends that one
    dist.destroy_process_group()


if __name__ == "__main__":
    count, folder = int(sys.argv[1]), sys.argv[2]
    torch.multiprocessing.spawn(main, (count, folder), nprocs=count)
