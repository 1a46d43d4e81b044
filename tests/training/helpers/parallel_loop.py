"""A training in two processes, watched by the first. A script, so that nothing else is forked."""

import sys
from functools import partial

import torch
from small_training import Model, loss_of
from torch import Tensor, distributed, multiprocessing, nn

import seqprobe
from seqprobe.probes.loss_gradient import LossGradient
from seqprobe.training.entry import Entry


def _one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = distributed.FileStore(f"{folder}/store", 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    kept = [_parallel(rank, wrapped_first) for wrapped_first in (False, True)]
    torch.save(kept, f"{folder}/{rank}")
    distributed.destroy_process_group()


def _parallel(rank: int, wrapped_first: bool) -> tuple[list[int], list[Tensor]]:
    """The steps that were measured, and the weights, on one of the processes."""
    torch.manual_seed(0)
    entries: list[Entry] = []
    attach = partial(seqprobe.attach, probes=[LossGradient()], every=2, loggers=[entries.append])
    model = Model()
    session = None if wrapped_first else attach(model)
    parallel = nn.parallel.DistributedDataParallel(model)
    session = session or attach(parallel)
    optimizer = torch.optim.SGD(parallel.parameters(), 0.1)
    torch.manual_seed(rank)
    for _ in range(4):
        optimizer.zero_grad()
        loss_of(parallel).backward()
        optimizer.step()
        session.step()
    weights = [each.detach() for each in model.parameters()]
    return [entry.step for entry in entries if entry.measurement], weights


if __name__ == "__main__":
    multiprocessing.start_processes(_one_of_two, (sys.argv[1],), nprocs=2, start_method="fork")
