import pickle

import pytest
import torch

from regimes import reference
from regimes.linalg import Singular, SmallestEigenvalue, SolveInfo, Unsolvable, damped_solve, minimum_norm_solve
from tests.lib.cases import normal, relative

DOUBLE = torch.float64


def rows(n=13, p=40):
    """``J`` as a matrix."""
    return 1.7 * normal(n, p)


def graded(condition, n=13, p=40):
    """``J`` with singular values spread evenly in the logarithm."""
    U, V = (torch.linalg.qr(normal(k, n, seed=k))[0] for k in (n, p))
    return U * torch.logspace(0, -torch.log10(torch.tensor(condition)).item(), n, dtype=DOUBLE) @ V.T


@pytest.mark.parametrize("runs", [(), (2, 3)])
def test_damped_solve(runs):
    J, r = normal(*runs, 13, 40), normal(*runs, 13, seed=1)
    K, eps = J @ J.mT, 0.3 + torch.rand(runs, dtype=DOUBLE)
    a, how = damped_solve(K, r, eps, DOUBLE)
    wanted = torch.linalg.solve(K + eps[..., None, None] * torch.eye(13, dtype=DOUBLE), r[..., None])[..., 0]
    assert relative(a, wanted) < 1e-12
    assert isinstance(how, SolveInfo) and how.method == "cholesky" and torch.equal(how.damping, eps)
    assert how.residual is None and how.rank is None


def test_damped_solve_leaves_the_kernel_alone():
    J, r = rows(), normal(13, seed=1)
    K = J @ J.T
    before = K.clone()
    damped_solve(K, r, torch.tensor(0.4, dtype=DOUBLE), DOUBLE)
    minimum_norm_solve(K, r, vjp=lambda a: (a,), jvp=lambda step: K @ step[0])
    assert torch.equal(K, before)


@pytest.mark.parametrize("features", [torch.float64, torch.float32])
def test_damping_must_be_seen_at_the_precision_of_the_features(features):
    J, r = rows(), normal(13, seed=1)
    K = J @ J.T
    limit = 13 * torch.finfo(features).eps * K.diagonal().mean()
    damped_solve(K, r, 1.01 * limit, features)
    with pytest.raises(ValueError, match=f"damping .* is below what {features} resolves .*damping=0"):
        damped_solve(K, r, 0.99 * limit, features)


def test_one_run_with_too_little_damping_is_enough_to_refuse():
    K = torch.stack([torch.eye(5, dtype=DOUBLE), 1e9 * torch.eye(5, dtype=DOUBLE)])
    with pytest.raises(ValueError, match="below what torch.float64 resolves"):
        damped_solve(K, normal(2, 5), torch.tensor([1e-7, 1e-7], dtype=DOUBLE), DOUBLE)


def test_damped_solve_refuses_a_kernel_that_is_not_positive():
    K = torch.diag(torch.tensor([2.0, -1.0, 3.0], dtype=DOUBLE))
    with pytest.raises(ValueError, match="kernel plus damping 0.5 is not positive definite"):
        damped_solve(K, normal(3), torch.tensor(0.5, dtype=DOUBLE), DOUBLE)


def solve(J, r, **options):
    pull, push = lambda a: ((J.mT @ a[..., None])[..., 0],), lambda step: (J @ step[0][..., None])[..., 0]
    (step,), how = minimum_norm_solve(J @ J.mT, r, vjp=pull, jvp=push, **options)
    return step, how


@pytest.mark.parametrize(("condition", "tolerance"), [(8e2, 1e-11), (2e4, 1e-10), (6e5, 1e-9)], ids=str)
def test_undamped_step_is_as_good_as_an_orthogonal_factorisation(condition, tolerance):
    J, r = graded(condition), normal(13, seed=1)
    step, how = solve(J, r)
    U, s, Vt = torch.linalg.svd(J, full_matrices=False)
    assert relative(step, Vt.T @ ((U.T @ r) / s)) < tolerance
    assert how.method == "cholesky, corrected" and how.rank is None and how.damping == 0
    assert how.residual < 1e-8


def test_corrections_are_what_makes_it_accurate():
    J, r = graded(2e4), normal(13, seed=1)
    K = J @ J.T
    jitter = 13 * torch.finfo(DOUBLE).eps * K.diagonal().mean()
    plain = J.T @ torch.cholesky_solve(r[:, None], torch.linalg.cholesky(K + jitter * torch.eye(13, dtype=DOUBLE)))[:, 0]
    wanted = torch.linalg.lstsq(J, r[:, None], driver="gelsd").solution[:, 0]
    assert relative(solve(J, r)[0], wanted) < 1e-2 * relative(plain, wanted)


@pytest.mark.parametrize("rank", [1, 5, 12])
def test_a_singular_kernel_gives_the_shortest_least_squares_step(rank):
    J, r = normal(13, rank) @ normal(rank, 40, seed=3), normal(13, seed=1)
    step, how = solve(J, r)
    wanted = torch.linalg.lstsq(J, r[:, None], driver="gelsd", rcond=1e-10).solution[:, 0]
    assert relative(step, wanted) < 1e-9
    assert how.method == "eigenvalues" and how.rank == rank and how.damping == 0
    assert how.residual == pytest.approx(((J @ wanted - r).norm() / r.norm()).item(), rel=1e-6)


def test_eigenvalues_are_dropped_at_the_square_of_what_the_rows_resolve():
    """A singular value of 1e-5 is an eigenvalue of 1e-10: far above rounding, and kept beside a zero one."""
    J, r = graded(1e5), normal(13, seed=1)
    J[12] = J[:12].sum(0)  # rank 12
    step, how = solve(J, r)
    wanted = torch.linalg.lstsq(J, r[:, None], driver="gelsd", rcond=1e-10).solution[:, 0]
    assert how.method == "eigenvalues" and how.rank == 12
    assert relative(step, wanted) < 1e-4


def test_only_the_singular_runs_take_the_eigenvalue_route():
    regular, singular = graded(5e3), normal(13, 4) @ normal(4, 40, seed=3)
    r = normal(2, 13, seed=1)
    step, how = solve(torch.stack([regular, singular]), r)
    assert relative(step[0], reference.minimum_norm_step(regular, r[0])) < 1e-11  # eigenvalues would leave 1e-9
    assert relative(step[1], solve(singular, r[1])[0]) < 1e-9
    assert how.rank.tolist() == [13, 4]


def test_a_singular_kernel_is_an_error_that_says_how_far_and_what_to_do():
    J = normal(13, 4) @ normal(4, 40, seed=3)
    lam = torch.linalg.eigvalsh(J @ J.T)
    with pytest.raises(Singular) as caught:
        solve(J, normal(13, seed=1), singular="error")
    says = str(caught.value)
    assert "of its 13 eigenvalues 4 are resolved in torch.float64" in says
    assert f"(smallest {lam[0]:.1e}, largest {lam[-1]:.1e})" in says and " runs" not in says
    assert all(remedy in says for remedy in ("positive damping", "wider network", "larger hidden weights", "singular='drop'"))
    assert caught.value.runs.shape == () and caught.value.runs and isinstance(caught.value, Unsolvable)


def test_which_runs_are_singular():
    J = torch.stack([graded(5e3), normal(13, 4) @ normal(4, 40, seed=3), graded(50.0), normal(13, 2) @ normal(2, 40, seed=3)])
    with pytest.raises(Singular, match="the kernel is singular in 2 of 4 runs: of its 13 eigenvalues") as caught:
        solve(J.reshape(2, 2, 13, 40), normal(2, 2, 13, seed=1), singular="error")
    assert caught.value.runs.tolist() == [[False, True], [False, True]]


def test_the_numbers_in_the_error_are_those_of_the_first_singular_run():
    J = torch.stack([graded(5e3), normal(13, 4) @ normal(4, 40, seed=3), normal(13, 2) @ normal(2, 40, seed=3)])
    lam = torch.linalg.eigvalsh(J[1] @ J[1].T)
    with pytest.raises(Singular) as caught:
        solve(J, normal(3, 13, seed=1), singular="error")
    assert f"13 eigenvalues 4 are resolved in torch.float64 (smallest {lam[0]:.1e}, largest {lam[-1]:.1e})" in str(caught.value)


def test_a_singular_kernel_survives_the_way_between_processes():
    with pytest.raises(Singular) as caught:
        solve(normal(13, 4) @ normal(4, 40, seed=3), normal(13, seed=1), singular="error")
    there = pickle.loads(pickle.dumps(caught.value))
    assert str(there) == str(caught.value) and isinstance(there, Singular) and there.runs


def test_regular_runs_take_the_same_step_whatever_is_to_happen_to_singular_ones():
    J, r = graded(5e3), normal(13, seed=1)
    assert torch.equal(solve(J, r, singular="error")[0], solve(J, r)[0])


@pytest.mark.parametrize("singular", ["raise", "", None, True])
def test_refuses_another_way_with_singular_kernels(singular):
    with pytest.raises(ValueError, match=f"singular must be 'drop' or 'error'; got {singular!r}") as caught:
        solve(graded(50.0), normal(13, seed=1), singular=singular)
    assert not isinstance(caught.value, Unsolvable)


def test_tolerance_decides_what_counts_as_singular():
    J, r = graded(2e4), normal(13, seed=1)
    assert solve(J, r, tolerance=0.0)[1].method == "eigenvalues"
    assert solve(J, r, tolerance=1e-3)[1].method == "cholesky, corrected"


def test_zero_residual_gives_a_zero_step():
    step, how = solve(graded(50.0), torch.zeros(13, dtype=DOUBLE))
    assert torch.equal(step, torch.zeros(40, dtype=DOUBLE)) and how.residual == 0


def test_smallest_eigenvalue_rule():
    K = torch.stack([torch.diag(torch.tensor(d, dtype=DOUBLE)) for d in ([5.0, 0.2, 3.0], [5.0, 1e-6, 3.0])])
    assert torch.allclose(SmallestEigenvalue()(K), torch.tensor([0.2, 5e-4], dtype=DOUBLE), rtol=1e-12)
    assert torch.allclose(SmallestEigenvalue(alpha=3.0, floor=0.7)(K), torch.tensor([0.7, 0.7], dtype=DOUBLE), rtol=1e-12)
    assert torch.allclose(SmallestEigenvalue(alpha=4.0, floor=0.7)(K), torch.tensor([0.8, 0.7], dtype=DOUBLE), rtol=1e-12)
    assert SmallestEigenvalue(alpha=1.0, floor=1e-3)(torch.diag(torch.tensor([1.0, -1e-9], dtype=DOUBLE))) == 1e-3


@pytest.mark.parametrize(("alpha", "floor"), [(-1.0, 1.0), (1.0, -1.0), (0.0, 0.0), (float("nan"), 1.0)])
def test_smallest_eigenvalue_refuses(alpha, floor):
    with pytest.raises(ValueError, match="alpha and floor must be >= 0, and one of them positive; got SmallestEigenvalue"):
        SmallestEigenvalue(alpha, floor)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", [(0, 0), (12, 12), (5, 3), (12, 11), (12, 0)])
def test_a_kernel_that_is_not_finite_is_refused_wherever_it_is_not(place, bad):
    K, r = (lambda J: J @ J.mT)(rows()), normal(13, seed=1)
    K[place] = K[place[::-1]] = bad
    with pytest.raises(Unsolvable, match="the kernel is not finite"):
        damped_solve(K, r, torch.tensor(0.3, dtype=DOUBLE), DOUBLE)
    both = torch.stack([(lambda J: J @ J.mT)(rows()), K])
    with pytest.raises(Unsolvable, match="the kernel is not finite"):
        damped_solve(both, r.expand(2, -1), torch.full((2,), 0.3, dtype=DOUBLE), DOUBLE)


def test_a_kernel_is_not_changed_by_solving_with_it():
    J, r = rows(), normal(13, seed=1)
    K = J @ J.mT
    before = K.clone()
    damped_solve(K, r, torch.tensor(0.3, dtype=DOUBLE), DOUBLE)
    minimum_norm_solve(K, r, vjp=lambda a: (J.mT @ a,), jvp=lambda v: J @ v[0])
    assert torch.equal(K, before)
