import math

import pytest
import torch

from regimes.theory.linear_flows import orthogonal_flow
from regimes.theory.min_norm import conditional_law, distance_law, exponent, full_step_law, random_init_bound
from tests.lib.cases import normal, relative
from tests.lib.plain_flows import DOUBLE, error, orthogonal, rk4_step, sampled, squares, trajectory


def gauss_newton(U1, V, wanted):
    """The shortest step: ``F V V^T + U1 U1^T F = wanted - U1 V^T`` by its Kronecker matrix."""
    r, q = wanted.shape
    K = torch.kron(torch.eye(r, dtype=DOUBLE), V @ V.T) + torch.kron(U1 @ U1.T, torch.eye(q, dtype=DOUBLE))
    F = torch.linalg.solve(K, (wanted - U1 @ V.T).reshape(-1)).reshape(r, q)
    return F @ V, F.T @ U1


def test_conditional_law_is_the_mean_over_what_the_data_cannot_see():
    V, m, alpha = normal(2, 20), 20, 0.7
    U2 = m**-alpha * normal(20000, 3, m, seed=1, mean=0, std=1)
    measured = squares(U2 @ V.T).mean().sqrt()
    assert conditional_law(m, alpha, V.norm(), 3).item() == pytest.approx(measured.item(), rel=0.01)


@pytest.mark.parametrize("m", [512, 2048])
@pytest.mark.parametrize("alpha", [0.15, 0.3, 0.5, 0.75, 1.0])
def test_distance_law_is_the_conditional_expectation_of_wide_networks(alpha, m):
    r, q, outside = 6, 3, 11
    left, _, right = torch.linalg.svd(normal(r, q), full_matrices=False)
    sigma = torch.tensor([1.6, 0.9, 0.5], dtype=DOUBLE)
    target = left * sigma @ right
    U1, _, V = sampled(m, alpha, r, r, q, runs=16)
    s = torch.ones(r, dtype=DOUBLE)
    _, U, W = list(trajectory(U1, V, s, target, 300, 0.5))[-1]
    assert (squares(error(U, W, s, target)) < 1e-8).all()
    measured = conditional_law(m, alpha, squares(W).mean().sqrt(), outside)
    law = distance_law(m, alpha, sigma, outside)
    assert law.item() == pytest.approx(measured.item(), rel=0.02)


def test_distance_law_is_exact_for_gauss_newton_flow_from_an_orthogonal_start_on_any_data():
    m, alpha, wanted = 12, 0.8, normal(4, 3)
    U1, V = orthogonal(4, 3, m, m ** (1 - 2 * alpha))
    for _ in range(600):
        U1, V = rk4_step(lambda U, W: gauss_newton(U, W, wanted), U1, V, 0.05)
    law = distance_law(m, alpha, torch.linalg.svdvals(wanted), 5)
    assert law.item() == pytest.approx(conditional_law(m, alpha, V.norm(), 5).item(), rel=1e-6)
    size = m ** (0.5 - alpha)
    end = orthogonal_flow(size, size, torch.linalg.svdvals(wanted), torch.inf)
    assert end.v.sum().item() == pytest.approx(V.square().sum().item(), rel=1e-6)


def test_distance_law_of_many_widths_and_outputs_without_a_mode():
    sigma, m = torch.tensor([2.0, 0.0], dtype=DOUBLE), torch.tensor([64, 4096])
    kappa = m.double() ** -0.5
    wanted = (7 * m.double() ** -1.5 * ((kappa**2 + 4).sqrt() + kappa)).sqrt()
    assert relative(distance_law(m, 0.75, sigma, 7), wanted) < 1e-14
    assert relative(full_step_law(m, 0.75, 2.0, 2, 7), (7 * m.double() ** -1.5 * (2 * kappa + 1 / kappa)).sqrt()) < 1e-14


@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_full_step_law_is_exact_from_an_orthogonal_start(alpha):
    n, d, q, m = 4, 7, 2, 30
    X, Y = normal(n, d), normal(n, q, seed=1)
    wanted = torch.linalg.pinv(X) @ Y
    row = torch.linalg.svd(X).Vh[:n].T  # (d, n)
    U1, V = orthogonal(n, q, m, m ** (1 - 2 * alpha))
    U2 = normal(d - n, m, seed=4)
    U = row @ U1 + torch.linalg.svd(X).Vh[n:].T @ U2
    by_U = torch.einsum("ni,ok->noik", X, V).reshape(n * q, -1)
    by_V = torch.einsum("nk,op->nopk", X @ U, torch.eye(q, dtype=DOUBLE)).reshape(n * q, -1)
    step = torch.linalg.pinv(torch.cat([by_U, by_V], 1)) @ (Y - X @ U @ V.T).reshape(-1)
    U, V = U + step[: d * m].reshape(d, m), V + step[d * m :].reshape(q, m)
    assert (Y - X @ U @ V.T).norm() < 1e-11 * Y.norm()
    law = full_step_law(m, alpha, wanted.norm(), q, d - n)
    assert law.item() == pytest.approx(conditional_law(m, alpha, V.norm(), d - n).item(), rel=1e-12)
    assert (U @ V.T - wanted).norm().item() == pytest.approx((U2 @ V.T).norm().item(), rel=1e-9)


@pytest.mark.parametrize(
    ("alpha", "theorem", "law"),
    [(0.0, None, 0.5), (0.15, None, 0.2), (0.25, None, 0.0), (0.3, -0.1, -0.1), (0.4, -0.3, -0.3), (0.5, -0.5, -0.5)]
    + [(0.6, None, -0.6), (0.75, None, -0.75), (1.0, None, -1.0)],
)
def test_exponents_are_the_slopes_of_bound_and_law(alpha, theorem, law):
    proved, real = exponent(alpha)
    assert proved == (None if theorem is None else pytest.approx(theorem)) and real == pytest.approx(law)
    m, sigma = torch.tensor([1e40, 1e41], dtype=DOUBLE), torch.tensor([1.1, 0.4], dtype=DOUBLE)
    at = distance_law(m, alpha, sigma, 3)
    assert torch.log10(at[1] / at[0]).item() == pytest.approx(law, abs=1e-6)
    at = full_step_law(m, alpha, 1.3, 2, 3)
    assert torch.log10(at[1] / at[0]).item() == pytest.approx(max(0.5 - 2 * alpha, -0.5), abs=1e-6)
    if proved is not None:
        options = {"d": 6, "q": 2, "s": torch.ones(3, dtype=DOUBLE), "target": torch.ones(3, 2, dtype=DOUBLE)}
        at = [random_init_bound(m, alpha, **options) for m in (10**40, 10**41)]
        assert math.log10(at[1] / at[0]) == pytest.approx(proved, abs=2e-4)
