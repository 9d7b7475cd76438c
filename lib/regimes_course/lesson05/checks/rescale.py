"""Exercise 5: take the shrinkage out of a network in mid-training."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from regimes.networks import TwoLayer
from regimes.problems import Problem
from regimes_course.kit.checking import Behaviour, Complaint, Mistake
from regimes_course.lesson05 import pictures
from regimes_course.lesson05.experiments import trained

__all__ = ["RESCALE"]

SETTINGS = ((0, 1, 0.02), (1, 5, 0.02), (2, 50, 0.02), (3, 8, 0.1), (4, 200, 0.004))  # seed, steps, step size


@dataclass(frozen=True)
class Seen:
    """What a function made of a network that was trained for ``k`` steps of size ``eta``.

    Attributes:
        k, eta: the number and the size of the steps.
        network: whether it returned a `TwoLayer`; without one the rest stays as it is here.
        kept: whether the network it was given is what it was.
        hidden: whether the hidden weights are those it was given, bit by bit.
        output: whether the output weights are those it was given, bit by bit.
        factor: what the outputs on new inputs were multiplied by; NaN if not by one number.
        deviation: ``|f - y| / |y|`` on the training data.
    """

    k: int
    eta: float
    network: bool = False
    kept: bool = True
    hidden: bool = True
    output: bool = True
    factor: float = math.nan
    deviation: float = math.nan


def observe(answer: Callable) -> list[Seen]:
    """Let ``answer(net, k, eta)`` rescale each network, and compare with the network as it was before."""
    return [_observe(answer, k, eta, *trained(seed, k, eta)) for seed, k, eta in SETTINGS]


def _observe(answer: Callable, k: int, eta: float, net: TwoLayer, problem: Problem) -> Seen:
    before = copy.deepcopy(net)
    new = answer(net, k, eta)
    if not isinstance(new, TwoLayer):
        return Seen(k, eta)
    if new.W.dtype != net.W.dtype or new.v.dtype != net.v.dtype:
        raise Complaint(f"your network is {new.W.dtype}, {new.v.dtype}; the one it is made from is {net.W.dtype}: keep that")
    kept = torch.equal(net.W, before.W) and torch.equal(net.v, before.v)
    if kept and new is not net and {new.W.data_ptr(), new.v.data_ptr()} & {net.W.data_ptr(), net.v.data_ptr()}:
        raise Complaint(
            "your network shares weights with the one it is made from: training one would move the other. Copy them"
        )
    with torch.no_grad():
        f, g = before(problem.x_test), new(problem.x_test)
        factor = (f @ g / (f @ f)).item()
        deviation = ((new(problem.x) - problem.y).norm() / problem.y.norm()).item()
    return Seen(
        k=k,
        eta=eta,
        network=True,
        kept=kept,
        hidden=torch.equal(new.W, before.W),
        output=torch.equal(new.v, before.v),
        factor=factor if torch.allclose(g, factor * f, rtol=1e-9, atol=1e-12) else math.nan,
        deviation=deviation,
    )


def share(k: int, eta: float) -> float:
    """How much of the labels ``k`` steps from zero have reached: each step adds ``eta`` of what is missing."""
    reached = 0.0
    for _ in range(k):
        reached += eta * (1 - reached)
    return reached


def solved(seen: list[Seen]) -> bool:
    """Whether the outputs were divided by the share, by the output weights alone and in a network of their own."""
    return all(s.network and s.kept and s.hidden for s in seen) and divided_by(seen, share)


def divided_by(seen: list[Seen], number: Callable[[int, float], float], after: int = 1) -> bool:
    """Whether all outputs were divided by ``number(k, eta)``, where ``k`` is at least ``after``."""
    return all(abs(s.factor * number(s.k, s.eta) - 1) < 1e-8 for s in seen if s.k >= after)


def _told(seen: list[Seen]) -> str:
    """The first network whose outputs are not as they should be."""
    s = next(s for s in seen if not abs(s.factor * share(s.k, s.eta) - 1) < 1e-8)
    if math.isnan(s.factor):
        return (
            f"for k = {s.k} and eta = {s.eta:g} the outputs of the new network are not those of the old one times one number."
        )
    return (
        f"for k = {s.k} and eta = {s.eta:g} you divide the outputs by {1 / s.factor:.4g}, and the training outputs are still off by "
        f"{s.deviation:.2g} of the labels; another number takes almost all of that away."
    )


def _by(number: Callable[[int, float], float], names: tuple[str, ...] = ("v",)) -> Callable:
    """An answer that divides some parameters of a copy."""

    def answer(net, k, eta):
        new = copy.deepcopy(net)
        with torch.no_grad():
            for name in names:
                getattr(new, name).div_(number(k, eta))
        return new

    return answer


def _in_place(net, k, eta):
    with torch.no_grad():
        net.v.div_(share(k, eta))
    return net


def _all_units(net, k, eta):
    new = net.units(torch.arange(net.width))
    new.v.data = net.v.data / (1 - (1 - eta) ** k)
    return new


def _from_state(net, k, eta):
    new, state = TwoLayer(net.inputs, net.width), net.state_dict()
    new.load_state_dict({"W": state["W"], "v": state["v"] / -math.expm1(k * math.log1p(-eta))})
    return new


def _missing(k, eta):
    return (1 - eta) ** k


_OF_WHAT_IS_MISSING = (
    _missing,
    lambda k, eta: 1 / _missing(k, eta),
    lambda k, eta: 1 + _missing(k, eta),
    lambda k, eta: 1 / (1 + _missing(k, eta)),
    lambda k, eta: math.exp(-eta * k),
    lambda k, eta: math.exp(eta * k),
)

RESCALE = Behaviour(
    key="05/rescale",
    picture=pictures.rescale,
    observe=observe,
    passed=solved,
    praise=lambda seen: (
        "The training outputs now agree with the labels, to "
        + ", ".join(f"{s.deviation:.1%} (k = {s.k}, eta = {s.eta:g})" for s in seen)
        + "."
    ),
    otherwise=_told,
    alternatives=(_by(share), _all_units, _from_state),
    mistakes=(
        Mistake(
            "no network",
            "It must return a network, a TwoLayer like the one it is given: copy that one, and change the copy.",
            lambda net, k, eta: net.v / share(k, eta),
            lambda seen: not all(s.network for s in seen),
        ),
        Mistake(
            "in place",
            "This changes the network it is given, which is still in training. Change a copy: copy.deepcopy(net).",
            _in_place,
            lambda seen: not all(s.kept for s in seen),
        ),
        Mistake(
            "all parameters",
            "This changes the hidden weights as well as v. The outputs are proportional to v alone: the hidden weights go through the activation.",
            _by(share, ("W", "v")),
            lambda seen: not all(s.hidden or s.output for s in seen),
        ),
        Mistake(
            "hidden weights",
            "This changes the hidden weights. They go through the activation, so the outputs are not proportional to them: it is v that scales the outputs.",
            _by(share, ("W",)),
            lambda seen: not all(s.hidden for s in seen),
        ),
        Mistake(
            "nothing done",
            "The new network has the outputs of the old one.",
            _by(lambda k, eta: 1.0),
            lambda seen: divided_by(seen, lambda k, eta: 1.0),
        ),
        Mistake(
            "wrong way",
            "This multiplies by the share that is reached, which shrinks the outputs a second time. Divide by it.",
            _by(lambda k, eta: 1 / share(k, eta)),
            lambda seen: divided_by(seen, lambda k, eta: 1 / share(k, eta)),
        ),
        Mistake(
            "what is missing",
            "This uses (1 - eta)^k, or e^(-eta k), the share of the labels that is still missing. Divide by the share that is reached.",
            _by(_missing),
            lambda seen: any(divided_by(seen, number) for number in _OF_WHAT_IS_MISSING),
            also=[_by(number) for number in _OF_WHAT_IS_MISSING[1:]],
        ),
        Mistake(
            "wrong sign",
            "This divides by (1 - eta)^k - 1, which is negative: the outputs point the other way.",
            _by(lambda k, eta: -share(k, eta)),
            lambda seen: divided_by(seen, lambda k, eta: -share(k, eta)),
        ),
        Mistake(
            "steps not counted",
            "This does not depend on the number of steps: eta is the share that the first step reaches.",
            _by(lambda k, eta: eta),
            lambda seen: divided_by(seen, lambda k, eta: eta),
        ),
        Mistake(
            "steps added up",
            "This divides by eta k, as if each step added eta of the labels. It adds eta of what is still missing, which is less and less.",
            _by(lambda k, eta: eta * k),
            lambda seen: divided_by(seen, lambda k, eta: eta * k),
        ),
        Mistake(
            "continuous time",
            "This is the flow's 1 - e^(-t) with t = eta k. A step multiplies the residual by 1 - eta, which is a little less than e^(-eta).",
            _by(lambda k, eta: -math.expm1(-eta * k)),
            lambda seen: divided_by(seen, lambda k, eta: -math.expm1(-eta * k)),
        ),
        Mistake(
            "loss for residual",
            "This follows the loss, which falls as (1 - eta)^(2k) or e^(-2t). The outputs follow the residual, the root of that.",
            _by(lambda k, eta: 1 - (1 - eta) ** (2 * k)),
            lambda seen: (
                divided_by(seen, lambda k, eta: 1 - (1 - eta) ** (2 * k))
                or divided_by(seen, lambda k, eta: -math.expm1(-2 * eta * k))
            ),
        ),
        Mistake(
            "one step more or less",
            "The number of steps is off by one: after the first step, k = 1, the share is eta.",
            _by(lambda k, eta: share(k + 1, eta)),
            lambda seen: (
                divided_by(seen, lambda k, eta: share(k + 1, eta))
                or divided_by(seen, lambda k, eta: share(k - 1, eta), after=2)
            ),
        ),
    ),
)
