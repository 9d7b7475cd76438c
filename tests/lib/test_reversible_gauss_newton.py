"""The exact Gauss-Newton step against dense Jacobians, and what makes it inexact."""

import math

import pytest
import torch
from torch.func import functional_call, jacrev

from regimes.directions import gauss_newton
from regimes.jacobians import jacobian
from regimes.linalg import Unsolvable
from regimes.losses import CrossEntropy
from regimes.networks import Reversible
from regimes.optimizers import EdgeFraction, ReversibleGaussNewton
from regimes.reference import dense_jacobian, minimum_norm_step
from regimes.reversible_gauss_newton import Inexact, exact_gauss_newton, right_inverse, walk_back
from regimes.training import Diverged, train
from tests.lib.cases import D, N, normal, relative, reversible, runs_of, two_layer, weights

X, Y = normal(N, 2 * D, seed=1, std=0.9), normal(N, 3, seed=2, mean=-0.4)
ONE_HOT = torch.nn.functional.one_hot(torch.arange(N) % 3, 3).double()


def missed(net, x, y, direction):
    """``|J delta - r| / |r|`` with the dense Jacobian of autograd."""
    J, r = dense_jacobian(net, x), (net(x) - y).detach().flatten()
    return ((J @ direction.tensors[0].flatten() - r).norm() / r.norm()).item()


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize(("solver", "tolerance"), [("svd", 1e-13), ("cholesky", 1e-8)])
@pytest.mark.parametrize("from_zero", [False, True])
def test_j_delta_is_the_residual(blocks, activation, solver, tolerance, from_zero):
    net = reversible(blocks=blocks, activation=activation, from_zero=from_zero)
    direction = exact_gauss_newton(net, X, Y, solver=solver)
    assert missed(net, X, Y, direction) < tolerance
    assert direction.solve.residual.item() < tolerance and direction.solve.method == solver
    r = (net(X) - Y).detach()
    assert direction.loss.item() == pytest.approx(r.square().sum().item() / (2 * N), rel=1e-13)


def test_one_block_and_the_whole_state_is_the_min_norm_step():
    net = reversible(6, blocks=1)
    y = normal(N, 6, seed=2)
    exact, shortest = (f(net, X, y).tensors[0] for f in (exact_gauss_newton, gauss_newton))
    assert relative(exact, shortest) < 1e-8
    J, r = dense_jacobian(net, X), (net(X) - y).detach().flatten()
    assert relative(exact.flatten(), minimum_norm_step(J, r)) < 1e-10


def test_each_block_takes_its_own_shortest_step_and_an_equal_share():
    """With the Jacobian of one block at a time, by autograd: appendix N of the paper."""
    net = reversible(blocks=3)
    E = normal(N, 2 * D, seed=5)
    delta, back = walk_back(net, net.encode(X).detach(), E, solver="svd")
    full = Reversible(2 * D, 2 * D, net.width, blocks=3, seed=5)  # for the Jacobian of the state, a head that is square
    full.V, full.W.data, full.u = net.V, net.W.detach(), torch.eye(2 * D, dtype=torch.float64)
    columns = jacrev(lambda W: functional_call(full, {"W": W}, (X,)).flatten())(net.W.detach())
    for block in range(3):
        alone = torch.linalg.pinv(columns[:, block].flatten(1)) @ E.flatten()
        assert relative(delta[block].flatten(), alone / 3) < 1e-10
    assert relative(back.detach(), X) < 1e-11


def test_from_two_blocks_on_it_is_longer_than_the_shortest():
    for blocks in (2, 3):
        net = Reversible(2 * D, 6, 60, blocks=blocks, std=0.1, seed=5)
        y = normal(N, 6, seed=2)
        exact, shortest = (f(net, X, y).tensors[0] for f in (exact_gauss_newton, gauss_newton))
        assert 1.02 * shortest.norm() < exact.norm() < 20 * shortest.norm()


def test_without_the_cross_term_it_misses_more_with_larger_weights():
    errors = []
    for std in (1e-3, 0.05, 0.3):
        net = Reversible(2 * D, 3, 40, std=std, seed=5)
        direction = exact_gauss_newton(net, X, Y, cross_term=False, tolerance=math.inf)
        errors.append(missed(net, X, Y, direction))
        assert direction.solve.residual.item() == pytest.approx(errors[-1], rel=1e-3)
    assert 1e-4 < errors[0] < 0.02 < errors[1] < errors[2] and errors[2] > 0.2


def test_forgetting_the_share_of_a_block_misses_by_blocks_minus_one():
    net = reversible(blocks=3)
    J, r = jacobian(net, X), (net(X) - Y).detach().flatten()
    wrong = 3 * exact_gauss_newton(net, X, Y).tensors[0]
    assert ((J.jvp((wrong,)) - r).norm() / r.norm()).item() == pytest.approx(2, rel=1e-6)


def test_a_step_shrinks_the_residual():
    net = reversible(std=0.05)
    r = (net(X) - Y).detach()
    ReversibleGaussNewton(net, 1e-4).step(X, Y)
    assert relative((net(X) - Y).detach(), (1 - 1e-4) * r) < 1e-6


def test_a_stack_of_runs_equals_the_runs_one_by_one():
    stack = reversible(runs=(3,), seed=torch.arange(3), std=torch.tensor([0.02, 0.1, 0.3]))
    together, optimizer = exact_gauss_newton(stack, X, Y), ReversibleGaussNewton(stack, 0.3)
    singles = runs_of(stack)
    for _ in range(3):
        optimizer.step(X, Y)
    for i, net in enumerate(singles):
        net.V, net.u = stack.V[i], stack.u[i]
        alone = exact_gauss_newton(net, X, Y)
        assert relative(together.tensors[0][i], alone.tensors[0]) < 1e-9
        assert together.loss[i].item() == pytest.approx(alone.loss.item(), rel=1e-12)
        one = ReversibleGaussNewton(net, 0.3)
        for _ in range(3):
            one.step(X, Y)
        assert relative(stack.W.detach()[i], net.W.detach()) < 1e-8


def test_each_run_its_data():
    stack = reversible(runs=(2,), seed=torch.arange(2))
    x, y = normal(2, N, 2 * D, seed=11), normal(2, N, 3, seed=12)
    assert (exact_gauss_newton(stack, x, y).solve.residual < 1e-8).all()


def test_float32_is_exact_to_its_own_rounding():
    net = Reversible(2 * D, 3, 60, std=0.05, seed=5, dtype=torch.float32)
    for solver in ("svd", "cholesky"):
        assert 1e-8 < exact_gauss_newton(net, X.float(), Y.float(), solver=solver).solve.residual < 1e-4


def test_cross_entropy_and_its_newton_step():
    net, loss = reversible(std=0.05), CrossEntropy(3)
    J, f = jacobian(net, X), net(X).detach()
    for newton in (False, True):
        direction = exact_gauss_newton(net, X, ONE_HOT, loss=loss, newton=newton)
        p = torch.softmax(f, -1)
        wanted = (p - ONE_HOT).flatten()
        if newton:
            H = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
            wanted = (torch.linalg.pinv(H) @ (p - ONE_HOT)[..., None]).flatten()
        assert relative(J.jvp(direction.tensors), wanted) < 1e-8
        assert direction.loss.item() == pytest.approx(torch.nn.functional.cross_entropy(f, ONE_HOT).item())


@pytest.mark.parametrize("shape", [(4, 9), (2, 5, 8)])
def test_right_inverse(shape):
    A, R = normal(*shape, seed=3), normal(*shape[:-1], 2, seed=4)
    for solver in ("svd", "cholesky"):
        assert relative(right_inverse(A, R, solver), torch.linalg.pinv(A) @ R) < 1e-12
    s = torch.linalg.svdvals(A)
    cutoff = ((s[..., -1] / s[..., 0]).max() * 1.01).item()
    assert relative(right_inverse(A, R, "svd", cutoff), torch.linalg.pinv(A, rtol=cutoff) @ R) < 1e-12


def test_the_correction_of_cholesky_pays_on_features_that_nearly_depend():
    """The Gram matrix squares the condition number, 1e5; one correction brings the solution back."""
    U, _, Vh = torch.linalg.svd(normal(6, 11, seed=9), full_matrices=False)
    A, R = (U * torch.logspace(0, -5, 6, dtype=torch.float64)) @ Vh, normal(6, 2, seed=4)
    D = right_inverse(A, R, "cholesky")
    assert relative(A @ D, R) < 1e-8


# What is refused, with what was measured.


def test_a_width_below_the_batch():
    net = Reversible(2 * D, 3, 7, std=0.05, seed=1)
    with pytest.raises(
        Inexact, match=r"misses the residual by 0\.\d+ of it .*features of 11 samples have rank 8 at most.*at least 16"
    ):
        exact_gauss_newton(net, X, Y)
    assert 0.05 < exact_gauss_newton(net, X, Y, tolerance=math.inf).solve.residual < 1
    assert exact_gauss_newton(net, X[:8], Y[:8], solver="svd").solve.residual < 1e-6


def test_an_inverse_that_rounding_destroys():
    net = Reversible(2 * D, 3, 60, blocks=40, std=0.3, seed=1)
    with pytest.raises(
        Unsolvable, match="running the 40 blocks backwards misses the inputs by .* in torch.float64|not positive"
    ):
        exact_gauss_newton(net, X, Y)
    single = Reversible(2 * D, 3, 60, blocks=12, std=0.3, seed=1, dtype=torch.float32)
    with pytest.raises(Inexact, match="float32. Use smaller weights at initialisation, fewer blocks, or float64"):
        exact_gauss_newton(single, X.float(), Y.float())


def test_a_cut_off():
    net = reversible()
    with pytest.raises(Inexact, match="a cut-off or a missing term"):
        exact_gauss_newton(net, X, Y, solver="svd", cutoff=0.3)
    assert exact_gauss_newton(net, X, Y, solver="svd", cutoff=0.3, tolerance=math.inf).solve.residual > 0.01


def test_features_that_are_not_finite():
    net = reversible()
    with torch.no_grad():
        net.W.mul_(1e200)
    for solver in ("svd", "cholesky"):
        with pytest.raises(Unsolvable, match="features are not finite|not exact"):
            exact_gauss_newton(net, X, Y, solver=solver)
    with pytest.raises(Unsolvable, match="the features are not finite"):
        right_inverse(torch.tensor([[1.0, math.inf, 2.0]]), torch.ones(1, 2), "svd")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "qr"}, "unknown solver 'qr'; choose cholesky or svd"),
        ({"cutoff": 0.01}, "with solver='svd'; got 0.01"),
        ({"solver": "svd", "cutoff": 1.0}, "from 0 to 1"),
        ({"newton": True}, "a loss with a method newton, such as CrossEntropy; got Squared"),
        ({"y": Y[:, :2]}, "the targets y have"),
        ({"x": X.float()}, "convert one"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        exact_gauss_newton(reversible(), **{"x": X, "y": Y, **options})


@pytest.mark.parametrize(
    "options", [{"solver": "qr"}, {"cutoff": 0.01}, {"newton": True}, {"lr": -0.5}, {"lr": EdgeFraction()}]
)
def test_the_optimizer_refuses_at_once(options):
    with pytest.raises(ValueError):
        ReversibleGaussNewton(reversible(), **options)
    with pytest.raises(ValueError, match="got a TwoLayer"):
        ReversibleGaussNewton(two_layer())


def test_refuses_a_network_that_computes_something_else():
    net = reversible()
    net.register_forward_hook(lambda module, args, outputs: 2 * outputs)
    with pytest.raises(ValueError, match="the exact step is for the forward pass of Reversible"):
        exact_gauss_newton(net, X, Y)


def test_refuses_another_network():
    with pytest.raises(ValueError, match="a Reversible network backwards; got a TwoLayer"):
        exact_gauss_newton(two_layer(), normal(N, D), normal(N))


# The optimizer in the training loop.


@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_training_follows_the_law(alpha):
    net, x = Reversible(16, 3, 80, seed=1), normal(N, 16, seed=7)
    trace = train(net, x, Y, ReversibleGaussNewton(net, alpha), 12)
    assert torch.allclose(trace.relative.log(), 2 * math.log(1 - alpha) * trace.step.double(), atol=0.6)
    assert (trace.relative[-1] / trace.relative[4]).log().item() / 8 == pytest.approx(2 * math.log(1 - alpha), rel=0.05)


def test_a_run_whose_steps_are_no_longer_exact_has_diverged():
    net = Reversible(2 * D, 3, 12, seed=1)
    feed = iter([(X, Y * 10.0**k) for k in range(40)])
    with pytest.raises(Diverged, match="its steps are no longer exact|no longer finite|outgrown") as stop:
        train(net, X, Y, ReversibleGaussNewton(net, 1.5), 39, batches=feed)
    assert stop.value.step > 0


def test_the_newton_step_of_cross_entropy_overflows():
    net, loss = Reversible(2 * D, 3, 60, seed=1), CrossEntropy(3)
    with pytest.raises(Diverged, match="a Newton step in output space overflows|no longer exact|no longer finite"):
        train(net, X, ONE_HOT, ReversibleGaussNewton(net, 1.9, loss=loss, newton=True), 60)


def test_the_optimizer_passes_its_options_on():
    net = reversible()
    wanted = exact_gauss_newton(net, X, Y, solver="svd", cutoff=0.2, tolerance=math.inf)
    before, optimizer = weights(net), ReversibleGaussNewton(net, 0.25, solver="svd", cutoff=0.2, tolerance=math.inf)
    loss = optimizer.step(X, Y)
    assert relative(weights(net), before - 0.25 * wanted.tensors[0].flatten()) < 1e-15
    assert torch.equal(loss, wanted.loss) and optimizer.dt == 0.25 and optimizer.last.solve.method == "svd"
