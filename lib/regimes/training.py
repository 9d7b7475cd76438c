"""The training loop and what it records."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from regimes.data import checked_once
from regimes.directions import Direction
from regimes.errors import Unsolvable
from regimes.linalg import Singular

__all__ = ["Diverged", "Trace", "progress", "train"]

COLUMNS = ("step", "time", "loss")  # of every trace


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


def train(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    optimizer: Steps,
    steps: int,
    *,
    until: float = 0.0,
    every: int = 1,
    measure: Mapping[str, Callable[[nn.Module], Tensor]] | None = None,
    batches: Iterator[tuple[Tensor, Tensor]] | None = None,
) -> Trace:
    """Take ``steps`` steps, on the full batch or each on a mini-batch of its own, and record what happens.

    The sharpness along a run, beside the loss: with the step ``lr`` gradient descent is at its edge where it is ``2 / lr``.

    >>> from regimes import GradientDescent, TwoLayer, sharpness
    >>> from regimes.problems import wave
    >>> data, net = wave(), TwoLayer(1, 20)
    >>> measure = {"sharpness": lambda net: sharpness(net, data.x, data.y)}
    >>> trace = train(net, data.x, data.y, GradientDescent(net, lr=0.1), steps=200, every=50, measure=measure)
    >>> trace.step.tolist(), bool(trace.measured["sharpness"][-1] > trace.measured["sharpness"][0])
    ([0, 50, 100, 150, 200], True)

    Args:
        net: the network that ``optimizer`` moves.
        x, y: inputs ``(..., n, d)`` and targets ``(..., n)``.
        optimizer: anything with ``direction(x, y)``, ``step(x, y)`` and ``dt``: see `regimes.optimizers` and `regimes.flows`.
        steps: how many at most.
        until: stop one step after ``loss <= until * first loss`` holds in all runs; zero never stops.
        every: record once in so many steps; the first and the last state are always recorded.
        measure: functions of the network to record besides step, time and loss, under other names.
        batches: an endless iterator of mini-batches ``(x, y)``, one per step, used in place of ``x, y``; the loss recorded is
            then that on the next batch.

    A progress bar appears if this takes longer than two seconds. ``x, y`` must not change meanwhile: they are checked at the
    first step only.

    Raises:
        ValueError: if ``optimizer`` moves another network, ``steps`` is negative, or a measurement is called step, time or
            loss; and whatever ``optimizer`` raises for data that do not fit.
        Diverged: at the step where the loss of a run is no longer finite.
    """
    if optimizer.net is not net:
        raise ValueError("this optimizer moves another network than the one given to train()")
    if steps < 0 or every < 1:
        raise ValueError(f"train() needs steps >= 0 and every >= 1; got {steps=}, {every=}")
    measure, rows, elapsed, last = measure or {}, [], torch.tensor(0.0, dtype=torch.float64), False
    if taken := measure.keys() & {*COLUMNS}:
        raise ValueError(
            f"train() itself records {', '.join(sorted(taken))}: give the measurement another name, such as test_{min(taken)}"
        )
    with checked_once(x, y):
        for k in progress(range(steps + 1), "training"):
            last = last or k == steps
            x, y = next(batches) if batches else (x, y)
            here = _direction(optimizer, x, y, k, rows)
            loss = here.loss.detach().cpu()
            if not torch.isfinite(loss).all():
                raise Diverged(k, ~torch.isfinite(loss), _trace(rows))
            if last or k % every == 0:
                rows.append({"step": torch.tensor(k), "time": elapsed, "loss": loss, **_look(net, measure)})
            if last:
                break
            optimizer.step(x, y, here)
            elapsed = elapsed + torch.as_tensor(optimizer.dt, dtype=torch.float64).cpu()
            last = until > 0 and bool((loss <= until * rows[0]["loss"]).all())
    return _trace(rows)


def progress(items: Iterable, what: str, total: int | None = None):
    """The items, with a progress bar that appears after two seconds and disappears however the loop ends."""
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


def _direction(optimizer, x, y, k, rows) -> Direction:
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


@torch.no_grad()
def _look(net, measure):
    return {name: torch.as_tensor(f(net)).detach().cpu().clone() for name, f in measure.items()}


def _trace(rows) -> Trace:
    names = rows[0] if rows else ()
    column = {name: torch.stack(torch.broadcast_tensors(*(row[name] for row in rows))) for name in names}
    step, time, loss = (column.pop(name, torch.empty(0)) for name in COLUMNS)
    return Trace(step, time, loss, column)
