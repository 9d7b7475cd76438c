import pytest
import torch
from torch import nn

from regimes import reference
from regimes.directions import Direction, gauss_newton, gradient, time_scale
from regimes.jacobians import jacobian
from regimes.linalg import Singular, SmallestEigenvalue, Unsolvable
from regimes.networks import SCALINGS, Activation, TwoLayer
from regimes.problems import teacher_student
from tests.lib.cases import CASES, NAMES, D, M, N, normal, perceptron, relative, runs_of, two_layer

X, Y = normal(N, D, seed=1), normal(N, seed=2, mean=-0.4)


def flat(direction):
    return torch.cat([t.flatten() for t in direction.tensors])


def test_time_scale():
    assert time_scale(two_layer()) == M and time_scale(two_layer(scaling="ntk")) == 1.0 and time_scale(perceptron()) == 1.0


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_the_gradient_of_the_mean_loss(name):
    net, x, y = CASES[name]()
    trained = [p for p in net.parameters() if p.requires_grad]
    loss = (net(x) - y).square().sum() / (2 * N)
    wanted = torch.cat([g.flatten() for g in torch.autograd.grad(loss, trained)])
    got = gradient(net, x, y)
    assert isinstance(got, Direction) and got.solve is None
    assert relative(got.loss, loss.detach()) < 1e-13
    assert relative(flat(got), time_scale(net) * wanted) < 1e-12


def test_gradient_takes_another_loss():
    class Cubic:
        def value(self, f, y, samples):
            return (f - y).pow(3).sum(-1) / samples

        def grad(self, f, y):
            return 3 * (f - y).square()

    net = perceptron(2)
    y = normal(N, 2, seed=2)
    wanted = torch.autograd.grad((net(X) - y).pow(3).sum() / N, list(net.parameters()))
    assert relative(flat(gradient(net, X, y, loss=Cubic())), torch.cat([g.flatten() for g in wanted])) < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_undamped_step_is_the_shortest_that_removes_the_residual(name):
    net, x, y = CASES[name]()
    J, r = reference.dense_jacobian(net, x), (net(x) - y).detach().flatten()
    got = gauss_newton(net, x, y, singular="drop")
    s = torch.linalg.svdvals(J)
    rank = int((s > 1e-10 * s[0]).sum())
    condition = (s[0] / s[rank - 1]).item()
    corrected = got.solve.method == "cholesky, corrected"
    assert corrected == (rank == len(J)) and (corrected or got.solve.rank == rank)
    assert relative(flat(got), reference.minimum_norm_step(J, r)) < (1e-13 * condition if corrected else 1e-14 * condition**2)
    assert relative(got.loss, r.square().sum() / (2 * N)) < 1e-13


@pytest.mark.parametrize("name", NAMES)
def test_damped_step_is_damped_least_squares(name):
    net, x, y = CASES[name]()
    J, r = reference.dense_jacobian(net, x), (net(x) - y).detach().flatten()
    c, eps = time_scale(net), 0.37
    got = gauss_newton(net, x, y, damping=eps)
    assert relative(flat(got), reference.augmented_step(J, r, eps / c)) < 1e-11
    assert got.solve.method == "cholesky" and got.solve.damping == eps


@pytest.mark.parametrize("damping", [0.0, 0.2])
def test_a_stack_is_its_runs(damping):
    stack = two_layer(runs=(2, 3), seed=torch.arange(6).reshape(2, 3))
    together = gauss_newton(stack, X, Y, damping=damping), gradient(stack, X, Y)
    for i, net in enumerate(runs_of(stack)):
        alone = gauss_newton(net, X, Y, damping=damping), gradient(net, X, Y)
        for many, one in zip(together, alone, strict=True):
            assert all(relative(a.flatten(0, 1)[i], b) < 1e-10 for a, b in zip(many.tensors, one.tensors, strict=True))
            assert relative(many.loss.flatten()[i], one.loss) < 1e-13


def test_damping_of_each_run():
    stack, eps = two_layer(runs=(3,), seed=torch.arange(3)), torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)
    together = gauss_newton(stack, X, Y, damping=eps)
    assert torch.equal(together.solve.damping, eps)
    for i, net in enumerate(runs_of(stack)):
        assert relative(together.tensors[0][i], gauss_newton(net, X, Y, damping=eps[i].item()).tensors[0]) < 1e-12


@pytest.mark.parametrize("scaling", SCALINGS)
def test_smallest_eigenvalue_sees_the_kernel_of_order_one(scaling):
    net = two_layer(scaling=scaling)
    rule = SmallestEigenvalue(alpha=2.0, floor=1e-12)
    eps = 2 * time_scale(net) * torch.linalg.svdvals(reference.dense_jacobian(net, X))[-1].item() ** 2
    got = gauss_newton(net, X, Y, damping=rule)
    assert got.solve.damping.item() == pytest.approx(eps, rel=1e-6)
    assert relative(flat(got), flat(gauss_newton(net, X, Y, damping=got.solve.damping))) < 1e-12


def test_linear_units_give_a_singular_kernel_and_the_shortest_step():
    net = two_layer(activation=LINEAR, bias=False)
    J, r = reference.dense_jacobian(net, X), (net(X) - Y).detach()
    got = gauss_newton(net, X, Y, singular="drop")
    assert got.solve.rank == D and got.solve.residual > 0.1
    assert relative(flat(got), reference.minimum_norm_step(J, r)) < 1e-12


LINEAR = Activation("linear", lambda z: (z, torch.ones_like(z)))
SINGULAR = {  # and how many of the N eigenvalues are resolved
    "fewer units than samples, v = 0": (lambda **o: TwoLayer(D, 7, seed=5, **o), 7),
    "tiny hidden weights": (lambda **o: two_layer(std=1e-3, output_std=0.0, **o), 10),
    "linear units": (lambda **o: two_layer(activation=LINEAR, **o), D + 1),
}


@pytest.mark.parametrize(("make", "rank"), SINGULAR.values(), ids=SINGULAR)
def test_a_singular_kernel_is_an_error_unless_it_is_asked_for(make, rank):
    net = make()
    with pytest.raises(Singular, match="resolved in torch.float64 .*smallest .* largest .* damping") as caught:
        gauss_newton(net, X, Y)
    assert f"of its {N} eigenvalues {rank} are" in str(caught.value) and caught.value.runs
    dropped = gauss_newton(net, X, Y, singular="drop")
    J, r = reference.dense_jacobian(net, X), (net(X) - Y).detach()
    kept = torch.linalg.pinv(J, rtol=(N * torch.finfo(r.dtype).eps) ** 0.5) @ r
    assert dropped.solve.rank == rank and relative(flat(dropped), kept) < 1e-2
    assert torch.isfinite(flat(gauss_newton(net, X, Y, damping=5e-3))).all()


def test_a_regular_kernel_is_none():
    for net in (two_layer(), TwoLayer(D, 7, seed=5, output_std=1.0), two_layer(output_std=0.0)):
        taken = flat(gauss_newton(net, X, Y))
        assert torch.equal(taken, flat(gauss_newton(net, X, Y, singular="drop")))
        assert torch.equal(taken, flat(gauss_newton(net, X, Y, singular="error")))


def test_the_error_names_the_singular_runs():
    stack = two_layer(runs=(3,), std=torch.tensor([1.0, 1e-3, 1e-4]), output_std=0.0, seed=torch.arange(3))
    with pytest.raises(Singular, match="singular in 2 of 3 runs") as caught:
        gauss_newton(stack, X, Y)
    assert caught.value.runs.tolist() == [False, True, True]


def test_refuses_another_way_with_singular_kernels():
    with pytest.raises(ValueError, match="singular must be 'drop' or 'error'; got 'ignore'"):
        gauss_newton(two_layer(), X, Y, singular="ignore")


@pytest.mark.parametrize(
    ("std", "tolerance"),
    [
        (0.2, 1e-11),
        (0.02, 1e-9),
    ],
)
def test_undamped_step_of_an_ill_conditioned_network(std, tolerance):
    """cond(J) near 1e3 and near 6e5."""
    x, y = normal(60, 7, mean=0.0, std=1.0), normal(60, seed=1)
    net = TwoLayer(7, 150, bias=False, std=std, output_std=1.0, seed=1)
    J = reference.dense_jacobian(net, x)
    got = gauss_newton(net, x, y)
    assert got.solve.method == "cholesky, corrected" and got.solve.residual < 1e-8
    assert relative(flat(got), reference.minimum_norm_step(J, (net(x) - y).detach())) < tolerance


def test_float32_is_refused_without_damping():
    net = two_layer(dtype=torch.float32)
    with pytest.raises(ValueError, match=r"without damping divides by eigenvalues that torch.float32 .*net.double\(\)"):
        gauss_newton(net, X.float(), Y.float())


def test_float32_is_refused_with_little_damping():
    net = two_layer(dtype=torch.float32)
    with pytest.raises(ValueError, match="damping 1e-07 is below what torch.float32 resolves for this kernel"):
        gauss_newton(net, X.float(), Y.float(), damping=1e-7)
    gauss_newton(two_layer(), X, Y, damping=1e-7)


@pytest.mark.parametrize("std", [0.1, 0.01])
def test_float32_says_what_it_resolves_at_small_hidden_weights(std):
    """The least damping is N machine precisions of the mean diagonal of K; a safe one works at any weights."""
    net = two_layer(std=std, output_std=0.0, dtype=torch.float32)
    least = N * torch.finfo(torch.float32).eps * jacobian(net, X.float()).gram().diagonal().mean().item() * time_scale(net)
    with pytest.raises(Unsolvable, match=r"below what torch.float32 resolves .* mean diagonal.* larger damping") as caught:
        gauss_newton(net, X.float(), Y.float(), damping=0.9 * least)
    assert f"kernel, {least:.2g} (" in str(caught.value)
    wanted = flat(gauss_newton(two_layer(std=std, output_std=0.0), X, Y, damping=5e-3))
    assert relative(flat(gauss_newton(net, X.float(), Y.float(), damping=5e-3)), wanted.float()) < 1e-4


@pytest.mark.parametrize("name", ["mean field", "perceptron, three outputs", "own module"])
def test_float32_with_damping_agrees_with_float64(name):
    net, x, y = CASES[name]()
    wanted = flat(gauss_newton(net, x, y, damping=0.1))
    got = flat(gauss_newton(net.float(), x.float(), y.float(), damping=0.1))
    assert relative(got, wanted.float()) < 1e-4


@pytest.mark.parametrize("name", ["mean field", "perceptron"])
def test_float32_network_with_float64_targets_is_refused_as_well(name):
    net, x, y = CASES[name]()
    with pytest.raises(ValueError, match="float32"):
        gauss_newton(net.float(), x.float(), y)


@pytest.mark.parametrize("damping", [-0.1, float("nan"), float("inf"), torch.tensor([0.1, -0.1])])
def test_refuses_a_damping_that_is_negative_or_not_finite(damping):
    net = two_layer(runs=(2,), seed=torch.arange(2))
    with pytest.raises(ValueError, match="damping must be a finite number >= 0; got"):
        gauss_newton(net, X, Y, damping=damping)


def test_refuses_zero_damping_in_some_runs_only():
    with pytest.raises(ValueError, match="zero in all runs or positive in all runs; got a mixture"):
        gauss_newton(two_layer(runs=(2,)), X, Y, damping=torch.tensor([0.0, 0.1]))


@pytest.mark.parametrize("direction", [gradient, gauss_newton])
@pytest.mark.parametrize("make", [two_layer, perceptron])
def test_refuses_bad_targets(direction, make):
    for y in (Y[:, None], Y[:-1], Y[None]):
        with pytest.raises(ValueError, match="outputs have shape .*; the targets y have"):
            direction(make(), X, y)
    with pytest.raises(ValueError, match="targets y contain numbers that are not finite"):
        direction(make(), X, Y / 0)


@pytest.mark.parametrize("direction", [gradient, gauss_newton])
def test_refuses_bad_inputs(direction):
    with pytest.raises(ValueError, match="inputs must have shape"):
        direction(two_layer(), X[:, :2], Y)
    with pytest.raises(ValueError, match="inputs contain numbers that are not finite"):
        direction(two_layer(), X / 0, Y)
    with pytest.raises(ValueError, match="training mode"):
        direction(nn.Sequential(nn.Dropout(), nn.Linear(D, 1), nn.Flatten(0)).double(), X, Y)


def test_on_a_problem_with_a_teacher():
    problem = teacher_student(n=12, d=D, seed=torch.arange(2))
    net = two_layer(runs=(2,), seed=torch.arange(2))
    got = gauss_newton(net, problem.x, problem.y)
    J = jacobian(net, problem.x)
    assert relative(J.jvp(got.tensors), J.outputs - problem.y) < 1e-9
