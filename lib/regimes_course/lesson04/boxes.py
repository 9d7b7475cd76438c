"""The black boxes of exercise 6: optimizers of a two-layer linear network, and recordings of what they do.

A box makes ``step(U, V) -> (U, V)`` for a step size; a closure remembers momentum. The loss is ``|Y - X U V^T|_F^2 / 2``.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from regimes.metrics import RowSpace, row_space
from regimes.networks import TwoLayerLinear
from regimes.optimizers import GaussNewton
from regimes_course.kit.checking import random

__all__ = ["BOXES", "Box", "Recording", "data", "recorded"]

N, D, R, M, Q = 7, 9, 5, 12, 2  # samples, inputs, rank of X, hidden units, outputs
MOMENTS = 8
Path = tuple[Tensor, Tensor]
Step = Callable[[Tensor, Tensor], Path]


@dataclass(frozen=True)
class Recording:
    """One optimizer, recorded three times at the same moments, of which the first is the start.

    Attributes:
        coarse: ``U`` (k, d, m) and ``V`` (k, q, m), from a random start.
        fine: the same start with a quarter of the step and four times as many of them.
        inside: the coarse step from a start inside the invariant set, with ``U2`` not zero.
    """

    coarse: Path
    fine: Path
    inside: Path


@dataclass(frozen=True)
class Box:
    """An optimizer, and what it keeps.

    Attributes:
        name: what it is.
        make: ``make(lr)`` is its step.
        lr: the coarse step.
        steps: how many of them.
        keeps: whether ``U2`` is frozen, the invariant set kept, ``Lambda`` conserved but for an error that vanishes with the
            step.
        begin: its start, inside the invariant set or not; that of all the others if there is none.
    """

    name: str
    make: Callable[[float], Step]
    lr: float
    steps: int
    keeps: tuple[bool, bool, bool]
    begin: Callable[[bool], Path] | None = None


@functools.cache
def data() -> tuple[Tensor, Tensor]:
    """Seven samples of nine inputs that span only five directions, with two outputs."""
    X = random(0, N, R) @ random(1, R, D) / 6
    return X, X @ random(2, D, Q) + 0.3 * random(3, N, Q)


@functools.cache
def _rows() -> RowSpace:
    return row_space(data()[0])


def start(inside: bool) -> Path:
    """Random weights; inside the set some combinations of hidden units carry ``U1`` and ``V``, the others ``U2``."""
    U, V = 0.5 * random(4, D, M), 0.4 * random(5, Q, M)
    if inside:
        turn = torch.linalg.qr(random(6, M, M))[0]
        P = turn[:, : M // 2] @ turn[:, : M // 2].T
        seen = _rows().inside @ _rows().inside.T @ U
        U, V = seen @ P + (U - seen) @ (torch.eye(M, dtype=P.dtype) - P), V @ P
    return U, V


def gradients(U: Tensor, V: Tensor, batch: Tensor | slice = slice(None)) -> Path:
    """The directions of steepest descent in ``U`` and ``V``."""
    X, Y = (A[batch] for A in data())
    E = Y - X @ U @ V.T
    return X.T @ E @ V, E.T @ X @ U


def _descent(rates: tuple[float, float] = (1.0, 1.0), decay: float = 0.0) -> Callable[[float], Step]:
    def make(lr):
        def step(U, V):
            dU, dV = gradients(U, V)
            return (1 - lr * decay) * U + lr * rates[0] * dU, (1 - lr * decay) * V + lr * rates[1] * dV

        return step

    return make


def _batches(lr):
    generator = torch.Generator().manual_seed(7)

    def step(U, V):
        batch = torch.randperm(N, generator=generator)[:3]
        dU, dV = gradients(U, V, batch)
        return U + lr * N / 3 * dU, V + lr * N / 3 * dV

    return step


def _momentum(lr):
    speed = [0.0, 0.0]

    def step(U, V):
        speed[:] = (0.9 * s + 0.1 * g for s, g in zip(speed, gradients(U, V), strict=True))
        return U + lr * speed[0], V + lr * speed[1]

    return step


def _boost(lr):
    """Exactly conserving: the Cayley map of ``A`` in ``d [V; U1] = A [V; U1]``."""

    def step(U, V):
        (X, Y), Phi1 = data(), _rows().inside
        B = Phi1.T @ X.T @ (Y - X @ U @ V.T)
        A = torch.zeros(Q + R, Q + R, dtype=U.dtype)
        A[:Q, Q:], A[Q:, :Q] = B.T, B
        one = torch.eye(Q + R, dtype=U.dtype)
        Z = torch.cat([V, Phi1.T @ U])
        boosted = torch.linalg.solve(one - lr / 2 * A, (one + lr / 2 * A) @ Z)
        return U + Phi1 @ (boosted - Z)[Q:], boosted[:Q]

    return step


def _gauss_newton(lr):
    def step(U, V):
        net = TwoLayerLinear(D, Q, M)
        net.load_state_dict({"U": U, "V": V})
        GaussNewton(net, lr, singular="drop").step(*data())
        return net.U.detach(), net.V.detach()

    return step


def _blocks(lr):
    """Each layer solves for itself, and both take half."""

    def step(U, V):
        X, Y = data()
        E = Y - X @ U @ V.T
        dU = torch.linalg.pinv(X, rtol=1e-10) @ E @ torch.linalg.pinv(V).T
        dV = (torch.linalg.pinv(X @ U, rtol=1e-10) @ E).T
        return U + lr / 2 * dU, V + lr / 2 * dV

    return step


def _adam(which: str = "UV", seen_only: bool = False) -> Callable[[float], Step]:
    """Adam on U, on V or on both; with ``seen_only`` in the coordinates ``U1`` of the row space."""

    def make(lr):
        moments, count = [0.0] * 4, [0]

        def direction(g, i):
            moments[i] = 0.9 * moments[i] + 0.1 * g
            moments[i + 2] = 0.999 * moments[i + 2] + 0.001 * g**2
            mean, square = moments[i] / (1 - 0.9 ** count[0]), moments[i + 2] / (1 - 0.999 ** count[0])
            return lr * mean / (square.sqrt() + 1e-8)

        def step(U, V):
            count[0] += 1
            dU, dV = gradients(U, V)
            Phi1 = _rows().inside if seen_only else torch.eye(D, dtype=U.dtype)
            return (
                U + Phi1 @ direction(Phi1.T @ dU, 0) if "U" in which else U,
                V + direction(dV, 1) if "V" in which else V,
            )

        return step

    return make


def _unseen_noise(lr):
    """Gradient descent with noise in one direction of the inputs that no sample has."""
    generator, unseen = torch.Generator().manual_seed(8), _rows().outside[:, :1]

    def step(U, V):
        noise = torch.randn(1, M, generator=generator, dtype=U.dtype)
        dU, dV = gradients(U, V)
        return U + lr * dU + 0.3 * lr**0.5 * unseen * noise, V + lr * dV

    return step


def _turning(lr):
    """Gradient descent that turns the hidden units into each other, which the outputs do not notice."""
    A = random(9, M, M)
    turn = torch.linalg.matrix_exp(0.1 * lr * (A - A.T))

    def step(U, V):
        dU, dV = gradients(U, V)
        return (U + lr * dU) @ turn, (V + lr * dV) @ turn

    return step


BOXES = (
    Box("gradient descent", _descent(), 0.02, 40, (True, True, True)),
    Box("gradient descent, large steps", _descent(), 0.1, 16, (True, True, True)),
    Box("mini-batch SGD", _batches, 0.02, 40, (True, True, True)),
    Box("heavy ball", _momentum, 0.02, 40, (True, True, True)),
    Box("flow by Lorentz steps", _boost, 0.02, 40, (True, True, True)),
    Box("Gauss-Newton", _gauss_newton, 1.0, 8, (True, True, True)),
    Box("block Gauss-Newton", _blocks, 0.2, 16, (True, True, False)),
    Box("U faster than V", _descent((2.0, 1.0)), 0.02, 40, (True, True, False)),
    Box("last layer alone", _descent((0.0, 1.0)), 0.02, 40, (True, True, False)),
    Box("last layer alone, by Adam", _adam("V"), 0.01, 40, (True, False, False)),
    Box("hidden layer alone, by Adam in the row space", _adam("U", seen_only=True), 0.01, 40, (True, False, False)),
    Box("weight decay", _descent(decay=0.01), 0.005, 80, (False, True, False)),
    Box("turning units", _turning, 0.02, 40, (False, True, False)),
    Box("noise in an unseen direction", _unseen_noise, 0.02, 40, (False, False, True)),
    Box("Adam", _adam(), 0.01, 40, (False, False, False)),
)


@functools.cache
def recorded(box: Box) -> Recording:
    """What a learner gets of a box."""
    begin = box.begin or start
    return Recording(
        coarse=_run(box.make(box.lr), box.steps, begin(False)),
        fine=_run(box.make(box.lr / 4), 4 * box.steps, begin(False)),
        inside=_run(box.make(box.lr), box.steps, begin(True)),
    )


def _run(step: Step, steps: int, state: Path) -> Path:
    records = [state]
    for k in range(1, steps + 1):
        state = step(*state)
        if k % (steps // MOMENTS) == 0:
            records.append(state)
    return tuple(torch.stack(tensors) for tensors in zip(*records, strict=True))
