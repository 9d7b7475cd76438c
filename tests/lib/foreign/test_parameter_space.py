"""The Gauss-Newton step by other ways than the N x N system, against NumPy's least squares."""

import numpy as np
import pytest
import torch
from torch import nn

import regimes.solvers
from regimes import GaussNewton, GradientDescent, TwoLayer, gauss_newton, jacobian, reference
from regimes.directions import time_scale
from regimes.kernels import LazyScaling, Linearised
from regimes.linalg import Singular, SmallestEigenvalue, conjugate_gradients, least_squares
from tests.lib.cases import CASES, filled, normal, relative, runs_of, two_layer
from tests.lib.foreign.modules import Module, example, numbers, rows

BIG = 300  # outputs, above the size up to which the sample space is taken anyway


def flat(direction):
    return torch.cat([t.flatten() for t in direction.tensors])


def repeated():
    """Two parameters that do the same."""
    net = filled(Module(lambda net, x: torch.tanh(net.a(x) + net.b(x))[:, 0], a=nn.Linear(3, 1), b=nn.Linear(3, 1)))
    return net, numbers(BIG, 3)


NETWORKS = {
    "two-layer": lambda: (TwoLayer(2, 4, output_std=1.0, seed=1), numbers(BIG, 2)),
    "two-layer, one layer frozen": lambda: (TwoLayer(2, 4, seed=1).requires_grad_(False), numbers(BIG, 2)),
    "perceptron": lambda: (example("perceptron")[0], numbers(BIG, 3)),
    "convolution": lambda: (
        filled(nn.Sequential(nn.Conv1d(5, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(4, 1))),
        numbers(BIG, 5, 3),
    ),
    "recurrent": lambda: (
        filled(Module(lambda net, x: net.b(net.a(x)[0][:, -1]), a=nn.GRU(3, 3, batch_first=True), b=nn.Linear(3, 1))),
        numbers(BIG, 4, 3),
    ),
    "dependent parameters": repeated,
}


def case(name):
    net, x = NETWORKS[name]()
    if "frozen" in name:
        net.v.requires_grad_(True)
    y = numbers(*net(x).shape, seed=2)
    return net, x, y, rows(net, x).numpy(), (net(x) - y).detach().flatten().numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_solver_takes_the_damped_step(name):
    net, x, y, J, r = case(name)
    c = time_scale(net)
    condition = c * np.linalg.norm(J, 2) ** 2
    for epsilon in (1e-4, 1e-2, 10.0):
        root = np.sqrt(epsilon / c)
        tall = np.concatenate([J, root * np.eye(J.shape[1])])
        wanted = torch.from_numpy(np.linalg.lstsq(tall, np.pad(r, (0, J.shape[1])), rcond=None)[0])
        for solver in ("auto", "sample", "parameter", "cg"):
            found = gauss_newton(net, x, y, damping=epsilon, solver=solver)
            lost = {"cg": 1e-10, "sample": 1e-14}.get(solver, 0.0) * condition / epsilon  # its tolerance; rounding of a large K
            assert relative(flat(found), wanted) < max(1e-10, lost), (solver, epsilon)
        assert gauss_newton(net, x, y, damping=epsilon).solve.method == "cholesky, parameters"


@pytest.mark.parametrize("name", NETWORKS)
def test_the_step_without_damping_is_the_shortest_least_squares_step(name):
    net, x, y, J, r = case(name)
    wanted, _, rank, _ = np.linalg.lstsq(J, r, rcond=1e-12)
    found = gauss_newton(net, x, y, singular="drop")
    assert found.solve.method == "qr, parameters" and found.solve.rank == rank
    assert relative(flat(found), torch.from_numpy(wanted)) < 1e-10
    left = np.linalg.norm(J @ wanted - r) / np.linalg.norm(r)
    assert found.solve.residual.item() == pytest.approx(left, rel=1e-10)
    lam = time_scale(net) * np.linalg.svd(J)[1][0] ** 2
    few = f"fewer parameters, {J.shape[1]}, than outputs.* of its {len(J)} eigenvalues {rank} are resolved"
    with pytest.raises(Singular, match=f"{few}.*largest {lam:.1e}".replace("+", r"\+")):
        gauss_newton(net, x, y)


@pytest.mark.parametrize("options", [{"damping": 0.1}, {"singular": "drop"}, {"damping": 0.1, "solver": "cg"}], ids=str)
def test_a_stack_is_served_like_its_runs(options):
    stack, x = TwoLayer(2, 4, runs=(2, 3), output_std=1.0, seed=1), numbers(BIG, 2)
    y = numbers(2, 3, BIG, seed=2)
    together = gauss_newton(stack, x, y, **options)
    for i, net in enumerate(runs_of(stack)):
        alone = gauss_newton(net, x, y.flatten(0, 1)[i], **options)
        for many, one in zip(together.tensors, alone.tensors, strict=True):
            assert relative(many.flatten(0, 1)[i], one) < 1e-7
    if "singular" in options:
        with pytest.raises(Singular, match="in 6 of 6 runs"):
            gauss_newton(stack, x, y)


def test_a_step_that_fits_is_taken_without_an_error():
    """Targets that the linearised network reaches."""
    net, x, _, J, _ = case("two-layer")
    v = numbers(J.shape[1], seed=5)
    y = net(x).detach() - torch.from_numpy(J) @ v
    assert relative(flat(gauss_newton(net, x, y)), v) < 1e-9


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("tile_bytes", [2**28, 3000])
def test_rows_are_those_of_the_dense_jacobian(name, tile_bytes):
    net, x, _ = CASES[name]()
    J = jacobian(net, x)
    J.tile_bytes = tile_bytes
    assert relative(torch.cat(list(J.rows()), -2), reference.dense_jacobian(net, x)) < 1e-12
    v = normal(J.size, seed=4)
    assert torch.equal(J.flatten(J.unflatten(v)), v)


def test_rows_of_a_stack_and_of_networks_around_others():
    x = normal(11, 3, seed=1)
    stack = two_layer(runs=(2,))
    stack_rows = torch.cat(list(jacobian(stack, x).rows()), -2)
    for i, net in enumerate(runs_of(stack)):
        assert relative(stack_rows[i], reference.dense_jacobian(net, x)) < 1e-12
    for kind in (Linearised, lambda net: LazyScaling(net, 1.7)):
        net = kind(two_layer())
        assert relative(torch.cat(list(jacobian(net, x).rows())), rows(net, x)) < 1e-12


def test_auto_goes_by_size(monkeypatch):
    def method(n, width, **options):
        net = TwoLayer(2, width, output_std=1.0, seed=1)
        return gauss_newton(net, numbers(n, 2), numbers(n, seed=2), **options).solve.method

    assert method(256, 4, damping=0.1) == method(300, 100, damping=0.1) == "cholesky"
    assert method(257, 4, damping=0.1) == method(40, 4, damping=0.1, loss=nn.HuberLoss()) == "cholesky, parameters"
    assert method(257, 4, damping=SmallestEigenvalue()) == "cholesky, parameters"
    monkeypatch.setattr(regimes.solvers, "LARGE", 8 * 16**2)
    assert method(257, 4, damping=0.1) == "cholesky, parameters" and method(257, 5, damping=0.1) == "conjugate gradients"
    assert method(17, 100, damping=0.1) == "conjugate gradients" and method(17, 100) == "cholesky, corrected"


def test_least_squares_block_by_block():
    """Of columns that differ in size by ten orders: the square of such a matrix would be singular."""
    J = normal(50, 6, seed=1) * torch.logspace(0, -10, 6, dtype=torch.float64)
    r = normal(50, seed=2)
    wanted, _, rank, s = np.linalg.lstsq(J.numpy(), r.numpy(), rcond=None)
    x, sigma, kept = least_squares(torch.cat([J, r[:, None]], 1).split(7), 50)
    assert kept == rank == 6 and relative(sigma, torch.from_numpy(s)) < 1e-12
    assert relative(x, torch.from_numpy(wanted)) < 1e-4  # of condition 1e10


def test_conjugate_gradients():
    A = torch.stack([normal(9, 4, seed=i) @ normal(4, 9, seed=i + 5) for i in range(2)])
    A, b, epsilon = A @ A.mT, normal(2, 9, seed=3), torch.tensor([0.01, 10.0], dtype=torch.float64)
    b[1] = 0
    x, how = conjugate_gradients(lambda v: (A @ v[..., None])[..., 0], b, epsilon)
    wanted = np.linalg.solve(A[0].numpy() + 0.01 * np.eye(9), b[0].numpy())
    assert relative(x[0], torch.from_numpy(wanted)) < 1e-6 and torch.equal(x[1], b[1])
    assert 4 <= how.iterations <= 20 and (how.residual < 1e-9).all()
    with pytest.raises(ValueError, match="conjugate gradients stopped after 2 products .* larger damping"):
        conjugate_gradients(lambda v: (A @ v[..., None])[..., 0], b, epsilon, most=2)


def test_what_a_solver_cannot_do():
    net, x = example("perceptron")
    y = numbers(6, 2, seed=2)
    assert gauss_newton(net, x, y, damping=0.1, solver="cg").solve.iterations > 0
    with pytest.raises(ValueError, match="solver='cg' converges by the damping: use a positive one"):
        gauss_newton(net, x, y, solver="cg")
    with pytest.raises(ValueError, match="depends on the kernel needs the kernel: use solver='sample'"):
        gauss_newton(net, x, y, damping=SmallestEigenvalue(), solver="parameter")
    with pytest.raises(ValueError, match=r"damping of shape \(5,\) does not fit a network with runs \(\)"):
        gauss_newton(net, x, y, damping=torch.ones(5))
    for make in (GaussNewton, lambda net, solver: gauss_newton(net, x, y, solver=solver)):
        with pytest.raises(ValueError, match="auto, sample, parameter, cg; got 'lu'"):
            make(net, solver="lu")
    for solver in ("sample", "parameter"):
        with pytest.raises(ValueError, match="float32 does not resolve"):
            gauss_newton(example("perceptron")[0].float(), x.float(), y.float(), solver=solver)


@pytest.mark.parametrize("solver", ["parameter", "cg"])
def test_float32_with_damping(solver):
    net, x, y, _, _ = case("perceptron")
    wanted = flat(gauss_newton(net, x, y, damping=10.0))
    found = gauss_newton(net.float(), x.float(), y.float(), damping=10.0, solver=solver)
    assert relative(flat(found), wanted.float()) < 1e-3


@pytest.mark.parametrize("value", ["1e-3", None, -1.0, float("nan"), float("inf"), 1j, [0.1, -0.1]], ids=repr)
def test_numbers_are_numbers(value):
    net = example("perceptron")[0]
    with pytest.raises(ValueError, match="damping must be a finite number >= 0; got"):
        GaussNewton(net, damping=value)
    for make in (GaussNewton, GradientDescent):
        with pytest.raises(ValueError, match="the step size lr must be a positive, finite number; got"):
            make(net, lr=value)


@pytest.mark.parametrize(
    "make", [lambda net: net.parameters(), lambda net: list(net.parameters()), lambda net: net.state_dict()]
)
def test_an_optimizer_is_made_for_a_network(make):
    with pytest.raises(ValueError, match=r"made for the network itself, GaussNewton\(net, ...\); got \w+$"):
        GaussNewton(make(example("perceptron")[0]))
