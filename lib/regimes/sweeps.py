"""Many runs at once: a grid of settings, in stacks of a size that suits the machine.

On a CPU a stack is fast while its arrays stay in the cache: a stack of small networks saves most of Python's overhead, one of
large networks is slower than a loop. On an accelerator the whole grid is one stack.
"""

import copy
import os
import traceback
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby, product
from math import ceil
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from torch import Tensor

from regimes.arguments import whole
from regimes.linalg import Singular, Unsolvable
from regimes.store import NoFingerprint, Store, fingerprint, library
from regimes.training import Diverged, Trace, progress

__all__ = ["Sweep", "stack_size", "sweep"]

# Bytes of one (runs, n, m) float64 array up to which stacking pays, measured: a step holds several such arrays, and once they
# no longer fit the cache together, a stack is slower than a loop.
CACHE = 400_000

EXPECTED = {kind.__name__: kind for kind in (Diverged, Singular, Unsolvable)}  # a result of the settings, not a bug

Run = Callable[..., Mapping[str, Any]]
Values = Sequence[Any] | Tensor | np.ndarray
Row = dict[str, Tensor] | Exception


@dataclass(frozen=True)
class Sweep:
    """What a sweep measured; ``sweep["test"]`` has an axis for each setting of the grid, in its order.

    Attributes:
        grid: the values of each setting, a tensor of numbers or a list of anything else.
        measured: for each name ``(*grid, ...)``; NaN where a run diverged or failed.
        diverged: ``(*grid)``, the step at which a run diverged (0: its first step could not be computed), -1 where it did not.
        errors: what else runs raised, by their settings in the order of the grid: ``{(0.1, "relu"): ZeroDivisionError(...)}``.
    """

    grid: dict[str, Tensor | list]
    measured: dict[str, Tensor]
    diverged: Tensor
    errors: dict[tuple, Exception] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.measured:
            raise KeyError(f"this sweep did not measure {name!r}; it measured {', '.join(self.measured)}")
        return self.measured[name]


def stack_size(n: int, m: int, device: torch.device | str = "cpu") -> int | None:
    """How many runs with ``n`` samples and ``m`` hidden units to stack: what fits the cache on a CPU, all (``None``) elsewhere.

    >>> stack_size(50, 100), stack_size(500, 1000)
    (10, 1)
    """
    return max(1, CACHE // (8 * n * m)) if torch.device(device).type == "cpu" else None


def sweep(
    run: Run,
    grid: Mapping[str, Values],
    *,
    stack: int | None = None,
    jobs: int | None = None,
    store: str | Path | None = None,
) -> Sweep:
    """Call ``run`` on every combination of the values in ``grid``, many at a time.

    ``run(**settings)`` receives a tensor of shape ``(b,)`` for each setting that is a number, one entry per run, and returns
    a dictionary of results with one row per run: tensors ``(b, ...)``, arrays or lists; for a stack of one run a plain number
    will do. So it is written once: ``TwoLayer(d, m, runs=std.shape, std=std, seed=seed)`` is a stack of networks, and the step
    size and the damping of an optimizer may be such tensors too. Put ``seed`` into the grid: an integer inside ``run`` counts
    up within a stack, so that its meaning would depend on ``stack``.

    A setting that is not a number (a name, a function, a class, ``None``) is the same for all runs of a stack, and ``run``
    receives it as it is. Sizes such as a width cannot differ within a stack either: for them, and for modules that are no
    stacks, take ``stack=1``, where each setting has one entry.

    >>> from torch import nn
    >>> from regimes import train
    >>> from regimes.problems import wave
    >>> def run(seed, width, act):
    ...     torch.manual_seed(int(seed))
    ...     net = nn.Sequential(nn.Linear(1, int(width)), act(), nn.Linear(int(width), 1), nn.Flatten(0)).double()
    ...     trace = train(net, wave().x, wave().y, torch.optim.Adam(net.parameters()), steps=3)
    ...     return {"loss": trace.loss[-1].item()}
    >>> result = sweep(run, {"seed": [0, 1], "width": [5, 10, 20], "act": [nn.Tanh, nn.ReLU]}, stack=1)
    >>> result["loss"].shape, result.grid["act"][0]
    (torch.Size([2, 3, 2]), <class 'torch.nn.modules.activation.Tanh'>)

    A run that raises an error is taken out of its stack, and the others are run again without it. A divergence, or a first
    step that cannot be computed, is a result; for all other errors there is a single warning, which counts them.

    With a ``store`` a sweep that was killed resumes where it stopped: each worker saves a stack as soon as it is done, and a
    later call with the same work loads it, so that a kill costs each worker at most the stack it was working on. The same work
    means the same ``run``, that is its code and all that it reads by name (see `regimes.store.fingerprint`, also for what
    that does not see); the same settings in the stack; the same version of the library. Different work may share one folder.
    Stacks with an error other than a divergence are not saved: the next call tries them again.

    Args:
        run: the function.
        grid: the values of each setting, in a list, a tensor or an array.
        stack: how many runs to pass at once, all of them if ``None``: see `stack_size`.
        jobs: stacks in parallel, by joblib; ``joblib.parallel_config`` chooses the workers (processes, Dask, Ray).
        store: a folder that all workers see; the environment variable ``REGIMES_STORE`` if ``None``, and none without it.

    A progress bar appears if this takes longer than two seconds.

    Raises:
        ValueError: for a grid that is empty or has a setting without a list of values, a stack below one, results without one
            row per run, or a ``run`` that depends on something without a fingerprint (only if a ``store`` is given).
        Exception: if every run failed, what the first one raised.
    """
    axes = {name: _axis(name, values) for name, values in grid.items()}
    cells = list(product(*(range(len(values)) for values in axes.values())))
    if not axes or not cells or (stack is not None and whole(stack, "stack") < 1):
        raise ValueError(f"a sweep needs a grid with values and stacks of at least one run; got {axes}, {stack=}")
    settings = [{name: values[i] for (name, values), i in zip(axes.items(), cell, strict=True)} for cell in cells]
    shared = [name for name, values in axes.items() if isinstance(values, list)]  # by all runs of a stack

    def common(run: int) -> list[int]:
        return [i for name, i in zip(axes, cells[run], strict=True) if name in shared]

    order, size = sorted(range(len(cells)), key=common), stack or len(cells)
    groups = [list(group) for _, group in groupby(order, common)]
    stacks = [[settings[j] for j in group[i : i + size]] for group in groups for i in range(0, len(group), size)]
    places = _places(run, stacks, store)
    done = [place and _loaded(*place) for place in places]
    todo = [i for i, rows in enumerate(done) if rows is None]
    if todo:
        work = Parallel(n_jobs=jobs, return_as="generator")(
            delayed(_run_and_keep)(run, stacks[i], shared, places[i]) for i in todo
        )
        stored = f" ({len(stacks) - len(todo)} of {len(stacks)} stacks from the store)" if len(todo) < len(stacks) else ""
        for i, rows in zip(todo, progress(work, f"sweep{stored}", len(todo)), strict=True):
            done[i] = rows
    found = dict(zip(order, (row for rows in done for row in rows or ()), strict=True))
    return _collect(axes, settings, [found[i] for i in range(len(cells))])


def _axis(name: str, values: Values) -> Tensor | list:
    """Numbers as a tensor, float64 as NumPy takes them unless they have a type already; anything else as a list."""
    if isinstance(values, Tensor):
        return torch.atleast_1d(values.detach())
    if isinstance(values, str | bytes) or not isinstance(values, Iterable | Number):
        raise ValueError(f"the values of {name!r} in the grid must be a list, a tensor or an array; got {values!r}")
    if not isinstance(values, np.ndarray):
        values = list(values) if isinstance(values, Iterable) else [values]
    with suppress(TypeError, ValueError, RuntimeError):  # NumPy's and torch's answers to what is no number
        numbers = np.atleast_1d(values)
        if numbers.ndim == 1 or numbers is values:
            return torch.as_tensor(numbers, device="cpu")
    return list(values) if isinstance(values, list) else values.tolist()


def _places(run: Run, stacks: list, store: str | Path | None) -> list[tuple[Store, str] | None]:
    """Where each stack is kept."""
    folder = store or os.environ.get("REGIMES_STORE")
    if not folder:
        return [None] * len(stacks)
    try:
        work = fingerprint(run, library())
        return [(Store(Path(folder).resolve()), fingerprint(work, stack)) for stack in stacks]
    except NoFingerprint as error:
        if not store:  # the environment variable asks only for what can be kept
            return [None] * len(stacks)
        advice = "Build it in run(), or make it a setting"
        raise ValueError(f"a sweep with a store must know what run() depends on; {error}. {advice}") from error


def _loaded(store: Store, key: str) -> list[Row] | None:
    """The rows of a stack that is done."""
    rows = store.load(key)
    return None if rows is None else [row if kind == "row" else _stop(kind, **row) for kind, row in rows]


def _stop(kind: str, args: tuple, state: dict) -> Exception:
    """The divergence that was kept."""
    stop = EXPECTED[kind].__new__(EXPECTED[kind], *args)
    vars(stop).update(state | {"trace": Trace(**state["trace"])} if "trace" in state else state)
    return stop


def _run_and_keep(run: Run, stack: list[dict], shared: list[str], place: tuple[Store, str] | None) -> list[Row]:
    """Run a stack; the worker saves it, because results reach the parent in order and would wait there for a slower stack."""
    rows = _run_stack(run, stack, shared)
    kinds = [type(row).__name__ if isinstance(row, Exception) else "row" for row in rows]
    if place and all(type(row) in (dict, *EXPECTED.values()) for row in rows):
        store, key = place
        values = [_as_values(row) if isinstance(row, Exception) else row for row in rows]
        store.save(key, list(zip(kinds, values, strict=True)))
    return rows


def _as_values(stop: Exception) -> dict:
    """What a divergence is made of, without its class."""
    return {"args": stop.args, "state": {k: vars(v) if isinstance(v, Trace) else v for k, v in vars(stop).items()}}


def _run_stack(run: Run, stack: list[dict], shared: list[str]) -> list[Row]:
    """For each run of the stack, what it measured or what stopped it."""
    columns = {
        name: value if name in shared else torch.stack([settings[name] for settings in stack])
        for name, value in stack[0].items()
    }
    try:
        measured = run(**columns)
    except Exception as stop:
        traceback.clear_frames(stop.__traceback__)  # they hold the networks of the runs that are over
        if len(stack) == 1:
            return [_portable(stop)]
    else:
        return _rows(measured, len(stack))
    half = ceil(len(stack) / 2)
    return _run_stack(run, stack[:half], shared) + _run_stack(run, stack[half:], shared)


def _portable(stop: Exception) -> Exception:
    """The error; one with the same words if its class cannot rebuild it from its arguments, as another process must."""
    try:
        copy.copy(stop)
    except Exception:  # whatever a foreign class raises there
        return RuntimeError(f"{type(stop).__name__}: {stop}").with_traceback(stop.__traceback__)
    return stop


def _rows(measured: Mapping, count: int) -> list[Row]:
    """What each run of a stack measured."""
    if not isinstance(measured, Mapping):
        raise ValueError(
            f"run() must return what it measured by name, in a dictionary; it returned a {type(measured).__name__}"
        )
    columns = {name: _column(name, value, count) for name, value in measured.items()}
    return [{name: column[i].detach().cpu().clone() for name, column in columns.items()} for i in range(count)]


def _column(name: str, value, count: int) -> Tensor:
    """A measurement of a stack as a tensor with one row per run."""
    if not isinstance(value, Tensor):
        try:
            value = torch.as_tensor(np.asarray(value))
        except (TypeError, ValueError, RuntimeError) as error:
            kind = type(value).__name__
            raise ValueError(f"run() must return tensors, arrays or lists of numbers; {name!r} is a {kind}: {error}") from error
    if value.ndim == 0 and count == 1:
        value = value[None]
    if value.shape[:1] != (count,):
        raise ValueError(
            f"run() must return one row per run, {count} rows; {name!r} has shape {tuple(value.shape)}. If run() makes one "
            "network at a time, call sweep(..., stack=1), and return a number, or a tensor with one axis more, value[None]"
        )
    return value


def _label(value: Any) -> Any:
    """A setting as it stands in the key of an error."""
    value = value.tolist() if isinstance(value, Tensor) else value
    return value if isinstance(value, Hashable) else repr(value)


def _collect(grid: dict[str, Tensor | list], settings: list[dict], rows: list[Row]) -> Sweep:
    """The rows as tensors with one axis per setting."""
    shape = tuple(len(values) for values in grid.values())
    errors = {
        tuple(map(_label, setting.values())): row
        for setting, row in zip(settings, rows, strict=True)
        if isinstance(row, Exception) and not isinstance(row, tuple(EXPECTED.values()))
    }
    pattern = next((row for row in rows if not isinstance(row, Exception)), None)
    if pattern is None:
        raise next(stop for stop in (*errors.values(), *rows) if isinstance(stop, Exception))
    if errors:
        _warn(errors, grid, len(rows))
    shapes = [{name: tuple(value.shape) for name, value in row.items()} for row in rows if not isinstance(row, Exception)]
    if other := next((shape for shape in shapes if shape != shapes[0]), None):
        raise ValueError(f"run() must measure the same in all runs; the shapes are {shapes[0]} in one and {other} in another")
    gone = {name: torch.full_like(value, torch.nan, dtype=torch.float64) for name, value in pattern.items()}
    whole = [gone if isinstance(row, Exception) else row for row in rows]
    measured = {name: torch.stack([row[name] for row in whole]) for name in pattern}
    measured = {name: value.reshape(*shape, *value.shape[1:]) for name, value in measured.items()}
    steps = torch.tensor([getattr(row, "step", 0) if isinstance(row, tuple(EXPECTED.values())) else -1 for row in rows])
    return Sweep(grid, measured, steps.reshape(shape), errors)


def _warn(errors: dict[tuple, Exception], grid: dict[str, Tensor | list], count: int) -> None:
    """Say once that runs failed; from here on their errors hold no frames, and so no networks."""
    (first, error), *_ = errors.items()
    shown = [f"{value:g}" if isinstance(value, Number) else getattr(value, "__name__", value) for value in first]
    where = ", ".join(f"{name}={value}" for name, value in zip(grid, shown, strict=True))
    says = f"{len(errors)} of {count} runs failed and are NaN in the result, whose `errors` names them. "
    warnings.warn(f"{says}The first, {where}, raised {type(error).__name__}: {error}", RuntimeWarning, stacklevel=4)
    for error in errors.values():
        error.with_traceback(None)
