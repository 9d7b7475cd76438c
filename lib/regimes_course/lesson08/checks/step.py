"""Exercise 4: the largest stable step in torch's units."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from regimes.directions import time_scale
from regimes.hessians import hessian
from regimes.jacobians import jacobian
from regimes.metrics import sharpness
from regimes_course.kit.checking import Behaviour, Complaint, Mistake
from regimes_course.kit.comparing import number, printed, told_apart
from regimes_course.lesson08 import pictures
from regimes_course.lesson08.experiments import networks

__all__ = ["LARGEST_SGD_STEP"]


@dataclass(frozen=True)
class Seen:
    """What a function found for one network.

    Attributes:
        name: of the network.
        value: the step it returned.
        truth: two over the largest eigenvalue of the Hessian of torch's ``MSELoss``.
        c: the network's time scale.
        n: number of samples.
        kernel: the same step from the Gauss-Newton matrix.
        kept: whether the network is what it was.
    """

    name: str
    value: float
    truth: float
    c: float
    n: int
    kernel: float
    kept: bool

    def near(self, wanted: float) -> bool:
        """Whether it found this number."""
        return abs(self.value - wanted) <= 1e-5 * abs(wanted)


def _hessian_of_mse(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    names, shapes = zip(*((k, p.shape) for k, p in net.named_parameters()), strict=True)

    def loss(w):
        parts = w.split([shape.numel() for shape in shapes])
        values = {k: part.reshape(shape) for k, part, shape in zip(names, parts, shapes, strict=True)}
        return F.mse_loss(functional_call(net, values, (x,)), y)

    return torch.autograd.functional.hessian(loss, torch.cat([p.detach().flatten() for p in net.parameters()]))


def observe(answer: Callable) -> list[Seen]:
    """Ask for the step of each network."""
    return [_ask(answer, name, *case) for name, case in networks().items()]


def _ask(answer: Callable, name: str, net: nn.Module, x: Tensor, y: Tensor) -> Seen:
    given = copy.deepcopy(net)
    value = number(answer(given, x.clone(), y.clone()))
    if not isinstance(value, int | float):
        raise Complaint(f"your function must return a number; for {name} it returned {printed(value, repr, 60)}")
    return Seen(
        name=name,
        value=float(value),
        truth=2 / torch.linalg.eigvalsh(_hessian_of_mse(net, x, y))[-1].item(),
        c=time_scale(net),
        n=len(x),
        kernel=len(x) / torch.linalg.eigvalsh(jacobian(net, x).gram())[-1].item(),
        kept=all(torch.equal(a, b) for a, b in zip(given.parameters(), net.parameters(), strict=True)),
    )


def _times(factor: Callable[[Seen], float]) -> Callable[[list[Seen]], bool]:
    """Whether every step is the right one times a factor."""
    return lambda seen: all(s.near(factor(s) * s.truth) for s in seen)


def _from_ours(change: Callable[[float, float, int], float]) -> Callable:
    """An answer from the sharpness of the library, the time scale and n."""
    return lambda net, x, y: change(sharpness(net, x, y).item(), time_scale(net), len(x))


def _trained(net, x, y):
    torch.optim.SGD(net.parameters(), lr=0.1).zero_grad()
    F.mse_loss(net(x), y).backward()
    torch.optim.SGD(net.parameters(), lr=0.1).step()
    return time_scale(net) / sharpness(net, x, y)


LARGEST_SGD_STEP = Behaviour(
    key="08/largest_sgd_step",
    picture=pictures.largest_sgd_step,
    observe=observe,
    passed=lambda seen: all(s.kept and s.near(s.truth) for s in seen),
    praise=lambda seen: "Right for " + ", ".join(f"{s.name} ({s.value:.3g})" for s in seen) + ".",
    otherwise=lambda seen: next(
        "for {} the largest stable step is {}, and your function says {}.".format(s.name, *told_apart(s.truth, s.value))
        for s in seen
        if not s.near(s.truth)
    ),
    alternatives=(
        _from_ours(lambda S, c, n: c / S),
        lambda net, x, y: 2 / torch.linalg.eigvalsh(_hessian_of_mse(net, x, y))[-1],
        lambda net, x, y: 1 / torch.linalg.eigvalsh(hessian(net, x, y).dense().detach())[-1].item(),
    ),
    mistakes=(
        Mistake(
            "network changed",
            "This moves the network it is given. Measure where it is, and leave it there.",
            _trained,
            lambda seen: not all(s.kept for s in seen),
        ),
        Mistake(
            "our units",
            "This is 2/S, the limit of this course's GradientDescent: it multiplies the step by the time scale, and its loss has a half. SGD "
            "with MSELoss has neither.",
            _from_ours(lambda S, c, n: 2 / S),
            _times(lambda s: 2 / s.c),
        ),
        Mistake(
            "half forgotten",
            "The time scale is right, the half is not: MSELoss is twice our loss, and so is its Hessian.",
            _from_ours(lambda S, c, n: 2 * c / S),
            _times(lambda s: 2.0),
        ),
        Mistake(
            "half twice",
            "This is half the limit. MSELoss is twice our loss: the half comes in once. Or is it 1/S instead of 2/S?",
            _from_ours(lambda S, c, n: c / (2 * S)),
            _times(lambda s: 0.5),
        ),
        Mistake(
            "time scale forgotten",
            "The half is right. But sharpness() has the network's time scale in it, and SGD does not know of it: for a mean-field network this "
            "step is m times too small.",
            _from_ours(lambda S, c, n: 1 / S),
            _times(lambda s: 1 / s.c),
        ),
        Mistake(
            "time scale the wrong way",
            "The time scale goes the other way: S is c times the eigenvalue of the Hessian, so 1/S has to be multiplied by c.",
            _from_ours(lambda S, c, n: 1 / (c * S)),
            _times(lambda s: 1 / s.c**2),
        ),
        Mistake(
            "sum instead of mean",
            "This is the limit for the sum over the samples. MSELoss is a mean, so that n does not come in.",
            _from_ours(lambda S, c, n: c / (n * S)),
            _times(lambda s: 1 / s.n),
        ),
        Mistake(
            "mean taken twice",
            "This is n times too large: the sharpness is that of the mean loss already.",
            _from_ours(lambda S, c, n: n * c / S),
            _times(lambda s: float(s.n)),
        ),
        Mistake(
            "Gauss-Newton matrix",
            "This uses the largest eigenvalue of the kernel, which is the Hessian where the fit is perfect. These networks do not fit their data.",
            lambda net, x, y: len(x) / torch.linalg.eigvalsh(jacobian(net, x).gram())[-1].item(),
            lambda seen: all(s.near(s.kernel) for s in seen),
        ),
        Mistake(
            "the sharpness itself",
            "This is a sharpness, not a step: the step is inversely proportional to it.",
            _from_ours(lambda S, c, n: S),
            lambda seen: all(any(s.near(k / s.truth) for k in (2.0, s.c, 1.0, 2 * s.c)) for s in seen),
        ),
    ),
)
