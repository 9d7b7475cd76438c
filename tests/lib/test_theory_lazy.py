import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from regimes.theory.gauss_newton import frozen_residual
from regimes.theory.lazy import (
    erf_kernel,
    flow_prediction,
    infinite_width_kernel,
    kernel_regression,
    mode_flow,
    modes,
    relu_kernel,
    step_prediction,
)
from tests.lib.cases import normal, relative

N, NEW = 6, 4
A, B = normal(N, 9, seed=1), normal(NEW, 9, seed=2)
K, K_NEW, R = A @ A.T / N, B @ A.T / N, normal(N, seed=3)
X, Z = normal(5, 3, seed=4, std=0.9), normal(4, 3, seed=5, std=1.4)
PAIRS = {
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "erf": (lambda z: torch.erf(torch.from_numpy(z) / 2**0.5).numpy(), lambda z: math.sqrt(2 / math.pi) * np.exp(-(z**2) / 2)),
}


# ---- kernels of infinite width


def by_quadrature(name, x, z):
    """Expectations over the plane of two inputs: trapezoids in the angle, Gauss-Laguerre in half the squared radius."""
    phi, slope = PAIRS[name]
    (r2, weight), angles = np.polynomial.laguerre.laggauss(60), 2 * np.pi * (np.arange(20_000) + 0.5) / 20_000
    first = x / np.linalg.norm(x)
    second = z - (z @ first) * first
    second = second / max(np.linalg.norm(second), 1e-300)
    radius = np.sqrt(2 * r2)[:, None]
    a, b = radius * np.cos(angles), radius * np.sin(angles)
    u, v = a * (x @ first), a * (z @ first) + b * (z @ second)
    mean = [(weight @ values).mean() for values in (phi(u) * phi(v), slope(u) * slope(v))]
    return mean[0] + x @ z * mean[1]


@pytest.mark.parametrize("name", PAIRS)
def test_kernels_are_the_expectations(name):
    wanted = [[by_quadrature(name, x, z) for z in Z.numpy()] for x in X.numpy()]
    np.testing.assert_allclose(infinite_width_kernel(name, X, Z).numpy(), wanted, rtol=2e-4, atol=2e-4)


def test_relu_by_hand():
    one = torch.eye(2, dtype=torch.float64)
    assert relu_kernel(one)[0, 1].item() == pytest.approx(1 / (2 * math.pi), abs=1e-12)
    assert torch.allclose(relu_kernel(X).diagonal(), X.square().sum(-1), rtol=0, atol=1e-7)
    assert relu_kernel(X, -X).diagonal().abs().max() < 1e-6
    assert relative(relu_kernel(3 * X, 2 * Z), 6 * relu_kernel(X, Z)) < 1e-12  # ReLU is homogeneous
    half = relu_kernel(torch.tensor([[1.0, 0.0]]).double(), torch.tensor([[1.0, 1.0]]).double()).item()
    assert half == pytest.approx((1 + 2 * 0.75 * math.pi) / (2 * math.pi), rel=1e-12)


def test_erf_by_hand():
    one = torch.eye(2, dtype=torch.float64)
    assert erf_kernel(one)[0, 1] == 0
    assert erf_kernel(one)[0, 0].item() == pytest.approx(1 / 3 + 2 / (math.pi * math.sqrt(3)), rel=1e-12)
    literature = erf_kernel(math.sqrt(2) * one)[0, 0].item()  # for erf(z) without the root
    assert literature == pytest.approx(1.0339690891, abs=1e-9)
    assert relative(erf_kernel(-X, Z), -erf_kernel(X, Z)) < 1e-14  # erf is odd


@pytest.mark.parametrize("name", PAIRS)
def test_kernels_are_symmetric_positive_and_carry_run_axes(name):
    x = normal(2, 7, 5, 3, seed=6)
    got = infinite_width_kernel(name, x)
    assert got.shape == (2, 7, 5, 5) and torch.equal(got, got.mT)
    assert torch.linalg.eigvalsh(got).min() > 0
    assert relative(got[1, 4], infinite_width_kernel(name, x[1, 4])) < 1e-14
    assert infinite_width_kernel(name, x, X[:2]).shape == (2, 7, 5, 2)


def test_relu_at_zero_and_where_rounding_exceeds_one():
    x = torch.cat([X, torch.zeros(1, 3, dtype=torch.float64), 3 * X, -X, 1e-200 * X])
    got = relu_kernel(x)
    assert torch.isfinite(got).all() and (got[5] == 0).all()


def test_refuses_an_activation_without_a_closed_form():
    with pytest.raises(ValueError, match=r"no closed form for 'tanh': there is one for relu and erf\. For others"):
        infinite_width_kernel("tanh", X)


@pytest.mark.parametrize("other", [normal(4, 2), normal(3)], ids=["d - 1", "one axis"])
def test_kernels_refuse_inputs_that_do_not_fit(other):
    for kernel in (relu_kernel, erf_kernel):
        with pytest.raises(ValueError, match=r"inputs \(\.\.\., n, d\) and \(\.\.\., n', d\) are needed; got"):
            kernel(X, other)


# ---- training on a frozen kernel


def flow(t):
    """Residual and new outputs at time t, by SciPy."""
    n = len(R)

    def velocity(_, state):
        r = torch.from_numpy(state[:n].copy())
        return torch.cat([-K @ r / n, -K_NEW @ r / n]).numpy()

    start = torch.cat([R, torch.zeros(NEW, dtype=torch.float64)]).numpy()
    return torch.from_numpy(solve_ivp(velocity, (0, t), start, rtol=1e-11, atol=1e-13, method="DOP853").y[:, -1])


@pytest.mark.parametrize("t", [0.3, 4.0])
def test_flow_prediction_is_the_flow_integrated(t):
    wanted = flow(t)
    assert relative(flow_prediction(K, K_NEW, R, t), wanted[N:]) < 1e-8
    assert relative(R + flow_prediction(K, K, R, t), wanted[:N]) < 1e-8
    lam, a = modes(K, R)
    assert relative((mode_flow(lam, torch.tensor([t]), N)[0] * a).norm(), wanted[:N].norm()) < 1e-8


def test_step_prediction_is_the_loop():
    r, f, lr = R.clone(), torch.zeros(NEW, dtype=torch.float64), 0.7
    for _ in range(25):
        r, f = r - lr * K @ r / N, f - lr * K_NEW @ r / N
    assert relative(step_prediction(K, K_NEW, R, lr, 25), f) < 1e-11
    assert relative(R + step_prediction(K, K, R, lr, 25), r) < 1e-11
    assert relative(r, frozen_residual(K, R, lr, N, torch.tensor([25]))[0]) < 1e-11


def test_small_steps_are_the_flow_and_late_times_are_regression():
    small = step_prediction(K, K_NEW, R, 1e-4, 20_000)
    assert relative(small, flow_prediction(K, K_NEW, R, 2.0)) < 1e-4
    assert relative(flow_prediction(K, K_NEW, R, 1e9), -kernel_regression(K, K_NEW, R)) < 1e-9


def test_kernel_regression_is_the_linear_solve_and_interpolates():
    y, f, f_new = normal(N, seed=7), normal(N, seed=8), normal(NEW, seed=9)
    wanted = f_new + K_NEW @ torch.linalg.inv(K) @ (y - f)
    assert relative(kernel_regression(K, K_NEW, y, f, f_new), wanted) < 1e-10
    assert relative(kernel_regression(K, K, y, f, f), y) < 1e-10


def test_modes_are_sorted_and_orthonormal_coordinates():
    lam, a = modes(K, R)
    assert (lam.diff() <= 0).all() and relative(lam.sum(), K.trace()) < 1e-12
    assert relative((lam * a.square()).sum(), R @ K @ R) < 1e-12 and relative(a.norm(), R.norm()) < 1e-12


def test_predictions_carry_run_axes_and_times_a_run():
    Ks, new, r = (torch.stack([t, 2 * t]) for t in (K, K_NEW, R))
    t = torch.tensor([0.5, 3.0], dtype=torch.float64)
    got = flow_prediction(Ks, new, r, t)
    assert got.shape == (2, NEW) and relative(got[1], flow_prediction(2 * K, 2 * K_NEW, 2 * R, 3.0)) < 1e-12
    steps = step_prediction(Ks, new, r, t, 3)
    assert relative(steps[1], step_prediction(2 * K, 2 * K_NEW, 2 * R, 3.0, 3)) < 1e-12
    lam, a = modes(Ks, r)
    assert lam.shape == a.shape == (2, N)
    times = torch.tensor([[0.0, 0.0], [1.0, 2.0], [4.0, 5.0]], dtype=torch.float64)
    left = mode_flow(lam, times, N)
    assert left.shape == (3, 2, N) and torch.equal(left[0], torch.ones_like(lam))
    assert relative(left[2, 1], torch.exp(-lam[1] * 5 / N)) < 1e-14
    assert modes(Ks, r.expand(7, 2, N))[1].shape == (7, 2, N)


def test_a_direction_without_eigenvalue_does_not_stop_the_flow():
    C = A[[0, 1, 2, 3, 4, 4]]
    singular, new = C @ C.T / N, B @ C.T / N
    r = R.clone()
    lr, f = 0.5, torch.zeros(NEW, dtype=torch.float64)
    for _ in range(10):
        r, f = r - lr * singular @ r / N, f - lr * new @ r / N
    assert relative(step_prediction(singular, new, R, lr, 10), f) < 1e-8
    zero = torch.zeros_like(K)
    assert relative(flow_prediction(zero, K_NEW, R, 2.0), -2.0 * K_NEW @ R / N) < 1e-12


def test_kernel_regression_refuses_a_singular_kernel():
    C = A[[0, 1, 2, 3, 4, 4]]
    with pytest.raises(ValueError, match=r"the kernel is singular at torch.float64 \(smallest eigenvalue .*Leave out repeated"):
        kernel_regression(C @ C.T, B @ C.T, R)


@pytest.mark.parametrize("arguments", [(K[:-1], K_NEW, R), (K, K_NEW.T, R), (K, K_NEW, R[:-1])])
def test_predictions_refuse_shapes_that_do_not_belong_together(arguments):
    for call in (lambda *a: flow_prediction(*a, 1.0), lambda *a: step_prediction(*a, 0.1, 3), kernel_regression):
        with pytest.raises(ValueError, match="of the same n training inputs are needed; got"):
            call(*arguments)


def test_kernel_regression_refuses_a_dtype_that_is_too_low():
    ill = K + 1e4 * torch.ones_like(K)  # eigenvalues from 1e-2 to 6e4
    assert torch.isfinite(kernel_regression(ill, K_NEW, R)).all()
    worse = (1e-4 * K + 1e4 * torch.ones_like(K)).float()
    with pytest.raises(ValueError, match="the kernel is singular at torch.float32"):
        kernel_regression(worse, K_NEW.float(), R.float())
