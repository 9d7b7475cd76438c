"""What the idea cells of lesson 07 write out, against the library."""

from unittest.mock import MagicMock

import pytest
import torch

from regimes.directions import gauss_newton, gradient
from regimes.networks import Reversible
from regimes.problems import ten_digits
from regimes.reversible_gauss_newton import exact_gauss_newton
from regimes_course.lesson07 import rules
from tests.lessons.cells import is_idea, lesson, run

SOURCE = lesson("07")


@pytest.fixture(scope="module")
def names():
    """What the first cells of the lesson leave: network, data, walk, miss, kernels."""
    page = {name: MagicMock() for name in ("show", "guess", "draw", "my_guess")}
    defines = ("import matrix_norm", "def phi", "def walk", "def miss", "def pull")
    return run(SOURCE, lambda cell: any(word in cell.text for word in defines), **page)[-1][0]


@pytest.fixture
def net():
    """The network of the lesson, with weights of 0.05: no term is negligible."""
    net = Reversible(64, 10, 512, seed=100)
    net.W.data = 50 * net.W.data
    return net


def residual(names, net):
    return names["f"](net.W.detach(), names["X"]) - names["y"]


def test_the_network_is_that_of_the_library(names, net):
    torch.testing.assert_close(names["f"](net.W.detach(), names["X"]), net(names["X"]).detach())


def test_how_a_half_layer_moves_is_its_derivative(names, net):
    V, W, x = net.V[0, 1], net.W[0, 1].detach(), names["X"][:, :32]
    t = torch.randn(128, 32, generator=torch.Generator().manual_seed(0)).double()
    _, moved = torch.func.jvp(lambda x: names["phi"](x, V) @ W, (x,), (t,))
    torch.testing.assert_close(names["push"](t, x, V, W), moved)


def test_the_six_lines_are_the_librarys_walk(names, net):
    delta = names["walk"](net.W.detach(), names["X"], names["y"])
    torch.testing.assert_close(delta, exact_gauss_newton(net, names["X"], names["y"], solver="svd").tensors[0].detach())
    wrong = names["walk"](net.W.detach(), names["X"], names["y"], cross=0)
    library = exact_gauss_newton(net, names["X"], names["y"], solver="svd", cross_term=False, tolerance=torch.inf)
    torch.testing.assert_close(wrong, library.tensors[0].detach())


def test_a_miss_is_what_the_jacobian_sees(names, net):
    J, delta = net.jacobian(names["X"]), torch.randn(net.W.shape, generator=torch.Generator().manual_seed(0)).double()
    r = residual(names, net)
    exact = ((J.jvp((delta,)) - r.flatten()).norm() / r.norm()).item()
    assert names["miss"](net.W.detach(), delta) == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("data, net, n", [(2, 102, 128), (3, 103, 128), (0, 102, 128), (0, 100, 256)])
def test_the_steps_are_exact_for_other_seeds_and_sizes(names, data, net, n):
    """A central difference crossed kinks of ReLU here, and called an exact step wrong."""
    task, net = ten_digits(n, seed=data), Reversible(64, 10, 512, seed=net)
    page = {"data": task, "X": task.x, "y": task.y, "V": net.V, "u": net.u, "W0": net.W.detach(), "guess": MagicMock()}
    defines = ("def phi", "def walk", "def miss", "def pull")
    after = run(SOURCE, lambda cell: any(word in cell.text for word in defines), **names | page)[-1][0]
    for step in ("delta", "all_together", "alone"):
        assert after["miss"](after["W0"], after[step]) < 1e-11


def test_together_is_the_shortest_step_and_alone_is_another(names, net):
    W, x, r = net.W.detach(), names["X"], residual(names, net)
    together, alone = (names["by_kernel"](W, x, names["y"], both) for both in (True, False))
    torch.testing.assert_close(together, gauss_newton(net, x, names["y"]).tensors[0].detach(), rtol=1e-5, atol=1e-7)
    assert (net.jacobian(x).jvp((alone,)) - r.flatten()).norm() < 1e-6 * r.norm() and alone.norm() > 1.2 * together.norm()


def test_pull_gives_the_gradient(names, net):
    layers, r = rules.half_layers(net.V, net.W.detach(), net.u, names["X"]), residual(names, net)
    D = names["pull"](layers, [r / 128] * 4)
    torch.testing.assert_close(D, gradient(net, names["X"], names["y"]).tensors[0].detach())


def test_what_the_text_says_of_sizes(names):
    """1,280 outputs, 65,700 weights, 51 times as many."""
    assert names["y"].numel() == 1280 and names["W0"].numel() == 65664 and 65664 // 1280 == 51


def test_the_readers_runs_are_those_of_the_stored_kind(names):
    """Rules, accuracies and Muon of the lesson are those whose runs are stored."""
    after = run(SOURCE, lambda cell: "def train" in cell.text or "def orthogonalise" in cell.text, **names)
    ends, last = after[0][0]["ends"], after[-1][0]
    for name in rules.RULES:
        ours = rules.run(name, seed=0, steps=4)
        assert after[0][0]["scores"][name] == pytest.approx(100 * ours["right"], abs=0.1)
        assert (ends[name] - names["W0"]).norm().item() == pytest.approx(ours["moved"], rel=1e-4)
    target = rules.run("shortest", seed=0, steps=4)["loss"][-1]
    muon = rules.run("Muon", seed=0, target=target)
    assert (last["ends"]["Muon"] - names["W0"]).norm().item() == pytest.approx(muon["moved"], rel=1e-4)


def test_the_cells_are_ideas():
    assert sum(map(is_idea, SOURCE.cells)) == 6
