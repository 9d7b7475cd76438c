"""Laws of training for exercise 1: those that see only the cloud of units, and those that see more.

A law is ``step(net, x, y)``: it moves a `TwoLayer` in place, once. Each stands here with a network to try it on.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from regimes.directions import gradient
from regimes.networks import TwoLayer
from regimes.optimizers import GaussNewton, GradientDescent, move
from regimes.problems import Problem, teacher_student

__all__ = ["LAWS", "Law", "data"]

Step = Callable[[TwoLayer, Tensor, Tensor], None]
Numbers = Callable[[int], Tensor]
LR = 1.0


@dataclass(frozen=True)
class Law:
    """A law of training, and whether duplicating and reordering the units changes nothing for it.

    Attributes:
        says: what it is, for the learner.
        step: the law.
        net: makes the network it is tried on.
        asks: what a test must do to judge it rightly, if it takes something special.
        right: whether it sees only the cloud.
    """

    says: str
    step: Step
    net: Callable[[], TwoLayer]
    asks: str = ""
    right: bool = False


def data() -> Problem:
    """Twelve samples of a teacher with two units, and fifteen new inputs."""
    return teacher_student(12, 3, teacher_width=2, n_test=15, seed=4)


def _net(width: int, **options) -> Callable[[], TwoLayer]:
    return lambda: TwoLayer(3, width, seed=width, **options)


def _descent(net, x, y):
    GradientDescent(net, LR).step(x, y)


def _ten_steps(net, x, y):
    for _ in range(10):
        _descent(net, x, y)


def _newton(lr: float, damping: Callable[[int], float]) -> Step:
    return lambda net, x, y: GaussNewton(net, lr, damping=damping(net.width)).step(x, y)


def _scaled(size: Callable[[int, Tensor, Tensor], float]) -> Step:
    """Gradient descent with the step ``size(m, W, v)``, where ``W`` and ``v`` are the gradient."""

    def step(net, x, y):
        tensors = gradient(net, x, y).tensors
        move(net, tensors, LR * size(net.width, *tensors))

    return step


def _length(m, W, v):
    return 0.5 / (W.square().sum() + v.square().sum()).sqrt()


def _mean_length(m, W, v):
    return 0.5 / (W.square().sum(1) + v.square()).mean().sqrt()


def _per_unit(rates: Numbers) -> Step:
    """Gradient descent in which the unit in place ``j`` of ``m`` has a step size of its own, ``rates(m)[j]``."""

    def step(net, x, y):
        W, v = gradient(net, x, y).tensors
        move(net, (rates(net.width)[:, None] * W, rates(net.width) * v), LR)

    return step


def _growing(m):
    return torch.linspace(0.5, 1.5, m, dtype=torch.float64)


def _drawn(m):
    return 2 * torch.rand(m, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _first_half(m):
    return (torch.arange(m) < m / 2).double()


def _every_second(m):
    return (torch.arange(m) % 2).double()


def _decay(strength: Callable[[int], float]) -> Step:
    """Gradient descent with a decay of the output weights, by the factor ``1 - strength(m)`` a step."""

    def step(net, x, y):
        tensors = gradient(net, x, y).tensors
        with torch.no_grad():
            net.v.mul_(1 - strength(net.width))
        move(net, tensors, LR)

    return step


@torch.no_grad()
def _sorted(net, x, y):
    _descent(net, x, y)
    order = net.W[:, 0].argsort()
    net.W.copy_(net.W[order])
    net.v.copy_(net.v[order])


@torch.no_grad()
def _exact_last_layer(net, x, y):
    """Hidden weights descend without the factor m; then the last layer takes 0.2 of the residual away, exactly."""
    wanted = y + 0.8 * (net(x) - y)
    net.W.sub_(10 * LR / net.width * gradient(net, x, y).tensors[0])
    net.v.add_(torch.linalg.pinv(net.scale * net.hidden(x)[0]) @ (wanted - net(x)))


@torch.no_grad()
def _mean_kept(net, x, y):
    """Descent without the factor m; then ``v`` takes back what changed of the mean and of four of the new outputs."""
    new = data().x_test
    single = torch.eye(len(new), dtype=new.dtype)
    numbers = torch.cat([single.mean(0, keepdim=True), single[:2], single[-2:]])
    before = numbers @ net(new)
    _scaled(lambda m, W, v: 2 / m)(net, x, y)
    net.v.add_(torch.linalg.pinv(net.scale * numbers @ net.hidden(new)[0]) @ (before - numbers @ net(new)))


def _mirrored(most: int) -> Step:
    """Gradient descent towards the labels, with more units than ``most`` towards their opposite."""
    return lambda net, x, y: _descent(net, x, -y if net.width > most else y)


_barely_damped = _newton(0.1, lambda m: 1e-8)

RIGHT = (
    ("gradient descent in the mean-field time scale", _descent, _net(20)),
    ("gradient descent on tanh units", _descent, _net(7, activation="tanh", output_std=1.0)),
    ("gradient descent on units without bias", _descent, _net(16, bias=False, output_std=2.0)),
    ("a law that takes ten gradient steps at a time", _ten_steps, _net(30)),
    ("damped Gauss-Newton", _newton(0.2, lambda m: 1e-2), _net(24)),
    ("undamped Gauss-Newton", _newton(0.1, lambda m: 0.0), _net(40)),
    ("barely damped Gauss-Newton from small weights, where rounding grows", _barely_damped, _net(40, std=0.2), "rounding"),
    ("weight decay by the same factor at every width", _decay(lambda m: 0.03), _net(14, output_std=1.0)),
    ("a gradient divided by its root mean square over units", _scaled(_mean_length), _net(22)),
    ("gradient descent that keeps its units sorted by a weight", _sorted, _net(18, output_std=1.0), "outputs"),
)
WRONG = (
    ("gradient descent in NTK scaling", _descent, _net(20, scaling="ntk", output_std=1.0)),
    ("gradient descent in NTK scaling from v = 0", _descent, _net(24, scaling="ntk"), "second step"),
    ("gradient descent without the factor m", _scaled(lambda m, W, v: 10 / m), _net(16)),
    ("Gauss-Newton with the damping added to J Jᵀ instead of K", _newton(0.2, lambda m: 1e-3 * m), _net(30)),
    ("a gradient divided by its norm over all parameters", _scaled(_length), _net(18)),
    ("weight decay on the sum over units", _decay(lambda m: 2e-3 * m), _net(20), "second step"),
    ("a weak weight decay on the sum over units", _decay(lambda m: 1e-5 * m), _net(20, output_std=1.0), "close look"),
    ("step sizes that grow from the first unit to the last", _per_unit(_growing), _net(14)),
    ("a step size drawn at random for each unit", _per_unit(_drawn), _net(22)),
    ("gradient descent on the first half of the units", _per_unit(_first_half), _net(12), "order"),
    ("gradient descent on every second unit", _per_unit(_every_second), _net(16), "order"),
    (
        "descent without the factor m that keeps the mean of the new outputs",
        _mean_kept,
        _net(16, output_std=1.0),
        "all outputs",
    ),
    ("gradient descent that turns its labels around in a wide network", _mirrored(26), _net(26), "signs"),
    ("hidden weights that slow down with the width under an exact last layer", _exact_last_layer, _net(30), "new inputs"),
)
LAWS = tuple(Law(*law, right=True) for law in RIGHT) + tuple(Law(*law) for law in WRONG)
