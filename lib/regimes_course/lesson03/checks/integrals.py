"""Exercise 3: two Gaussian integrals."""

import math
from random import Random

import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor

from regimes_course.kit.checking import Function, Mistake, random
from regimes_course.lesson03 import pictures

__all__ = ["I2_I3"]


def _covariances(seed: int, n: int) -> Tensor:
    """``n`` covariances of three fields, none of them of variance one: ``(n, 3, 3)``."""
    A = 0.35 * random(seed, n, 3, 4)
    return A @ A.mT + 0.1 * torch.diag(torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64))


def _cases() -> dict[str, tuple]:
    independent = torch.diag(torch.tensor([0.4, 0.7, 0.2], dtype=torch.float64))
    one = torch.tensor([[[0.5, 0.3, 0.2], [0.3, 0.8, -0.1], [0.2, -0.1, 0.4]]], dtype=torch.float64)
    same = torch.tensor([[0.5, 0.2, 0.5], [0.2, 0.6, 0.2], [0.5, 0.2, 0.5]], dtype=torch.float64)
    return {
        "C = [[0.5, 0.3, 0.2], [0.3, 0.8, -0.1], [0.2, -0.1, 0.4]]": (one,),
        "five random covariances": (_covariances(1, 5),),
        "independent fields, and fields of which the first and the third are one": (torch.stack([independent, same]),),
    }


def _quadrature(C: Tensor) -> tuple[Tensor, Tensor]:
    """Both expectations by a product of three Gauss-Hermite rules with 30 nodes each."""
    z, w = (torch.from_numpy(a) for a in hermegauss(30))
    nodes, weights = torch.cartesian_prod(z, z, z), torch.cartesian_prod(w, w, w).prod(-1) / (2 * math.pi) ** 1.5
    lam, V = torch.linalg.eigh(C)
    u = nodes @ (V * lam.clamp(min=0).sqrt()[:, None, :]).mT
    g, slope = torch.erf(u / math.sqrt(2)), math.sqrt(2 / math.pi) * torch.exp(-u * u / 2)
    return (g[..., 0] * g[..., 1]) @ weights, (slope[..., 0] * u[..., 1] * g[..., 2]) @ weights


def _entries(C: Tensor) -> tuple[Tensor, ...]:
    return C[:, 0, 0], C[:, 1, 1], C[:, 2, 2], C[:, 0, 1], C[:, 0, 2], C[:, 1, 2]


def _i2(C: Tensor, one: float = 1.0, factor: float = 1.0) -> Tensor:
    a, b, _, ab, _, _ = _entries(C)
    return 2 / math.pi * torch.asin(factor * ab / ((one + factor * a) * (one + factor * b)).sqrt())


def _i3(C: Tensor, one: float = 1.0, sign: float = 1.0) -> Tensor:
    a, _, c, ab, ac, bc = _entries(C)
    return 2 / math.pi * (bc * (one + a) - sign * ab * ac) / ((one + a) * ((one + a) * (one + c) - ac**2).sqrt())


def _closed(C):
    return _i2(C), _i3(C)


def _tilted(C):
    """By tilting: the mass that is lost, then Stein's lemma under the tilted covariance."""
    own = 1 + C[:, 0, 0]
    tilted = C - C[:, :, :1] @ C[:, :1, :] / own[:, None, None]
    stein = tilted[:, 1, 2] * math.sqrt(2 / math.pi) / (1 + tilted[:, 2, 2]).sqrt()
    return _i2(C), math.sqrt(2 / math.pi) * own**-0.5 * stein


def _one_by_one(C):
    """Through lists of plain numbers."""
    pairs = [tuple(v.item() for v in _tilted(one[None])) for one in C]
    return tuple(torch.tensor(column, dtype=C.dtype) for column in zip(*pairs, strict=True))


def _untilted(C):
    a, _, c, _, _, bc = _entries(C)
    return _i2(C), 2 / math.pi * bc / ((1 + a) * (1 + c)).sqrt()


def _wrong_root(C):
    a, b, _, ab, ac, bc = _entries(C)
    return _i2(C), 2 / math.pi * (bc * (1 + a) - ab * ac) / ((1 + a) * ((1 + a) * (1 + b) - ab**2).sqrt())


def _relu(C):
    a, b, _, ab, _, _ = _entries(C)
    angle = torch.acos((ab / (a * b).sqrt()).clamp(-1, 1))
    return (a * b).sqrt() / (2 * math.pi) * (angle.sin() + (math.pi - angle) * angle.cos()), _i3(C)


def _slopes(C):
    a, b, _, ab, _, _ = _entries(C)
    return 2 / math.pi / ((1 + a) * (1 + b) - ab**2).sqrt(), _i3(C)


def _draw(rng: Random) -> tuple:
    return (0.6 * _covariances(rng.randrange(10**6), rng.randint(1, 4)),)


def _c33_untilted(C):
    a, _, c, ab, ac, bc = _entries(C)
    return _i2(C), 2 / math.pi * (bc - ab * ac / (1 + a)) / ((1 + a) * (1 + c)).sqrt()


def _c23_untilted(C):
    a, _, c, _, ac, bc = _entries(C)
    return _i2(C), 2 / math.pi * bc / ((1 + a) * (1 + c) - ac**2).sqrt()


I2_I3 = Function(
    key="03/i2_i3",
    picture=pictures.i2_i3,
    reference=_quadrature,
    cases=_cases,
    draw=_draw,
    praise="It agrees with 30-node Gauss-Hermite quadrature, also where two of the fields are one.",
    alternatives=(_closed, _tilted, _one_by_one),
    mistakes=(
        Mistake(
            "ReLU",
            "The first value is the kernel of ReLU units, with an arc cosine. For erf units it is an arc sine.",
            _relu,
        ),
        Mistake(
            "no one",
            "This has the variances C11, C22, C33 where 1 + C11, 1 + C22, 1 + C33 belong: the one comes from the exponential "
            "e^(-u^2/2) of the unit.",
            lambda C: (_i2(C, one=0.0), _i3(C, one=0.0)),
        ),
        Mistake(
            "no one in I2",
            "The first value is (2/pi) asin of the correlation of u1 and u2. The variances under the root are 1 + C11 and 1 + C22.",
            lambda C: (_i2(C, one=0.0), _i3(C)),
        ),
        Mistake(
            "erf without the root of 2",
            "The first value is that of erf(u). The unit is erf(u / sqrt 2), whose argument is shorter.",
            lambda C: (_i2(C, factor=2.0), _i3(C)),
        ),
        Mistake(
            "slopes",
            "The first value is E[g'(u1) g'(u2)]. Wanted is E[g(u1) g(u2)].",
            _slopes,
        ),
        Mistake(
            "no 2/pi",
            "Both values are right but for a factor 2/pi.",
            lambda C: tuple(math.pi / 2 * v for v in _closed(C)),
        ),
        Mistake(
            "not tilted",
            "The second value uses the covariances of u1, u2, u3 as they are. The factor g'(u1) is an exponential of u1^2: it tilts the "
            "measure, and Stein's lemma holds with the tilted covariances.",
            _untilted,
        ),
        Mistake(
            "no lost mass",
            "The second value is the expectation under the tilted measure alone. Tilting loses mass: a factor (1 + C11)^(-1/2).",
            lambda C: (_i2(C), _i3(C) * (1 + C[:, 0, 0]).sqrt()),
        ),
        Mistake(
            "mass lost too often",
            "The second value is too small by sqrt(1 + C11): the mass that tilting loses enters once, with the power -1/2.",
            lambda C: (_i2(C), _i3(C) / (1 + C[:, 0, 0]).sqrt()),
        ),
        Mistake(
            "one slope's constant",
            "The second value lacks a factor sqrt(2/pi): there are two, one from g'(u1), one from the g' that Stein's lemma makes of g(u3).",
            lambda C: (_i2(C), _i3(C) * math.sqrt(math.pi / 2)),
        ),
        Mistake(
            "C22 in the root",
            "The root of the second value has C22 and C12 in it, as for E[g'(u1) g(u2) u3]. The unit is around u3, not around u2: the root belongs "
            "to u1 and u3, (1 + C11)(1 + C33) - C13^2.",
            _wrong_root,
        ),
        Mistake(
            "plus",
            "The second value adds C12 C13 to C23 (1 + C11). Tilting takes away what u2 and u3 share through u1: minus.",
            lambda C: (_i2(C), _i3(C, sign=-1.0)),
        ),
        Mistake(
            "u1 and u3 exchanged",
            "The second value is E[g(u1) u2 g'(u3)]: the slope is that of u1.",
            lambda C: (_i2(C), _i3(C[:, [2, 1, 0]][:, :, [2, 1, 0]])),
        ),
        Mistake(
            "wrong order",
            "The two values are right but the wrong way round: I2 first.",
            lambda C: _closed(C)[::-1],
        ),
        Mistake(
            "C33 not tilted",
            "In the second value C23 is tilted and C33 is not. Tilting by u1 changes both: the root has (1 + C11)(1 + C33) - C13^2.",
            _c33_untilted,
        ),
        Mistake(
            "C23 not tilted",
            "In the second value C33 is tilted and C23 is not. Tilting by u1 takes C12 C13 / (1 + C11) away from C23.",
            _c23_untilted,
        ),
        Mistake(
            "arc sine missing",
            "The first value lacks its arc sine: it is (2/pi) asin of the correlation.",
            lambda C: (torch.sin(_i2(C) * math.pi / 2) * 2 / math.pi, _i3(C)),
        ),
    ),
)
