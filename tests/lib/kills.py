"""Kill a sweep twenty times, at moments that a seed chooses, and say what was lost: run by test_sweeps in its own process.

It forks, so that the twenty sweeps share one import of torch; it waits for files, never for the clock.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import joblib
import torch

from regimes.sweeps import sweep

LOG = Path(sys.argv[1]) / "log"
STORE = Path(sys.argv[1]) / "store"
STACKS, KILLS = 200, 20
GRID = {"a": range(STACKS)}


def run(a):
    with LOG.open("a") as log:
        log.write("begun\n")
    time.sleep(float(os.environ.get("SLOW", 0)))  # long enough to be killed in
    return {"row": torch.sin(a[:, None] + torch.arange(5.0)), "odd": a % 2 == 1}


def finished():
    return len([*STORE.glob("*.pt")])


def kill_one(workers, more, late):
    """Kill a sweep `late` seconds after it has kept `more` further stacks; whether it was still running."""
    before = finished()
    if not (child := os.fork()):
        os.environ["SLOW"] = "0.02"
        with joblib.parallel_config(backend="threading", n_jobs=workers):
            sweep(run, GRID, stack=1, store=STORE)
        os._exit(0)
    while finished() < min(before + more, STACKS):
        if os.waitpid(child, os.WNOHANG)[0]:
            return False  # it has ended by itself
    time.sleep(late)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


if __name__ == "__main__":
    torch.set_num_threads(1)
    chance = random.Random(0)
    workers = [1, 2] * (KILLS // 2)
    killed = [kill_one(w, chance.choice([1, 2, 3]), chance.uniform(0, 0.03)) for w in workers]
    kept = finished()
    result = sweep(run, GRID, stack=1, store=STORE)
    begun = len(LOG.read_text().splitlines())
    alone = sweep(run, GRID, stack=1)
    same = all(torch.equal(result[name], alone[name]) for name in ("row", "odd"))
    print(json.dumps({"killed": sum(killed), "same": same, "kept": kept, "lost": begun - STACKS, "workers": sum(workers)}))
