r"""Two inputs, one sample: many networks at once on their way to the line of all fits.

The sample ``x`` has length one and the label 1. A network is ``f(x) = v . (U^T x)``; the hidden weights along the sample are
called ``u``, those across it ``u2``, and ``m`` entries each. Its predictor is ``Theta = (u . v) x + (u2 . v) z`` with ``z``
perpendicular to ``x``. All that training changes can be followed in five products of the three vectors, at any width.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from regimes.theory.min_norm import conditional_law, distance_law, full_step_law

__all__ = ["ANGLE", "STARTS", "Products", "Starts", "adam", "draw_starts", "flow", "gauss_newton", "law", "predictor", "rms"]

ANGLE = 0.5  # of the sample, in radians
STARTS = ("random", "V = 0", "V orthogonal to U₂", "U₁ and V orthogonal to U₂")


@dataclass(frozen=True)
class Starts:
    """Weights of many networks, each ``(runs, m)``: along the sample, of the last layer, across the sample."""

    u: Tensor
    v: Tensor
    u2: Tensor


@dataclass(frozen=True)
class Products:
    """What decides where a network goes: ``u.v``, ``|u|^2``, ``|v|^2``, ``u2.u``, ``u2.v``, each ``(..., runs)``."""

    uv: Tensor
    uu: Tensor
    vv: Tensor
    u2u: Tensor
    u2v: Tensor

    @classmethod
    def of(cls, s: Starts) -> "Products":
        """Those of some starts."""
        pairs = ((s.u, s.v), (s.u, s.u), (s.v, s.v), (s.u2, s.u), (s.u2, s.v))
        return cls(*((a * b).sum(-1) for a, b in pairs))

    def moved(self, a: Tensor, b: Tensor) -> "Products":
        """After ``u, v = a u + b v, a v + b u``: both the flow and Gauss-Newton move the two layers so."""
        uv, uu, vv = self.uv, self.uu, self.vv
        return Products(
            (a * a + b * b) * uv + a * b * (uu + vv),
            a * a * uu + 2 * a * b * uv + b * b * vv,
            a * a * vv + 2 * a * b * uv + b * b * uu,
            a * self.u2u + b * self.u2v,
            a * self.u2v + b * self.u2u,
        )


def draw_starts(alpha: float, m: int = 64, runs: int = 150, kind: str = "random", seed: int = 0) -> Starts:
    """Normal weights of standard deviation ``m^-alpha``; made zero or orthogonal as one of `STARTS` says."""
    g = torch.Generator().manual_seed(seed)
    u, v, u2 = m**-alpha * torch.randn(3, runs, m, generator=g, dtype=torch.float64)
    if kind == "V = 0":
        v = 0 * v
    elif kind != "random":
        v = _orthogonal(v, u2)
    return Starts(_orthogonal(u, u2) if kind == STARTS[3] else u, v, u2)


def _orthogonal(a: Tensor, b: Tensor) -> Tensor:
    """``a`` without its part along ``b``, run by run."""
    return a - (a * b).sum(-1, keepdim=True) / b.square().sum(-1, keepdim=True) * b


def flow(start: Products, points: int = 40) -> Products:
    """The gradient flow in closed form, evenly spaced in the output ``u.v`` on its way to 1; a first axis of ``points``.

    ``u + v`` grows by ``w`` and ``u - v`` shrinks by ``w``, so ``u.v = P w^2 - M / w^2`` with ``P = |u + v|^2/4`` and
    ``M = |u - v|^2/4``.
    """
    P, M = (start.uu + start.vv + 2 * start.uv) / 4, (start.uu + start.vv - 2 * start.uv) / 4
    share = torch.linspace(0, 1, points, dtype=P.dtype)[:, None]
    s = start.uv + (1 - start.uv) * share
    w = ((s + (s.square() + 4 * P * M).sqrt()) / (2 * P)).sqrt()
    return start.moved((w + 1 / w) / 2, (w - 1 / w) / 2)


def gauss_newton(start: Products, eta: float, steps: int) -> Products:
    """Gauss-Newton steps ``u, v = u + F v, v + F u`` with ``F = eta (1 - u.v) / (|u|^2 + |v|^2)``; a first axis of
    ``steps + 1``."""
    states = [start]
    for _ in range(steps):
        now = states[-1]
        F = eta * (1 - now.uv) / (now.uu + now.vv)
        states.append(now.moved(torch.ones_like(F), F))
    return Products(*(torch.stack([getattr(s, name) for s in states]) for name in ("uv", "uu", "vv", "u2u", "u2v")))


def ray(angle: float) -> Tensor:
    return torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)


def predictor(now: Products) -> Tensor:
    """Where the networks are in the plane of ``Theta``, ``(..., runs, 2)``."""
    return now.uv[..., None] * ray(ANGLE) + now.u2v[..., None] * ray(ANGLE + math.pi / 2)


def rms(now: Products) -> float:
    """Root mean square of the distance from the shortest fit, at the end of a path: all of it lies across the sample."""
    return now.u2v[-1].square().mean().sqrt().item()


def adam(start: Starts, lr: float = 0.01, tolerance: float = 1e-9, limit: int = 3000) -> Tensor:
    """Adam on ``(1 - x . U v)^2 / 2``, in the coordinates of the inputs: path ``(k, runs, 2)`` of ``Theta``.

    It ends when all fit to ``tolerance``. Torch's, which treats each number alone and so serves all runs at once.
    """
    x, z = ray(ANGLE), ray(ANGLE + math.pi / 2)
    w = torch.stack([*(x[i] * start.u + z[i] * start.u2 for i in range(2)), start.v], 1)
    optimizer, path = torch.optim.Adam([w], lr), []
    for _ in range(limit):
        path.append((w[:, :2] * w[:, 2:]).sum(-1))
        error = (1 - path[-1] @ x)[:, None, None]
        if error.abs().max() < tolerance:
            break
        along = (x[:, None] * w[:, :2]).sum(1, keepdim=True)
        w.grad = -error * torch.cat([x[:, None] * w[:, 2:], along], 1)
        optimizer.step()
    return torch.stack(path)


def law(m: int, alpha: float, kind: str = "random", *, full_steps: bool = False) -> float:
    r"""Root mean square distance of wide networks from the shortest fit: that of `regimes.theory.min_norm`.

    From ``V = 0`` (derived here) the last layer ends at ``|v|^2 = (sqrt(gamma^2 + 4) - gamma) / 2`` after the flow and at
    ``1 / gamma`` after full Gauss-Newton steps, with ``gamma = m^(1 - 2 alpha)``. From inside the invariant set the distance
    is zero.

    Raises:
        ValueError: for starts with ``V`` alone orthogonal to ``U2``, of which there is no law here.
    """
    if kind not in STARTS or kind == STARTS[2]:
        raise ValueError(f"there is a law for {', '.join((*STARTS[:2], STARTS[3]))}; got {kind!r}")
    if kind == STARTS[3]:
        return 0.0
    if kind == "random":
        one = torch.ones(1, dtype=torch.float64)
        both = full_step_law(m, alpha, 1.0, q=1, outside=1) if full_steps else distance_law(m, alpha, one, outside=1)
        return both.item()
    gamma = m ** (1 - 2 * alpha)
    square = 1 / gamma if full_steps else 2 / (math.hypot(gamma, 2) + gamma)
    return conditional_law(m, alpha, math.sqrt(square), outside=1).item()
