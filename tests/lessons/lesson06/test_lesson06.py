"""Slips and solutions that the exercises of lesson 06 do not list: rejected and accepted all the same."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.special import comb

from regimes.networks import TwoLayer
from regimes.theory import lazy
from regimes_course.exercises import check
from regimes_course.lesson06.checks.count import SAMPLES_NEEDED
from regimes_course.lesson06.checks.limit import RELU_LIMIT
from regimes_course.lesson06.checks.predict import PREDICT


def limit(
    angle=lambda cos: torch.arccos(cos.clamp(-1, 1)),
    change=lambda K, X, Z: K,
    output=lambda t: t.sin() + (math.pi - t) * t.cos(),
):
    def answer(X, Z):
        S, size = X @ Z.T, torch.outer(X.norm(dim=1), Z.norm(dim=1))
        theta = angle(S / size)
        return change((size * output(theta) + S * (math.pi - theta)) / (2 * math.pi), X, Z)

    return answer


def by_cosine_similarity(X, Z):
    cos = torch.nn.functional.cosine_similarity(X[:, None], Z[None], dim=-1).clamp(-1, 1)
    theta = cos.arccos()
    return X.norm(dim=1)[:, None] * Z.norm(dim=1) * (theta.sin() + 2 * (math.pi - theta) * cos) / 2 / math.pi


def in_numpy(X, Z):
    S, size = X.numpy() @ Z.numpy().T, np.outer(X.norm(dim=1), Z.norm(dim=1))
    theta = np.arccos(np.clip(S / size, -1, 1))
    return torch.from_numpy((size * np.sin(theta) + 2 * S * (np.pi - theta)) / (2 * np.pi))


def by_sampling(X, Z):
    w = torch.randn(100_000, X.shape[1], generator=torch.Generator().manual_seed(0), dtype=X.dtype)
    u, v = X @ w.T, Z @ w.T
    return (u.clamp(min=0) @ v.clamp(min=0).T + X @ Z.T * ((u > 0).double() @ (v > 0).double().T)) / len(w)


def predicted(weight, n=lambda r0: len(r0)):
    def answer(K, K_new, r0, f_new, t):
        lam, Q = torch.linalg.eigh(K)
        return f_new - K_new @ Q @ (weight(lam, t / n(r0)) * (Q.T @ r0))

    return answer


def learned(lam, s):
    return (1 - torch.exp(-lam * s)) / lam


def by_scipy(K, K_new, r0, f_new, t):
    n, A = len(r0), torch.cat([K, K_new]).numpy() / len(r0)
    start = torch.cat([r0, f_new]).numpy()
    end = solve_ivp(lambda _, s: -A @ s[:n], (0, t), start, rtol=1e-11, atol=1e-13, method="DOP853").y[:, -1]
    return torch.from_numpy(end[n:])


def by_small_steps(K, K_new, r0, f_new, t):
    r, f, h = r0.clone(), f_new.clone(), t / 2000
    for _ in range(2000):
        r, f = r - h * K @ r / len(r0), f - h * K_new @ r / len(r0)
    return f


def loss(value):
    return lambda net, start, x, y, alpha: value(net(x), start(x), y, alpha)


def dial(f, f0, y, alpha):
    return (alpha * (f - f0) - y).square().mean() / 2 / alpha**2


def with_frozen_start(net, start, x, y, alpha):
    return dial(net(x), start(x).detach(), y, alpha)


def one_by_one(net, start, x, y, alpha):
    total = 0
    for i in range(len(y)):
        total = total + (net(x[i : i + 1])[0] - start(x[i : i + 1])[0] - y[i] / alpha) ** 2
    return total / (2 * len(y))


def scales_weights(net, start, x, y, alpha):
    net.v.data *= alpha
    return (net(x) - start(x) - y).square().mean() / 2 / alpha**2


# What is wrong, the mistake it is recognised as (None: the general diagnosis), the answer.
WRONG = {
    "relu_limit": [
        ("arccos alone", "not clamped", limit(angle=torch.arccos)),
        ("clamped to half a turn", None, limit(angle=lambda cos: torch.arccos(cos.clamp(0, 1)))),
        ("arcsin", None, limit(angle=lambda cos: torch.arcsin(cos.clamp(-1, 1)))),
        ("degrees", None, limit(angle=lambda cos: torch.rad2deg(torch.arccos(cos.clamp(-1, 1))))),
        ("normalised by d", None, limit(change=lambda K, X, Z: K / X.shape[1])),
        ("minus", None, limit(output=lambda t: t.sin() - (math.pi - t) * t.cos())),
        ("theta in the features", "angle for its complement once", limit(output=lambda t: t.sin() + t * t.cos())),
        ("of X alone", None, lambda X, Z: limit()(X, X)),
        ("erf", None, lazy.erf_kernel),
        ("sampled", None, by_sampling),
        ("lengths squared", None, limit(change=lambda K, X, Z: K * torch.outer(X.norm(dim=1), Z.norm(dim=1)))),
    ],
    "predict": [
        ("the residual's end", None, lambda K, K_new, r0, f_new, t: torch.linalg.matrix_exp(-K * t / len(r0)) @ r0),
        ("time squared", None, predicted(lambda lam, s: learned(lam, s * s))),
        ("discrete", None, predicted(lambda lam, s: (1 - (1 - lam * s / 10) ** 10) / lam)),
        ("by few steps", None, by_small_steps),
        ("no exponential", None, predicted(lambda lam, s: lam * s / (1 + lam * s) / lam)),
        ("kernel twice", None, predicted(lambda lam, s: learned(lam, s) * lam**2)),
        ("inverse squared", None, predicted(lambda lam, s: learned(lam, s) / lam)),
        ("labels for residuals", None, lambda K, K_new, r0, f_new, t: predicted(learned)(K, K_new, r0 + 1, f_new, t)),
        ("half the time", "half the rate", predicted(learned, n=lambda r0: 2 * len(r0))),
        (
            "transposed",
            "one sample alone is right",
            lambda K, K_new, r0, f_new, t: predicted(learned)(K, K_new.T, r0, f_new, t),
        ),
        ("the start alone", None, lambda K, K_new, r0, f_new, t: f_new.clone()),
    ],
    "samples_needed": [
        ("pairs", None, lambda d, k: d * (d - 1) // 2),
        ("d k", None, lambda d, k: d * k),
        ("divided by (d - k)!", None, lambda d, k: math.factorial(d) // math.factorial(d - k)),
        ("no factor d!", None, lambda d, k: 1 / (math.factorial(k) * math.factorial(d - k))),
        ("blind to three only", None, lambda d, k: math.inf if k == 3 else math.comb(d, k)),
        ("blind to even", "even for odd", lambda d, k: math.comb(d, k) if k % 2 else math.inf),
        ("all odd", "one sign refused", lambda d, k: math.inf if k % 2 else math.comb(d, k)),
        ("a large number", None, lambda d, k: 10**9 if k % 2 and k > 1 else math.comb(d, k)),
        ("none", None, lambda d, k: None if k % 2 and k > 1 else math.comb(d, k)),
        ("minus infinity", None, lambda d, k: -math.inf if k % 2 and k > 1 else math.comb(d, k)),
        ("one of them is in", None, lambda d, k: math.inf if k % 2 and k > 1 else math.comb(d - 1, k - 1)),
        ("rounded", None, lambda d, k: math.inf if k % 2 and k > 1 else round(d**k / math.factorial(k))),
        ("a bool", None, lambda d, k: k % 2 == 0),
    ],
    "scaled_loss": [
        ("plain", None, loss(lambda f, f0, y, alpha: (f - y).square().mean() / 2)),
        ("nothing scaled", None, loss(lambda f, f0, y, alpha: (f - f0 - y).square().mean() / 2 * alpha)),
        ("divided inside", None, loss(lambda f, f0, y, alpha: ((f - f0) / alpha - y).square().mean() / 2 * alpha**2)),
        ("absolute", None, loss(lambda f, f0, y, alpha: (alpha * (f - f0) - y).abs().mean() / 2 / alpha**2)),
        ("alpha squared above", None, loss(lambda f, f0, y, alpha: dial(f, f0, y, alpha) * alpha**4)),
        ("sum and no half", None, loss(lambda f, f0, y, alpha: dial(f, f0, y, alpha) * 2 * len(y))),
        ("added", None, loss(lambda f, f0, y, alpha: dial(f, -f0, y, alpha))),
        ("plus labels", "one sign for both", loss(lambda f, f0, y, alpha: dial(f, f0, -y, alpha))),
        ("not averaged", "no tensor", loss(lambda f, f0, y, alpha: (alpha * (f - f0) - y).square() / 2 / alpha**2)),
        ("a number", "no tensor", loss(lambda f, f0, y, alpha: float(dial(f, f0, y, alpha).detach()))),
        ("the network detached", "detached", loss(lambda f, f0, y, alpha: dial(f.detach(), f0, y, alpha))),
        ("half the gradient", None, loss(lambda f, f0, y, alpha: (dial(f, f0, y, alpha) + dial(f, f0, y, alpha).detach()) / 2)),
        ("the weights scaled", "changes a network", scales_weights),
        ("columns", "every output against every label", loss(lambda f, f0, y, alpha: dial(f, f0, y[:, None], alpha))),
        ("nothing subtracted", "start not taken out", loss(lambda f, f0, y, alpha: dial(f, 0, y, alpha))),
    ],
}
RIGHT = {
    "relu_limit": {
        "cosine similarity": by_cosine_similarity,
        "numpy": in_numpy,
        "library": lazy.relu_kernel,
        "closed": limit(),
    },
    "predict": {
        "scipy": by_scipy,
        "eigenvalues": predicted(learned),
        "expm1": predicted(lambda lam, s: -torch.expm1(-lam * s) / lam),
        "library": lambda K, K_new, r0, f_new, t: f_new + lazy.flow_prediction(K, K_new, r0, t),
    },
    "samples_needed": {
        "SciPy's": lambda d, k: int(comb(d, k, exact=True)) if k == 1 or k % 2 == 0 else np.inf,
        "float infinity": lambda d, k: float("inf") if k in range(3, d + 1, 2) else math.comb(d, d - k),
        "gamma functions": lambda d, k: (
            math.inf
            if k % 2 and k > 1
            else round(math.exp(math.lgamma(d + 1) - math.lgamma(k + 1) - math.lgamma(d - k + 1)))
            if math.comb(d, k) < 1e9
            else math.comb(d, k)
        ),
    },
    "scaled_loss": {
        "start not detached": loss(dial),
        "start detached": with_frozen_start,
        "sample by sample": one_by_one,
        "one axis": loss(lambda f, f0, y, alpha: dial(f, f0, y, alpha)[None]),
    },
}


def test_some_cosine_is_above_one_by_rounding_however_it_is_computed():
    """Else an answer without the clamp would pass."""
    ratios, units = [], []
    for X, Z in RELU_LIMIT.cases().values():
        ratios.append((X @ Z.T / torch.outer(X.norm(dim=1), Z.norm(dim=1))).abs().max())
        units.append(((X / X.norm(dim=1, keepdim=True)) @ (Z / Z.norm(dim=1, keepdim=True)).T).abs().max())
    assert max(ratios) > 1 and max(units) > 1


def test_entries_that_are_no_numbers_are_said_to_be_so():
    said = check("06/relu_limit", limit(angle=lambda cos: torch.arccos(cos * (1 + 1e-15)))).diagnosis
    assert "NaN" in said


def test_the_hand_calculations_of_the_hints():
    K, K_new, r0, f_new, t = next(iter(PREDICT.cases().values()))
    assert PREDICT.reference(K, K_new, r0, f_new, t).item() == pytest.approx(1 + 0.75 * (1 - math.exp(-1)))
    x = torch.eye(2, dtype=torch.float64)
    assert RELU_LIMIT.reference(x, x)[0].tolist() == pytest.approx([1, 0.159], abs=5e-4)
    assert RELU_LIMIT.reference(x, -x)[0, 0].item() == pytest.approx(0, abs=1e-8)


def test_the_library_has_the_exercises():
    X, Z = list(RELU_LIMIT.cases().values())[2]
    torch.testing.assert_close(lazy.relu_kernel(X, Z), RELU_LIMIT.reference(X, Z), rtol=0, atol=1e-6)
    assert isinstance(TwoLayer(2, 3), torch.nn.Module)


@pytest.mark.parametrize("d, k", [(6, 1), (6, 2), (6, 3), (6, 4), (5, 5)])
def test_the_kernels_weights_are_those_that_the_exercise_says(d, k):
    """All inputs listed: products of k signs are eigenvectors with one eigenvalue, zero where no number of samples will do."""
    signs = torch.cartesian_prod(*d * [torch.tensor([-1.0, 1.0])]).double()
    K = lazy.relu_kernel(signs / d**0.5) / len(signs)
    products = torch.stack([signs[:, list(chosen)].prod(1) for chosen in combinations(range(d), k)])
    weights = (products @ K * products).mean(1)
    torch.testing.assert_close(products @ K, weights[:, None] * products, rtol=0, atol=1e-9)
    assert weights.max() - weights.min() < 1e-9
    needed = SAMPLES_NEEDED.reference(d, k)
    assert needed == len(products) if weights[0] > 1e-6 else needed == math.inf
