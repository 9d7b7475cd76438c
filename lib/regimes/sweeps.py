"""Many runs at once: a grid of settings, in stacks of a size that suits the machine.

On a CPU a stack is fast while its arrays stay in the cache: a stack of small networks saves most of Python's overhead, one of
large networks is slower than a loop. An accelerator wants stacks as large as its memory allows.
"""

import copy
import os
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby, product
from math import ceil
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regimes.arguments import whole
from regimes.linalg import Singular, Unsolvable
from regimes.store import NoFingerprint, Store, fingerprint, library
from regimes.training import Diverged, Trace, progress, quiet

__all__ = ["Sweep", "stack_size", "sweep"]

# Bytes of one (runs, n, max(n, m)) float64 array up to which stacking pays. A step holds several arrays of (runs, n, m), one of
# Gauss-Newton also of (runs, n, n). Measured on a CPU: once they no longer fit its cache together, larger stacks are slower.
# On an accelerator a stack pays until its memory is full; this asks for 3 GB.
CACHE, ACCELERATOR = 2_200_000, 320_000_000
STACK = 64  # runs in a stack, at most, if nobody says how many: a grid of any size then needs a bounded memory

EXPECTED = {kind.__name__: kind for kind in (Diverged, Singular, Unsolvable)}  # a result of the settings, not a bug

Run = Callable[..., Mapping[str, Any]]
Values = Sequence[Any] | Tensor | np.ndarray
Row = dict[str, Tensor] | Exception
Place = tuple[Store, str] | None  # where a stack is kept, and under which name


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


def stack_size(n: int, m: int, device: torch.device | str = "cpu") -> int:
    """How many runs with ``n`` samples and ``m`` hidden units to stack: what fits the cache of a CPU, the memory elsewhere.

    >>> stack_size(50, 100), stack_size(500, 1000)
    (55, 1)
    """
    return max(1, (CACHE if torch.device(device).type == "cpu" else ACCELERATOR) // (8 * n * max(n, m)))


def sweep(
    run: Run,
    grid: Mapping[str, Values],
    *,
    stack: int | None = None,
    jobs: int | None = None,
    store: str | Path | None = None,
    patience: float = 120.0,
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

    Workers get the stacks one by one, use one thread each, and draw no progress bars. New ones import torch first, seconds
    each: for less than 8 to 16 s of work ``jobs=2`` takes longer than one process. Where a cluster loses workers, others take
    over their stacks. A stack that does not fit into memory is run in halves, with a warning. What a sweep costs, what fits,
    and how it runs on a cluster is told in docs/SCALE.md.

    Args:
        run: the function.
        grid: the values of each setting, in a list, a tensor or an array.
        stack: how many runs to pass at once, see `stack_size`; 64 at most if ``None``.
        jobs: stacks in parallel, by joblib; ``joblib.parallel_config`` chooses the workers (processes, Dask, Ray).
        store: a folder that all workers see; the environment variable ``REGIMES_STORE`` if ``None``, and none without it.
        patience: how many seconds to wait for a Dask cluster that has no worker left.

    A progress bar appears if this takes longer than two seconds.

    Raises:
        ValueError: for a grid that is empty or has a setting without a list of values, a stack below one, results without one
            row per run, or a ``run`` that depends on something without a fingerprint (only if a ``store`` is given).
        ConnectionError: if a Dask cluster has gone, or had no worker for the time of ``patience``.
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

    order, size = sorted(range(len(cells)), key=common), stack or STACK
    groups = [list(group) for _, group in groupby(order, common)]
    stacks = [[settings[j] for j in group[i : i + size]] for group in groups for i in range(0, len(group), size)]
    places = _places(run, stacks, store)
    done = [place and _loaded(*place) for place in places]
    todo = [i for i, rows in enumerate(done) if rows is None]
    if todo:
        stored = f" ({len(stacks) - len(todo)} of {len(stacks)} stacks from the store)" if len(todo) < len(stacks) else ""
        work = _at_work([(run, stacks[i], shared, places[i]) for i in todo], jobs, patience)
        cuts = []
        for i, (rows, fit) in zip(todo, progress(work, f"sweep{stored}", len(todo)), strict=True):
            done[i] = rows
            cuts += [(len(rows), fit)] * (fit < len(rows))
        if cuts:
            _warn_of_memory(cuts)
    found = dict(zip(order, (row for rows in done for row in rows or ()), strict=True))
    return _collect(axes, settings, [found[i] for i in range(len(cells))])


def _at_work(calls: list[tuple], jobs: int | None, patience: float) -> Iterator[tuple[list[Row], int]]:
    """What `_run_and_keep` returns for each of the stacks, in their order, from the workers that joblib has."""
    from joblib import Parallel, delayed, effective_n_jobs  # here: most programs never sweep

    threads, dask = torch.get_num_threads(), _dask()
    work = Parallel(n_jobs=jobs, return_as="generator")
    try:
        task = delayed(_run_and_keep if effective_n_jobs(jobs) == 1 else _in_a_worker)
        with _watched(work, dask, patience):
            yield from work(task(*call) for call in calls)
    except Exception as error:
        store = calls[0][-1] and calls[0][-1][0].folder
        kept = f"What was finished is kept in {store}: the same call of sweep() goes on from there"
        if dask is not None and not _has_workers(dask):
            raise ConnectionError(
                f"no worker of the Dask cluster is left (it is {dask.status}, and patience={patience:g} seconds). "
                + (f"{kept}, with a new cluster or without one" if store else "Nothing was kept: store=FOLDER would do that")
            ) from error
        if store:
            error.add_note(f"{kept}.")
        raise
    finally:
        torch.set_num_threads(threads)  # workers that are threads have changed it


def _dask() -> Any:
    """The client of the Dask cluster that joblib is to use, ``None`` if it uses none."""
    from joblib.parallel import get_active_backend

    return getattr(get_active_backend()[0], "client", None)


def _has_workers(dask: Any) -> bool:
    return dask.status == "running" and bool(dask.scheduler_info()["workers"])


@contextmanager
def _watched(work: Any, dask: Any, patience: float) -> Iterator[None]:
    """End the work once a Dask cluster has had no worker for so many seconds: joblib alone would wait for ever."""
    over = threading.Event()

    def watch() -> None:
        seen = time.monotonic()
        while not over.wait(1.0):
            if _has_workers(dask):
                seen = time.monotonic()
            elif time.monotonic() - seen >= patience:
                work.timeout = 0  # of a stack: joblib looks at it while it waits, and raises a TimeoutError

    if dask is not None:
        threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _in_a_worker(*call: Any) -> tuple[list[Row], int]:
    """`_run_and_keep` beside others: with one thread, or they would get in each other's way, and without progress bars."""
    torch.set_num_threads(1)
    with quiet():
        return _run_and_keep(*call)


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


def _places(run: Run, stacks: list, store: str | Path | None) -> list[Place]:
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


def _run_and_keep(run: Run, stack: list[dict], shared: list[str], place: Place) -> tuple[list[Row], int]:
    """Run a stack, unless it is kept already: its rows, and how many runs fitted into memory at once.

    The worker saves it, because results reach the parent in order and would wait there for a slower stack. It looks once more
    for what is kept, because a cluster that loses a worker may send a finished stack to another one.
    """
    if place and (rows := _loaded(*place)):
        return rows, len(rows)
    rows, fit = _run_stack(run, stack, shared)
    kinds = [type(row).__name__ if isinstance(row, Exception) else "row" for row in rows]
    if place and all(type(row) in (dict, *EXPECTED.values()) for row in rows):
        store, key = place
        values = [_as_values(row) if isinstance(row, Exception) else row for row in rows]
        store.save(key, list(zip(kinds, values, strict=True)))
    return rows, fit


def _as_values(stop: Exception) -> dict:
    """What a divergence is made of, without its class."""
    return {"args": stop.args, "state": {k: vars(v) if isinstance(v, Trace) else v for k, v in vars(stop).items()}}


def _run_stack(run: Run, stack: list[dict], shared: list[str]) -> tuple[list[Row], int]:
    """For each run of the stack, what it measured or what stopped it; and how many of them fitted into memory at once."""
    columns = {
        name: value if name in shared else torch.stack([settings[name] for settings in stack])
        for name, value in stack[0].items()
    }
    half = ceil(len(stack) / 2)
    try:
        measured = run(**columns)
    except Exception as stop:
        traceback.clear_frames(stop.__traceback__)  # they hold the networks of the runs that are over
        if len(stack) == 1:
            return [_portable(stop)], 1
        fit = half if _out_of_memory(stop) else len(stack)
    else:
        return _rows(measured, len(stack)), len(stack)
    first, fit_first = _run_stack(run, stack[:half], shared)
    second, fit_second = _run_stack(run, stack[half:], shared)
    cut = [found for found, part in ((fit_first, first), (fit_second, second)) if found < len(part)]
    return first + second, min([fit, *cut])


def _out_of_memory(stop: Exception) -> bool:
    """Whether an error says that memory ran out: for torch's on a CPU only its words tell it from others."""
    return isinstance(stop, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(stop)


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


def _warn_of_memory(cuts: list[tuple[int, int]]) -> None:
    """Say once that stacks had to be cut."""
    size, fit = max(cuts)[0], min(fit for _, fit in cuts)
    warnings.warn(
        f"memory ran out: {len(cuts)} stacks of up to {size} runs were run in smaller ones, down to {fit}. With stack={fit} "
        "nothing is tried in vain",
        RuntimeWarning,
        stacklevel=3,
    )
