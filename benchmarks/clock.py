"""Time and memory of a call, fairly: interleaved rounds, CPU seconds of one thread first, wall seconds beside them."""

import ctypes
import statistics
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Timing:
    """Medians and quartiles over rounds, in seconds; the first call apart, because it imports and compiles."""

    first: float
    cpu: float
    low: float
    high: float
    wall: float
    rounds: int
    peak: int | None = None  # bytes above what was there before the call


def measure(calls, rounds=7, patience=1.0):
    """Time each of ``calls`` (name to function) in interleaved rounds.

    Before each sample the function is called once untimed, because what ran before leaves its traces in the caches. A call
    whose first time exceeds ``patience`` seconds gets a single further round. A call that raises is returned as its exception.
    """
    first, samples, peaks = {}, {}, {}
    for name, call in calls.items():
        try:
            first[name], _ = _once(call)
            samples[name], peaks[name] = [], peak(call) if first[name] < patience else None
        except Exception as error:  # an absent or failing peer is a row of the table, with the reason
            first[name] = error
    for k in range(rounds):
        for name in samples:
            if k == 0 or first[name] < patience:
                if first[name] < patience:
                    calls[name]()
                samples[name].append(_once(calls[name]))
    return {name: first[name] if name not in samples else _timing(first[name], samples[name], peaks[name]) for name in calls}


def _once(call):
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall


def _timing(first, samples, peak):
    cpu, wall = ([s[i] for s in samples] for i in (0, 1))
    low, _, high = statistics.quantiles(cpu, n=4) if len(cpu) > 1 else cpu * 3
    return Timing(first, statistics.median(cpu), low, high, statistics.median(wall), len(cpu), peak)


def peak(call):
    """Bytes of resident memory above the present ones while ``call`` runs; ``None`` where the system does not say."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # hands back what earlier calls left in the heap
        Path("/proc/self/clear_refs").write_text("5")  # Linux: resets the high-water mark
    except OSError:
        return None
    before = _status("VmRSS")
    call()
    return max(0, _status("VmHWM") - before)


def _status(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    return 0
