"""Exercise 1: the Gauss-Newton direction in sample space."""

from collections.abc import Callable
from random import Random

import torch

from regimes.reference import augmented_step, minimum_norm_step
from regimes_course.kit.checking import Function, Mistake, Trial, random
from regimes_course.kit.comparing import same
from regimes_course.lesson01 import pictures

__all__ = ["GN_DIRECTION"]

F64 = torch.float64


def _direction_cases() -> dict[str, tuple]:
    J, r = torch.tensor([[1.0, 0.0, 1.0], [0.0, 2.0, 0.0]], dtype=F64), torch.tensor([1.0, 2.0], dtype=F64)
    return {
        "J = [[1, 0, 1], [0, 2, 0]], r = [1, 2], damping 0": (J, r, 0.0),
        "the same with damping 1": (J, r, 1.0),
        "a random 4 x 9 matrix, damping 0": (random(0, 4, 9), 3 * random(1, 4), 0.0),
        "a random 4 x 9 matrix, damping 0.3": (random(0, 4, 9), 3 * random(1, 4), 0.3),
        "a random 4 x 9 matrix, damping 5": (random(0, 4, 9), 3 * random(1, 4), 5.0),
        "a random 7 x 3 matrix, damping 0.5": (random(2, 7, 3) + 0.5, random(3, 7), 0.5),
    }


def _direction(J, r, damping):
    return minimum_norm_step(J, r) if damping == 0 else augmented_step(J, r, damping)


def _eye(n):
    return torch.eye(n, dtype=F64)


def _by_svd(J, r, damping):
    U, s, Vh = torch.linalg.svd(J, full_matrices=False)
    return Vh.mT @ (s / (s**2 + damping) * (U.mT @ r))


def _by_cholesky(J, r, damping):
    L = torch.linalg.cholesky(J @ J.mT + damping * _eye(len(J)))
    return J.mT @ torch.cholesky_solve(r[:, None], L)[:, 0]


def _damped_by(change: Callable[[float, int], float]) -> Callable:
    """The step for another damping, made of the one that is given and the number of samples."""
    return lambda J, r, damping: J.mT @ torch.linalg.solve(J @ J.mT + change(damping, len(r)) * _eye(len(J)), r)


def _draw(rng: Random) -> tuple:
    n, seed = rng.randint(1, 6), rng.randrange(10**6)
    m, damping = rng.choice([(rng.randint(1, 9), 10 ** rng.uniform(-2, 1)), (2 * n + rng.randint(1, 4), 0.0)])
    return 0.4 + random(seed, n, m), 2 * random(seed + 1, n), damping


def _only_damped(trials: list[Trial]) -> bool:
    """Whether all damped steps are right and an undamped one fails for a singular matrix."""
    failed = [isinstance(t.got.error, torch.linalg.LinAlgError) and t.args[2] == 0 for t in trials if not t.right]
    return any(failed) and all(t.right for t in trials if t.args[2] > 0)


def _undamped(trials: list[Trial]) -> bool:
    """Whether all steps are the undamped ones, where there is one: J J^T of more rows than columns is singular."""
    steps = [(t.got.value, torch.linalg.pinv(t.args[0]) @ t.args[1]) for t in trials if len(t.args[0]) <= len(t.args[0].mT)]
    return all(same(got, want, 1e-7) for got, want in steps)


GN_DIRECTION = Function(
    key="01/gn_direction",
    picture=pictures.gn_direction,
    reference=_direction,
    cases=_direction_cases,
    draw=_draw,
    praise="It agrees with the augmented least-squares solution, with damping and without.",
    alternatives=(
        _by_svd,
        _by_cholesky,
        lambda J, r, damping: torch.linalg.pinv(J @ J.mT + damping * _eye(len(J)), hermitian=True) @ r @ J,
    ),
    mistakes=(
        Mistake(
            "no solve",
            "This is J^T r, the gradient of the summed loss: the solve with the Gram matrix is missing.",
            lambda J, r, damping: J.mT @ r,
        ),
        Mistake(
            "damping ignored",
            "This is the undamped step whatever the damping: damping times the identity is missing from J J^T.",
            lambda J, r, damping: torch.linalg.pinv(J) @ r,
            _undamped,
        ),
        Mistake(
            "damping without identity",
            "This adds the damping to every entry of J J^T. It belongs on the diagonal: damping times the identity.",
            lambda J, r, damping: J.mT @ torch.linalg.solve(J @ J.mT + damping, r),
        ),
        Mistake(
            "damping added to J",
            "This adds the damping to J before multiplying. It belongs to J J^T, on the diagonal.",
            lambda J, r, damping: J.mT @ torch.linalg.solve((J + damping) @ (J + damping).mT, r),
        ),
        Mistake(
            "another damping",
            "This is the step for another damping than the one given: for its square, its root, its negative, a part or a multiple of it? Add damping itself "
            "to the diagonal of J J^T.",
            _damped_by(lambda damping, n: damping**2),
            also=[
                _damped_by(lambda damping, n: damping**0.5),
                _damped_by(lambda damping, n: -damping),
                _damped_by(lambda damping, n: damping / n),
                _damped_by(lambda damping, n: 2 * damping),
                _damped_by(lambda damping, n: damping / 2),
            ],
        ),
        Mistake(
            "wrong sign",
            "The sign is wrong: the direction is what is subtracted from the parameters, so it points along +r.",
            lambda J, r, damping: -_direction(J, r, damping),
        ),
        Mistake(
            "extra 1/n",
            "This is the right step divided by the number of samples. The mean in the loss does not enter here: r is not divided by n.",
            lambda J, r, damping: _direction(J, r, damping) / len(r),
        ),
        Mistake(
            "Gram matrix divided by n",
            "The damping is n times as strong as it should be, as it is if J J^T and r are divided by n: leave the mean out of both.",
            _damped_by(lambda damping, n: n * damping),
        ),
        Mistake(
            "parameter space",
            "This solves with J^T J in parameter space. That is the same step when damped, but for more parameters than samples "
            "J^T J is singular at damping 0: solve with the n x n matrix J J^T.",
            lambda J, r, damping: torch.linalg.solve(J.mT @ J + damping * _eye(J.shape[1]), J.mT @ r),
        ),
        Mistake(
            "coefficients only",
            "These are the n coefficients (J J^T + damping I)^-1 r. Multiply them by J^T to get a direction in parameter space.",
            lambda J, r, damping: torch.linalg.solve(J @ J.mT + damping * _eye(len(J)), r),
        ),
        Mistake(
            "inverse in parameter space",
            "The damped steps are right. Undamped this inverts J^T J, which is singular for more parameters than samples: solve with the n x n matrix J J^T.",
            lambda J, r, damping: torch.linalg.inv(J.mT @ J + damping * _eye(J.shape[1])) @ J.mT @ r,
            _only_damped,
        ),
    ),
)
