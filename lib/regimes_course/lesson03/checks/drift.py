"""Exercise 4: the drift of the overlaps."""

import math
from random import Random

import torch
from torch import Tensor

from regimes_course.kit.checking import Function, Mistake, random
from regimes_course.lesson03 import pictures

__all__ = ["DRIFT"]


def _fields(seed: int, p: int, k: int) -> Tensor:
    """The covariance of ``p + k`` fields of different variances."""
    W = random(seed, p + k, p + k + 3) / math.sqrt(p + k + 3)
    W = W * torch.linspace(0.7, 1.5, p + k, dtype=torch.float64)[:, None]
    return W @ W.mT


def _committees(p: int, k: int) -> Tensor:
    """The coefficients of two means."""
    return torch.cat([torch.full((p,), -1 / p, dtype=torch.float64), torch.full((k,), 1 / k, dtype=torch.float64)])


def _cases() -> dict[str, tuple]:
    hand = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64), torch.tensor([-1.0, 1.0], dtype=torch.float64)
    weighted = torch.tensor([-0.4, -0.1, -0.7, 0.3, 0.9], dtype=torch.float64)
    return {
        "one student and one teacher unit of length one, overlap 0.5": (*hand, 1),
        "one student unit, three teacher units": (_fields(1, 1, 3), _committees(1, 3), 1),
        "three student units, two teacher units": (_fields(2, 3, 2), _committees(3, 2), 3),
        "the same number of units, but with output weights of their own": (_fields(3, 3, 2), weighted, 3),
        "four student units, six teacher units": (_fields(4, 4, 6), _committees(4, 6), 4),
    }


def _i3(O: Tensor, j: int, b: int, a: int) -> float:
    own, other, cross = 1 + O[j, j].item(), 1 + O[a, a].item(), O[j, a].item()
    root = math.sqrt(own * other - cross**2)
    return 2 / math.pi * (O[b, a].item() * own - O[j, b].item() * cross) / (own * root)


def _by_loops(omega, c, p):
    """One integral at a time."""
    n = range(len(omega))
    J = [[sum(c[a].item() * _i3(omega, j, b, a) for a in n) for b in n] for j in range(p)]
    J = torch.tensor(J, dtype=omega.dtype)
    return J[:, :p] + J[:, :p].mT, J[:, p:]


def _J(omega: Tensor, c: Tensor, p: int, *, one=1.0, sign=-1.0, both=1.0, pi=2 / math.pi) -> Tensor:
    """The matrix form, with places to go wrong."""
    size, rows = one + omega.diagonal(), omega[:p]
    D = pi * c / (size[:p, None] * size + sign * rows**2).sqrt()
    return D @ omega - both * ((D * rows).sum(-1) / size[:p])[:, None] * rows


def _moves(J: Tensor, p: int) -> tuple[Tensor, Tensor]:
    return J[:, :p] + J[:, :p].mT, J[:, p:]


def _with(**options):
    return lambda omega, c, p: _moves(_J(omega, c, p, **options), p)


def _einsum(omega, c, p):
    size = 1 + omega.diagonal()
    root = (size[:p, None] * size - omega[:p] ** 2).sqrt()
    I3 = omega[None, :, :] - omega[:p, :, None] * omega[:p, None, :] / size[:p, None, None]  # j, b, a: the tilted covariance
    return _moves(2 / math.pi * torch.einsum("jba,ja,a->jb", I3, 1 / root, c), p)


def _gradient(omega, c, p):
    """By autograd: the drift is the gradient of the risk, unit by unit, divided by the unit's coefficient."""
    lam, V = torch.linalg.eigh(omega)
    W = (V * lam.clamp(min=0).sqrt()).requires_grad_()
    C = W @ W.mT
    size = 1 + C.diagonal()
    risk = c @ torch.asin(C / (size[:, None] * size).sqrt()) @ c / math.pi
    (slope,) = torch.autograd.grad(risk, [W])
    return _moves((slope[:p] / c[:p, None] @ W.mT).detach(), p)


def _swapped_diagonal(omega, c, p):
    size, rows = 1 + omega.diagonal(), omega[:p]
    D = 2 / math.pi * c / (size[:p, None] * size - rows**2).sqrt()
    return _moves(D @ omega - (D * rows / size).sum(-1)[:, None] * rows, p)


def _coefficients_of_rows(omega, c, p):
    size, rows = 1 + omega.diagonal(), omega[:p]
    D = 2 / math.pi * c[:p, None] / (size[:p, None] * size - rows**2).sqrt()
    return _moves(D @ omega - ((D * rows).sum(-1) / size[:p])[:, None] * rows, p)


def _students_alone(omega, c, p):
    return _moves(_J(omega, torch.cat([c[:p], torch.zeros_like(c[p:])]), p), p)


def _draw(rng: Random) -> tuple:
    p, k, seed = rng.randint(1, 4), rng.randint(1, 4), rng.randrange(10**6)
    weights = torch.cat([-random(seed, p).abs() - 0.1, random(seed + 1, k).abs() + 0.1])
    return _fields(seed, p, k), rng.choice([weights, _committees(p, k)]), p


def _undivided(omega, c, p):
    size, rows = 1 + omega.diagonal(), omega[:p]
    D = 2 / math.pi * c / (size[:p, None] * size - rows**2).sqrt()
    return _moves(D @ omega - (D * rows).sum(-1)[:, None] * rows, p)


DRIFT = Function(
    key="03/drift",
    picture=pictures.drift,
    reference=_by_loops,
    cases=_cases,
    draw=_draw,
    praise="It agrees with explicit loops over all integrals, for other output weights and for more teacher units than students, too.",
    alternatives=(_with(), _einsum, _gradient),
    mistakes=(
        Mistake(
            "wrong sign",
            "Everything has the wrong sign: c already says E = label - output, and SGD adds along E, so nothing is to be subtracted.",
            lambda omega, c, p: tuple(-v for v in _moves(_J(omega, c, p), p)),
        ),
        Mistake(
            "student weights positive",
            "This counts student and teacher units with the same sign. c is negative for the student's: use it as it is given.",
            lambda omega, c, p: _moves(_J(omega, c.abs(), p), p),
        ),
        Mistake(
            "second term missing",
            "Only D times Omega is here. Tilting by u_j takes away what u_b and u_a share through u_j, which is the second term.",
            _with(both=0.0),
        ),
        Mistake(
            "second term added",
            "The second term has the wrong sign: tilting makes covariances smaller.",
            _with(both=-1.0),
        ),
        Mistake(
            "wrong unit in the second term",
            "The second term is divided by 1 + Omega_aa inside the sum. Tilting by u_j divides by 1 + Omega_jj, outside of it.",
            _swapped_diagonal,
        ),
        Mistake(
            "no one",
            "The roots have Omega_jj and Omega_aa where 1 + Omega_jj and 1 + Omega_aa belong.",
            lambda omega, c, p: _moves(_J(omega, c, p, one=1e-9), p),
        ),
        Mistake(
            "plus in the root",
            "The root adds Omega_ja squared to (1 + Omega_jj)(1 + Omega_aa). It is a determinant: minus.",
            _with(sign=1.0),
        ),
        Mistake(
            "no 2/pi",
            "All values are right but for a factor 2/pi.",
            _with(pi=1.0),
        ),
        Mistake(
            "coefficients of the rows",
            "D_ja has the coefficient c_j of the unit that moves. It is c_a, that of the unit in the error.",
            _coefficients_of_rows,
        ),
        Mistake(
            "teacher missing",
            "The sum over a runs over the student's units alone. The teacher's are in the error, too.",
            _students_alone,
        ),
        Mistake(
            "Q without the transpose",
            "The first matrix lacks its transpose: in Q_jl both units move, which gives J_jl + J_lj.",
            lambda omega, c, p: (_J(omega, c, p)[:, :p], _J(omega, c, p)[:, p:]),
        ),
        Mistake(
            "twice the same",
            "The first matrix is 2 J. J is not symmetric: it is J + J^T.",
            lambda omega, c, p: (2 * _J(omega, c, p)[:, :p], _J(omega, c, p)[:, p:]),
        ),
        Mistake(
            "half of dQ",
            "The first matrix is the mean of J and its transpose. Both units move: it is their sum.",
            lambda omega, c, p: (_moves(_J(omega, c, p), p)[0] / 2, _J(omega, c, p)[:, p:]),
        ),
        Mistake(
            "M both ways",
            "The second matrix is twice what it should be. Only the student moves: dM = J, columns of the teacher.",
            lambda omega, c, p: (_moves(_J(omega, c, p), p)[0], 2 * _J(omega, c, p)[:, p:]),
        ),
        Mistake(
            "M transposed",
            "The second matrix is transposed: rows are student units, columns teacher units.",
            lambda omega, c, p: (_moves(_J(omega, c, p), p)[0], _J(omega, c, p)[:, p:].mT),
        ),
        Mistake(
            "J itself",
            "This is J. Return two matrices: J + J^T of the first p columns, and the other columns.",
            lambda omega, c, p: _J(omega, c, p),
        ),
        Mistake(
            "wrong order",
            "The two matrices are right but the wrong way round: dQ first.",
            lambda omega, c, p: _moves(_J(omega, c, p), p)[::-1],
        ),
        Mistake(
            "no denominator in the second term",
            "The second term is not divided by 1 + Omega_jj. Tilting by u_j takes away Omega_jb Omega_ja / (1 + Omega_jj).",
            _undivided,
        ),
    ),
)
