"""Networks that are not the course's own: subclasses, parametrised weights, hooks, stacks, and attributes that mean nothing.

Each is compared with plain autograd on ``net(x)`` itself, so that a closed form that is not theirs cannot hide.
"""

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations, parametrize

from regimes.directions import gauss_newton, gradient, time_scale
from regimes.hessians import hessian
from regimes.jacobians import DerivedJacobian, jacobian
from regimes.kernels import LazyScaling, neural_tangent_kernel
from regimes.metrics import loss_on, normalised_margin, sharpness
from regimes.network import Network, has_closed_form, run_axes
from regimes.networks import Reversible, TwoLayer, TwoLayerHessian, TwoLayerJacobian, TwoLayerLinear
from regimes.optimizers import GaussNewton, GradientDescent
from tests.lib.cases import D, M, N, convolution, filled, linear, normal, relative, reversible, runs_of, two_layer

X, Y = normal(N, D, seed=1), normal(N, seed=2)
OPTIONS = {"std": 0.7, "output_std": 1.4, "seed": 5}


class Skip(TwoLayer):
    def forward(self, x):
        return super().forward(x) + 0.3 * torch.sin(self.W.sum((-2, -1)))[..., None] * x[..., 0]


class Bent(TwoLayer):
    def hidden(self, x):
        phi, slope = super().hidden(x)
        return phi.square(), slope


class Softened(TwoLayerLinear):
    def forward(self, x):
        return torch.tanh(super().forward(x))


class Shifted(Reversible):
    def read(self, z, x):
        return super().read(z, x) + self.W.sum()


class Double(torch.nn.Module):
    def forward(self, W):
        return 2 * W + W**2


class Tripled(TwoLayer):
    """Overrides both: its closed form is its own."""

    def forward(self, x):
        return 3 * super().forward(x)

    def jacobian(self, x):
        J = super().jacobian(x)
        return DerivedJacobian(J, 3.0, 3 * J.outputs, J.parameters)


class Named(TwoLayer):
    """Adds, and redefines nothing."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.name = "mine"

    def describe(self):
        return self.name


def parametrised(make):
    net = two_layer()
    with torch.random.fork_rng():
        torch.manual_seed(0)  # an orthogonal weight is completed at random
        make(net)
    return net


def hooked():
    net = two_layer()
    net.register_forward_hook(lambda net, inputs, f: f + inputs[0][:, 1] * net.v.sum())
    return net


def shadowed():
    net = two_layer()
    net.forward = lambda x: TwoLayer.forward(net, x) ** 2
    return net


def dial():
    """Not at its start, where its outputs are zero."""
    net = LazyScaling(Skip(D, M, **OPTIONS), 1.7)
    with torch.no_grad():
        net.net.W *= 1.2
    return net


FOREIGN = {
    "forward overridden": lambda: Skip(D, M, **OPTIONS),
    "a method behind forward overridden": lambda: Bent(D, M, **OPTIONS),
    "forward of a linear network overridden": lambda: Softened(D, 2, M, std=0.4, seed=5),
    "a method of a reversible network overridden": lambda: Shifted(2 * D, 3, 7, std=0.3, seed=5),
    "own parametrisation": lambda: parametrised(lambda net: parametrize.register_parametrization(net, "W", Double())),
    "orthogonal weight": lambda: parametrised(lambda net: parametrizations.orthogonal(net, "W")),
    "weight norm": lambda: parametrised(lambda net: parametrizations.weight_norm(net, "W")),
    "hook that changes the outputs": hooked,
    "forward replaced on the instance": shadowed,
    "dial around an overridden forward": dial,
}
CLOSED = {"jacobian overridden too": lambda: Tripled(D, M, **OPTIONS), "methods added": lambda: Named(D, M, **OPTIONS)}


def literal(net, x, y):
    """Jacobian ``(N, p)`` and Hessian of the mean squared loss, by autograd over one vector of parameters, row by row."""
    named = {k: p.detach() for k, p in net.named_parameters() if p.requires_grad}
    sizes = [p.numel() for p in named.values()]

    def outputs(w):
        parts = zip(named, w.split(sizes), strict=True)
        return functional_call(net, {k: part.view_as(named[k]) for k, part in parts}, (x,)).reshape(-1)

    w = torch.cat([p.flatten() for p in named.values()])
    loss = lambda w: (outputs(w) - y.flatten()).square().sum() / (2 * len(x))  # noqa: E731
    return torch.autograd.functional.jacobian(outputs, w), torch.autograd.functional.hessian(loss, w)


def data(net):
    inputs = getattr(net, "inputs", D)
    x = normal(N, inputs, seed=1)
    return x, normal(*net(x).shape, seed=2)


def unflatten(net, v):
    parameters = [p for p in net.parameters() if p.requires_grad]
    return [t.view_as(p) for t, p in zip(v.split([p.numel() for p in parameters]), parameters, strict=True)]


def flat(tensors):
    return torch.cat([t.detach().flatten() for t in tensors])


def trained(net):
    return flat(p for p in net.parameters() if p.requires_grad)


@pytest.mark.parametrize("name", [*FOREIGN, *CLOSED])
def test_derivatives_are_those_of_the_network_itself(name):
    net = {**FOREIGN, **CLOSED}[name]()
    x, y = data(net)
    J, H = literal(net, x, y)
    got = jacobian(net, x)
    assert relative(got.outputs, net(x).detach().flatten()) < 1e-12
    assert relative(got.gram(), J @ J.mT) < 1e-10
    u, v = normal(len(J), seed=7), normal(J.shape[1], seed=8)
    assert relative(flat(got.vjp(u)), J.mT @ u) < 1e-10
    assert relative(got.jvp(unflatten(net, v)), J @ v) < 1e-10
    if name != "weight norm":  # whose second derivatives by torch are wrong: they are not symmetric
        assert relative(hessian(net, x, y).matvec(v).detach(), H @ v) < 1e-10


@pytest.mark.parametrize("name", [*FOREIGN, *CLOSED])
def test_steps_are_those_of_the_network_itself(name):
    make = {**FOREIGN, **CLOSED}[name]
    net = make()
    x, y = data(net)
    J, _ = literal(net, x, y)
    r, c, start = (net(x) - y).detach().flatten(), time_scale(net), trained(net)
    damped = c * J @ J.mT + 0.3 * torch.eye(len(J), dtype=J.dtype)
    wanted = {GradientDescent: c * J.mT @ r / N, GaussNewton: c * J.mT @ torch.linalg.solve(damped, r)}
    for kind, options in ((GradientDescent, {}), (GaussNewton, {"damping": 0.3})):
        moved = make()
        kind(moved, 0.01, **options).step(x, y)
        assert relative((start - trained(moved)) / 0.01, wanted[kind]) < 1e-9


def test_closed_forms_are_used_where_they_hold():
    assert all(has_closed_form(make(), "jacobian") for make in (*CLOSED.values(), two_layer, linear, reversible))
    assert not any(has_closed_form(make(), "jacobian") for name, make in FOREIGN.items() if "dial" not in name)
    assert isinstance(jacobian(Named(D, M), X), TwoLayerJacobian) and has_closed_form(Named(D, M), "hessian")
    assert isinstance(hessian(Named(D, M), X, Y), TwoLayerHessian)
    assert not has_closed_form(Tripled(D, M), "hessian") and not has_closed_form(convolution(), "jacobian")


class Stack(Network):
    """A reader's own stack of runs, without a closed form."""

    def __init__(self, *runs):
        super().__init__()
        self.runs, self.time_scale = runs, 2.0
        self.a, self.b = nn.Parameter(normal(*runs, 4, D, seed=3)), nn.Parameter(normal(*runs, 4, seed=4))

    def forward(self, x):
        return (torch.tanh(x @ self.a.mT) @ self.b[..., None])[..., 0]


@pytest.mark.parametrize("make", [lambda: Stack(2, 3), lambda: Skip(D, M, runs=(2, 3), **OPTIONS)], ids=["own", "subclass"])
def test_a_stack_of_ones_own_is_served_like_its_runs(make):
    stack = make()
    singles = runs_of(stack)
    eps = {"damping": 0.1}
    measured = {
        "kernel": lambda net: neural_tangent_kernel(net, X),
        "block": lambda net: neural_tangent_kernel(net, X, X[:4] + 1),
        "loss": lambda net: loss_on(net, X, Y),
        "margin": lambda net: normalised_margin(net, X, Y.sign()),
        "sharpness": lambda net: sharpness(net, X, Y),
        "gradient": lambda net: gradient(net, X, Y).tensors[0],
        "gauss-newton": lambda net: gauss_newton(net, X, Y, **eps).tensors[1],
        "scaled": lambda net: neural_tangent_kernel(LazyScaling(net, 2.0), X),
        "jvp": lambda net: jacobian(net, X).jvp(jacobian(net, X).parameters),
    }
    for name, measure in measured.items():
        wanted = torch.stack([measure(net) for net in singles]).detach()
        assert relative(measure(stack).detach().flatten(0, 1), wanted) < 1e-9, name
    for optimizer in (lambda net: GradientDescent(net, 0.1), lambda net: GaussNewton(net, 0.3, **eps)):
        together = make()
        optimizer(together).step(X, Y)
        for one, moved in zip(runs_of(make()), runs_of(together), strict=True):
            optimizer(one).step(X, Y)
            assert relative(flat(moved.parameters()), flat(one.parameters())) < 1e-12


def test_a_stack_whose_parameters_or_outputs_lack_the_run_axes_is_refused():
    stack = Stack(2)
    stack.b = nn.Parameter(normal(4))
    with pytest.raises(ValueError, match=r"runs \(2,\) the run axes lead every trainable parameter; got one of shape \(4,\)"):
        jacobian(stack, X)
    stack = Stack(2)
    stack.forward = lambda x: Stack.forward(stack, x)[0]
    with pytest.raises(ValueError, match=r"must have the run axes \(2,\) and then one row per sample; got shape \(11,\)"):
        gradient(stack, X, Y)


@pytest.mark.parametrize("name", ["runs", "time_scale", "jacobian", "hessian", "output_axes"])
@pytest.mark.parametrize("value", ["hello", 5, True, nn.Parameter(torch.tensor(2.0))])
def test_attributes_of_another_module_mean_nothing(name, value):
    plain, marked = (filled(nn.Sequential(nn.Conv1d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(4, 2))) for _ in "ab")
    setattr(marked, name, value.requires_grad_(False) if isinstance(value, nn.Parameter) else value)
    x, y = normal(N, 1, D, seed=1), normal(N, 2, seed=2)
    for measure in (
        lambda net: gradient(net, x, y).tensors[0],
        lambda net: gauss_newton(net, x, y, damping=0.1).tensors[0],
        lambda net: neural_tangent_kernel(net, x, x[:3] + 1),
        lambda net: sharpness(net, x, y),
        lambda net: loss_on(net, x, y),
        lambda net: neural_tangent_kernel(LazyScaling(net, 2.0), x),
    ):
        assert torch.equal(measure(marked), measure(plain))
    optimizers = [GradientDescent(net, 0.1) for net in (plain, marked)]
    assert len({optimizer.step(x, y).item() for optimizer in optimizers}) == 1
    assert torch.equal(plain(x), marked(x))


def test_data_parallel_keeps_the_time_scale():
    net = two_layer()
    wrapped = nn.DataParallel(net)
    assert time_scale(wrapped) == M and time_scale(nn.Sequential(net)) == 1
    assert relative(gradient(wrapped, X, Y).tensors[0], gradient(net, X, Y).tensors[0]) < 1e-12
    assert relative(sharpness(wrapped, X, Y), sharpness(net, X, Y)) < 1e-6


def test_a_compiled_network_keeps_its_time_scale_and_runs():
    net = two_layer(runs=(2,), seed=torch.arange(2))
    compiled = torch.compile(net, backend="eager")
    assert time_scale(compiled) == M and run_axes(compiled) == (2,)
    assert relative(gradient(compiled, X, Y).tensors[0], gradient(net, X, Y).tensors[0]) < 1e-12
