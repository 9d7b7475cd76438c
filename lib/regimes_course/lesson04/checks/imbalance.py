"""Exercise 4: the level of imbalance and the two spreads."""

from collections.abc import Callable
from random import Random

import torch
from torch import Tensor
from torch.nn.functional import pad

from regimes.metrics import row_space
from regimes_course.kit.checking import Mistake, random
from regimes_course.kit.numbers import Numbers, numbers
from regimes_course.lesson04 import pictures

__all__ = ["IMBALANCE_LEVEL"]


def _cases() -> dict[str, tuple]:
    X = torch.tensor([[2.0, 0, 0], [0, 3, 0]], dtype=torch.float64)
    U = torch.tensor([[3.0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.float64)
    V = torch.tensor([[0.0, 0, 2, 0, 0], [0, 0, 0, 4, 0]], dtype=torch.float64)
    dependent = random(12, 6, 3) @ random(13, 3, 8)  # 6 samples, rank 3
    return {
        "the network of hint 3": (X, U, V),
        "a wide network: n 3, d 7, m 20, q 2": (2 * random(0, 3, 7), 0.3 * random(1, 7, 20), 0.4 * random(2, 2, 20)),
        "one output, large V: n 4, d 9, m 17, q 1": (random(3, 4, 9), 0.2 * random(4, 9, 17), 3 * random(5, 1, 17)),
        "m below r + q: n 4, d 6, m 5, q 3": (random(6, 4, 6), random(7, 6, 5), 0.8 * random(8, 3, 5)),
        "m below r: n 5, d 9, m 3, q 2": (random(9, 5, 9), random(10, 9, 3), 0.7 * random(11, 2, 3)),
        "m below q: n 2, d 5, m 3, q 4": (random(20, 2, 5), random(21, 5, 3), 0.6 * random(22, 4, 3)),
        "rank 3 from 6 samples: d 8, m 14, q 2": (dependent, 0.5 * random(14, 8, 14), 0.6 * random(15, 2, 14)),
        "more samples than inputs: n 9, d 4, m 11, q 3": (random(16, 9, 4), 0.7 * random(17, 4, 11), random(18, 3, 11)),
    }


def rank(X: Tensor) -> int:
    """``r``."""
    return row_space(X).rank


def imbalance(X: Tensor, U: Tensor, V: Tensor) -> Tensor:
    """``U1^T U1 - V^T V``, ``(m, m)``."""
    U1, _ = row_space(X).split(U)
    return U1.T @ U1 - V.T @ V


def eigenvalues(A: Tensor) -> Tensor:
    """The largest first."""
    return torch.linalg.eigvalsh(A).flip(0)


def positive(values: Tensor, k: int) -> Tensor:
    """``[values_1]_+`` and ``[values_k]_+``, zero where there is no k-th."""
    edge = pad(values.clamp(min=0), (0, k))
    return edge[[0, k - 1]]


def levels(Lambda: Tensor, r: int, q: int, edges: Callable = positive) -> tuple:
    """Level, spread above zero and spread below, with ``edges(eigenvalues, k)`` on either side."""
    (a, b), (c, d) = edges(eigenvalues(Lambda), r).tolist(), edges(eigenvalues(-Lambda), q).tolist()
    return numbers((b + d, a - b, c - d))


def _of(matrix: Callable = imbalance, r: Callable = rank, edges: Callable = positive, change: Callable = lambda *three: three):
    """An answer from another matrix, another r, other eigenvalues, or with its three numbers changed."""
    return lambda X, U, V: numbers(change(*levels(matrix(X, U, V), r(X), len(V), edges)))


def _by_projector(X, U, V):
    P = torch.linalg.pinv(X) @ X
    lam = sorted(torch.linalg.eigvalsh(U.T @ P @ U - V.T @ V).tolist())
    r, q, m = round(P.trace().item()), len(V), U.shape[1]
    up, down = max(lam[m - r], 0) if r <= m else 0, max(-lam[q - 1], 0) if q <= m else 0
    return up + down, max(lam[-1], 0) - up, max(-lam[0], 0) - down


def _by_qr(X, U, V):
    """Without the m x m matrix: the eigenvalues of R J R^T that Z = [V; U1] = R^T Q^T has in common with it."""
    U1 = torch.linalg.qr(row_space(X).inside).Q.T @ U
    R = torch.linalg.qr(torch.cat([V, U1]).T).R
    J = torch.cat([-torch.ones(len(V)), torch.ones(len(U1))]).to(X)
    lam = eigenvalues((R * J) @ R.T)
    plus, minus = positive(lam, len(U1)), positive(-lam.flip(0), len(V))
    return plus[1] + minus[1], plus[0] - plus[1], minus[0] - minus[1]


def _by_samples(X, U, V):
    lam, Q = torch.linalg.eigh(X @ X.T)
    keep = lam > 1e-10 * lam[-1]
    U1 = (Q[:, keep].T @ X @ U) / lam[keep, None].sqrt()
    up = torch.linalg.eigvals(U1.T @ U1 - V.T @ V).real.sort(descending=True).values
    zero = up.new_zeros(1)
    top = torch.cat([up.clamp(min=0), zero.expand(len(U1))]).numpy()
    low = torch.cat([(-up.flip(0)).clamp(min=0), zero.expand(len(V))]).numpy()
    return [top[len(U1) - 1] + low[len(V) - 1], top[0] - top[len(U1) - 1], low[0] - low[len(V) - 1]]


def _whole(X, U, V):
    return U.T @ U - V.T @ V


def _outputs(X, U, V):
    return (X @ U).T @ (X @ U) - V.T @ V


def _thin(X, U, V):
    U1 = torch.linalg.svd(X, full_matrices=False).Vh @ U
    return U1.T @ U1 - V.T @ V


def _last_if_missing(values, k):
    return values.clamp(min=0)[[0, min(k, len(values)) - 1]]


def _wide_only(X, U, V):
    """As one writes it for wide networks: in others an eigenvalue has the wrong sign, or does not exist."""
    lam, r, q = eigenvalues(imbalance(X, U, V)), rank(X), len(V)
    return numbers((lam[r - 1] - lam[-q], lam[0] - lam[r - 1], lam[-q] - lam[-1]))


def _signed(values, k):
    return torch.stack([values[0].clamp(min=0), pad(values, (0, k))[k - 1]])


def _apart(X, U, V):
    a, b = (torch.linalg.svdvals(A).square() for A in (row_space(X).split(U)[0], V))
    (c, d), (e, f) = positive(a, rank(X)).tolist(), positive(b, len(V)).tolist()
    return numbers((d + f, c - d, e - f))


def _smaller(X, U, V):
    Lambda = imbalance(X, U, V)
    up, down = positive(eigenvalues(Lambda), rank(X)), positive(eigenvalues(-Lambda), len(V))
    return numbers((min(up[1], down[1]), up[0] - up[1], down[0] - down[1]))


def _draw(rng: Random) -> tuple:
    n, d, m, q, seed = rng.randint(1, 6), rng.randint(1, 7), rng.randint(1, 12), rng.randint(1, 4), rng.randrange(10**6)
    r = rng.randint(1, min(n, d))
    X = random(seed, n, r) @ random(seed + 1, r, d)
    return X, rng.uniform(0.2, 1) * random(seed + 2, d, m), rng.uniform(0.2, 1) * random(seed + 3, q, m)


def _same_side(X, U, V):
    lam = eigenvalues(imbalance(X, U, V))
    (a, b), (_, d), c = positive(lam, rank(X)), positive(lam, len(V)), (-lam[-1]).clamp(min=0)
    return numbers((b + d, a - b, c - d))


IMBALANCE_LEVEL = Numbers(
    key="04/imbalance_level",
    picture=pictures.imbalance_level,
    reference=_of(),
    cases=_cases,
    draw=_draw,
    praise="It agrees for wide networks, for narrow ones with a term missing, and for inputs that depend on each other.",
    alternatives=(_by_projector, _by_qr, _by_samples),
    mistakes=(
        Mistake(
            "the whole U",
            "This uses all of U. Only U1, the part of U in the row space of X, takes part in the training: with the rest, the level promises "
            "a rate that the training does not keep.",
            _of(_whole),
        ),
        Mistake(
            "outputs of the hidden layer",
            "This uses X U, which stretches U1 by the singular values of X. The imbalance has U1 = Phi1^T U with orthonormal columns in Phi1.",
            _of(_outputs),
        ),
        Mistake(
            "rows of U for U1",
            "This takes the first r rows of U for U1. The row space of X does not lie along the coordinates: U1 is Phi1^T U.",
            _of(lambda X, U, V: U[: rank(X)].T @ U[: rank(X)] - V.T @ V),
        ),
        Mistake(
            "the smaller of the two",
            "The level here is the smaller of the two terms. It is their sum.",
            _smaller,
        ),
        Mistake(
            "ascending order",
            "The eigenvalues are counted from the smallest. torch.linalg.eigvalsh puts the smallest first; lambda_1 is the largest.",
            _of(edges=lambda values, k: positive(values.flip(0), k)),
        ),
        Mistake(
            "the largest eigenvalues",
            "The level here is the sum of the largest eigenvalues of Lambda and -Lambda. The r-th and the q-th count: the slowest "
            "direction decides.",
            _of(change=lambda level, plus, minus: (level + plus + minus, plus, minus)),
        ),
        Mistake(
            "r and q swapped",
            "The indices r and q are swapped. Lambda has at most r positive eigenvalues, from U1, and at most q negative ones, from V.",
            lambda X, U, V: levels(imbalance(X, U, V), len(V), rank(X)),
        ),
        Mistake(
            "sign of the imbalance",
            "This is the answer for V^T V - U1^T U1. Lambda is the other way round.",
            _of(lambda X, U, V: -imbalance(X, U, V)),
        ),
        Mistake(
            "missing term not zero",
            "A term is missing in narrow networks: if m < r there is no r-th eigenvalue, if m < q no q-th. Such a term is zero; here the last "
            "eigenvalue stands in for it.",
            _of(edges=_last_if_missing),
        ),
        Mistake(
            "no positive part",
            "In a narrow network lambda_r(Lambda) or lambda_q(-Lambda) can be negative. It counts as zero then, as [.]_+ says.",
            _of(edges=_signed),
            also=[
                _of(edges=_signed, change=lambda level, plus, minus: (max(level, 0.0), plus, minus)),
                _of(edges=_signed, change=lambda *three: tuple(max(value, 0.0) for value in three)),
            ],
        ),
        Mistake(
            "wide networks only",
            "This is right for wide networks. In narrow ones lambda_r(Lambda) or lambda_q(-Lambda) may be negative, or there is none: it counts "
            "as zero then.",
            _wide_only,
        ),
        Mistake(
            "samples for rank",
            "This takes n for r, or the min(n, d) directions of a thin decomposition. The rank is smaller when samples depend on each other: use "
            "torch.linalg.matrix_rank, and take r directions.",
            _of(r=len),
            also=[_of(r=lambda X: min(X.shape)), _of(_thin), _of(_thin, r=lambda X: min(X.shape))],
        ),
        Mistake(
            "inputs for rank",
            "This takes the number of inputs d for r. Lambda has at most r = rank X positive eigenvalues.",
            _of(r=lambda X: X.shape[1]),
        ),
        Mistake(
            "the layers apart",
            "This takes the eigenvalues of U1^T U1 and of V^T V separately. They are those of Lambda only where the rows of U1 and V are "
            "perpendicular; form the difference first.",
            _apart,
        ),
        Mistake(
            "rate for level",
            "The level is twice as large as it should be. The 2 belongs to the rate, 2 s_r^2 times the level.",
            _of(change=lambda level, plus, minus: (2 * level, plus, minus)),
        ),
        Mistake(
            "spreads swapped",
            "The two spreads are swapped: first that of the positive eigenvalues of Lambda, then that of the negative ones.",
            _of(change=lambda level, plus, minus: (level, minus, plus)),
        ),
        Mistake(
            "largest for spread",
            "These are the largest eigenvalues on either side. A spread is the difference to the r-th, or the q-th.",
            lambda X, U, V: numbers(
                (
                    levels(imbalance(X, U, V), rank(X), len(V))[0],
                    *(eigenvalues(A)[0].clamp(min=0) for A in (imbalance(X, U, V), -imbalance(X, U, V))),
                )
            ),
        ),
        Mistake(
            "one eigenvalue further",
            "The indices are one too large: lambda_1 is the largest, at index 0, so that the r-th stands at index r - 1.",
            _of(edges=lambda values, k: positive(values, k + 1)[[0, 1]] if k else positive(values, 1)),
        ),
        Mistake(
            "absolute values",
            "This takes absolute values of eigenvalues. A negative one counts as zero, as [.]_+ says.",
            _of(edges=lambda values, k: pad(values, (0, k))[[0, k - 1]].abs()),
            also=[_of(edges=lambda values, k: positive(values.abs().sort(descending=True).values, k))],
        ),
        Mistake(
            "smallest of the positive side",
            "For lambda_q(-Lambda) this takes the q-th largest eigenvalue of Lambda. Negative eigenvalues of Lambda are what V brings.",
            _same_side,
        ),
    ),
)
