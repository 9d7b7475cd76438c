"""Exercise 2: what a network says at new inputs, without training it."""

from random import Random

import torch

from regimes_course.kit.checking import Function, Mistake, random
from regimes_course.lesson06 import pictures

__all__ = ["PREDICT"]


def _cases() -> dict[str, tuple]:
    def case(seed, n, new, t, spread=1.0):
        A, B = random(seed, n, n + 4) + 0.3, random(seed + 1, new, n + 4) + 0.3
        return spread * A @ A.mT / n, spread * B @ A.mT / n, 2 * random(seed + 2, n) - 0.6, random(seed + 3, new) + 0.4, t

    one = torch.tensor([[2.0]], dtype=torch.float64)
    hand = one, one / 4, torch.tensor([-3.0]).double(), torch.tensor([1.0]).double(), 0.5
    return {
        "one sample: K = [[2]], K_new = [[0.5]], r0 = [-3], f_new = [1], t = 0.5": hand,
        "4 samples, 3 new inputs, t = 0.7": case(0, 4, 3, 0.7),
        "3 samples, 6 new inputs, t = 2.5, small eigenvalues": case(10, 3, 6, 2.5, 0.4),
        "5 samples, 2 new inputs, late": case(20, 5, 2, 30.0),
    }


def _by_flow(K, K_new, r0, f_new, t):
    """The linear flow of residual and new outputs together, by the exponential of one matrix."""
    n, new = len(r0), len(f_new)
    A = K.new_zeros(n + new, n + new)
    A[:n, :n], A[n:, :n] = -K / n, -K_new / n
    return (torch.linalg.matrix_exp(A * t) @ torch.cat([r0, f_new]))[n:]


def _eigen(K, K_new, r0, f_new, t, *, weight=None, samples=None, rate=1.0, sign=-1.0, start=True):
    """By eigenvectors, with one thing at a time to get wrong; ``weight`` is a function of rate times time, and of the eigenvalues."""
    weight = weight or (lambda s, lam: -torch.expm1(-s) / lam)
    lam, Q = torch.linalg.eigh(K)
    s = rate * lam * t / (samples or (lambda r0, f_new: len(r0)))(r0, f_new)
    return start * f_new + sign * K_new @ (Q @ (weight(s, lam) * (Q.mT @ r0)))


def _by_solve(K, K_new, r0, f_new, t):
    gone = r0 - torch.linalg.matrix_exp(-K * t / len(r0)) @ r0
    return f_new - K_new @ torch.linalg.solve(K, gone)


def _by_entries(K, K_new, r0, f_new, t):
    n = len(r0)
    return f_new - K_new @ torch.linalg.solve(K, (torch.eye(n, dtype=K.dtype) - torch.exp(-K * t / n)) @ r0)


def _draw(rng: Random) -> tuple:
    n, new, seed = rng.randint(1, 5), rng.randint(1, 5), rng.randrange(10**6)
    A, B = random(seed, n, n + 4) + 0.3, random(seed + 1, new, n + 4)
    return A @ A.mT / n, B @ A.mT / n, random(seed + 2, n) - 0.6, random(seed + 3, new) + 0.4, 10 ** rng.uniform(-2, 1.5)


def _ones(K, K_new, r0, f_new, t):
    return f_new - K_new @ torch.linalg.solve(K, (1 - torch.linalg.matrix_exp(-K * t / len(r0))) @ r0)


def _in_another_basis(K, K_new, r0, f_new, t):
    """The eigenvectors transposed."""
    lam, Q = torch.linalg.eigh(K)
    return f_new - K_new @ (Q.mT @ (-torch.expm1(-lam * t / len(r0)) / lam * (Q @ r0)))


PREDICT = Function(
    key="06/predict",
    picture=pictures.predict,
    reference=_by_flow,
    cases=_cases,
    draw=_draw,
    praise="It agrees with following the flow of residual and outputs together: a network predicted before it is trained.",
    alternatives=(_eigen, _by_solve, lambda *args: _by_flow(*args).clone()),
    mistakes=(
        Mistake(
            "wrong sign",
            "The outputs go the wrong way: residuals are f - y, and the outputs move against them.",
            lambda *args: _eigen(*args, sign=1.0),
        ),
        Mistake(
            "no 1/n",
            "The loss is a mean over the samples, so the flow is -K r / n: the time is divided by n.",
            lambda *args: _eigen(*args, samples=lambda r0, f_new: 1),
        ),
        Mistake(
            "new inputs counted",
            "This divides by the number of new inputs. The n of the loss counts the training samples.",
            lambda *args: _eigen(*args, samples=lambda r0, f_new: len(f_new)),
        ),
        Mistake(
            "end of training",
            "This is the end of training, t = infinity: kernel regression. At the time t only 1 - e^(-lambda t/n) of each mode has been learned.",
            lambda *args: _eigen(*args, weight=lambda s, lam: 1 / lam),
        ),
        Mistake(
            "start forgotten",
            "This is how far the outputs have moved. Add where they were, f_new.",
            lambda *args: _eigen(*args, start=False),
        ),
        Mistake(
            "inverse forgotten",
            "K^-1 is missing: integrate e^(-K t/n) over time, and 1/n times the integral is K^-1 (1 - e^(-K t/n)).",
            lambda *args: _eigen(*args, weight=lambda s, lam: -torch.expm1(-s)),
        ),
        Mistake(
            "entry by entry",
            "This takes the exponential of each entry of the matrix. The exponential of a matrix is torch.linalg.matrix_exp, or use eigenvectors.",
            _by_entries,
        ),
        Mistake(
            "one long step",
            "This is one step of gradient descent as long as t. It is right only as long as nothing has been learned: the residual shrinks on the way.",
            lambda *args: _eigen(*args, weight=lambda s, lam: s / lam),
        ),
        Mistake(
            "what is left",
            "This uses what is left of each mode, e^(-lambda t/n). What moved the outputs is what has been learned, one minus that.",
            lambda *args: _eigen(*args, weight=lambda s, lam: torch.exp(-s) / lam),
        ),
        Mistake(
            "rate of the loss",
            "This decays at twice the rate, as the loss does. The residual decays as e^(-lambda t/n).",
            lambda *args: _eigen(*args, rate=2.0),
        ),
        Mistake(
            "divided by n once more",
            "This is divided by n once too often: the n of K/n and that of the time cancel in K^-1.",
            lambda *args: _eigen(*args, sign=-1 / len(args[2])),
        ),
        Mistake(
            "multiplied by n",
            "This is n times too large: the n of K/n and that of the time cancel in K^-1.",
            lambda *args: _eigen(*args, sign=-float(len(args[2]))),
        ),
        Mistake(
            "one in every entry",
            "This takes 1 - exp(-K t/n) with a one in every entry. One is the identity matrix: torch.eye.",
            _ones,
        ),
        Mistake(
            "growing",
            "The residual grows here, as e^(+K t/n). It decays: the exponent is -K t/n.",
            lambda *args: _eigen(*args, weight=lambda s, lam: -torch.expm1(s) / lam),
        ),
        Mistake(
            "half the rate",
            "This decays at half the rate. The half of the loss cancels the 2 of its derivative.",
            lambda *args: _eigen(*args, rate=0.5),
        ),
        Mistake(
            "one sample alone is right",
            "One sample and one new input are right, and more of them are not. Is a product of matrices in another order, one transposed, or something taken entry by entry or "
            "divided by a number of inputs?",
            _in_another_basis,
            lambda trials: [t.right for t in trials] == [True] + [False] * (len(trials) - 1),
        ),
    ),
)
