"""Many runs at once: a grid of settings, in stacks of a size the machine likes.

On a CPU a stack is fast while its arrays stay in the cache: a stack of small networks saves most of Python's overhead, one of
large networks is slower than a loop. On an accelerator the whole grid is one stack.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np
import torch
from joblib import Parallel, delayed
from torch import Tensor

from regimes.linalg import Unsolvable
from regimes.training import Diverged, progress

__all__ = ["Sweep", "stack_size", "sweep"]

CACHE = 400_000  # bytes of one n x m array of a stack that still pay, measured

Run = Callable[..., Mapping[str, Tensor]]


@dataclass(frozen=True)
class Sweep:
    """What a sweep measured; ``sweep["test"]`` has an axis for each setting of the grid, in its order.

    Attributes:
        grid: the values of each setting.
        measured: for each name ``(*grid, ...)``; NaN where a run diverged.
        diverged: ``(*grid)``, the step at which a run diverged (0: its first step could not be computed), -1 where it did not.
    """

    grid: dict[str, Tensor]
    measured: dict[str, Tensor]
    diverged: Tensor

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.measured:
            raise KeyError(f"this sweep did not measure {name!r}; it measured {', '.join(self.measured)}")
        return self.measured[name]


def stack_size(n: int, m: int, device: torch.device | str = "cpu") -> int | None:
    """How many runs with ``n`` samples and ``m`` hidden units to stack: a cache full on a CPU, all (``None``) elsewhere.

    >>> stack_size(50, 100), stack_size(500, 1000)
    (10, 1)
    """
    return max(1, CACHE // (8 * n * m)) if torch.device(device).type == "cpu" else None


def sweep(run: Run, grid: Mapping[str, Sequence[float]], *, stack: int | None = None, jobs: int | None = None) -> Sweep:
    """Call ``run`` on every combination of the values in ``grid``, many at a time.

    ``run(**settings)`` gets for each setting a tensor of shape ``(b,)``, one entry a run, and returns tensors ``(b, ...)`` by
    name. So it is written once: ``TwoLayer(d, m, runs=std.shape, std=std, seed=seed)`` is a stack of networks, and the step and
    the damping of an optimizer may be such tensors too. A run that diverges, or whose first step cannot be computed, is taken
    out of its stack and reported; the others of the stack are run again without it.

    Args:
        run: the function.
        grid: the values of each setting.
        stack: how many runs to hand over at once, all of them if ``None``: see `stack_size`.
        jobs: stacks in parallel, by joblib; ``joblib.parallel_config`` chooses the workers (processes, Dask, Ray).

    A progress bar shows itself if this takes longer than two seconds.

    Raises:
        ValueError: for an empty grid, a stack below one, or results without one row a run.
        regimes.training.Diverged, regimes.linalg.Unsolvable: if every run ended so.
    """
    grid = {name: torch.as_tensor(np.atleast_1d(values)) for name, values in grid.items()}  # float64, as NumPy takes numbers
    cells = list(product(*(range(len(values)) for values in grid.values())))
    if not grid or not cells or (stack is not None and stack < 1):
        raise ValueError(f"a sweep needs a grid with values and stacks of at least one run; got {dict(grid)}, {stack=}")
    settings = [{name: values[i] for (name, values), i in zip(grid.items(), cell, strict=True)} for cell in cells]
    size = stack or len(cells)
    stacks = [settings[i : i + size] for i in range(0, len(settings), size)]
    work = Parallel(n_jobs=jobs, return_as="generator")(delayed(_run_stack)(run, stack) for stack in stacks)
    rows = [row for done in progress(work, "sweep", len(stacks)) for row in done]
    return _collect(grid, rows)


def _run_stack(run: Run, stack: list[dict[str, Tensor]]) -> list[dict[str, Tensor] | Exception]:
    """For each run of the stack what it measured, or what stopped it."""
    columns = {name: torch.stack([settings[name] for settings in stack]) for name in stack[0]}
    try:
        measured = run(**columns)
    except (Diverged, Unsolvable) as stop:
        if len(stack) == 1:
            return [stop]
        half = ceil(len(stack) / 2)
        return _run_stack(run, stack[:half]) + _run_stack(run, stack[half:])
    for name, value in measured.items():
        if value.shape[:1] != (len(stack),):
            raise ValueError(f"run() must return a row a run, {len(stack)} rows; {name!r} has shape {tuple(value.shape)}")
    return [{name: value[i].detach().cpu() for name, value in measured.items()} for i in range(len(stack))]


def _collect(grid: dict[str, Tensor], rows: list) -> Sweep:
    """The rows as tensors with an axis a setting."""
    shape = tuple(len(values) for values in grid.values())
    pattern = next((row for row in rows if not isinstance(row, Exception)), None)
    if pattern is None:
        raise rows[0]
    gone = {name: torch.full_like(value, torch.nan, dtype=torch.float64) for name, value in pattern.items()}
    whole = [gone if isinstance(row, Exception) else row for row in rows]
    measured = {name: torch.stack([row[name] for row in whole]) for name in pattern}
    measured = {name: value.reshape(*shape, *value.shape[1:]) for name, value in measured.items()}
    steps = torch.tensor([getattr(row, "step", 0) if isinstance(row, Exception) else -1 for row in rows])
    return Sweep(grid, measured, steps.reshape(shape))
