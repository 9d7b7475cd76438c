"""Exercise 5: the Gauss-Newton step of a two-layer linear network, by one Sylvester equation."""

from collections.abc import Callable
from random import Random

import torch
from scipy.linalg import solve_sylvester
from torch import Tensor

from regimes_course.kit.checking import Function, Mistake, random
from regimes_course.lesson04 import pictures

__all__ = ["GN_STEP"]

F64 = torch.float64
HALF = (
    "Each layer solves for itself here and takes half of its step. That is right only where both weigh the same: a mode of the "
    "residual is shared as b to a between U1 and V, which is what a + b in the denominator does."
)
WHOLE = (
    "Both layers make the whole correction here, as if the other one stood still: together they go twice as far as they should."
)


def _orthogonal(seed: int, rows: int, m: int) -> Tensor:
    """Rows of length one at right angles to each other."""
    return torch.linalg.qr(random(seed, m, rows))[0].T


def _rows(A: Tensor, count: int) -> Tensor:
    """The first rows only, zeros below: the Gram matrix is singular to the last bit."""
    return torch.cat([A[:count], torch.zeros_like(A[count:])])


def _cases() -> dict[str, tuple]:
    hand = torch.tensor([[1.0, 0.0, 0.0]], dtype=F64), torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]], dtype=F64)
    both = _orthogonal(0, 7, 9)
    return {
        "U1 = [[1, 0, 0]], V = [[1, 0, 0], [0, 2, 0]], target [[3, 5]]": (*hand, torch.tensor([[3.0, 5.0]], dtype=F64)),
        "r = 4, q = 2, m = 6": (random(1, 4, 6), random(2, 2, 6), random(3, 4, 2) + 1),
        "r = 2, q = 5, m = 7, with U1 ten times as large as V": (
            3 * random(4, 2, 7),
            0.3 * random(5, 5, 7),
            random(6, 2, 5) - 1,
        ),
        "an orthogonal start, |u| = 0.2 and |v| = 1.5": (0.2 * both[:5], 1.5 * both[5:], random(7, 5, 2)),
        "r = 5, q = 2, m = 3, two rows of U1 zero": (_rows(random(8, 5, 3), 3), random(9, 2, 3), random(10, 5, 2) + 0.5),
        "r = 2, q = 4, m = 3, a row of V zero": (0.4 * random(11, 2, 3), _rows(random(12, 4, 3), 3), 2 * random(13, 2, 4)),
    }


def _by_jacobian(U1: Tensor, V: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The shortest change of all the parameters that solves the linearised equations: the dense Jacobian and its pseudo-inverse."""
    r, q = target.shape
    I_r, I_q = torch.eye(r, dtype=F64), torch.eye(q, dtype=F64)
    by_U1 = torch.einsum("ik,jl->ijkl", I_r, V).reshape(r * q, -1)  # d (U1 V^T)_ij / d U1_kl
    by_V = torch.einsum("jk,il->ijkl", I_q, U1).reshape(r * q, -1)
    delta = torch.linalg.pinv(torch.cat([by_U1, by_V], 1)) @ (target - U1 @ V.T).reshape(-1)
    return delta[: U1.numel()].reshape(U1.shape), delta[U1.numel() :].reshape(V.shape)


def _residual(U1, V, target):
    return target - U1 @ V.T


def _back(P, F, Q):
    return P @ F @ Q.T


def _step(
    U1: Tensor,
    V: Tensor,
    target: Tensor,
    *,
    missing: Callable = _residual,
    into: Callable = lambda P, R, Q: P.T @ R @ Q,
    divide: Callable = lambda R, a, b: R / (a + b),
    back: Callable = _back,
    steps: Callable = lambda F, U1, V: (F @ V, F.T @ U1),
) -> tuple[Tensor, Tensor]:
    """A right answer by two eigendecompositions, with one thing at a time to get wrong."""
    a, P = torch.linalg.eigh(U1 @ U1.T)
    b, Q = torch.linalg.eigh(V @ V.T)
    F = back(P, divide(into(P, missing(U1, V, target), Q), a[:, None], b), Q)
    return steps(F, U1, V)


def _by_scipy(U1, V, target):
    F = torch.from_numpy(solve_sylvester((U1 @ U1.T).numpy(), (V @ V.T).numpy(), _residual(U1, V, target).numpy()))
    return F @ V, F.T @ U1


def _by_kronecker(U1, V, target):
    """One linear system for all entries of F, row by row."""
    r, q = target.shape
    K = torch.kron(U1 @ U1.T, torch.eye(q, dtype=F64)) + torch.kron(torch.eye(r, dtype=F64), V @ V.T)
    F = torch.linalg.solve(K, _residual(U1, V, target).flatten()).reshape(r, q)
    return F @ V, F.T @ U1


def _by_svd(U1, V, target):
    P, s, _ = torch.linalg.svd(U1)
    Q, t, _ = torch.linalg.svd(V)
    a, b = torch.zeros(len(U1), dtype=F64), torch.zeros(len(V), dtype=F64)
    a[: len(s)], b[: len(t)] = s**2, t**2
    F = P @ ((P.T @ _residual(U1, V, target) @ Q) / (a[:, None] + b)) @ Q.T
    return F @ V, F.T @ U1


def _by_inverse(A: Tensor) -> Tensor:
    return A.T @ torch.linalg.inv(A @ A.T)


def _block(share: float, inverse: Callable = torch.linalg.pinv) -> Callable:
    """Each layer solves by itself, with the other one at rest, and takes a share of its step."""

    def answer(U1, V, target):
        R = _residual(U1, V, target)
        return share * R @ inverse(V).T, share * R.T @ inverse(U1).T

    return answer


def _one_after_the_other(F, U1, V):
    dU1 = F @ V
    return dU1, F.T @ (U1 + dU1)


def _roots(R, a, b):
    return R / (a.clamp(min=0).sqrt() + b.clamp(min=0).sqrt())


def _draw(rng: Random) -> tuple:
    r, q, seed = rng.randint(1, 5), rng.randint(1, 4), rng.randrange(10**6)
    m = max(r, q) + rng.randint(1, 4)
    return random(seed, r, m), rng.uniform(0.3, 2) * random(seed + 1, q, m), random(seed + 2, r, q) + 0.5


GN_STEP = Function(
    key="04/gn_step",
    picture=pictures.gn_step,
    reference=_by_jacobian,
    cases=_cases,
    draw=_draw,
    praise="It agrees with the pseudo-inverse of the whole Jacobian, also where one of the two Gram matrices is singular.",
    rtol=1e-8,
    alternatives=(_step, _by_scipy, _by_kronecker, _by_svd),
    mistakes=(
        Mistake(
            "half of each layer's own step",
            HALF,
            _block(0.5),
        ),
        Mistake(
            "half of each layer's own step, by inverses",
            HALF + " (The inverse of a Gram matrix need not exist, either.)",
            _block(0.5, _by_inverse),
        ),
        Mistake(
            "each layer for itself",
            WHOLE,
            _block(1.0),
        ),
        Mistake(
            "each layer for itself, by inverses",
            WHOLE + " (The inverse of a Gram matrix need not exist, either.)",
            _block(1.0, _by_inverse),
        ),
        Mistake(
            "gradient",
            "This is the gradient step, with the residual itself for F. Solve F V V^T + U1 U1^T F = residual first.",
            lambda *args: _step(*args, into=lambda P, R, Q: R, divide=lambda R, a, b: R, back=lambda P, F, Q: F),
        ),
        Mistake(
            "target for residual",
            "This solves for the target. What the step has to add is what is missing: target - U1 V^T.",
            lambda *args: _step(*args, missing=lambda U1, V, target: target),
        ),
        Mistake(
            "uphill",
            "The step is right and points the other way: the residual here is target - U1 V^T, not the opposite.",
            lambda *args: _step(*args, missing=lambda U1, V, target: U1 @ V.T - target),
        ),
        Mistake(
            "eigenvectors transposed",
            "The eigenvectors are the columns of P and Q: into their basis goes P^T R Q, back goes P F Q^T. Here it is the other way round.",
            lambda *args: _step(*args, into=lambda P, R, Q: P @ R @ Q.T, back=lambda P, F, Q: P.T @ F @ Q),
        ),
        Mistake(
            "not back",
            "F is left in the basis of the eigenvectors. Go back with P F Q^T before you multiply by V and U1.",
            lambda *args: _step(*args, back=lambda P, F, Q: F),
        ),
        Mistake(
            "roots for eigenvalues",
            "This divides by sums of singular values. The eigenvalues of U1 U1^T and V V^T are their squares.",
            lambda *args: _step(*args, divide=_roots),
        ),
        Mistake(
            "product for sum",
            "This divides by a b. The equation has a sum of two terms, so each entry of F is divided by a + b.",
            lambda *args: _step(*args, divide=lambda R, a, b: R / (a * b)),
        ),
        Mistake(
            "one layer after the other",
            "The step of V uses U1 after its own step. Both layers move at the same time, from the same state.",
            lambda *args: _step(*args, steps=_one_after_the_other),
        ),
        Mistake(
            "order",
            "The two steps are right, in the wrong order: first that of U1, then that of V.",
            lambda *args: _step(*args, steps=lambda F, U1, V: (F.T @ U1, F @ V)),
        ),
        Mistake(
            "new weights",
            "These are the weights after the step. Return the two changes.",
            lambda *args: _step(*args, steps=lambda F, U1, V: (U1 + F @ V, V + F.T @ U1)),
        ),
        Mistake(
            "F itself",
            "This is F, the solution of the Sylvester equation. The steps are F V and F^T U1.",
            lambda *args: _step(*args, steps=lambda F, U1, V: F),
        ),
        Mistake(
            "last layer only",
            "This moves V alone. Gauss-Newton takes the shortest change of all parameters: U1 moves as well.",
            lambda U1, V, target: (torch.zeros_like(U1), _block(1.0)(U1, V, target)[1]),
        ),
        Mistake(
            "hidden layer only",
            "This moves U1 alone. Gauss-Newton takes the shortest change of all parameters: V moves as well.",
            lambda U1, V, target: (_block(1.0)(U1, V, target)[0], torch.zeros_like(V)),
        ),
        Mistake(
            "half a step",
            "Both steps are half as long as they should be: the a + b below the line shares the residual out already.",
            lambda *args: _step(*args, divide=lambda R, a, b: R / (2 * (a + b))),
        ),
        Mistake(
            "twice the step",
            "Both steps are twice as long as they should be.",
            lambda *args: _step(*args, divide=lambda R, a, b: 2 * R / (a + b)),
        ),
    ),
)
