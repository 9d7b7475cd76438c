"""What the idea cells of lesson 02 write out, against the library."""

import pytest
import torch

from regimes.kernels import neural_tangent_kernel
from regimes.networks import TwoLayer
from regimes.optimizers import GaussNewton, GradientDescent
from regimes.problems import teacher_student
from regimes.theory.gauss_newton import steps_to
from regimes.training import train
from tests.lessons.cells import lesson, run
from tests.lessons.tried import told


@pytest.fixture(scope="module")
def names():
    """What the cells of the lesson leave that say how a network is trained, and its data."""
    defines = ("def units", "def train", "def gauss_newton")
    return run(lesson("02"), lambda cell: any(word in cell.text for word in defines))[-1][0]


def twin(width, **options):
    """A network of the library, and its parameters."""
    net = TwoLayer(2, width, seed=4, **options)
    return net, net.W.detach().clone(), net.v.detach().clone()


def test_gradient_descent_is_that_of_the_library(names):
    net, W, v = twin(30, output_std=1.0)
    W, v = names["train"](W, v, names["X"], names["y"], steps=20)
    train(net, names["data"].x, names["y"], GradientDescent(net, 0.25), 20)
    torch.testing.assert_close((W, v), (net.W.detach(), net.v.detach()), rtol=1e-10, atol=1e-12)


def test_gauss_newton_is_that_of_the_library_and_its_kernel_an_average(names):
    net, W, v = twin(30, output_std=1.0)
    phi, D, f = names["units"](W, v, names["X"])
    K = (phi @ phi.T + (D @ D.T) * (names["X"] @ names["X"].T)) / 30
    torch.testing.assert_close(K, neural_tangent_kernel(net, names["data"].x))
    torch.testing.assert_close(f, net(names["data"].x).detach())
    W, v, losses = names["gauss_newton"](W, v, names["X"], names["y"], 0.1, steps=20)
    trace = train(net, names["data"].x, names["y"], GaussNewton(net, 0.1, damping=5e-3), 20)
    torch.testing.assert_close((W, v), (net.W.detach(), net.v.detach()), rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(losses, trace.loss[:-1], rtol=1e-8, atol=0)


def test_doubled_units_are_one_function_and_split_ones_are_not(names):
    assert (names["twice"] - names["once"]).norm() < 1e-12 * names["once"].norm()
    W, v, X, y = (names[name] for name in ("W", "v", "X", "y"))
    split = torch.cat([W, W]), torch.cat([1.5 * v, 0.5 * v])
    start, end = (names["units"](*pair, X)[2] for pair in (split, names["train"](*split, X, y, steps=50)))
    torch.testing.assert_close(start, names["units"](W, v, X)[2])
    assert (end - names["once"]).norm() > 1e-3 * names["once"].norm()


@pytest.mark.parametrize("std", [0.1, 3.0])
def test_the_residual_lies_where_damping_does_not_reach_until_only_the_rest_is_left(names, std):
    """With few eigenvalues above the damping: most of the residual in their directions up to one percent, little at the end."""
    torch.manual_seed(0)
    W, (X, y), shares = std * torch.randn(100, 3).double(), (names["X"], names["y"]), {}
    v = 0 * W[:, 0]
    for k in range(200):
        phi, D, f = names["units"](W, v, X)
        lam, Q = torch.linalg.eigh((phi @ phi.T + (D @ D.T) * (X @ X.T)) / 100)
        part = (Q.T @ (f - y)).square()
        shares[k] = (part[lam > 5e-3].sum() / part.sum()).item()
        assert k > 0 or std > 1 or (lam > 5e-3).sum() < 20  # "most of the 40 eigenvalues are below"
        W, v, _ = names["gauss_newton"](W, v, X, y, names["eta"], steps=1)
    assert min(shares[k] for k in range(46)) > 0.9 and shares[199] < 0.05


def test_the_law_is_that_of_theory(names):
    assert steps_to(0.01, names["eta"]) - 1 < names["law"] <= steps_to(0.01, names["eta"])


def test_what_counting_allows_is_not_always_reached(names):
    """With 8 units "between 4e-6 and 2 %" is left, with 9 "at most 2e-6"; one eigenvalue is below the damping."""
    left = {8: [], 9: []}
    for seed in range(10):
        noise = teacher_student(50, 5, labels="noise", seed=seed)
        X = torch.cat([noise.x, torch.ones(50, 1)], 1)
        for m, shares in left.items():
            torch.manual_seed(seed)
            W, v = torch.randn(m, 6).double(), torch.randn(m).double()
            W, v, _ = names["gauss_newton"](W, v, X, noise.y, eta=0.01, steps=1000, eps=1e-3)
            phi, D, f = names["units"](W, v, X)
            shares.append(((f - noise.y).square().sum() / noise.y.square().sum()).item())
            if (m, seed) == (8, 0):
                assert 0 < torch.linalg.eigvalsh((phi @ phi.T + (D @ D.T) * (X @ X.T)) / m)[0] < 5e-4
    assert (f"{min(left[8]):.0e}", f"{max(left[8]):.0e}") == ("4e-06", "2e-02") and max(left[9]) < 2e-6


def test_sentences_are_right_for_other_numbers():
    """A smaller cloud in two widths; steps so small that 200 are not enough; networks that are all too narrow; fewer labels."""
    small = ("2**16", "2**10"), ("(32, 128, 512)", "(64, 128)"), ("student(50, 5", "student(40, 5"), ("ones(50,", "ones(40,")
    _, pieces, nearer, starts, steps, narrow, count = told(
        "02", *small, ("eta = 0.05", "eta = 0.02"), ("(4, 7, 8, 9)", "(2, 4)")
    )
    assert pieces.startswith("2 times as wide") and "(predicted: 2)" in pieces and nearer.count("and") == 0
    assert "114 steps to 1 %, predicted 114" in starts and steps == "114; the others [114, 114, 114]"
    assert narrow.startswith("40 labels") and "fitted here: none" in narrow and count == "6, or 42 weights; fitted: []"
