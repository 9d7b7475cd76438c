"""What starting costs before anything is computed: CPU time of a fresh Python."""

import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.task import Row

ROOT = Path(__file__).resolve().parents[1]
IMPORT = "import time, torch; a = time.process_time(); import {}; print(a, time.process_time() - a)"


def children() -> float:
    """CPU seconds of all child processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def beyond_torch(module: str) -> float:
    """The time to import a module once torch is there, over the time to import torch."""
    command = [sys.executable, "-c", IMPORT.format(module)]
    torch, rest = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return float(rest) / float(torch)


def cpu(*words: str) -> float:
    """CPU seconds of a Python with these arguments."""
    begin = children()
    subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, check=True)
    return children() - begin


def startup(tiny: bool = False, device: str = "cpu") -> list[Row]:
    """What the library adds to the import of torch, and what `course.py help` adds to an empty Python; medians."""
    rounds = range(1 if tiny else 5)
    metrics = statistics.median(beyond_torch("regimes.metrics") for _ in rounds)
    helped, empty = (statistics.median(cpu(*words) for _ in rounds) for words in (("course.py", "help"), ("-c", "pass")))
    return [
        Row("start-up", "fresh Python", "import regimes.metrics, beyond torch / import torch", metrics, 0.15, 0.05),
        Row("start-up", "fresh Python", "course.py help / empty Python", helped / empty, (2.3, 3.7)),
    ]
