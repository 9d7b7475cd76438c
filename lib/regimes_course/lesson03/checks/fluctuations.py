"""Exercise 7: how far SGD is from its ODE, against the number of inputs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from regimes.online_sgd import overlap_chain, overlap_distance
from regimes.population_risk import overlap_risk
from regimes.theory.online_sgd import Path, integrate
from regimes_course.kit.checking import Complaint, Function, Mistake
from regimes_course.kit.comparing import number, printed
from regimes_course.kit.numbers import numbers
from regimes_course.lesson03 import pictures
from regimes_course.lesson03.experiments import start

__all__ = ["FLUCTUATIONS"]


@dataclass(frozen=True)
class Distances(Function):
    """A `Function` whose answer is a row of numbers and one number, in whatever form they come."""

    def form(self, value: Any) -> Any:
        """A list of floats, and a float."""
        row = [number(e) for e in value[0]] if isinstance(value, tuple | list) and len(value) == 2 and np.ndim(value[0]) else []
        if not row or any(np.ndim(e) for e in row):
            says = "your function must return two things, one distance for each d, and the slope"
            raise Complaint(f"{says}; it returned {printed(value, repr, 60)}")
        return row, numbers(value[1])


def _cases() -> dict[str, tuple]:
    return {
        "four units, eta = 2, d = 20, 40, 80": (*start(4, 2, 5), 2.0, 0.05, [0.0, 1.0, 2.0, 3.0, 4.0], [20, 40, 80], 6),
        "three units, eta = 0.5, d = 16, 24, 60": (*start(3, 2, 6), 0.5, 0.2, [0.0, 0.5, 1.0, 1.5], [16, 24, 60], 5),
        # Here every entry of Q and M is the largest in some run.
        "two units, eta = 1, d = 20, 30, 40": (*start(2, 3, 7), 1.0, 0.1, [0.0, 1.0, 2.0], [20, 30, 40], 40),
    }


def _apart(Q: ndarray, M: ndarray, path: Path) -> ndarray:
    """Distances ``(t, runs)``: the largest entry at each time."""
    q, m = np.abs(Q - path.Q[:, None]).max((-1, -2)), np.abs(M - path.M[:, None]).max((-1, -2))
    return np.maximum(q, m)


def _slope(E: ndarray, ds: list[int]) -> float:
    return float(np.polyfit(np.log(ds), np.log(E), 1)[0])


def _rows(A: Tensor | ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, A.tolist()))


@lru_cache(64)
def _path(Q, M, times, **options) -> Path:
    """The ODE, once for all mistakes; matrices as tuples of rows."""
    return integrate(np.array(Q), np.array(M), np.array(times), **options)


@lru_cache(64)
def _chain(Q, M, d, eta, at, **options) -> tuple[ndarray, ndarray]:
    """The runs, once for all mistakes."""
    trace = overlap_chain(np.array(Q), np.array(M), d, eta, at[-1], at=at, **options)
    return trace.measured["Q"].numpy(), trace.measured["M"].numpy()


def _measure(
    distance: Callable = lambda Q, M, path: _apart(Q, M, path).max(0).mean(),
    steps: Callable[[float, int, float], float] = lambda t, d, eta: t * d / eta,
    begin: Callable = lambda Q, M: (Q, M),
    ode: Callable[[float, float], dict] = lambda eta, noise: {"eta": eta, "label_noise": noise},
    fit: Callable = _slope,
    scale: Callable[[int], float] = lambda d: 1.0,
    seed: Callable[[int], int] = lambda d: d,
) -> Callable:
    def answer(Q, M, eta, label_noise, times, ds, runs):
        path, E = _path(*map(_rows, begin(np.asarray(Q), np.asarray(M))), tuple(times), **ode(eta, label_noise)), []
        for d in ds:
            at = tuple(round(steps(t, d, eta)) for t in times)
            chain = _chain(_rows(Q), _rows(M), d, eta, at, label_noise=label_noise, runs=runs, seed=seed(d))
            E.append(scale(d) * float(distance(*chain, path)))
        return E, fit(np.array(E), ds)

    return answer


def _with_the_library(Q, M, eta, label_noise, times, ds, runs):
    """In torch, with the library's distance and the slope of a least-squares line."""
    path, E = integrate(Q.numpy(), M.numpy(), np.array(times), eta=eta, label_noise=label_noise), []
    for d in ds:
        at = [int(t * d / eta) for t in times]
        trace = overlap_chain(Q, M, d, eta, max(at), label_noise=label_noise, runs=runs, seed=d, at=at)
        E.append(overlap_distance(trace, path.Q, path.M).mean())
    E, x = torch.stack(E), torch.tensor(ds, dtype=torch.float64).log()
    y = E.log()
    return E, (x - x.mean()) @ (y - y.mean()) / (x - x.mean()).square().sum()


def _run_by_run(Q, M, eta, label_noise, times, ds, runs):
    """With plain loops over runs, times and entries."""
    E = []
    path = integrate(Q, M, times, eta=eta, label_noise=label_noise, rtol=1e-8)
    for d in ds:
        at = [round(t * d / eta) for t in times]
        trace, worst = overlap_chain(Q, M, d, eta, at[-1], label_noise=label_noise, runs=runs, seed=d, at=at), []
        for b in range(runs):
            gaps = [
                abs(value - wanted)
                for i in range(len(times))
                for name, exact in (("Q", path.Q[i]), ("M", path.M[i]))
                for value, wanted in zip(trace.measured[name][i, b].flatten().tolist(), exact.ravel().tolist(), strict=True)
            ]
            worst.append(max(gaps))
        E.append(sum(worst) / runs)
    return np.array(E), np.linalg.lstsq(np.stack([np.log(ds), np.ones(len(ds))], 1), np.log(E))[0][0]


def _typical(Q, M):
    """Unit lengths and nothing in common, but a trace of the teacher."""
    return np.eye(len(Q)), 0.01 * np.eye(len(Q))[:, : M.shape[1]]


def _risks(Q, M, path):
    return np.abs(overlap_risk(torch.from_numpy(Q), torch.from_numpy(M)).numpy() - path.risk[:, None]).max(0).mean()


def _diagonal(A):
    return np.diagonal(A, axis1=-2, axis2=-1)[..., None]


class _DiagonalPath:
    def __init__(self, path: Path):
        self.Q, self.M = _diagonal(path.Q), _diagonal(path.M)


def _upwards(Q, M, path):
    return np.maximum((Q - path.Q[:, None]).max((-1, -2)), (M - path.M[:, None]).max((-1, -2))).max(0).mean()


def _sum_of_both(Q, M, path):
    return (np.abs(Q - path.Q[:, None]).max((-1, -2)).max(0) + np.abs(M - path.M[:, None]).max((-1, -2)).max(0)).mean()


def _draw(rng: Random) -> tuple:
    p, k, eta = rng.randint(1, 3), rng.randint(1, 3), rng.choice([0.5, 1.0, 2.0])
    times = [0.0, *sorted(rng.sample([1.0, 1.5, 2.0, 3.0], rng.randint(1, 3)))]
    ds = sorted(rng.sample(range(8, 33, 4), rng.randint(2, 3)))
    return *start(p, k, rng.randrange(1000)), eta, 10 ** rng.uniform(-3, -0.5), times, ds, rng.randint(2, 6)


FLUCTUATIONS = Distances(
    key="03/fluctuations",
    picture=pictures.fluctuations,
    reference=_measure(),
    cases=_cases,
    draw=_draw,
    rtol=1e-3,
    praise="It agrees with going through runs, times and entries one by one. From d = 50 on the slope is -1/2 up to chance.",
    alternatives=(_measure(), _with_the_library, _run_by_run),
    mistakes=(
        Mistake(
            "sign of the slope",
            "The distances are right, but the slope has the wrong sign: the distance falls with d.",
            _measure(fit=lambda E, ds: -_slope(E, ds)),
        ),
        Mistake(
            "no logarithm of d",
            "The distances are right, but the slope is fitted against d itself. A power law is a line only if both axes are logarithmic.",
            _measure(fit=lambda E, ds: float(np.polyfit(ds, np.log(E), 1)[0])),
        ),
        Mistake(
            "no logarithms",
            "The distances are right, but the slope is that of a line without logarithms: fit log E against log d.",
            _measure(fit=lambda E, ds: float(np.polyfit(ds, E, 1)[0])),
        ),
        Mistake(
            "exchanged axes",
            "The distances are right, but the slope is that of log d against log E: about -2 instead of -1/2.",
            _measure(fit=lambda E, ds: float(np.polyfit(np.log(E), np.log(ds), 1)[0])),
        ),
        Mistake(
            "intercept",
            "The distances are right, but the second number is the intercept of the line. np.polyfit returns the slope first.",
            _measure(fit=lambda E, ds: float(np.polyfit(np.log(ds), np.log(E), 1)[1])),
        ),
        Mistake(
            "eta forgotten in the time",
            "The two are compared at different times: t = eta k / d, so that k = t d / eta steps lead to t. As it is, the distance does not vanish.",
            _measure(steps=lambda t, d, eta: t * d),
        ),
        Mistake(
            "multiplied by eta",
            "The two are compared at different times: you take t d eta steps. One step lasts eta / d, so that t takes t d / eta of them.",
            _measure(steps=lambda t, d, eta: t * d * eta),
        ),
        Mistake(
            "ODE from another start",
            "The ODE starts from other overlaps than the runs, from Q = I and almost nothing in common with the teacher. Their difference stays, "
            "however large d is: start both from Q and M.",
            _measure(begin=_typical),
        ),
        Mistake(
            "no label noise in the ODE",
            "The ODE has no label noise, the runs have. Give both the same.",
            _measure(ode=lambda eta, noise: {"eta": eta}),
        ),
        Mistake(
            "limit ODE",
            "This compares with the drift alone, the limit of a vanishing step. At eta of order one the noise belongs to the ODE.",
            _measure(ode=lambda eta, noise: {"eta": eta, "label_noise": noise, "keep": "drift"}),
        ),
        Mistake(
            "risk only",
            "These are distances of the risk, which are much smaller. Compare the overlaps, entry by entry.",
            _measure(distance=_risks),
        ),
        Mistake(
            "distance of the mean",
            "This averages the overlaps over the runs before it compares them. Fluctuations cancel in a mean: compare each run, then average.",
            _measure(distance=lambda Q, M, path: _apart(Q.mean(1, keepdims=True), M.mean(1, keepdims=True), path).max()),
        ),
        Mistake(
            "worst run",
            "This is the distance of the worst run. The largest is taken over times and entries of one run; over the runs, the mean.",
            _measure(distance=lambda Q, M, path: _apart(Q, M, path).max()),
        ),
        Mistake(
            "mean over times",
            "This averages over the times, which counts the start, where the distance is zero. Take the largest over times and entries.",
            _measure(distance=lambda Q, M, path: _apart(Q, M, path).mean()),
        ),
        Mistake(
            "mean before the largest",
            "This averages over the runs first and takes the largest over the times afterwards. Each run has its own worst time: largest first.",
            _measure(distance=lambda Q, M, path: _apart(Q, M, path).mean(1).max()),
        ),
        Mistake(
            "end only",
            "This looks at the last time only. Take the largest distance over all of them.",
            _measure(distance=lambda Q, M, path: _apart(Q, M, path)[-1].mean()),
        ),
        Mistake(
            "M only",
            "This compares M and leaves Q out, which fluctuates more.",
            _measure(distance=lambda Q, M, path: np.abs(M - path.M[:, None]).max((-1, -2)).max(0).mean()),
        ),
        Mistake(
            "scaled",
            "The distances are multiplied by the root of d already, so that nothing is left of the slope. Return the distances themselves.",
            _measure(scale=lambda d: d**0.5),
        ),
        Mistake(
            "another seed",
            "These are other runs than ours: pass seed=d to the chain, so that they can be compared.",
            _measure(seed=lambda d: 0),
        ),
        Mistake(
            "Q only",
            "This compares Q and leaves M out, which fluctuates as well.",
            _measure(distance=lambda Q, M, path: np.abs(Q - path.Q[:, None]).max((-1, -2)).max(0).mean()),
        ),
        Mistake(
            "diagonals only",
            "This compares the diagonals alone. The distance is over all entries of Q and M.",
            _measure(distance=lambda Q, M, path: _apart(*map(_diagonal, (Q, M)), _DiagonalPath(path)).max(0).mean()),
        ),
        Mistake(
            "no absolute value",
            "This takes the largest difference without its sign, run minus ODE. A run may be as far below: take absolute values.",
            _measure(distance=_upwards),
        ),
        Mistake(
            "sum of the two",
            "This adds the largest distance of Q and that of M. It is the larger of the two.",
            _measure(distance=_sum_of_both),
        ),
        Mistake(
            "slope written in",
            "The distances are right and the slope is exactly -1/2, which is what a fit gives only in the limit. Fit it.",
            _measure(fit=lambda E, ds: -0.5),
        ),
    ),
)
