"""Time and memory of a call, fairly: interleaved rounds, CPU seconds of one thread; on a GPU wall seconds, waiting for it."""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

SAMPLE = 0.02  # seconds: shorter calls are repeated until a sample takes that long
LONG = 1.0  # seconds: longer calls get three rounds at most, and no untimed call before each

Calls = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Timing:
    """Median and quartiles over rounds, in seconds."""

    seconds: float
    low: float
    high: float
    rounds: int


def measure(calls: Calls, rounds: int = 7, device: str = "cpu") -> dict[str, Timing]:
    """Time the functions in interleaved rounds, so that a busy minute of the machine meets all of them.

    Each has been called before. Before a sample the function is called once untimed, because what ran last leaves its traces
    in the caches.
    """
    once = {name: seconds(call, 1, device) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for k in range(rounds):
        for name, call in calls.items():
            if once[name] < LONG:
                call()
            elif k >= 3:
                continue
            samples[name].append(seconds(call, ceil(SAMPLE / max(once[name], 1e-6)), device))
    return {name: summary(values) for name, values in samples.items()}


def seconds(call: Callable[[], object], times: int = 1, device: str = "cpu") -> float:
    """How long a call takes, as the mean of so many: CPU seconds of this process; on a GPU until it has nothing left to do."""
    clock = time.process_time if device == "cpu" else _finished
    begin = clock()
    for _ in range(times):
        call()
    return (clock() - begin) / times


def _finished() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def summary(samples: Iterable[float]) -> Timing:
    """Median and quartiles."""
    values = list(samples)
    low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return Timing(statistics.median(values), low, high, len(values))


def peak(call: Callable[[], object], device: str = "cpu") -> int:
    """Bytes that torch holds at most while ``call`` runs, above what it held before.

    Counted by torch's allocator, not read off the process: to the byte the same in every run, on every system. What MKL and
    LAPACK keep for themselves, some hundred kB, is not in it.
    """
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text("utf-8"))["traceEvents"]
    held = most = 0
    for event in sorted((e for e in events if e["name"] == "[memory]"), key=lambda e: e["ts"]):
        held += event["args"]["Bytes"]
        most = max(most, held)
    return most
