"""A sweep on a Dask cluster of this machine, two of whose three workers are killed, then all: run by test_sweeps by itself.

It waits for files, never for the clock; its last line says what was seen. Workers are forked from a process that has
imported torch once, so that they are there soon.
"""

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing import forkserver
from pathlib import Path

import dask
import joblib
import torch
from dask.distributed import Client, LocalCluster

from regimes import GradientDescent, TwoLayer, train
from regimes.problems import wave
from regimes.sweeps import sweep

FOLDER = Path(sys.argv[1])
GRID = {"seed": range(12), "lr": [0.1, 0.3]}
STACKS = 8  # of three runs


def run(seed, lr):
    """A training that takes long enough to be killed in, and leaves a line where it begins."""
    with (FOLDER / "begun").open("a") as log:
        log.write("begun\n")
    net, data = TwoLayer(1, 20, runs=seed.shape, seed=seed), wave()
    loss = train(net, data.x, data.y, GradientDescent(net, lr), 100).loss.mT
    time.sleep(0.3)
    return {
        "loss": loss,
        "threads": torch.full(seed.shape, torch.get_num_threads()),
        "where": torch.full(seed.shape, os.getpid()),
    }


def kept(store):
    return len([*store.glob("*.pt")])


def on_cluster(store, harm, patience):
    """The sweep, harmed once it has kept two stacks."""

    def wait_and_harm():
        while kept(store) < 2:
            time.sleep(0.01)
        harm()

    threading.Thread(target=wait_and_harm, daemon=True).start()
    with joblib.parallel_config(backend="dask"):
        return sweep(run, GRID, stack=3, store=store, patience=patience)


def main():
    torch.set_num_threads(1)
    dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
    multiprocessing.set_forkserver_preload(["distributed", "joblib", "regimes.problems", "regimes.sweeps"])
    forkserver.ensure_running()  # with these modules, before Dask asks for others
    alone = sweep(run, GRID, stack=3)
    (FOLDER / "begun").unlink()
    seen = {}
    with (
        LocalCluster(n_workers=3, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, protocol="tcp") as cluster,
        Client(cluster) as client,
    ):
        victims = [*client.run(os.getpid).values()][:2]
        result = on_cluster(FOLDER / "killed", lambda: [os.kill(pid, signal.SIGKILL) for pid in victims], 400)
        seen["same"] = torch.equal(result["loss"], alone["loss"])
        seen["survivors"] = len({*result["where"].flatten().tolist()} - {*victims})
        seen["threads"] = result["threads"].unique().tolist()
        seen["lost"] = len((FOLDER / "begun").read_text().splitlines()) - STACKS
        try:
            on_cluster(FOLDER / "dead", lambda: cluster.scale(0), 2)
        except ConnectionError as error:
            seen["error"] = str(error)
    seen["kept"] = kept(FOLDER / "dead")
    (FOLDER / "begun").unlink()
    again = sweep(run, GRID, stack=3, store=FOLDER / "dead")
    seen["resumed"] = torch.equal(again["loss"], alone["loss"])
    seen["run again"] = len((FOLDER / "begun").read_text().splitlines())
    print(json.dumps(seen))


if __name__ == "__main__":  # workers import this file
    main()
