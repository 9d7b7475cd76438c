"""How time and memory of a damped step grow, and how much memory it takes."""

from collections.abc import Iterable
from functools import partial

import numpy as np

from benchmarks import clock
from benchmarks.problems import TwoLayerProblem
from benchmarks.steps import damped, step
from benchmarks.task import Row, Size, relative, stop_if_wrong

AXES = "n d m"
SAMPLES = [(n, 10, 500) for n in (25, 50, 100, 200, 400, 800, 1600)]
UNITS = [(200, 10, m) for m in (64, 128, 256, 512, 1024, 2048, 4096)]
LARGE, WIDE = (500, 10, 1000), (1000, 784, 1000)


def _problems(sizes: Iterable[Size], device: str) -> dict[Size, TwoLayerProblem]:
    problems = {size: TwoLayerProblem(*size, device=device) for size in sizes}
    for size, problem in problems.items():
        stop_if_wrong(f"damped step at {size}", relative(step(problem), damped(problem)), 1e-9)
    return problems


def exponents(tiny: bool = False, device: str = "cpu") -> list[Row]:
    """The exponents of time and memory in ``n`` and ``m``, over the four largest of sizes that span a factor 64."""
    before = {"n": (1.7, 1.4), "m": (0.82, 0.84)}
    target = {"n": (2.0, 2.0), "m": (1.0, 1.0)}
    rows = []
    for axis, at, sizes in (("n", "d = 10, m = 500", SAMPLES), ("m", "n = 200, d = 10", UNITS)):
        problems = _problems(sizes[:4] if tiny else sizes, device)
        calls = {size: partial(step, problem) for size, problem in problems.items()}
        timings = clock.measure(calls, 1 if tiny else 5, device)
        costs = {
            "time": [timings[size].seconds for size in problems],
            "memory": [clock.peak(call, device) for call in calls.values()],
        }
        counted = [size[AXES.split().index(axis)] for size in problems]
        for (what, cost), was, aim in zip(costs.items(), before[axis], target[axis], strict=True):
            slope = float(np.polyfit(np.log(counted[-4:]), np.log(cost[-4:]), 1)[0])
            rows.append(Row("growth of a damped step", at, f"exponent of {what} in {axis}", slope, was, aim))
    return rows


def memory(tiny: bool = False, device: str = "cpu") -> list[Row]:
    """The memory that a damped step takes while it runs, in units of ``3 n m + 4 n^2`` float64 numbers."""
    before = {LARGE: 1.4, WIDE: 2.0}
    rows = []
    for size, problem in _problems([(20, 3, 30)] if tiny else [LARGE, WIDE], device).items():
        n, d, m = size
        unit = 8 * (3 * n * m + 4 * n * n)
        held = clock.peak(partial(step, problem), device) / unit
        rows.append(
            Row("memory of a damped step", f"n = {n}, d = {d}, m = {m}", "peak / (3nm + 4n²)", held, before.get(size), 1.0)
        )
    return rows
