"""Exercise 4: fit the last layer again."""

from random import Random

import torch

from regimes_course.kit.checking import Function, Mistake, Trial, random
from regimes_course.kit.comparing import same
from regimes_course.lesson05 import pictures

__all__ = ["REFIT_LAST_LAYER"]


def _cases() -> dict[str, tuple]:
    hand = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64), torch.tensor([2.0, 1.0], dtype=torch.float64)
    nearly = random(4, 5, 2) @ random(5, 2, 8) + 1e-3 * random(6, 5, 8)  # two eigenvalues of order 1, three below 1e-5
    repeated = random(8, 5, 8)[[0, 1, 2, 1, 4]]
    return {
        "Phi = [[2, 0, 0], [0, 1, 0]], y = [2, 1], cutoff 0.22": (*hand, 0.22),
        "the same with cutoff 0.3": (*hand, 0.3),
        "the same with cutoff 0.45": (*hand, 0.45),
        "the same with cutoff 0.6": (*hand, 0.6),
        "the same with cutoff 0.9": (*hand, 0.9),
        "Phi = [[2, 0, 0, 0], [0, 1, 0, 0]], y = [2, 1], cutoff 1/4": (
            torch.tensor([[2.0, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.float64),
            hand[1],
            0.25,
        ),
        "4 samples, 9 features": (random(0, 4, 9), 3 * random(1, 4), 1e-6),
        "9 samples, 4 features": (random(2, 9, 4) + 0.5, random(3, 9), 1e-6),
        "5 samples, 8 features that nearly depend on two": (nearly, random(7, 5) + 1, 0.03),
        "the same features, 1000 times as large": (1000 * nearly, random(7, 5) + 1, 0.03),
        "5 samples, two of them the same with different labels": (repeated, random(9, 5) - 0.5, 1e-6),
    }


def _fit(Phi, y, cutoff, rtol=lambda cutoff: cutoff**0.5):
    """The shortest solution from the singular values of ``Phi / m``: those at or below ``rtol`` of the largest are dropped."""
    return torch.linalg.pinv(Phi / Phi.shape[1], rtol=rtol(cutoff)) @ y


def _by_eigenvalues(Phi, y, inverse, back=True):
    """The same from the eigenvalues of ``Phi Phi^T / m``, with a function of them to get wrong."""
    lam, Q = torch.linalg.eigh(Phi @ Phi.mT / Phi.shape[1])
    a = Q @ (inverse(lam) * (Q.mT @ y))
    return Phi.mT @ a if back else a


def _kept(lam, keep):
    return torch.where(keep, 1 / torch.where(keep, lam, 1.0), 0.0)


def _cut(cutoff):
    return lambda lam: _kept(lam, lam > cutoff * lam[-1])


def _in_feature_space(Phi, y, cutoff):
    A = Phi / Phi.shape[1]
    return torch.linalg.pinv(A.mT @ A, rtol=cutoff, hermitian=True) @ (A.mT @ y)


def _first_features(Phi, y, cutoff):
    n, m = Phi.shape
    v = torch.zeros(m, dtype=Phi.dtype)
    v[:n] = torch.linalg.pinv(Phi[:, :n] / m, rtol=cutoff**0.5) @ y
    return v


def _draw(rng: Random) -> tuple:
    n, m, seed = rng.randint(1, 6), rng.randint(1, 9), rng.randrange(10**6)
    rows = [rng.randrange(n) for _ in range(n)] if rng.random() < 0.3 else list(range(n))
    return random(seed, n, m)[rows] + 0.2, random(seed + 1, n) - 0.4, rng.choice([1e-6, 10 ** rng.uniform(-3, -0.5)])


def _whatever_the_cut_off(trials: list[Trial]) -> bool:
    """Whether the first cases, of the same features with different cut-offs, all get the weights that are right for the first."""
    first = [t.got.value for t in trials[:5]]
    return trials[0].right and all(isinstance(v, torch.Tensor) and same(v, first[0], 1e-9) for v in first)


REFIT_LAST_LAYER = Function(
    key="05/refit_last_layer",
    picture=pictures.refit_last_layer,
    reference=_fit,
    cases=_cases,
    draw=_draw,
    praise="It agrees with the singular value decomposition: more features than samples, fewer, dependent ones, and a repeated sample.",
    alternatives=(
        lambda Phi, y, cutoff: _by_eigenvalues(Phi, y, _cut(cutoff)),
        _in_feature_space,
        lambda Phi, y, cutoff: torch.linalg.lstsq(Phi / Phi.shape[1], y[:, None], rcond=cutoff**0.5, driver="gelsd").solution[
            :, 0
        ],
    ),
    mistakes=(
        Mistake(
            "no 1/m",
            "This solves Phi v = y. The network's outputs are (1/m) Phi v, so v has to be m times as long.",
            lambda Phi, y, cutoff: _fit(Phi, y, cutoff) / Phi.shape[1],
        ),
        Mistake(
            "1/m on the wrong side",
            "This is too short by m^2: the 1/m in front of Phi v makes v longer, not shorter.",
            lambda Phi, y, cutoff: _fit(Phi, y, cutoff) / Phi.shape[1] ** 2,
        ),
        Mistake(
            "n for m",
            "This scales with the number of samples n, the rows of Phi. The 1/m counts the hidden units, its columns.",
            lambda Phi, y, cutoff: _fit(Phi, y, cutoff) * len(Phi) / Phi.shape[1],
        ),
        Mistake(
            "cut-off on singular values",
            "This compares singular values with the cut-off. It is meant for eigenvalues of Phi Phi^T / m, which are their squares.",
            lambda Phi, y, cutoff: _fit(Phi, y, cutoff, rtol=lambda cutoff: cutoff),
        ),
        Mistake(
            "cut-off squared",
            "This squares the cut-off. A cut-off on eigenvalues becomes its square root when you compare singular values.",
            lambda Phi, y, cutoff: _fit(Phi, y, cutoff, rtol=lambda cutoff: cutoff**2),
        ),
        Mistake(
            "absolute cut-off",
            "This compares the eigenvalues with the cut-off itself. It is a share of the largest eigenvalue: features that are twice as "
            "large must not change what is dropped.",
            lambda Phi, y, cutoff: _by_eigenvalues(Phi, y, lambda lam: _kept(lam, lam > cutoff)),
        ),
        Mistake(
            "cut-off ignored",
            "Whatever the cut-off, this fits in the same directions, also in those in which the features hardly vary. Is the argument used, and compared "
            "with the largest eigenvalue?",
            lambda Phi, y, cutoff: torch.linalg.pinv(Phi / Phi.shape[1]) @ y,
            _whatever_the_cut_off,
        ),
        Mistake(
            "at most for below",
            "An eigenvalue of exactly cutoff times the largest is at most that, so it is dropped: keep what is above.",
            lambda Phi, y, cutoff: _by_eigenvalues(Phi, y, lambda lam: _kept(lam, lam >= cutoff * lam[-1])),
        ),
        Mistake(
            "share of the sum",
            "This compares with a share of the sum of the eigenvalues, or of their mean. The cut-off is a share of the largest.",
            lambda Phi, y, cutoff: _by_eigenvalues(Phi, y, lambda lam: _kept(lam, lam > cutoff * lam.sum())),
            also=[lambda Phi, y, cutoff: _by_eigenvalues(Phi, y, lambda lam: _kept(lam, lam > cutoff * lam.mean()))],
        ),
        Mistake(
            "the small ones kept",
            "This fits in the directions that should be dropped, and drops the others.",
            lambda Phi, y, cutoff: _by_eigenvalues(Phi, y, lambda lam: _kept(lam, lam <= cutoff * lam[-1])),
        ),
        Mistake(
            "raised to the cut-off",
            "Eigenvalues below the cut-off are made as large as it. Their directions are to be dropped: zero in place of 1/lambda.",
            lambda Phi, y, cutoff: _by_eigenvalues(Phi, y, lambda lam: 1 / lam.clamp(min=cutoff * lam[-1].item())),
        ),
        Mistake(
            "another power",
            "The directions are right, and their coefficients go with another power of the eigenvalue: each is divided by lambda, once.",
            lambda Phi, y, cutoff: _by_eigenvalues(Phi, y, lambda lam: _cut(cutoff)(lam) ** 0.5),
            also=[
                lambda Phi, y, cutoff: _by_eigenvalues(Phi, y, lambda lam: _cut(cutoff)(lam) ** 2),
                lambda Phi, y, cutoff: _by_eigenvalues(Phi, y, lambda lam: _cut(cutoff)(lam) * lam**2),
                lambda Phi, y, cutoff: _by_eigenvalues(Phi, y, lambda lam: _cut(cutoff)(lam) * lam),
            ],
        ),
        Mistake(
            "damped",
            "This adds the cut-off to the eigenvalues, which shrinks every direction a little. Drop the small ones, keep the others as they are.",
            lambda Phi, y, cutoff: _by_eigenvalues(Phi, y, lambda lam: 1 / (lam + cutoff)),
        ),
        Mistake(
            "damped relative to the largest",
            "This adds a share of the largest eigenvalue to all of them. Drop the small ones, keep the others as they are.",
            lambda Phi, y, cutoff: _by_eigenvalues(Phi, y, lambda lam: 1 / (lam + cutoff * lam[-1])),
        ),
        Mistake(
            "not the shortest",
            "This fits with the first n features and leaves the others at zero. Of all solutions the shortest is wanted; it uses every feature.",
            _first_features,
        ),
        Mistake(
            "coefficients only",
            "These are n coefficients, one a sample. Multiply them by Phi^T to get one weight a hidden unit.",
            lambda Phi, y, cutoff: _by_eigenvalues(Phi, y, _cut(cutoff), back=False),
        ),
        Mistake(
            "outputs",
            "These are the fitted outputs, one a sample. Return the weights v, one a hidden unit.",
            lambda Phi, y, cutoff: Phi @ _fit(Phi, y, cutoff) / Phi.shape[1],
        ),
    ),
)
