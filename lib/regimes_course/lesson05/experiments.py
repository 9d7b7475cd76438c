"""What the first picture of lesson 05 and its exercises train."""

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from regimes.linalg import Unsolvable
from regimes.metrics import loss_on, refit
from regimes.networks import TwoLayer
from regimes.optimizers import GaussNewton
from regimes.problems import Problem, teacher_student
from regimes.training import Diverged, train

__all__ = ["LOOK", "Moment", "Run", "Watched", "attempt", "begin", "trained", "watched"]

LOOK = 0.5  # the time at which we look into the hidden layer


@dataclass(frozen=True)
class Moment:
    """A network at one time: its hidden weights ``(m, 4)``; what it, and its re-fit, say on the test inputs."""

    step: int
    time: float
    W: Tensor
    f: Tensor
    refit: Tensor


@dataclass(frozen=True)
class Watched:
    """A run: times ``(l,)``, test losses of the network and of its re-fit ``(l,)``, three moments, and the right answers."""

    eta: float
    time: Tensor
    test: Tensor
    refit: Tensor
    moments: tuple[Moment, ...]
    teacher: Tensor
    y_test: Tensor


def begin(std: float, seed: int) -> tuple[Problem, TwoLayer]:
    """A teacher of two units with d = 3 and n = 50, and a network with m = 100 and ``v = 0``."""
    return teacher_student(50, 3, teacher_width=2, seed=seed), TwoLayer(3, 100, std=std, seed=seed + 50)


@cache
def watched() -> Watched:
    """Gauss-Newton from hidden weights of 0.1 and ``v = 0`` to t = 6, with d = 3, n = 50, m = 100, seed 0."""
    eta, steps = 0.02, 300
    data, net = begin(0.1, 0)
    measure = {
        "W": lambda net: net.W.detach().clone(),
        "f": lambda net: net(data.x_test),
        "refit": lambda net: refit(net, data.x, data.y)(data.x_test),
    }
    trace = train(net, data.x, data.y, GaussNewton(net, eta, damping=5e-3), steps, every=5, measure=measure)
    W, f, again = (trace.measured[name].detach() for name in measure)
    test, fitted = ((out - data.y_test).square().mean(-1) / 2 for out in (f, again))
    moments = [(k, k // 5) for k in (0, round(LOOK / eta), steps)]
    return Watched(
        eta,
        eta * trace.step,
        test,
        fitted,
        tuple(Moment(k, eta * k, W[i], f[i], again[i]) for k, i in moments),
        data.teacher.W.detach()[:, :2],
        data.y_test,
    )


def trained(seed: int, k: int, eta: float) -> tuple[TwoLayer, Problem]:
    """A network after ``k`` undamped Gauss-Newton steps from ``v = 0``, d = 3, n = 50, m = 100, std 1, and its problem."""
    problem, net = begin(1.0, seed)
    train(net, problem.x, problem.y, GaussNewton(net, eta), k)
    return net, problem


@dataclass(frozen=True)
class Run:
    """How one training went.

    Attributes:
        loss: training losses relative to the first, step by step; as far as they are finite.
        worse: test loss divided by that of random features.
        stopped: ``"refused"`` if no step could be computed at all, ``"diverged"`` if none after some steps, else ``""``.
    """

    loss: Tensor
    worse: float = math.nan
    stopped: str = ""

    @property
    def peak(self) -> float:
        """The largest training loss."""
        return self.loss.max().item()

    @property
    def end(self) -> float:
        """The last training loss."""
        return self.loss[-1].item()

    def __str__(self) -> str:
        if self.stopped == "refused":
            return "No step can be computed: the kernel is singular, or the damping is lost in its rounding."
        if self.stopped:
            return f"The run has diverged at step {len(self.loss)}."
        end = f"{self.end:.1e} of it" if self.end > 1e-12 else "less than 1e-12 of it"
        return (
            f"The training loss peaks at {self.peak:.2g} times its start and ends at {end}; "
            f"the test loss is {self.worse:.2g} times that of random features."
        )


def attempt(std: float, lr: float, damping: float, seed: int = 0) -> Run:
    """Train a network with Gauss-Newton for 60 steps from ``v = 0``: d = 3, n = 50, m = 100."""
    data, net = begin(std, seed)
    rf = loss_on(refit(net, data.x, data.y), data.x_test, data.y_test)
    try:
        trace = train(net, data.x, data.y, GaussNewton(net, lr, damping=damping), 60)
    except Diverged as error:
        return Run(error.trace.relative, stopped="diverged")
    except Unsolvable:
        return Run(torch.ones(1, dtype=torch.float64), stopped="refused")
    return Run(trace.relative, (loss_on(net, data.x_test, data.y_test) / rf).item())
