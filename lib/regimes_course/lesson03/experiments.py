"""One-pass SGD as the lesson writes it out, and its risk. For the exercises a start, and gradient flows of ReLU committees: to
run, and recorded.

``python -m regimes_course.lesson03.experiments`` runs the recorded ones again (half a minute) and writes ``relu_flows.json``.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from scipy.special import erf
from torch import Tensor

from regimes.flows import RungeKutta4
from regimes.networks import committee
from regimes.population_risk import PopulationGradient
from regimes.problems import orthonormal_units, unit_vectors
from regimes.theory.online_sgd import coefficients, covariance, integrate
from regimes.theory.online_sgd import risk as overlap_risk
from regimes.training import Trace, train
from regimes_course.kit.checking import random

__all__ = ["beginning", "flow", "g", "recorded", "rest", "risk", "sgd", "slope", "start"]

D, DT, EVERY = 22, 6.0, 50  # inputs, time step, steps between records
UNITS, STARTS, UNTIL = ((6, 6), (6, 7), (10, 10), (10, 11)), 24, 15000.0
FILE = "relu_flows.json"


def g(u: np.ndarray) -> np.ndarray:
    """A hidden unit, ``erf(u / sqrt(2))``."""
    return erf(u / 2**0.5)


def slope(u: np.ndarray) -> np.ndarray:
    """Its derivative, ``sqrt(2 / pi) exp(-u^2 / 2)``."""
    return (2 / np.pi) ** 0.5 * np.exp(-(u**2) / 2)


def beginning(d: int) -> tuple[np.ndarray, np.ndarray]:
    """Units of a student ``(2, d)`` and of a teacher, ``(2, d)``, whose units are the first two axes.

    The student's units have 0.3 and 0.1, and 0.1 and 0.2, of the teacher's; and one more axis each, of length one.
    """
    W = np.eye(2, d, 2)
    W[:, :2] = [[0.3, 0.1], [0.1, 0.2]]
    return W, np.eye(2, d)


def sgd(W: np.ndarray, T: np.ndarray, eta: float, noise: float, steps: int, rng: np.random.Generator) -> np.ndarray:
    """One-pass SGD, step by step, with the random numbers of the lesson's cell: all weights, ``(steps, p, d)``.

    Args:
        W, T: units of the student ``(p, d)`` and of the teacher ``(k, d)``; both committees are means of erf units.
        eta: learning rate over width; a step is ``eta / d``.
        noise: variance of the label noise.
    """
    d, path = W.shape[1], []
    X = rng.standard_normal((steps, d))
    labels = g(X @ T.T).mean(1) + noise**0.5 * rng.standard_normal(steps)
    for x, label in zip(X, labels, strict=True):
        u = W @ x
        e = label - g(u).mean()
        W = W + eta / d * e * np.outer(slope(u), x)
        path.append(W)
    return np.array(path)


def risk(W: np.ndarray, T: np.ndarray) -> np.ndarray:
    """The population risk ``E[(f - f*)^2] / 2`` of students ``(..., p, d)`` and a teacher ``(k, d)``, without label noise."""
    k = len(T)
    omega = covariance(W @ np.swapaxes(W, -1, -2), W @ T.T, T @ T.T)
    return overlap_risk(omega, coefficients(W.shape[-2], k))


def rest(d: int, eta: float, noise: float, until: float) -> Callable[[float, float], float]:
    """Two units and a teacher of two, followed by the equations for their overlaps until the time ``until``.

    Args:
        d: inputs; the units know the teacher's to the order ``d^(-1/2)`` at the start.
        eta, noise: step size, and variance of the label noise.

    Returns:
        ``advance(eta, steps)``, which takes ``steps * d`` steps of the size ``eta`` from where the network is, and returns the
        risk.
    """
    Q, M = np.eye(2), np.array([[0.3, 1.0], [1.0, -0.2]]) / d**0.5

    def advance(eta: float, steps: float) -> float:
        nonlocal Q, M
        if not (eta > 0 and steps > 0):
            raise ValueError(f"a step size and a number of steps above zero are needed; got {eta=}, {steps=}")
        path = integrate(Q, M, [0, eta * steps], eta=eta, label_noise=noise)
        Q, M = path.Q[-1], path.M[-1]
        return float(path.risk[-1])

    advance(eta, until / eta)
    return advance


def start(p: int = 4, k: int = 2, seed: int = 1) -> tuple[Tensor, Tensor]:
    """``Q`` (p, p) and ``M`` (p, k) of ``p`` units of length one that share ``k + 2`` axes with an orthonormal teacher."""
    W = random(seed, p, k + 2)
    W = W / W.norm(dim=-1, keepdim=True)
    return W @ W.mT, W[:, :k]


def flow(k: int, p: int, seeds: Sequence[int], until: float) -> Trace:
    """Follow the gradient of the population risk from random units of length one, to the time ``until``.

    Args:
        k: units of the teacher, orthonormal, in 22 inputs.
        p: units of the student.
        seeds: of the starts, one a run.
        until: time; recorded every 300.

    Returns:
        a `Trace` whose ``loss`` is the risk, ``(records, len(seeds))``.
    """
    teacher = committee(orthonormal_units(D, k, seed=99), activation="relu")
    student = committee(unit_vectors(D, p, seed=torch.as_tensor(list(seeds))), activation="relu")
    steps = max(1, round(until / DT))
    return train(student, None, None, RungeKutta4(student, PopulationGradient(teacher), DT), steps, every=EVERY)


@cache
def _file() -> dict[str, list[list[float]]]:
    return json.loads((resources.files("regimes_course.lesson03") / FILE).read_text(encoding="utf8"))


def recorded(k: int, p: int, seeds: Sequence[int], until: float) -> Trace:
    """The same from the file: 24 starts, up to t = 15000, held at the last value for longer times.

    Raises:
        ValueError: for units, starts or times that were not recorded.
    """
    seeds = [int(s) for s in seeds]
    if (k, p) not in UNITS or not seeds or not set(seeds) <= set(range(STARTS)) or not until > 0:
        raise ValueError(
            f"recorded are (k, p) = {', '.join(map(str, UNITS))}, seeds 0 to {STARTS - 1} and times above zero; got {k=}, "
            f"{p=}, {seeds=}, {until=}"
        )
    risks = torch.tensor(_file()[f"{k}, {p}"], dtype=torch.float64)[:, seeds]
    records = 1 + max(1, int(min(until / (DT * EVERY), 1000)))
    held = risks[torch.arange(records).clamp(max=len(risks) - 1)]
    step = EVERY * torch.arange(records)
    return Trace(step, DT * step.double(), held)


def _record() -> None:
    def rounded(trace):
        return [[float(f"{r:.3g}") if r > 1e-15 else 0.0 for r in row] for row in trace.loss.tolist()]

    flows = {f"{k}, {p}": rounded(flow(k, p, range(STARTS), UNTIL)) for k, p in UNITS}
    Path(__file__).with_name(FILE).write_text(json.dumps(flows, separators=(",", ":")) + "\n", encoding="utf8")


if __name__ == "__main__":
    _record()
