"""Samples and estimators of benchmark-mi, run by the interpreter that has it; see pairs.py.

    python -P benchmarks/pairs_peers.py sample FOLDER SEED
    python -P benchmarks/pairs_peers.py estimate FOLDER TASK..

The first writes one .npz per task, the second one line of JSON per task and estimator.
"""

import json
import math
import sys
import time
from pathlib import Path

import bmi
import numpy as np

SAMPLES = 10_000
PEERS = {
    "bmi CCA": bmi.estimators.CCAMutualInformationEstimator,
    "bmi KSG": lambda: bmi.estimators.KSGEnsembleFirstEstimator(neighborhoods=(5,)),
    "bmi InfoNCE": lambda: bmi.estimators.InfoNCEEstimator(verbose=False),
}


def sample(folder: Path, seed: int) -> None:
    """All tasks, numbered as they come."""
    for number, (name, task) in enumerate(bmi.benchmark.BENCHMARK_TASKS.items()):
        x, y = (np.asarray(side, np.float32) for side in task.sample(SAMPLES, seed=seed))
        bits = float(task.mutual_information) / math.log(2)
        np.savez(folder / f"{number}.npz", x=x, y=y, bits=bits, name=name)


def estimate(folder: Path, numbers: list[int]) -> None:
    """Bits and CPU seconds of every peer on every task."""
    for number in numbers:
        pair = np.load(folder / f"{number}.npz")
        for peer, make in PEERS.items():
            began = time.process_time()
            bits = float(make().estimate(pair["x"], pair["y"])) / math.log(2)
            row = {"task": number, "estimator": peer, "bits": bits}
            print(json.dumps(row | {"seconds": time.process_time() - began}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "sample":
        sample(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        estimate(Path(sys.argv[2]), list(map(int, sys.argv[3:])))
