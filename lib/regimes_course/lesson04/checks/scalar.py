"""Exercise 7: the exact path of the scalar network u v -> y under gradient flow."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from regimes_course.kit.checking import Behaviour, Mistake
from regimes_course.lesson04 import pictures
from regimes_course.lesson04.checks.paths import CLOSE, HUGE, Run, observe, path

__all__ = ["SCALAR_FLOW"]


def _wrong(runs: list[Run]) -> list[Run]:
    return [run for run in runs if not run.right()]


def _seen_in_all(runs: list[Run], off: Callable[[Run], bool]) -> bool:
    """Whether every wrong run shows it."""
    return all(off(run) for run in _wrong(runs))


def _always(change: Callable[..., tuple] = lambda *args: args, result: Callable = lambda u, v: (u, v)) -> Callable:
    """Whether all runs of ordinary length are the path from changed arguments; ``result`` changes what is returned."""
    return lambda runs: all(run.equals(result(*path(*change(*run.args)))) for run in _short(runs))


def _short(runs: list[Run]) -> list[Run]:
    return [run for run in runs if max(run.args[3]) < 100]


def _clock(factor: float) -> Callable[..., tuple]:
    return lambda u0, v0, y, t: (u0, v0, y, tuple(factor * s for s in t))


def _w(u0: float, v0: float, y: float, t: Tensor) -> Tensor:
    """``((u + v) / (u0 + v0))^2`` as a ratio of two sums that neither overflow nor divide by ``u0 + v0``."""
    P, M = (u0 + v0) ** 2 / 4, (u0 - v0) ** 2 / 4
    c = math.sqrt(y**2 + 4 * P * M)
    E = torch.exp(-2 * c * t)
    return (c + y + 2 * M + (c - y - 2 * M) * E) / (c - y + 2 * P + (c + y - 2 * P) * E)


def _flow(w: Callable = _w, end: Callable = lambda u, v: (u, v), start: Callable = lambda *args: args) -> Callable:
    """A right answer, with one thing at a time to get wrong."""

    def answer(u0, v0, y, t):
        u0, v0, y, t = start(u0, v0, y, t)
        root = w(u0, v0, y, t).sqrt()
        s, d = (u0 + v0) * root, (u0 - v0) / root
        return end((s + d) / 2, (s - d) / 2)

    return answer


def _fixed_points(u0, v0, y, t):
    """The same ratio by the two fixed points of its Riccati equation; ``u0 + v0 = 0`` has a form of its own."""
    P, M = (u0 + v0) ** 2 / 4, (u0 - v0) ** 2 / 4
    if P == 0:
        return (1 + M / y) * torch.exp(2 * y * t) - M / y
    k = math.sqrt(4 * y**2 + 16 * P * M)
    high, low = (y + k / 2) / (2 * P), (y - k / 2) / (2 * P)
    K = (1 - high) / (1 - low)
    E = K * torch.exp(-k * t)
    return (high - low * E) / (1 - E)


def _overflows(u0, v0, y, t):
    P, M = (u0 + v0) ** 2 / 4, (u0 - v0) ** 2 / 4
    c = math.sqrt(y**2 + 4 * P * M)
    grow = torch.exp(2 * c * t)
    return ((c + y + 2 * M) * grow + c - y - 2 * M) / ((c - y + 2 * P) * grow + c + y - 2 * P)


def _divides(u0, v0, y, t):
    if u0 + v0 == 0:
        return torch.full_like(t, math.nan)
    return _fixed_points(u0, v0, y, t)


def _by_rapidity(u0, v0, y, t):
    """The angle theta of the boost that takes the start to the state, as a difference of two logarithms."""
    s, d, c = u0 + v0, u0 - v0, math.hypot(y, (u0**2 - v0**2) / 2)
    E = np.exp(-2 * c * t.numpy())
    up, down = c + y + d * d / 2 + (c - y - d * d / 2) * E, c - y + s * s / 2 + (c + y - s * s / 2) * E
    theta = (np.log(up) - np.log(down)) / 2
    u, v = u0 * np.cosh(theta) + v0 * np.sinh(theta), v0 * np.cosh(theta) + u0 * np.sinh(theta)
    return torch.from_numpy(u), torch.from_numpy(v)


def _frozen_error(u0, v0, y, t):
    return torch.exp(2 * (y - u0 * v0) * t)


def _saxe(u0, v0, y, t):
    start = u0 * v0 or math.nan
    return y / (1 + (y / start - 1) * torch.exp(-2 * y * t))


def _saxe_on_the_hyperbola(u0, v0, y, t):
    p, d = _saxe(u0, v0, y, t), u0**2 - v0**2
    N = (d**2 + 4 * p**2).sqrt()
    return math.copysign(1, u0) * ((N + d) / 2).sqrt(), math.copysign(1, v0) * ((N - d) / 2).sqrt()


def _split_evenly(u0, v0, y, t):
    u, v = _flow()(u0, v0, y, t)
    root = (u * v).abs().sqrt()
    return root, root * (u * v).sign()


def _euler(u0, v0, y, t):
    u, v = torch.full_like(t, u0), torch.full_like(t, v0)
    for _ in range(1000):
        e = t / 1000 * (y - u * v)
        u, v = u + e * v, v + e * u
    return u, v


def _in_place(u0, v0, y, t):
    t *= -2 * math.hypot(y, (u0**2 - v0**2) / 2)
    return _flow(lambda u0, v0, y, t: _w(u0, v0, y, t / (-2 * math.hypot(y, (u0**2 - v0**2) / 2))))(u0, v0, y, t)


def _otherwise(runs: list[Run]) -> str:
    """Says which case is wrong first, and what can be seen there without knowing the answer."""
    run = _wrong(runs)[0]
    if not run.finite():
        return f"your u or v is not finite (case: {run.label}): an exponential overflows, or something is divided by zero."
    u, v = path(*run.args)
    off = torch.maximum((run.u - u).abs(), (run.v - v).abs())
    first = int((off > CLOSE * max(u.abs().max(), v.abs().max())).nonzero()[0, 0])
    law = "is conserved, as it should be" if run.imbalance_right() else "is not conserved"
    return f"u or v is off by {off[first].item():.2g} at t = {run.args[3][first]:g}; u^2 - v^2 {law} (case: {run.label})."


SCALAR_FLOW = Behaviour(
    key="04/scalar_flow",
    picture=pictures.scalar_flow,
    observe=observe,
    passed=lambda runs: all(run.u is not None and run.kept for run in runs) and not _wrong(runs),
    praise=lambda runs: (
        "It agrees with a numerical integration of the flow to better than 1e-7: on every branch, along the saddle, and at t = 400."
    ),
    otherwise=_otherwise,
    alternatives=(_flow(), _flow(_fixed_points), _by_rapidity),
    mistakes=(
        Mistake(
            "not two paths",
            "It must return two float64 tensors, u and v, each with one number for each time in t.",
            lambda *args: _flow(end=lambda u, v: u * v)(*args),
            lambda runs: any(run.u is None for run in runs),
        ),
        Mistake(
            "times changed",
            "This changes the tensor t that it is given. Work on a copy: t * 2 makes a new tensor, t *= 2 does not.",
            _in_place,
            lambda runs: not all(run.kept for run in runs),
        ),
        Mistake(
            "exchanged",
            "The two paths are right, in the wrong order: u comes first.",
            _flow(end=lambda u, v: (v, u)),
            _always(result=lambda u, v: (v, u)),
        ),
        Mistake(
            "sum and difference",
            "This is right for s = u + v and d = u - v. Go back: u = (s + d)/2, v = (s - d)/2.",
            _flow(end=lambda u, v: (u + v, u - v)),
            _always(result=lambda u, v: (u + v, u - v)),
        ),
        Mistake(
            "half forgotten",
            "Both are twice as large as they should be: u = (s + d)/2 and v = (s - d)/2.",
            _flow(end=lambda u, v: (2 * u, 2 * v)),
            _always(result=lambda u, v: (2 * u, 2 * v)),
        ),
        Mistake(
            "twice as fast",
            "The path is right and its clock runs at double speed: s^2 grows at twice the rate of s, and the loss is |y - uv|^2/2, with the half.",
            _flow(start=lambda u0, v0, y, t: (u0, v0, y, 2 * t)),
            _always(_clock(2.0)),
        ),
        Mistake(
            "half as fast",
            "The path is right and its clock runs at half speed: with w = (s/s0)^2 the equation is dw/dt = 2 e w, with a 2.",
            _flow(start=lambda u0, v0, y, t: (u0, v0, y, t / 2)),
            _always(_clock(0.5)),
        ),
        Mistake(
            "to minus y",
            "This goes to uv = -y. The error is e = y - uv, and du/dt = e v.",
            _flow(start=lambda u0, v0, y, t: (u0, v0, -y, t)),
            _always(lambda u0, v0, y, t: (u0, v0, -y, t)),
        ),
        Mistake(
            "sign of y lost",
            "For y < 0 this goes to uv = |y|. No root of y^2 may stand where y itself belongs: in the formula, y keeps its sign.",
            _flow(start=lambda u0, v0, y, t: (u0, v0, abs(y), t)),
            _always(lambda u0, v0, y, t: (u0, v0, abs(y), t)),
        ),
        Mistake(
            "signs of u and v lost",
            "The sizes of u and v are right and their signs are not: u + v and u - v never change sign, so they keep the signs of "
            "the start. A root alone has none.",
            _flow(end=lambda u, v: (u.abs(), v.abs())),
            lambda runs: _seen_in_all(runs, lambda run: run.sizes_right()),
        ),
        Mistake(
            "frozen error",
            "This lets u + v grow with the error of the start, e^(e0 t), for ever. The error changes on the way: its integral over time stands "
            "in the exponent.",
            _flow(_frozen_error),
            lambda runs: all(run.equals(_flow(_frozen_error)(*run.numbers())) for run in _short(runs)),
        ),
        Mistake(
            "balanced",
            "Here u = v at all times: that is the formula for a balanced start. u^2 - v^2 is conserved, whatever its value at the start.",
            lambda *args: (_saxe(*args).sqrt(), _saxe(*args).sqrt()),
            lambda runs: all(torch.allclose(run.u, run.v, equal_nan=True) for run in _short(runs)),
        ),
        Mistake(
            "balanced clock",
            "The imbalance u^2 - v^2 is conserved, and uv follows the formula for balanced starts. From any other start it moves faster: the speed is "
            "u^2 + v^2 = sqrt((u0^2 - v0^2)^2 + 4 u^2 v^2).",
            _saxe_on_the_hyperbola,
            lambda runs: all(run.product_is(_saxe(*run.numbers())) for run in _short(runs) if run.args[0] * run.args[1] > 0),
        ),
        Mistake(
            "product only",
            "The product uv is right at all times, but u and v are not: they have to keep u^2 - v^2, and the signs of u + v and u - v.",
            _split_evenly,
            lambda runs: (
                bool(_wrong(_short(runs))) and all(run.product_is(torch.mul(*path(*run.args))) for run in _short(runs))
            ),
        ),
        Mistake(
            "overflow",
            "Right, until the exponential overflows: at t = 400 the answer is inf or nan. Divide above and below by the growing exponential, so "
            "that only decaying ones are left.",
            _flow(_overflows),
            lambda runs: _seen_in_all(runs, lambda run: run.args[3] is HUGE and not run.finite()),
        ),
        Mistake(
            "saddle",
            "Right, except for v0 = -u0, where this divides by u0 + v0 = 0. There u + v stays zero, and u - v follows a simpler equation.",
            _flow(_divides),
            lambda runs: _seen_in_all(runs, lambda run: run.args[0] == -run.args[1]),
        ),
        Mistake(
            "finite steps",
            "Close, but not the exact path: is it that of an integrator with a finite step, or is a number rounded? It has to agree to seven digits.",
            _euler,
            lambda runs: bool(_wrong(_short(runs))) and all(run.right(0.02) for run in _short(runs)),
        ),
    ),
)
