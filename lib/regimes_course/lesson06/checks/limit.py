"""Exercise 1: the kernel of infinite width, for ReLU."""

import math
from random import Random

import numpy as np
import torch

from regimes_course.kit.checking import Function, Mistake, Trial, random
from regimes_course.lesson06 import pictures

__all__ = ["RELU_LIMIT"]


def _cases() -> dict[str, tuple]:
    hand = (
        torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]], dtype=torch.float64),
        torch.tensor([[1.0, 0.0], [0.0, -2.0]]).double(),
    )
    X, Z = 1.4 * random(0, 4, 3) + 0.3, 0.7 * random(1, 5, 3) - 0.2
    parallel = torch.cat([3 * X[:2], -0.5 * X[1:3], Z])
    return {
        "X = [[2, 0], [0, 3], [1, 1]], Z = [[1, 0], [0, -2]]": hand,
        "4 and 5 inputs in three dimensions": (X, Z),
        "4 and 9 inputs, some of them parallel or opposite": (X, parallel),
        "18 inputs against their opposites": (_opposite(), -_opposite()),
        "6 inputs against themselves, in seven dimensions": (random(2, 6, 7) + 0.4,) * 2,
    }


def _opposite() -> torch.Tensor:
    """Inputs whose cosine with their opposites is rounded below -1: some in each of three ways to compute it."""
    X = random(3, 400, 3) * torch.linspace(0.3, 2, 400, dtype=torch.float64)[:, None]
    unit, length = X / X.norm(dim=1, keepdim=True), X.norm(dim=1)
    cosines = (X * X).sum(1) / (length * length), (unit * unit).sum(1), (X * X).sum(1) / length / length
    return torch.cat([X[cosine > 1][:6] for cosine in cosines])


def _by_integration(X, Z):
    """Expectations over the plane of two inputs, by Gauss-Legendre quadrature over the directions in which both units are active."""
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(40))
    K = X.new_zeros(len(X), len(Z))
    for i, x in enumerate(X):
        for j, z in enumerate(Z):
            a, b = x / x.norm(), z / z.norm()
            theta = 2 * torch.atan2((a - b).norm(), (a + b).norm())
            half = (math.pi - theta) / 2
            w = theta / 2 + half * nodes
            output = half * (weights * torch.cos(w) * torch.cos(w - theta)).sum() / math.pi
            K[i, j] = x.norm() * z.norm() * output + x @ z * half * weights.sum() / (2 * math.pi)
    return K


def _closed(
    X,
    Z,
    *,
    clamp=True,
    most=1.0,
    first=1.0,
    second=1.0,
    unit=True,
    lengths=True,
    angle=lambda t: math.pi - t,
    inner=True,
    twice=1,
):
    """The closed form, with one thing at a time to get wrong."""
    S = X @ Z.mT
    size = X.norm(dim=1)[:, None] * Z.norm(dim=1)
    cos = S / size if unit else S
    theta = torch.arccos(cos.clamp(-most, most) if clamp else cos)
    output = (torch.sin(theta) + angle(theta) * cos) / (2 * math.pi) * (size if lengths else 1.0)
    return twice * (first * output + second * (S if inner else 1.0) * angle(theta) / (2 * math.pi))


def _no_number(trials: list[Trial]) -> bool:
    """Whether an answer is right but for NaN at parallel or opposite inputs."""

    def right_elsewhere(trial):
        got, want = trial.got.value, trial.want.value
        if not isinstance(got, torch.Tensor) or (got.shape, got.dtype) != (want.shape, want.dtype):
            return False
        x, z = (A / A.norm(dim=1, keepdim=True) for A in trial.args)
        no_number = got.isnan() & ((x @ z.mT).abs() > 1 - 1e-12)
        if not no_number.any():
            return False
        return torch.allclose(torch.where(no_number, want, got), want, rtol=0, atol=1e-6 * want.abs().max().item())

    return not all(t.right for t in trials) and all(t.right or right_elsewhere(t) for t in trials)


def _nan_for_zero(X, Z, angle=0.0):
    """Where arccos has no value an angle of zero is put in, for opposite inputs too."""
    size = X.norm(dim=1)[:, None] * Z.norm(dim=1)
    cos = X @ Z.mT / size
    theta = torch.arccos(cos).nan_to_num(angle)
    return size * (torch.sin(theta) + 2 * (math.pi - theta) * cos) / (2 * math.pi)


def _mixed(X, Z, first=lambda t: math.pi - t, second=lambda t: math.pi - t):
    """The two parts with different angles."""
    S, size = X @ Z.mT, X.norm(dim=1)[:, None] * Z.norm(dim=1)
    cos = (S / size).clamp(-1, 1)
    theta = torch.arccos(cos)
    return (size * (torch.sin(theta) + first(theta) * cos) + S * second(theta)) / (2 * math.pi)


def _by_atan(X, Z):
    x, z = X[:, None], Z[None]
    S, size = (x * z).sum(-1), x.norm(dim=-1) * z.norm(dim=-1)
    sine = (size.square() - S.square()).clamp(min=0).sqrt()
    theta = torch.atan2(sine, S)
    return (sine + 2 * (math.pi - theta) * S) / (2 * math.pi)


def _by_loops(X, Z):
    rows = []
    for x in X.tolist():
        row = []
        for z in Z.tolist():
            s, n = sum(a * b for a, b in zip(x, z, strict=True)), math.hypot(*x) * math.hypot(*z)
            t = math.acos(max(-1.0, min(1.0, s / n)))
            row.append((n * (math.sin(t) + (math.pi - t) * math.cos(t)) + s * (math.pi - t)) / (2 * math.pi))
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


def _draw(rng: Random) -> tuple:
    n, d, seed = rng.randint(1, 4), rng.randint(2, 5), rng.randrange(10**6)
    X = random(seed, n, d) + 0.2
    return X, torch.cat([rng.uniform(-2, -0.1) * X, random(seed + 1, 2, d), rng.uniform(0.1, 2) * X])


def _wrong_at_opposites(trials: list[Trial]) -> bool:
    """Whether an answer is wrong only for opposite inputs, where it has the value of an angle of zero."""
    wrong = [t for t in trials if not t.right]
    for t in wrong:
        got, want = t.got.value, t.want.value
        if not isinstance(got, torch.Tensor) or (got.shape, got.dtype) != (want.shape, want.dtype):
            return False
        S = t.args[0] @ t.args[1].mT
        if not torch.allclose(
            torch.where(((got - S).abs() < 1e-6 * S.abs()) & (S < 0), want, got), want, rtol=0, atol=1e-6 * S.abs().max()
        ):
            return False
    return bool(wrong)


def _near_at_parallels(trials: list[Trial]) -> bool:
    """Whether an answer is right elsewhere, and there within a hundredth of the largest entry."""

    def near(t: Trial) -> bool:
        got, want = t.got.value, t.want.value
        if not isinstance(got, torch.Tensor) or (got.shape, got.dtype) != (want.shape, want.dtype):
            return False
        x, z = (A / A.norm(dim=1, keepdim=True) for A in t.args)
        off, size = (got - want).abs(), want.abs().max()
        return bool((off <= torch.where((x @ z.mT).abs() > 1 - 1e-12, 1e-2, 1e-6) * size).all())

    return all(t.right or near(t) for t in trials)


RELU_LIMIT = Function(
    key="06/relu_limit",
    picture=pictures.relu_limit,
    reference=_by_integration,
    cases=_cases,
    draw=_draw,
    praise="It agrees with the expectation by numerical integration: inputs of any length, parallel and opposite ones.",
    rtol=1e-6,
    alternatives=(_closed, _by_atan, _by_loops),
    mistakes=(
        Mistake(
            "not clamped",
            "There is a NaN: rounding makes the cosine of parallel inputs larger than one, and that of opposite ones smaller than minus one. arccos has no "
            "value there: clamp it to [-1, 1] first.",
            lambda X, Z: _closed(X, Z, clamp=False),
            _no_number,
        ),
        Mistake(
            "output layer only",
            "This is the output layer's part alone, the kernel of random features. The hidden weights move as well: add their part.",
            lambda X, Z: _closed(X, Z, second=0.0),
        ),
        Mistake(
            "hidden layer only",
            "This is the hidden layer's part alone. The output weights move as well: add the expectation of the product of the features.",
            lambda X, Z: _closed(X, Z, first=0.0),
        ),
        Mistake(
            "inner product forgotten",
            "The derivative by w_j is v_j phi'(w_j x) x: the expectation of the slopes is multiplied by the inner product x z.",
            lambda X, Z: _closed(X, Z, inner=False),
        ),
        Mistake(
            "cosine for the inner product",
            "The hidden layer's part takes the cosine for the inner product x z: it lacks the lengths of the inputs.",
            lambda X, Z: (
                _closed(X, Z, second=0.0) + _closed(X / X.norm(dim=1, keepdim=True), Z / Z.norm(dim=1, keepdim=True), first=0.0)
            ),
        ),
        Mistake(
            "lengths forgotten",
            "The output layer's part lacks the lengths: ReLU is homogeneous, so that it is multiplied by |x| |z|.",
            lambda X, Z: _closed(X, Z, lengths=False),
        ),
        Mistake(
            "unit inputs assumed",
            "This takes the inner product for the cosine of the angle, which is right only for inputs of length one: divide by |x| |z|.",
            lambda X, Z: _closed(X, Z, unit=False),
        ),
        Mistake(
            "angle for its complement",
            "This has theta where pi - theta belongs: the share of units that are active on both inputs is (pi - theta) / 2 pi, a half for parallel inputs.",
            lambda X, Z: _closed(X, Z, angle=lambda t: t),
        ),
        Mistake(
            "twice as large",
            "This is twice the kernel: a unit is active on half of all directions, and K(x, x) = |x|^2 in the end. Divide by 2 pi, not by pi.",
            lambda X, Z: _closed(X, Z, twice=2),
        ),
        Mistake(
            "slopes taken as independent",
            "This takes the two slopes as independent, a half each. They share the weights: both are one with probability (pi - theta) / 2 pi.",
            lambda X, Z: _closed(X, Z, second=0.0) + X @ Z.mT / 4,
        ),
        Mistake(
            "zero for NaN",
            "NaN is replaced by an angle of zero. For opposite inputs, whose cosine is rounded below -1, the angle is pi: clamp the cosine to [-1, 1].",
            _nan_for_zero,
            _wrong_at_opposites,
        ),
        Mistake(
            "clamped too far",
            "All is right but for parallel and opposite inputs, and there it is only near. Is the cosine clamped to a little less than [-1, 1]? The angle changes as the root of "
            "that: 1e-6 less is an angle of 0.0014. Clamp to [-1, 1] itself.",
            lambda X, Z: _closed(X, Z, most=1 - 1e-6),
            _near_at_parallels,
        ),
        Mistake(
            "unit inputs",
            "This is the kernel of the inputs divided by their lengths. It is multiplied by |x| |z|.",
            lambda X, Z: _closed(X / X.norm(dim=1, keepdim=True), Z / Z.norm(dim=1, keepdim=True)),
        ),
        Mistake(
            "angle for its complement once",
            "In one of the two parts theta stands where pi - theta belongs.",
            lambda X, Z: _mixed(X, Z, first=lambda t: t),
        ),
        Mistake(
            "hidden layer twice",
            "The hidden layer's part is twice what it should be: both slopes are one on a share (pi - theta) / 2 pi of the directions.",
            lambda X, Z: _mixed(X, Z, second=lambda t: 2 * (math.pi - t)),
        ),
    ),
)
