"""Exercise 4: a Gauss-Newton that fits the training data and learns no features. Find the bug."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from regimes.directions import gauss_newton
from regimes.flows import RungeKutta4
from regimes.metrics import feature_movement, loss_on
from regimes.networks import TwoLayer
from regimes.optimizers import GaussNewton, GradientDescent
from regimes.problems import Problem
from regimes.theory.gauss_newton import random_feature_prediction
from regimes.training import Diverged, Trace, train
from regimes_course.kit.checking import Behaviour, Complaint, Mistake
from regimes_course.lesson01 import pictures
from regimes_course.lesson01.experiments import Watched, fresh

__all__ = ["FIND_THE_BUG"]

SEEDS = (0, 3)
GAIN, FIT = 5, 1e-6  # what a right answer reaches: measured at least 10 and below 1e-8 for steps from 0.02 to 0.1


@dataclass(frozen=True)
class Run:
    """What a training function did with each of two networks, and what random features would have done.

    Attributes:
        fit: final training loss, relative to predicting zero.
        moved: how far the hidden weights went, relative to their length.
        gain: random features' test loss divided by the network's.
        peak, start, end: largest, first and last training loss of the trace, relative to predicting zero.
        once: the training loss after the first step, relative to predicting zero; NaN without one.
        time, lr: of the trace: total time, and time of a step.
        given: whether the hidden weights were those it was given until ``v`` had moved.
    """

    fit: float
    moved: float
    gain: float
    peak: float
    start: float
    end: float
    once: float
    time: float
    lr: float
    given: bool

    @property
    def newton(self) -> bool:
        """Whether the first step multiplied the residual by 1 - lr, nearly: an undamped Gauss-Newton step does so with v = 0."""
        return abs(self.once - (1 - self.lr) ** 2) < 0.05 * max(1.0, self.once)


def _watch(net: TwoLayer) -> None:
    net.__class__, net.first, net.given = Watched, net.W.detach().clone(), None


def observe(answer: Callable) -> list[Run]:
    """Let ``answer(net, x, y)`` train a fresh network on each problem, and look at the networks afterwards."""
    return [_observe(answer, *fresh(seed)) for seed in SEEDS]


def _observe(answer: Callable, net: TwoLayer, problem: Problem) -> Run:
    _watch(net)
    features, new_features = (net.hidden(x)[0].detach() for x in (problem.x, problem.x_test))
    rf = random_feature_prediction(features, problem.y, new_features)
    try:
        trace = answer(net, problem.x, problem.y)
    except Diverged as stop:
        trace = stop.trace
    if not isinstance(trace, Trace):
        raise Complaint(f"your function must return the Trace that train() returns; it returned a {type(trace).__name__}")
    zero, test = problem.y.square().mean() / 2, loss_on(net, problem.x_test, problem.y_test)
    return Run(
        fit=(loss_on(net, problem.x, problem.y) / zero).nan_to_num(math.inf).item(),
        moved=feature_movement(net.W, net.first).item(),
        gain=((rf - problem.y_test).square().mean() / 2 / test).nan_to_num(0.0).item(),
        peak=(trace.loss.max() / zero).item(),
        start=(trace.loss[0] / zero).item(),
        end=(trace.loss[-1] / zero).item(),
        once=(trace.loss[1] / zero).item() if len(trace.loss) > 1 else math.nan,
        time=trace.time[-1].item(),
        lr=(trace.time[-1] / trace.step[-1].clamp(min=1)).item(),
        given=net.given is not False,
    )


def worst(runs: list[Run], name: str, largest: bool = True) -> float:
    """The largest (or smallest) of one quantity over the runs."""
    return (max if largest else min)(getattr(run, name) for run in runs)


def solved(runs: list[Run]) -> bool:
    """Whether a run starts from zero and the given weights, fits the training data, and beats random features on the test data: all runs."""
    return (
        starts_from_zero(runs)
        and all(run.given for run in runs)
        and worst(runs, "fit") <= FIT
        and worst(runs, "gain", largest=False) >= GAIN
    )


def starts_from_zero(runs: list[Run]) -> bool:
    """Whether the first training loss is that of predicting zero, as it is with ``v = 0``."""
    return all(abs(run.start - 1) < 1e-6 for run in runs)


def _train(lr: float, steps: int, damping: float = 0.0, before: Callable = lambda net: None) -> Callable:
    def answer(net, x, y):
        with torch.no_grad():
            before(net)
        return train(net, x, y, GaussNewton(net, lr=lr, damping=damping), steps)

    return answer


def _flow(net, x, y):
    return train(net, x, y, RungeKutta4(net, gauss_newton, 0.1), 100)


def _damped_flow(net, x, y):
    return train(net, x, y, RungeKutta4(net, lambda net, x, y: gauss_newton(net, x, y, damping=5e-3), 0.1), 100)


def _random_output(net):
    net.v.copy_(torch.randn(net.width, generator=torch.Generator().manual_seed(0), dtype=net.v.dtype))


FIND_THE_BUG = Behaviour(
    key="01/find_the_bug",
    picture=pictures.find_the_bug,
    observe=observe,
    passed=solved,
    praise=lambda runs: f"The test loss is {worst(runs, 'gain', largest=False):.0f} times below that of random features.",
    otherwise=lambda runs: (
        f"the training loss ends at {worst(runs, 'fit'):.1e} of its start and the test loss is {worst(runs, 'gain', False):.1f} "
        f"times below that of random features; needed are {FIT:g} and {GAIN}. The hidden weights moved by {worst(runs, 'moved', False):.2g} "
        "of their length."
    ),
    alternatives=(_train(0.05, 200), _train(0.02, 500), _train(1.0, 100, 0.1), _flow, _damped_flow),
    mistakes=(
        Mistake(
            "no step",
            "Nothing was trained: your Trace ends where it begins, before the first step.",
            _train(0.05, 0),
            lambda runs: worst(runs, "time") == 0,
        ),
        Mistake(
            "another network trained",
            "The network you were given fits nothing yet. Train that very network, in place: not a copy, and not one of your own.",
            lambda net, x, y: _train(0.05, 200)(fresh(7)[0], x, y),
            lambda runs: worst(runs, "fit") > 0.999 and worst(runs, "moved") == 0,
        ),
        Mistake(
            "hidden weights changed",
            "The hidden weights were changed before the training. It must start from the network it is given: the bug is in how the network is "
            "trained.",
            _train(0.05, 200, before=lambda net: net.W.mul_(5)),
            lambda runs: not all(run.given for run in runs),
        ),
        Mistake(
            "another start",
            "The Trace does not begin at the loss of predicting zero on all the data. Leave the output weights at zero, and return "
            "the Trace of one training, on all the data and from its very first step, a full one before it included.",
            _train(1.0, 30, before=_random_output),
            lambda runs: not starts_from_zero(runs),
        ),
        Mistake(
            "other labels",
            "Your Trace ends at a loss of nearly zero, and on the x and y that were given the network's loss is far from it: it was trained on other "
            "labels, or changed after the training.",
            lambda net, x, y: _train(0.05, 200)(net, x, -y),
            lambda runs: all(run.end < 1e-3 < run.fit < math.inf for run in runs),
            also=[lambda net, x, y: _train(0.05, 200)(net, x, y.abs())],
        ),
        Mistake(
            "hidden layer frozen",
            "The hidden weights never moved, because they are frozen: this fits random features, by smaller steps.",
            _train(0.1, 120, before=lambda net: net.W.requires_grad_(False)),
            lambda runs: worst(runs, "moved") < 1e-6 and worst(runs, "lr") < 0.99,
        ),
        Mistake(
            "full step",
            "The hidden weights have not moved at all. With v = 0 their derivative is zero, and one full step (lr = 1) makes the "
            "residual zero before they have a reason to move: more steps do not help.",
            _train(1.0, 50),
            lambda runs: worst(runs, "moved") < 1e-6,
        ),
        Mistake(
            "beyond the stability limit",
            "The training loss does not fall: a step of 2 or more multiplies the residual by 1 - lr, which is at least one in size.",
            _train(2.2, 50),
            lambda runs: all(run.lr >= 2 and run.newton for run in runs),
        ),
        Mistake(
            "step still large",
            "The hidden weights move now, but little: the step is still so large that most of the residual is gone before they "
            "have a reason to move.",
            _train(0.5, 50),
            lambda runs: all(run.lr >= 0.15 and run.newton for run in runs),
        ),
        Mistake(
            "stopped early",
            "The training stops too early: the loss falls as e^(-2t) at best, with t = lr x steps, and t has to reach about 7 for the fit that is "
            "asked.",
            _train(0.05, 40),
            lambda runs: worst(runs, "fit") > FIT and worst(runs, "time") < 7,
        ),
        Mistake(
            "small eigenvalues left",
            "The training data are not fitted, although a Gauss-Newton run of this length would: what lies along small eigenvalues of the kernel is "
            "still there. Either the damping is larger than they are, or this is gradient descent, which is slow there too.",
            _train(0.1, 120, 30.0),
            lambda runs: worst(runs, "fit") > FIT,
            also=[lambda net, x, y: train(net, x, y, GradientDescent(net, 1.0), 200)],
        ),
    ),
)
