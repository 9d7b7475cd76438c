"""Exercise 2: the logistic loss and its slope, at any argument."""

from decimal import Decimal, localcontext
from random import Random

import torch
from torch import Tensor
from torch.nn import functional as F

from regimes_course.kit.checking import Function, Mistake
from regimes_course.lesson08 import pictures

__all__ = ["LOGISTIC"]


def _exactly(q: Tensor) -> tuple[Tensor, Tensor]:
    """Number by number, in decimal arithmetic of 500 digits: nothing overflows, and nothing is lost."""
    with localcontext() as context:
        context.prec, losses, slopes = 500, [], []
        for number in q.flatten().tolist():
            small = (-Decimal(number)).exp()
            losses.append(float((1 + small).ln()))
            slopes.append(float(-small / (1 + small)))
    return tuple(torch.tensor(values, dtype=q.dtype).reshape(q.shape) for values in (losses, slopes))


def _cases() -> dict[str, tuple]:
    arguments = {
        "some q between -2 and 3": [[-1.7, -0.3, 0.6], [1.1, 2.4, 2.9]],
        "q = 0": [0.0],
        "q = 16 and 18": [16.0, 18.0],
        "q = 38 and 40": [38.0, 40.0],
        "q = 700": [700.0],
        "q = -40 and -700": [-40.0, -700.0],
        "q = -20.5": [-20.5],
        "q = -22, -25 and -30": [-22.0, -25.0, -30.0],
        "q = -15 and -19": [-15.0, -19.0],
        "q = 20.5 and 22": [20.5, 22.0],
        "q = -1000": [-1000.0],
        "q = 800": [800.0],
    }
    return {label: (torch.tensor(q, dtype=torch.float64),) for label, q in arguments.items()}


def _by_autograd(loss):
    """An answer that differentiates its loss."""

    def answer(q):
        q = q.detach().clone().requires_grad_()
        value = loss(q)
        return value.detach(), torch.autograd.grad(value.sum(), q)[0]

    return answer


def _pair(loss=lambda q: -F.logsigmoid(q), slope=lambda q: -torch.sigmoid(-q)):
    return lambda q: (loss(q), slope(q))


def _by_sign(q):
    small = torch.exp(-q.abs())
    loss = torch.where(q > 0, torch.log1p(small), torch.log1p(small) - q)
    return loss, -torch.where(q > 0, small, torch.ones_like(q)) / (1 + small)


def _draw(rng: Random) -> tuple:
    return (torch.tensor([rng.choice([-1, 1]) * 10 ** rng.uniform(-2, 2.8)], dtype=torch.float64),)


LOGISTIC = Function(
    key="08/logistic_loss_and_weight",
    picture=pictures.logistic_loss_and_weight,
    reference=_exactly,
    cases=_cases,
    draw=_draw,
    praise="Loss and slope agree with 500-digit arithmetic from q = -1000 to 800.",
    rtol=1e-12,
    alternatives=(
        _pair(lambda q: torch.logaddexp(torch.zeros_like(q), -q)),
        _by_autograd(lambda q: -F.logsigmoid(q)),
        _by_sign,
    ),
    mistakes=(
        Mistake(
            "as written",
            "This is the formula as written. e^1000 overflows, and at q = 38 one plus e^-q is one: the loss of a well-classified sample is "
            "lost. Treat the two signs of q apart, and use log1p.",
            _pair(lambda q: torch.log(1 + torch.exp(-q))),
        ),
        Mistake(
            "log1p alone",
            "The function log1p keeps the small losses, but e^1000 still overflows at q = -1000. Take the larger exponent out: the loss is -q plus something small.",
            _pair(lambda q: torch.log1p(torch.exp(-q))),
        ),
        Mistake(
            "largest exponent alone",
            "Nothing overflows any more, but log(1 + small) loses the small losses: at q = 38 it is zero. Use log1p.",
            _pair(lambda q: (-q).clamp(min=0) + torch.log(1 + torch.exp(-q.abs()))),
        ),
        Mistake(
            "clamped argument",
            "This cuts q off at plus or minus 30. Beyond that the loss goes on: like -q on one side, like e^-q on the other.",
            lambda q: _pair()(q.clamp(-30, 30)),
        ),
        Mistake(
            "one minus sigma",
            "The loss is right, the slope is not: 1 - sigma(q) is zero from q = 37 on, because sigma(q) is one there. Use sigma(-q).",
            _pair(slope=lambda q: -(1 - torch.sigmoid(q))),
        ),
        Mistake(
            "gradient of a clamp",
            "The loss is right, the slope at q = 0 is -1 instead of -1/2: autograd takes one side of the kink of a clamp. Write the slope down.",
            _by_autograd(lambda q: (-q).clamp(min=0) + torch.log1p(torch.exp(-q.abs()))),
        ),
        Mistake(
            "gradient of a where",
            "The loss is right, the slope is NaN where the branch that is not taken overflows: autograd multiplies infinity by zero. Write the "
            "slope down.",
            _by_autograd(lambda q: torch.where(q > 0, torch.log1p(torch.exp(-q)), torch.log1p(torch.exp(q)) - q)),
        ),
        Mistake(
            "slope without its sign",
            "The slope is negative everywhere: the loss falls with q.",
            _pair(slope=lambda q: torch.sigmoid(-q)),
        ),
        Mistake(
            "slope of the wrong side",
            "This is -sigma(q): it is large where the sample is right. A sample that is right by far has hardly any weight.",
            _pair(slope=lambda q: -torch.sigmoid(q)),
        ),
        Mistake(
            "q with the wrong sign",
            "This is log(1 + e^q), which grows with q. The exponent is -q.",
            _pair(lambda q: -F.logsigmoid(-q), lambda q: torch.sigmoid(q)),
        ),
        Mistake(
            "averaged",
            "These are averages. Return one loss and one slope for each q, in the shape of q.",
            lambda q: tuple(value.mean() for value in _pair()(q)),
        ),
        Mistake(
            "loss alone",
            "This returns the loss alone. Return two tensors: the loss, and its derivative by q.",
            lambda q: -F.logsigmoid(q),
        ),
        Mistake(
            "threshold of softplus",
            "Between q = -20 and -40 the loss lacks its last part: F.softplus is linear beyond its threshold of 20, where e^-20 is left out. Use logsigmoid, or -q plus log1p(e^q).",
            _pair(lambda q: F.softplus(-q)),
        ),
        Mistake(
            "sign of the loss",
            "The loss has the wrong sign: it is -log sigma(q), which is positive.",
            _pair(lambda q: F.logsigmoid(q)),
        ),
        Mistake(
            "exchanged",
            "The two are exchanged: the loss comes first, then its derivative.",
            lambda q: _pair()(q)[::-1],
        ),
        Mistake(
            "slope of infinities",
            "The loss is right, the slope is NaN: e^1000 / (1 + e^1000) divides infinity by infinity. Use sigma(-q).",
            _pair(slope=lambda q: -torch.exp(-q) / (1 + torch.exp(-q))),
        ),
    ),
)
