"""Gradient flow of stacks of small linear networks by a plain Runge-Kutta loop: what theory is compared with.

Everything happens in the row space: ``U1 (..., r, m)``, ``V (..., q, m)``, ``s (..., r)``, target ``(..., r, q)``.
"""

import math

import torch

from tests.lib.cases import normal

DOUBLE = torch.float64


def flow(U1, V, s, target):
    """Gradient flow of the error ``target - s U1 V^T``, without and with the factor that makes it Gauss-Newton."""
    back = s[..., None] * (target - s[..., None] * (U1 @ V.mT))
    return back @ V, back.mT @ U1


def rk4_step(rates, U1, V, h):
    a, b = rates(U1, V)
    c, d = rates(U1 + h / 2 * a, V + h / 2 * b)
    e, f = rates(U1 + h / 2 * c, V + h / 2 * d)
    g, k = rates(U1 + h * e, V + h * f)
    return U1 + h / 6 * (a + 2 * c + 2 * e + g), V + h / 6 * (b + 2 * d + 2 * f + k)


def trajectory(U1, V, s, target, steps, safety):
    """``(t, U1, V)`` of each network of a stack along its gradient flow, the step adapted to its stiffness."""
    t = torch.zeros(U1.shape[:-2], dtype=DOUBLE)
    for _ in range(steps + 1):
        yield t, U1, V
        pull = s.amax(-1) * squares(error(U1, V, s, target)).sqrt()
        h = safety / (s.amax(-1) ** 2 * (squares(U1) + squares(V)) + pull)
        U1, V = rk4_step(lambda U, W: flow(U, W, s, target), U1, V, h[..., None, None])
        t = t + h


def squares(x):
    return x.square().sum((-2, -1))


def error(U1, V, s, target):
    return target - s[..., None] * (U1 @ V.mT)


def sampled(m, alpha, d, r, q, runs, seed=0):
    """Random networks ``(U1, U2, V)``; the hidden units turned so that ``q + d`` of them carry everything."""
    Z = m**-alpha * normal(runs, q + d, m, seed=seed, mean=0, std=1)
    Z = torch.linalg.qr(Z.mT).R.mT if m > q + d else Z
    return Z[:, q : q + r], Z[:, q + r :], Z[:, :q]


def orthogonal(r, q, m, kappa, seed=0):
    frame = torch.linalg.qr(normal(m, r + q, seed=seed))[0].T
    return math.sqrt(kappa) * frame[:r], math.sqrt(kappa) * frame[r:]
