"""The training loop and what it records."""

import copy
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any, Protocol, TypeGuard
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from tqdm import tqdm

from regimes.arguments import positive, require_tensors, whole
from regimes.data import checked_once
from regimes.directions import Direction
from regimes.errors import Unsolvable
from regimes.linalg import Singular
from regimes.optimizers import TorchOptimizer

__all__ = ["Diverged", "Measure", "OutOfBatches", "Trace", "progress", "train"]

COLUMNS = ("step", "time", "loss")  # of every trace
Measure = Callable[[nn.Module], Tensor | float]


class Steps(Protocol):
    """An optimizer or a flow: moves a network, and says for how much time."""

    @property
    def net(self) -> nn.Module:
        """The network it moves."""

    @property
    def dt(self) -> float | Tensor:
        """The time that the latest step took, one number or one per run."""

    def direction(self, x: Tensor, y: Tensor) -> Direction:
        """The direction at the current parameters, and the loss there."""

    def step(self, x: Tensor, y: Tensor, direction: Direction | None = None) -> Tensor:
        """Move once, along ``direction`` if it is known already; return the loss before the step."""


@dataclass(frozen=True)
class Trace:
    """What happened, step by step. Axis 0 is the record, further axes are runs; everything is on the CPU.

    Attributes:
        step: ``(k,)``, the number of steps taken at each record; starts at 0.
        time: ``(k,)`` or ``(k, ...)``, the sum of the step sizes so far.
        loss: ``(k, ...)``, the training loss.
        measured: for each name given to `train`, ``(k, ...)``.
    """

    step: Tensor
    time: Tensor
    loss: Tensor
    measured: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def relative(self) -> Tensor:
        """The loss divided by the first one."""
        return self.loss / self.loss[0]

    def steps_to(self, tolerance: float) -> Tensor:
        """The first recorded step with ``loss < tolerance * first loss``, one per run; -1 where it was not reached."""
        below = self.relative < tolerance
        first = self.step[below.int().argmax(0)]
        return torch.where(below.any(0), first, torch.full_like(first, -1))

    def first_below(self, level: float, name: str) -> dict[str, Tensor]:
        """All measurements at the first record with ``measured[name] <= level``, run by run; ``(..., runs)`` each.

        To compare runs at the same training loss, measure it: ``loss`` here is that of a batch if there are batches.

        Args:
            level: a number.
            name: of a measurement with one number per run, ``(k, runs)``.

        Raises:
            ValueError: if a run never reaches the level.
        """
        below = self.measured[name] <= level
        if not below.any(0).all():
            least = self.measured[name].amin(0).max()
            raise ValueError(f"a run never comes below {name} = {level:g}: its smallest is {least:.3g}. Take more steps")
        first = below.int().argmax(0).tolist()
        return {
            name: torch.stack([value[k, ..., run] for run, k in enumerate(first)], -1) for name, value in self.measured.items()
        }

    def rate(self, between: tuple[float, float] = (0.5, 1e-4)) -> Tensor:
        """The rate ``-d(log L)/dt``, fitted by least squares to the records with ``L / L_0`` inside ``between``.

        Args:
            between: relative losses, the larger one first.

        Returns:
            One rate per run, per unit of ``time``.

        Raises:
            ValueError: if fewer than three records of a run lie in this range.
        """
        t = self.time.reshape(self.time.shape + (1,) * (self.loss.ndim - self.time.ndim)).double()
        high, low = between
        inside = (self.relative <= high) & (self.relative >= low)
        count = inside.sum(0)
        if (count < 3).any():
            raise ValueError(f"a run has only {int(count.min())} records with a relative loss in [{low:g}, {high:g}]")
        log = torch.where(inside, self.relative, 1.0).log()
        t = torch.where(inside, t - (inside * t).sum(0) / count, 0.0)
        return -(t * log).sum(0) / t.square().sum(0)


class Diverged(ArithmeticError):
    """The loss of a run is no longer finite, or its parameters have grown so large that no step can be computed.

    Attributes:
        step: the number of steps that had been taken.
        runs: the runs concerned, as a boolean tensor.
        trace: the records up to the step before.
    """

    def __init__(self, step: int, runs: Tensor, trace: Trace, why: str = "the loss is no longer finite"):
        self.step, self.runs, self.trace = step, runs, trace
        which = f" in {int(runs.sum())} of {runs.numel()} runs" if runs.ndim else ""
        last = f", after a loss of {trace.loss[-1].max().item():.3g}" if len(trace.loss) else ""
        super().__init__(
            f"the run diverged at step {step}{which}{last}: {why}. Use a smaller step, or for Gauss-Newton a larger damping"
        )

    def __reduce__(self):  # so that a worker process can pass it on unchanged, message included
        return type(self).__new__, (type(self), *self.args), self.__dict__


class OutOfBatches(ValueError):
    """An iterator of batches has ended before the training.

    Attributes:
        step: the number of steps that had been taken.
        trace: the records so far.
    """

    def __init__(self, step: int, trace: Trace):
        self.step, self.trace = step, trace
        super().__init__(
            f"the batches ended at step {step}; what was recorded is this error's `trace`. Pass a DataLoader or a list, "
            "begun again at the end, or an endless iterator: itertools.cycle(batches)"
        )

    def __reduce__(self):
        return type(self), (self.step, self.trace)


def train(
    net: nn.Module,
    x: Tensor | None,
    y: Tensor | None,
    optimizer: Steps | torch.optim.Optimizer,
    steps: int,
    *,
    until: float = 0.0,
    every: int = 1,
    measure: Mapping[str, Measure | tuple[Measure, int]] | None = None,
    batches: Iterable[tuple[Tensor, Tensor]] | None = None,
) -> Trace:
    """Take ``steps`` steps, on the full batch or each on a mini-batch of its own, and record what happens.

    The sharpness along a run, beside the loss: with the step ``lr`` gradient descent is at its edge where it is ``2 / lr``.

    >>> from regimes import GradientDescent, TwoLayer
    >>> from regimes.metrics import Sharpness
    >>> from regimes.problems import wave
    >>> data, net = wave(), TwoLayer(1, 20)
    >>> measure = {"sharpness": Sharpness(data.x, data.y)}
    >>> trace = train(net, data.x, data.y, GradientDescent(net, lr=0.1), steps=200, every=50, measure=measure)
    >>> trace.step.tolist(), bool(trace.measured["sharpness"][-1] > trace.measured["sharpness"][0])
    ([0, 50, 100, 150, 200], True)

    Training twice for ten steps is training once for twenty: looking at the last state changes nothing in the optimizer.

    Args:
        net: the network that ``optimizer`` moves.
        x: inputs ``(..., n, d)``; may be ``None`` if there are batches.
        y: targets ``(..., n)``; so may these.
        optimizer: see `regimes.optimizers` and `regimes.flows`; or one of ``torch.optim``, which is wrapped in a
            `regimes.optimizers.TorchOptimizer` for the squared loss (wrap it yourself for another one).
        steps: how many at most.
        until: stop one step after ``loss <= until * first loss`` holds in all runs; zero never stops.
        every: record once in so many steps; the first and the last state are always recorded.
        measure: functions of the network to record besides step, time and loss, under other names. An expensive one is given
            as a pair ``(function, period)``: it is called at steps that are multiples of ``period``, and at the last; in
            between NaN is recorded. ``period`` is a multiple of ``every``.
        batches: mini-batches ``(x, y)``, one per step, used in place of ``x, y``: a ``DataLoader`` or a list, which is begun
            again at its end, or an endless iterator. The loss recorded is then that on the next batch; the last record takes
            one batch more, with which a second training of ``net`` by the same iterator begins.

    A progress bar appears if this takes longer than two seconds. ``x, y`` must not change meanwhile: they are checked at the
    first step only. Whatever is raised after the first record, an interrupt included, has the records so far as its attribute
    ``trace``.

    Raises:
        ValueError: if ``optimizer`` moves another network, data are not tensors, ``steps`` or ``every`` is no whole number or
            too small, ``until`` is no number >= 0, a measurement is called step, time or loss, or changes its shape; and
            whatever ``optimizer`` raises for data that do not fit.
        Diverged: at the step where the loss of a run is no longer finite.
        OutOfBatches: at the step for which an iterator has no batch left.
    """
    mover, steps, every = _mover(net, optimizer), whole(steps, "steps"), whole(every, "every")
    if steps < 0 or every < 1:
        raise ValueError(f"train() needs steps >= 0 and every >= 1; got {steps=}, {every=}")
    positive(until, "until", single=True, zero=True)
    looks = _looks({} if measure is None else measure, every)
    feed = repeat((x, y)) if batches is None else _feed(batches, net)
    rows: list[dict[str, Any]] = []
    elapsed: float | Tensor = 0.0
    last, k = False, 0
    try:
        with checked_once(x, y):
            for k in progress(range(steps + 1), "training"):
                last = last or k == steps
                x, y = _next(feed, k, rows)
                here = _aside(mover, x, y, k, rows) if last else _direction(mover, x, y, k, rows)
                loss = here.loss.detach().cpu()  # where a GPU is waited for
                if not all(map(math.isfinite, loss.flatten().tolist())):
                    raise Diverged(k, ~torch.isfinite(loss), _trace(rows))
                if last or k % every == 0:
                    rows.append({"step": k, "time": elapsed, "loss": loss} | _look(net, looks, k, last, rows))
                if last:
                    break
                mover.step(x, y, here)
                elapsed = elapsed + _float64(mover.dt)
                last = until > 0 and bool((loss <= until * rows[0]["loss"]).all())
    except StopIteration as error:  # which a surrounding map() would take for its own end
        raise _with_trace(RuntimeError("StopIteration was raised inside train()"), k, rows) from error
    except BaseException as error:
        _with_trace(error, k, rows)
        raise
    if hasattr(batches, "__next__"):
        _ahead[net] = batches, (x, y)
    return _trace(rows)


_quiet = ContextVar("whether progress bars stay away", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Inside this context there are no progress bars: of many workers, each would draw over the others' bars."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def progress(items: Iterable, what: str, total: int | None = None):
    """The items, with a progress bar that appears after two seconds and disappears however the loop ends."""
    if _quiet.get():
        yield from items
        return
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None  # the library does not depend on it
    line = _PageLine() if hasattr(shell, "kernel") else None  # None: the terminal
    with tqdm(items, what, total, leave=False, delay=2, file=line, ncols=80 if line else None) as bar:
        yield from bar


class _PageLine:
    """A line of text in a notebook that a progress bar writes again and again, and leaves empty.

    A bar made of widgets would stay in the saved notebook, and show an error to whoever opens it next.
    """

    def __init__(self):
        self.display, self.handle = sys.modules["IPython.display"].display, None

    def write(self, text: str) -> None:
        """Show the text in place of the last one."""
        shown = {"text/plain": text.strip()}
        if self.handle:
            self.handle.update(shown, raw=True)
        elif text.strip():
            self.handle = self.display(shown, raw=True, display_id=True)

    def flush(self) -> None:
        """Nothing is held back."""


def _mover(net: nn.Module, optimizer: Steps | torch.optim.Optimizer) -> Steps:
    """The optimizer as something that `train` can call, and that moves this network."""
    if isinstance(optimizer, torch.optim.Optimizer) and not hasattr(optimizer, "direction"):
        return TorchOptimizer(net, optimizer)
    if not _has_steps(optimizer):
        raise ValueError(
            "train() takes an optimizer of regimes.optimizers or torch.optim or a flow of regimes.flows, made for the network, "
            f"such as GaussNewton(net, lr=0.1); got {optimizer!r}"
        )
    if optimizer.net is not net:
        raise ValueError("this optimizer moves another network than the one given to train()")
    return optimizer


def _has_steps(optimizer: object) -> TypeGuard[Steps]:
    return all(hasattr(optimizer, name) for name in ("net", "dt", "direction", "step"))


def _looks(measure: Mapping[str, Measure | tuple[Measure, int]], every: int) -> dict[str, tuple[Measure, int]]:
    """Each measurement with its period."""
    if not isinstance(measure, Mapping):
        raise ValueError(f"measure is a dictionary of functions of the network by their names; got {measure!r}")
    if taken := measure.keys() & {*COLUMNS}:
        raise ValueError(
            f"train() itself records {', '.join(sorted(taken))}: give the measurement another name, such as test_{min(taken)}"
        )
    looks: dict[str, Any] = {
        name: tuple(look) if isinstance(look, (tuple, list)) else (look, every) for name, look in measure.items()
    }
    for name, look in looks.items():
        if not (len(look) == 2 and callable(look[0])):
            raise ValueError(
                f"a measurement is a function of the network or a pair (function, period); {name!r} is {measure[name]!r}"
            )
        if whole(look[1], f"the period of {name!r}", 1) % every:
            raise ValueError(f"the period of a measurement is a multiple of {every=}; that of {name!r} is {look[1]}")
    return looks


# What the last record of a training looked at, and the iterator it came from: the next training of this network steps on it.
_ahead: WeakKeyDictionary[nn.Module, tuple[object, tuple[Tensor | None, Tensor | None]]] = WeakKeyDictionary()


def _feed(batches: Iterable, net: nn.Module) -> Iterator:
    """The batches one by one: of an iterator until it is dry, of anything else again from the beginning."""
    if hasattr(batches, "__next__"):
        iterator, batch = _ahead.pop(net, (None, None))
        return chain([batch] if iterator is batches else [], batches)
    if not isinstance(batches, Iterable):
        raise ValueError(f"batches are a DataLoader, a list of pairs (x, y), or an iterator of them; got {batches!r}")
    return _again(batches)


def _again(batches: Iterable) -> Iterator:
    empty = False
    while not empty:
        empty = True
        for batch in batches:
            empty = False
            yield batch


def _next(feed: Iterator, k: int, rows: list[dict]) -> tuple[Tensor, Tensor]:
    """The next batch."""
    batch = next(feed, None)
    if batch is None:
        raise OutOfBatches(k, _trace(rows))
    if not (isinstance(batch, (tuple, list)) and len(batch) == 2):
        raise ValueError(f"each batch is a pair (x, y); got {batch!r}")
    if not batch[0] is batch[1] is None:  # a field may need no data
        require_tensors(x=batch[0], y=batch[1])
    return tuple(batch)


def _aside(optimizer: Steps, x: Tensor, y: Tensor, k: int, rows: list[dict]) -> Direction:
    """The direction where no step follows: what the optimizer remembers, and torch's random numbers, stay what they are."""
    twin, same = copy.copy(optimizer), {id(t): t for t in (optimizer.net, *optimizer.net.parameters(), x, y)}
    for name, value in getattr(optimizer, "__dict__", {}).items():
        vars(twin)[name] = value
        with suppress(Exception):  # what cannot be copied is shared: an open file, a generator
            vars(twin)[name] = copy.deepcopy(value, same)
    with torch.random.fork_rng([x.device] if isinstance(x, Tensor) and x.is_cuda else []):
        return _direction(twin, x, y, k, rows)


def _with_trace(error: Any, k: int, rows: list[dict]) -> BaseException:
    """The error, which takes along the records so far."""
    if rows and not hasattr(error, "trace"):
        error.trace = _trace(rows)
        error.add_note(f"train() was at step {k}; what it had recorded is this error's attribute `trace`.")
    return error


def _direction(optimizer: Steps, x: Tensor, y: Tensor, k: int, rows: list[dict]) -> Direction:
    """The direction; a system that cannot be solved after the first step means that the run has blown up."""
    try:
        return optimizer.direction(x, y)
    except Unsolvable as error:
        if k == 0:
            raise
        trace = _trace(rows)
        if isinstance(error, Singular):
            raise Diverged(k, error.runs.cpu(), trace, "the kernel has become singular at this precision") from error
        runs = torch.ones_like(trace.loss[-1], dtype=torch.bool)
        raise Diverged(k, runs, trace, error.why) from error


def _float64(dt: float | Tensor) -> float | Tensor:
    """A time step with the precision in which times are added."""
    if isinstance(dt, Tensor):
        return dt.double()
    return dt if isinstance(dt, (int, float)) else torch.tensor(dt, dtype=torch.float64, device="cpu")


def _look(net: nn.Module, looks: dict[str, tuple[Measure, int]], k: int, last: bool, rows: list[dict]) -> dict[str, Tensor]:
    """What is measured at step ``k``; NaN where it is not the turn of a measurement."""
    found = {}
    for name, (measure, period) in looks.items():
        first = rows[0][name] if rows else None
        if first is not None and k % period and not last:
            found[name] = torch.full_like(first, torch.nan, dtype=first.dtype if first.is_floating_point() else torch.float64)
            continue
        try:
            with torch.no_grad():
                found[name] = torch.as_tensor(measure(net), device="cpu").detach().clone()
        except Exception as error:
            error.add_note(f"This was the measurement {name!r} of train(), at step {k}.")
            raise
        if first is not None and found[name].shape != first.shape:
            raise ValueError(
                f"a measurement keeps its shape; at step {k}, that of {name!r} is {tuple(found[name].shape)}, and at step 0 it "
                f"was {tuple(first.shape)}"
            )
    return found


def _trace(rows: list[dict[str, Any]]) -> Trace:
    column = {name: _column([row[name] for row in rows]) for name in (rows[0] if rows else ())}
    step, time, loss = (column.pop(name, torch.empty(0)) for name in COLUMNS)
    return Trace(step, time, loss, column)


def _column(values: list[Any]) -> Tensor:
    """What was recorded, in one tensor: numbers, or tensors. A time may be a number at first and later one per run."""
    if not isinstance(values[-1], Tensor):
        return torch.tensor(values, dtype=torch.float64 if isinstance(values[-1], float) else torch.int64, device="cpu")
    tensors = (v.cpu() if isinstance(v, Tensor) else torch.tensor(v, dtype=torch.float64, device="cpu") for v in values)
    return torch.stack(torch.broadcast_tensors(*tensors))
