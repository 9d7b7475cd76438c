"""What a learner's formula made of the scalar flow: the cases of exercise 7, their paths, and what can be seen in an answer."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from scipy.integrate import solve_ivp
from torch import Tensor

__all__ = ["CLOSE", "HUGE", "Run", "observe", "path"]

F64 = torch.float64
CLOSE = 1e-7
SOON, LATE, HUGE = (0.0, 0.1, 0.35, 0.8, 1.7), (0.0, 1.0, 3.0, 6.0, 9.0), (0.0, 0.5, 2.0, 100.0, 400.0)
CASES = {  # u0, v0, y, t
    "u0 = v0 = 0.2, y = 1.5": (0.2, 0.2, 1.5, SOON),
    "u0 = 1.3, v0 = 0.4, y = 2": (1.3, 0.4, 2.0, SOON),
    "u0 = 1.5, v0 = 0, y = 0.7": (1.5, 0.0, 0.7, SOON),
    "u0 = 0.3, v0 = -0.9, y = 1.2": (0.3, -0.9, 1.2, LATE),
    "u0 = -1.1, v0 = -0.6, y = 0.8": (-1.1, -0.6, 0.8, SOON),
    "u0 = 0.7, v0 = 0.2, y = -1.4": (0.7, 0.2, -1.4, LATE),
    "u0 = -1.6, v0 = 0.5, y = -0.6": (-1.6, 0.5, -0.6, SOON),
    "u0 = 2, v0 = 1.7, y = 0.9": (2.0, 1.7, 0.9, SOON),
    "u0 = 0.5, v0 = -0.499, y = 1.1": (0.5, -0.499, 1.1, LATE),
    "v0 = -u0 = -0.8, y = 1.3": (0.8, -0.8, 1.3, LATE),
    "u0 = v0 = 0.9, y = -1.1": (0.9, 0.9, -1.1, LATE),
    "t = 400 with u0 = 0.6, v0 = 0.1, y = 2.1": (0.6, 0.1, 2.1, HUGE),
    "t = 400 with u0 = 0.4, v0 = 0.9, y = -2.4": (0.4, 0.9, -2.4, HUGE),
    "still moving at t = 400: u0 = 0.03, v0 = 0.02, y = 0.003": (0.03, 0.02, 0.003, HUGE),
}


@functools.cache
def path(u0: float, v0: float, y: float, t: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """The flow ``du/dt = (y - u v) v``, ``dv/dt = (y - u v) u``, integrated numerically in ``s = u + v`` and ``d = u - v``.

    In these variables ``s = 0`` stays zero to the last bit, so that the path that starts at a saddle's arm stays on it.
    """

    def velocity(_, z):
        error = y - (z[0] ** 2 - z[1] ** 2) / 4
        return error * z[0], -error * z[1]

    ends = (min(t), max(t))
    solution = solve_ivp(velocity, ends, (u0 + v0, u0 - v0), "DOP853", t, rtol=1e-12, atol=1e-16)
    s, d = torch.from_numpy(solution.y)
    return (s + d) / 2, (s - d) / 2


@dataclass(frozen=True)
class Run:
    """What a function made of one case.

    Attributes:
        label: the case, for the learner.
        args: ``u0, v0, y, t``.
        kept: whether the tensor of times came back unchanged.
        u, v: what it returned, each ``(k,)``; None if it returned something else.
    """

    label: str
    args: tuple
    kept: bool
    u: Tensor | None = None
    v: Tensor | None = None

    def numbers(self) -> tuple:
        """The arguments as the function got them, with the times in a tensor."""
        return (*self.args[:3], torch.tensor(self.args[3], dtype=F64))

    def equals(self, wanted: tuple[Tensor, Tensor], close: float = CLOSE) -> bool:
        """Whether the path is ``wanted``, to ``close`` of its largest number."""
        size = max(x.abs().max().item() for x in wanted)
        return all(torch.allclose(a, b, rtol=0.0, atol=close * size) for a, b in zip((self.u, self.v), wanted, strict=True))

    def right(self, close: float = CLOSE) -> bool:
        """Whether it is the path of the flow."""
        return self.equals(path(*self.args), close)

    def sizes_right(self) -> bool:
        """Whether it is, up to signs."""
        u, v = path(*self.args)
        return replace(self, u=self.u.abs(), v=self.v.abs()).equals((u.abs(), v.abs()))

    def product_is(self, wanted: Tensor) -> bool:
        """Whether ``u v`` is ``wanted``."""
        return torch.allclose(self.u * self.v, wanted, rtol=CLOSE, atol=CLOSE, equal_nan=True)

    def imbalance_right(self) -> bool:
        """Whether ``u^2 - v^2`` stays what it was before the start."""
        u0, v0 = self.args[:2]
        start = torch.full_like(self.u, u0**2 - v0**2)
        return torch.allclose(self.u**2 - self.v**2, start, rtol=0.0, atol=CLOSE * (1 + u0**2 + v0**2))

    def finite(self) -> bool:
        """Whether every number is one."""
        return bool(self.u.isfinite().all() and self.v.isfinite().all())


def observe(answer: Callable) -> list[Run]:
    """Let ``answer(u0, v0, y, t)`` follow every case."""
    return [_run(answer, label, args) for label, args in CASES.items()]


def _run(answer: Callable, label: str, args: tuple) -> Run:
    t = torch.tensor(args[3], dtype=F64)
    said = answer(*args[:3], t)
    run = Run(label, args, torch.equal(t, torch.tensor(args[3], dtype=F64)))
    if not (isinstance(said, tuple | list) and len(said) == 2 and all(_is_path(x, len(t)) for x in said)):
        return run
    return replace(run, u=said[0].detach(), v=said[1].detach())


def _is_path(x: Any, k: int) -> bool:
    return isinstance(x, Tensor) and x.shape == (k,) and x.dtype == F64
