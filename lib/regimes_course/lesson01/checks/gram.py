"""Exercise 2: the Gram matrix of a two-layer network."""

from collections.abc import Callable
from random import Random

import torch
from torch.func import jacrev

from regimes_course.kit.checking import Function, Mistake, random
from regimes_course.lesson01 import pictures

__all__ = ["TWO_LAYER_GRAM"]


def _gram_cases() -> dict[str, tuple]:
    def case(seed, n, d, m, spread):
        draw = [random(10 * seed + i, *shape) for i, shape in enumerate([(m, d), (m,), (m,), (n, d)])]
        return spread * draw[0], draw[1] - 0.5, 2 * draw[2] + 0.3, draw[3] + 0.4

    return {
        "n = 3, d = 2, m = 5": case(1, 3, 2, 5, 0.7),
        "n = 6, d = 4, m = 3": case(2, 6, 4, 3, 1.3),
        "one unit: n = 4, d = 3, m = 1": case(3, 4, 3, 1, 0.8),
    }


def _gram_by_autograd(W, b, v, X):
    """``m J J^T`` with the dense Jacobian by reverse-mode differentiation."""
    f = lambda W, b, v: torch.tanh(X @ W.mT + b) @ v / len(v)  # noqa: E731
    J = torch.cat([block.reshape(len(X), -1) for block in jacrev(f, (0, 1, 2))(W, b, v)], 1)
    return len(v) * J @ J.mT


def _gram_pieces(W, b, v, X):
    phi = torch.tanh(X @ W.mT + b)
    return phi, 1 - phi**2, X @ X.mT, len(v)


def _gram(W, b, v, X, *, product=torch.mul, one=1.0, second=1.0, first=1.0, weight=lambda v: v, power=1):
    """The closed form, with one thing at a time to get wrong."""
    phi, dphi, XX, m = _gram_pieces(W, b, v, X)
    D = dphi * weight(v)
    return (first * phi @ phi.mT + second * product(D @ D.mT, XX + one)) / m**power


def _gram_by_samples(W, b, v, X):
    K = X.new_zeros(len(X), len(X))
    for i in range(len(X)):
        for j in range(len(X)):
            p, q = torch.tanh(W @ X[i] + b), torch.tanh(W @ X[j] + b)
            K[i, j] = (p * q + v**2 * (1 - p**2) * (1 - q**2) * (X[i] @ X[j] + 1)).mean()
    return K


def _phi_for_slope(W, b, v, X):
    phi, _, XX, m = _gram_pieces(W, b, v, X)
    return (phi @ phi.mT + (phi * v) @ (phi * v).mT * (XX + 1)) / m


def _draw(rng: Random) -> tuple:
    n, d, m, seed = (rng.randint(1, 5), rng.randint(1, 4), rng.randint(1, 6), rng.randrange(10**6))
    return random(seed, m, d), random(seed + 1, m), random(seed + 2, m) + 0.2, random(seed + 3, n, d) - 0.3


def _with_slope(W, b, v, X, slope):
    phi, _, XX, m = _gram_pieces(W, b, v, X)
    D = slope(X @ W.mT + b) * v
    return (phi @ phi.mT + D @ D.mT * (XX + 1)) / m


def _hidden(by_W: Callable, by_b: Callable) -> Callable:
    """A kernel whose terms of weights and biases are products of two arrays made of ``phi'`` and ``v``."""

    def answer(W, b, v, X):
        phi, dphi, XX, m = _gram_pieces(W, b, v, X)
        (A, B), (C, D) = by_W(dphi, v), by_b(dphi, v)
        return (phi @ phi.mT + A @ B.mT * XX + C @ D.mT) / m

    return answer


def _twice(dphi, v):
    return dphi * v, dphi * v


def _once(dphi, v):
    return dphi * v, dphi


def _never(dphi, v):
    return dphi, dphi


TWO_LAYER_GRAM = Function(
    key="01/two_layer_gram",
    picture=pictures.two_layer_gram,
    reference=_gram_by_autograd,
    cases=_gram_cases,
    draw=_draw,
    praise="It agrees with the Jacobian by automatic differentiation, and no Jacobian was built.",
    rtol=1e-9,
    alternatives=(
        _gram,
        _gram_by_samples,
        lambda W, b, v, X: _gram(
            torch.cat([W, b[:, None]], 1), 0 * b, v, torch.cat([X, torch.ones_like(X[:, :1])], 1), one=0.0
        ),
    ),
    mistakes=(
        Mistake(
            "matrix product",
            "The hidden layer's term multiplies D D^T and X X^T + 1 entry by entry (*), not as matrices (@).",
            lambda W, b, v, X: _gram(W, b, v, X, product=torch.matmul),
        ),
        Mistake(
            "bias forgotten",
            "The biases are parameters too: their derivative adds 1 to every entry of X X^T.",
            lambda W, b, v, X: _gram(W, b, v, X, one=0.0),
        ),
        Mistake(
            "output weights forgotten",
            "The derivative by w_j carries the output weight v_j: D is phi'(z) times v.",
            lambda W, b, v, X: _gram(W, b, v, X, weight=lambda v: 1.0),
        ),
        Mistake(
            "output weights squared in D",
            "D carries v_j once; the square comes from D D^T.",
            lambda W, b, v, X: _gram(W, b, v, X, weight=lambda v: v**2),
        ),
        Mistake(
            "output layer only",
            "This is the term of the output layer alone: the random-feature kernel. The hidden layer's parameters move as well.",
            lambda W, b, v, X: _gram(W, b, v, X, second=0.0),
        ),
        Mistake(
            "hidden layer only",
            "This is the term of the hidden layer alone. The output weights are parameters as well: add Phi Phi^T / m.",
            lambda W, b, v, X: _gram(W, b, v, X, first=0.0),
        ),
        Mistake(
            "1/m squared",
            "This is J J^T itself, which vanishes as the network widens. The kernel K = m J J^T has a single 1/m.",
            lambda W, b, v, X: _gram(W, b, v, X, power=2),
        ),
        Mistake(
            "no 1/m",
            "The 1/m is missing: with f = (1/m) sum of v_j phi(z_j), K = m J J^T has a single 1/m.",
            lambda W, b, v, X: _gram(W, b, v, X, power=0),
        ),
        Mistake(
            "phi instead of its slope",
            "The derivative by w_j goes through the activation: it needs phi'(z) = 1 - tanh(z)^2, not phi(z).",
            _phi_for_slope,
        ),
        Mistake(
            "bias missing in z",
            "The units are computed without their biases: z = W x + b.",
            lambda W, b, v, X: _gram(W, 0 * b, v, X),
        ),
        Mistake(
            "square missing in the slope",
            "The slope is 1 - tanh(z)^2; this takes 1 - tanh(z).",
            lambda W, b, v, X: _with_slope(W, b, v, X, lambda z: 1 - torch.tanh(z)),
        ),
        Mistake(
            "square of z in the slope",
            "The slope is 1 - tanh(z)^2; this takes 1 - z^2.",
            lambda W, b, v, X: _with_slope(W, b, v, X, lambda z: 1 - z**2),
        ),
        Mistake(
            "output weights once",
            "In the hidden layer's terms v_j is not squared everywhere. Both derivatives carry it, by the weights and by the biases: v_j^2.",
            _hidden(_once, _once),
            also=[_hidden(_once, _twice), _hidden(_twice, _once), _hidden(_never, _twice), _hidden(_twice, _never)],
        ),
        Mistake(
            "identity for ones",
            "The derivative by the bias adds 1 to every entry of X X^T. This adds the identity, to the diagonal alone.",
            lambda W, b, v, X: _gram(W, b, v, X, one=torch.eye(len(X), dtype=X.dtype)),
        ),
        Mistake(
            "1/m on the output layer alone",
            "The 1/m belongs to both terms; here only that of the output layer has it.",
            lambda W, b, v, X: _gram(W, b, v, X, second=len(v)),
        ),
        Mistake(
            "1/m on the hidden layer alone",
            "The 1/m belongs to both terms; here only that of the hidden layer has it.",
            lambda W, b, v, X: _gram(W, b, v, X, first=len(v)),
        ),
    ),
)
