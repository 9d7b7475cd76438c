"""How people write who come from torch or NumPy: optimizers, calls, activations, devices, arrays, odd numbers."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import hessian, jacrev
from torch.nn import functional as F

from regimes.directions import gauss_newton, gradient
from regimes.flows import Adaptive, Lorentz, RungeKutta4
from regimes.hessians import hessian as mean_loss_hessian
from regimes.jacobians import jacobian
from regimes.kernels import LazyScaling, neural_tangent_kernel
from regimes.metrics import loss_on, sharpness
from regimes.networks import Reversible, TwoLayer, TwoLayerLinear, committee
from regimes.optimizers import EdgeFraction, GaussNewton, GradientDescent, TorchOptimizer
from regimes.problems import teacher_student
from regimes.sweeps import sweep
from regimes.training import train
from tests.lib.cases import D, M, N, frozen, linear, normal, perceptron, relative, two_layer, weights

X, Y = normal(N, D, seed=1), normal(N, seed=2, mean=-0.4)


# ---- torch's optimizers

TORCH = {
    "SGD": {"lr": 0.03, "momentum": 0.9, "nesterov": True},
    "Adam": {"lr": 0.02, "amsgrad": True},
    "AdamW": {"lr": 0.02, "weight_decay": 0.3},
    "NAdam": {"lr": 0.02},
    "RAdam": {"lr": 0.02},
    "Adamax": {"lr": 0.02},
    "Adagrad": {"lr": 0.02},
    "Adadelta": {"lr": 0.5},
    "RMSprop": {"lr": 0.005, "momentum": 0.5},
    "ASGD": {"lr": 0.03},
    "Rprop": {"lr": 0.01},
    "LBFGS": {"lr": 0.3, "max_iter": 4},
    "LBFGS, with line search": {"lr": 1.0, "max_iter": 5, "line_search_fn": "strong_wolfe"},
}


@pytest.mark.parametrize("make", [perceptron, two_layer])
@pytest.mark.parametrize("name", TORCH)
def test_any_optimizer_of_torch_takes_the_steps_it_takes_in_torchs_own_loop(name, make):
    """The loop's loss is ``c`` times the mean squared loss with a half; ``c`` is the width of a `TwoLayer`."""
    net, twin, kind = make(), make(), getattr(torch.optim, name.split(",")[0])
    inner, alone = (kind(n.parameters(), **TORCH[name]) for n in (net, twin))
    trace, c, losses = train(net, X, Y, inner, 6), M if make is two_layer else 1, []

    def closure():
        alone.zero_grad()
        loss = c * (twin(X) - Y).square().mean() / 2
        loss.backward()
        return loss

    for _ in range(6):
        losses.append(closure().item() / c)
        alone.step(closure)
    assert relative(weights(net), weights(twin)) < 1e-9
    assert trace.loss[:-1].tolist() == pytest.approx(losses, rel=1e-9) and trace.time[-1] == pytest.approx(
        6 * TORCH[name]["lr"]
    )


def test_what_looks_at_all_parameters_together_is_not_for_a_stack():
    net = two_layer(runs=(2,))
    with pytest.raises(ValueError, match=r"LBFGS mixes all that it holds, and so the runs of a stack, \(2,\)"):
        train(net, X, Y, torch.optim.LBFGS(net.parameters()), 3)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_others_serve_each_run_of_a_stack_as_if_alone(kind):
    stack = two_layer(runs=(2,), seed=torch.tensor([3, 8]))
    train(stack, X, Y, kind(stack.parameters(), 0.01), 4)
    for i, seed in enumerate((3, 8)):
        net = two_layer(seed=seed)
        train(net, X, Y, kind(net.parameters(), 0.01), 4)
        assert relative(stack.W[i].detach(), net.W.detach()) < 1e-9


def test_weight_decay_counts_in_the_time_scale():
    net = two_layer()
    W, grad = net.W.detach().clone(), torch.autograd.grad((net(X) - Y).square().mean() / 2, net.W)[0]
    train(net, X, Y, torch.optim.SGD(net.parameters(), 0.1, weight_decay=0.3), 1)
    assert relative(net.W.detach(), W - 0.1 * (M * grad + 0.3 * W)) < 1e-12


OURS = {
    "gradient descent": lambda net: GradientDescent(net, 0.1),
    "gauss-newton": lambda net: GaussNewton(net, 0.1, damping=0.1),
    "of torch": lambda net: TorchOptimizer(net, torch.optim.SGD(net.parameters(), 0.1)),
}


@pytest.mark.parametrize("arguments", [(), (lambda: 1.0,), (None,), (X,), (X, None)])
@pytest.mark.parametrize("name", OURS)
def test_a_step_without_data_says_how_it_is_called(name, arguments):
    with pytest.raises(TypeError, match=r"step takes the data, step\(x, y\), and computes the gradient itself: no closure"):
        OURS[name](perceptron()).step(*arguments)


@pytest.mark.parametrize("name", OURS)
def test_zero_grad_and_backward_do_no_harm(name):
    net, twin = perceptron(), perceptron()
    optimizer = OURS[name](net)
    for _ in range(3):
        optimizer.zero_grad()
        F.mse_loss(net(X), Y).backward()
        optimizer.step(X, Y)
    by = OURS[name](twin)
    for _ in range(3):
        by.step(X, Y)
    assert torch.equal(weights(net), weights(twin))


# ---- data that are no tensors

WRONG = {
    "array": lambda t: t.numpy(),
    "list": lambda t: t.tolist(),
    "tuple": lambda t: tuple(t.tolist()),
    "number": lambda t: 1.0,
    "none": lambda t: None,
}
TAKERS = {
    "train": lambda net, x, y: train(net, x, y, GradientDescent(net, 0.1), 2),
    "train by torch": lambda net, x, y: train(net, x, y, torch.optim.Adam(net.parameters()), 2),
    "batches": lambda net, x, y: train(net, None, None, GradientDescent(net, 0.1), 2, batches=[(x, y)]),
    "step": lambda net, x, y: GaussNewton(net, 0.1).step(x, y),
    "flow": lambda net, x, y: RungeKutta4(net, gradient, 0.1).step(x, y),
    "train a flow": lambda net, x, y: train(net, x, y, Adaptive(net, gradient, 0.1), 2),
}


@pytest.mark.parametrize("make", [two_layer, perceptron])
@pytest.mark.parametrize("which", ["x", "y"])
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("taker", TAKERS)
def test_data_that_are_no_tensors_are_refused_in_a_sentence(taker, wrong, which, make):
    data = {"x": X, "y": Y}
    data[which] = WRONG[wrong](data[which])
    with pytest.raises(
        (ValueError, TypeError), match=rf"{which} must be a torch.Tensor; got .* torch.from_numpy\({which}\)|step\(x, y\)"
    ):
        TAKERS[taker](make(), **data)


# ---- numbers of the wrong kind

ODD = {"half": 2.5, "float": 2.0, "text": "2", "none": None, "list": [2], "nan": math.nan}
WHOLE = {
    "steps": lambda net, n: train(net, X, Y, GradientDescent(net, 0.1), n),
    "every": lambda net, n: train(net, X, Y, GradientDescent(net, 0.1), 2, every=n),
    "width": lambda net, n: TwoLayer(D, n),
    "inputs": lambda net, n: TwoLayer(n, 4),
    "outputs": lambda net, n: TwoLayerLinear(D, n, 4),
    "blocks": lambda net, n: Reversible(4, 2, 3, blocks=n),
    "each axis of runs": lambda net, n: TwoLayer(D, 3, runs=(2, n)),
    "stack": lambda net, n: sweep(lambda a: {"a": a}, {"a": [1, 2]}, stack=n),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", WHOLE)
def test_what_must_be_a_whole_number(name, odd):
    if (name, odd) == ("stack", "none"):
        return  # all at once
    with pytest.raises(ValueError, match=f"{name} must be a whole number.*; got") as told:
        WHOLE[name](two_layer(), ODD[odd])
    assert repr(ODD[odd]) in str(told.value)


@pytest.mark.parametrize("number", [np.int64(2), torch.tensor(2), np.array(2)])
@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_of_numpy_and_torch_are_whole_numbers(name, number):
    WHOLE[name](two_layer(), number)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: TwoLayer(D, 3, runs=3), r"a tuple such as \(3,\) or \(2, 5\); got 3"),
        (lambda: TwoLayer(D, 3, runs=(0,)), "each axis of runs must be a whole number >= 1; got 0"),
        (lambda: TwoLayerLinear(D, 2, 3, runs="ab"), "each axis of runs"),
        (lambda: TwoLayer(D, 3, seed=0.5), "a seed is a whole number, or a tensor with one per run; got 0.5"),
        (lambda: TwoLayer(D, 3, seed="a"), "a seed is a whole number"),
        (lambda: TwoLayer(D, 3, seed=None), "a seed is a whole number"),
        (lambda: TwoLayer(D, 3, seed=True), "a seed is a whole number"),
        (lambda: TwoLayer(D, 3, runs=(2,), seed=torch.tensor([0.0, 1.0])), "a seed is a whole number"),
        (lambda: Reversible(4, 2, 3, runs=(2,), seed=torch.arange(3)), r"seeds of shape \(3,\) do not fit runs \(2,\)"),
        (lambda: TwoLayer(D, 3, seed=torch.arange(2)), r"seeds of shape \(2,\) do not fit runs \(\)"),
        (lambda: teacher_student(5, D, teacher_width=2, n_test=5, seed=1.5), "a seed is a whole number"),
        (lambda: TwoLayer(D, 3, std="a"), "std must be a finite number >= 0; got 'a'"),
        (lambda: TwoLayer(D, 3, std=None), "std must be a finite number >= 0; got None"),
        (lambda: TwoLayer(D, 3, runs=(2,), output_std=torch.ones(3)), r"output_std of shape \(3,\) does not fit runs \(2,\)"),
        (lambda: TwoLayer(D, 3, dtype=torch.int64), "floating-point numbers, such as dtype=torch.float64; got torch.int64"),
        (lambda: TwoLayer(D, 3, dtype=torch.complex128), "floating-point numbers"),
        (lambda: TwoLayer(D, 3, dtype="float64"), "floating-point numbers"),
        (lambda: committee([[1.0, 2.0]]), "W must be a torch.Tensor; got a builtins.list"),
        (lambda: committee(torch.ones(2, 3, dtype=torch.int64)), "floating-point numbers"),
        (lambda: TwoLayer(D, 3, device="nowhere"), "device 'nowhere' cannot be used here; use 'cpu'"),
        (lambda: GradientDescent(two_layer(), "0.5"), "the step size lr must be a positive, finite number; got '0.5'"),
        (lambda: GaussNewton(two_layer(), None), "the step size lr must be a positive, finite number; got None"),
        (lambda: GradientDescent(two_layer(), [0.1, "a"]), "the step size lr must be"),
        (lambda: GradientDescent(two_layer(), 1j), "the step size lr must be"),
        (lambda: EdgeFraction("half"), "the fraction of the stability limit must be"),
        (lambda: EdgeFraction(every=2.5), "every must be a whole number; got 2.5"),
        (lambda: RungeKutta4(two_layer(), gradient, "1"), "the time step dt must be a positive, finite number; got '1'"),
        (lambda: Adaptive(two_layer(), gradient, torch.ones(2)), "the time step dt must be"),
        (lambda: Lorentz(linear(), math.inf), "the time step dt must be"),
    ],
)
def test_numbers_that_mean_nothing_are_refused_in_a_sentence(wrong, says):
    with pytest.raises(ValueError, match=says):
        wrong()


def test_an_edge_fraction_needs_a_limit_or_a_cap():
    net = frozen(TwoLayer(D, 5), "v")  # v = 0, so that the kernel of W is zero
    with pytest.raises(ValueError, match="the kernel is zero, .* at_most"):
        GradientDescent(net, EdgeFraction()).step(X, Y)
    capped = GradientDescent(net, EdgeFraction(at_most=0.3))
    capped.step(X, Y)
    assert capped.dt == 0.3 and weights(net).isfinite().all()


# ---- measurements that go wrong


def failing_at(step, error):
    count = iter(range(100))

    def measure(net):
        if next(count) == step:
            raise error
        return 1.0

    return measure


class Slotted(Exception):
    """Its message is made of what it gets."""

    def __init__(self, what):
        super().__init__(f"about {what}")


@pytest.mark.parametrize("error", [ZeroDivisionError("a"), KeyError("b"), Slotted("c"), torch.linalg.LinAlgError("d")])
@pytest.mark.parametrize("step", [0, 3])
def test_a_measurement_that_raises_keeps_its_error_and_the_trace(step, error):
    net = two_layer()
    with pytest.raises(type(error)) as caught:
        train(net, X, Y, GradientDescent(net, 0.05), 6, measure={"fine": lambda net: 2.0, "bad": failing_at(step, error)})
    assert caught.value is error and error.__notes__[0] == f"This was the measurement 'bad' of train(), at step {step}."
    if step:
        assert error.trace.step.tolist() == [0, 1, 2] and error.trace.measured["fine"].tolist() == [2, 2, 2]
        assert f"at step {step}" in error.__notes__[1] and "`trace`" in error.__notes__[1]
    else:
        assert not hasattr(error, "trace")
    del error.__notes__


def test_an_interrupt_and_an_error_of_the_optimizer_keep_the_trace_too():
    class Interrupted(GradientDescent):
        def step(self, x, y, direction=None):
            if self.last is not None:
                raise KeyboardInterrupt
            return super().step(x, y, direction)

    net = two_layer()
    with pytest.raises(KeyboardInterrupt) as caught:
        train(net, X, Y, Interrupted(net, 0.05), 6)
    assert caught.value.trace.step.tolist() == [0, 1]


@pytest.mark.parametrize(
    "shapes", [[(), (), (3,)], [(3,), (3,), ()], [(2,), (2,), (3,)], [(2, 3), (2, 3), (3,)], [(1,), (1,), (2,)]]
)
def test_a_measurement_whose_shape_varies_is_refused_at_that_step(shapes):
    net, rest = two_layer(), iter([*shapes, shapes[-1]])
    with pytest.raises(ValueError, match=f"at step 2, that of 'a' is {re_shape(shapes[2])}, and at step 0 it was") as caught:
        train(net, X, Y, GradientDescent(net, 0.05), 3, measure={"a": lambda net: torch.ones(next(rest))})
    assert caught.value.trace.measured["a"].shape == (2, *shapes[0])


def re_shape(shape):
    return str(shape).replace("(", r"\(").replace(")", r"\)")


# ---- devices and dtypes that are set for all

STDS, SEEDS = torch.tensor([0.5, 0.7]), torch.tensor([4, 2])
NETWORKS = {
    "two layers": lambda **o: TwoLayer(D, 5, runs=(2,), output_std=0.3, **o),
    "one seed per run": lambda **o: TwoLayer(D, 5, runs=(2,), std=STDS, seed=SEEDS, **o),
    "generator": lambda **o: TwoLayer(D, 5, seed=torch.Generator("cpu").manual_seed(3), **o),
    "linear": lambda **o: TwoLayerLinear(D, 2, 5, **o),
    "reversible": lambda **o: Reversible(4, 2, 5, **o),
}


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_default_dtype_or_device_changes_no_number(name, dtype, request):
    wanted, usual = NETWORKS[name](), torch.get_default_dtype()
    request.addfinalizer(lambda: torch.set_default_dtype(usual))
    torch.set_default_dtype(dtype)
    with torch.device("meta"):
        got, bare = NETWORKS[name](device="cpu"), NETWORKS[name]()
    for tensors in (torch.nn.Module.parameters, torch.nn.Module.buffers):
        for a, b, c in zip(tensors(wanted), tensors(got), tensors(bare), strict=True):
            assert a.dtype == b.dtype == c.dtype == torch.float64 and torch.equal(a, b)
            assert c.device.type == "meta" and c.shape == a.shape


MOVERS = {
    "gradient descent": lambda net: GradientDescent(net, 0.1),
    "one step a run": lambda net: GradientDescent(net, torch.tensor([0.1, 0.2], device="cpu")),
    "edge fraction": lambda net: GradientDescent(net, EdgeFraction(0.3)),
    "adam": lambda net: torch.optim.Adam(net.parameters()),
    "runge-kutta": lambda net: RungeKutta4(net, gradient, 0.1),
    "adaptive": lambda net: Adaptive(net, gradient, 0.1),
}


@pytest.mark.parametrize("name", MOVERS)
def test_training_stays_on_the_networks_device(name):
    traces = []
    for default in ("cpu", "meta"):
        net = two_layer(runs=(2,), device="cpu")
        with torch.device(default):
            traces.append(train(net, X, Y, MOVERS[name](net), 3, measure={"one": lambda net: 1.5, "list": lambda net: [1, 2]}))
    for column in ("step", "time", "loss"):
        assert torch.equal(*(getattr(trace, column) for trace in traces))
    assert torch.equal(*(trace.measured["list"] for trace in traces))


# ---- activations

ELEMENTWISE = {
    "torch.tanh": torch.tanh,
    "torch.sin": torch.sin,
    "F.elu": F.elu,
    "nn.Softplus": nn.Softplus(beta=2.0),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "F.relu_": F.relu_,
    "nn.Sequential": nn.Sequential(nn.Tanh(), nn.GELU()),
    "nn.Hardtanh": nn.Hardtanh(),
    "constant slope": lambda z: 2 * z + 1,
    "in place": lambda z: z.mul_(0.5).sin_(),
    "a chosen branch": lambda z: torch.where(z > 0, z**2, torch.expm1(z)),
    "powers": lambda z: z**2 / 4 - z,
}
MAKERS = {
    "two layers": lambda phi: TwoLayer(D, 6, activation=phi, std=0.7, output_std=1.4, seed=5),
    "committee": lambda phi: committee(normal(4, D, seed=3), activation=phi),
    "reversible": lambda phi: Reversible(4, 2, 5, activation=phi, std=0.3, seed=5),
}


def literal(net, phi, x):
    """Outputs as a function of one vector of trainable parameters, written out from the definition of the network."""
    named = {k: p.detach() for k, p in net.named_parameters()}
    free = [k for k, p in net.named_parameters() if p.requires_grad]
    z = lambda t: phi(t.clone())  # noqa: E731

    def outputs(vector):
        parts = vector.split([named[k].numel() for k in free])
        p = named | {k: part.view_as(named[k]) for k, part in zip(free, parts, strict=True)}
        if isinstance(net, TwoLayer):
            inputs = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1) if net.bias else x
            return z(inputs @ p["W"].T) @ p["v"] / net.width
        a, b = x[:, :2], x[:, 2:]
        for V, W in zip(net.V, p["W"], strict=True):
            a = a + z(b @ V[0]) @ W[0, :-1] + W[0, -1]
            b = b + z(a @ V[1]) @ W[1, :-1] + W[1, -1]
        return (torch.cat([a, b], 1) @ net.u).flatten()

    return outputs, torch.cat([named[k].flatten() for k in free])


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_any_elementwise_function_is_an_activation(name, kind):
    """Outputs, kernel, gradient and Hessian, in closed form and by autograd, against the definition of the network."""
    phi = ELEMENTWISE[name]
    net = MAKERS[kind](phi)
    x = normal(N, net.inputs, seed=1)
    f, w = literal(net, phi, x)
    y, J = normal(*net(x).shape, seed=2), jacrev(f)(w)
    c = net.time_scale
    assert relative(net(x).detach().flatten(), f(w)) < 1e-12
    for backend in ("auto", "autograd"):
        gram = jacobian(net, x, backend=backend).gram()
        assert (gram - J @ J.mT).norm() <= 1e-10 * (J @ J.mT).norm()
    got = torch.cat([t.flatten() for t in gradient(net, x, y).tensors])
    assert torch.allclose(got, c * J.mT @ (f(w) - y.flatten()) / N, rtol=1e-9, atol=1e-12)
    H = hessian(lambda w: (f(w) - y.flatten()).square().sum() / (2 * N))(w)
    for backend in ("auto", "autograd"):
        assert (mean_loss_hessian(net, x, y, backend=backend).dense() - H).norm() <= 1e-9 * H.norm() + 1e-12


def test_an_own_function_is_the_named_one_everywhere():
    for name, phi in {"tanh": torch.tanh, "silu": F.silu, "gelu": F.gelu, "softplus": F.softplus, "relu": nn.ReLU()}.items():
        nets = [two_layer(activation=a, runs=(2,)) for a in (name, phi)]
        for measure in (
            lambda net: train(net, X, Y, GaussNewton(net, 0.1, damping=0.1), 5).loss,
            lambda net: sharpness(net, X, Y),
            lambda net: neural_tangent_kernel(LazyScaling(net, 2.0), X),
            lambda net: net.units(torch.arange(5).repeat(2))(X).detach(),
        ):
            assert relative(*map(measure, nets)) < 1e-9
        with torch.inference_mode():
            assert relative(nets[1].hidden(X)[1], nets[0].hidden(X)[1]) < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_own_activation_in_another_dtype(dtype):
    net = two_layer(activation=torch.tanh, dtype=dtype)
    assert net(X.to(dtype)).dtype == dtype and net.hidden(X.to(dtype))[1].dtype == dtype


@pytest.mark.parametrize(
    ("activation", "says"),
    [
        (nn.Softmax(-1), "is not elementwise"),
        (lambda z: z - z.mean(), "is not elementwise"),
        (lambda z: z / z.norm(), "is not elementwise"),
        (lambda z: z.cumsum(0), "is not elementwise"),
        (lambda z: z.sort().values, "is not elementwise"),
        (lambda z: z.sum(), "is not elementwise"),
        (lambda z: z > 0, "elementwise"),
        (lambda z: z.float(), "is not elementwise"),
        (nn.Dropout(), "is not elementwise"),
        (nn.RReLU(), "is not elementwise"),
        (nn.GLU(), "elementwise"),
        (lambda z: (z**2, 2 * z), "elementwise function with a derivative"),
        (lambda z: z @ z.mT, "elementwise"),
        (lambda z: 1.0, "elementwise"),
        (lambda z: z.detach().numpy(), "elementwise"),
        (nn.PReLU(), r"has parameters of its own, which would not be trained"),
        (nn.LayerNorm(4), "has parameters of its own"),
        (nn.Tanh, r"unknown activation <class.*or pass an elementwise function such as torch.sin or nn.ELU\(\)"),
        (None, "unknown activation None"),
        (["relu", "tanh"], r"unknown activation \['relu', 'tanh'\]"),
        ("Tanh", "unknown activation 'Tanh'; choose one of identity"),
    ],
)
def test_what_is_no_activation(activation, says):
    with pytest.raises(ValueError, match=says):
        TwoLayer(D, 5, activation=activation)


# ---- flows in other dtypes


class TooMany(Exception):
    """The integrator calls its field without end."""


@pytest.mark.parametrize("field", [gradient, lambda net, x, y: gauss_newton(net, x, y, damping=1e-2)])
@pytest.mark.parametrize("make", [lambda: TwoLayer(D, 20, std=0.7, output_std=1.4), lambda: TwoLayer(D, 20), perceptron])
def test_an_adaptive_flow_in_float32_ends_near_that_in_float64(make, field):
    calls = []

    def counted(net, x, y):
        calls.append(1)
        if len(calls) > 3000:
            raise TooMany
        return field(net, x, y)

    exact, net = make(), make().float()
    Adaptive(exact, field, 1.0).step(X, Y)
    flow = Adaptive(net, counted, 1.0)
    flow.step(X.float(), Y.float())
    assert relative(weights(net).double(), weights(exact)) < 1e-4
    assert flow.options == {"method": "DOP853", "rtol": 1e-9, "atol": 1e-12}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_an_adaptive_flow_in_half_precision_is_refused(dtype):
    net = two_layer(dtype=dtype)
    with pytest.raises(ValueError, match=rf"an error cannot be controlled in {dtype}: use net.float\(\)"):
        Adaptive(net, gradient, 1.0).step(X.to(dtype), Y.to(dtype))


# ---- sweeps over things that are no numbers


def activated(activation, seed):
    net = TwoLayer(D, 7, runs=seed.shape, activation=activation, output_std=1.0, seed=seed)
    return {"loss": loss_on(net, X, Y)}


@pytest.mark.parametrize("stack", [1, 2, None])
@pytest.mark.parametrize("first", [True, False])
def test_a_sweep_over_names_and_functions(stack, first, tmp_path):
    names = ["relu", "tanh", torch.sin]
    grid = {"activation": names, "seed": [4, 9, 1]}
    result = sweep(activated, grid if first else dict(reversed(grid.items())), stack=stack, store=tmp_path)
    got = result["loss"] if first else result["loss"].T
    for i, name in enumerate(names):
        for j, seed in enumerate(grid["seed"]):
            net = TwoLayer(D, 7, activation=name, output_std=1.0, seed=seed)
            assert got[i, j].item() == pytest.approx(((net(X) - Y).square().mean() / 2).item(), rel=1e-12)
    assert result.grid["activation"] == names and result.grid["seed"].tolist() == [4, 9, 1]
    assert torch.equal(sweep(activated, grid, stack=stack, store=tmp_path)["loss"], got)


@pytest.mark.parametrize(
    "values",
    [
        ["a", "b"],
        ("a", "b"),
        [None, 1.5],
        [1, "a"],
        [(3,), (3, 4)],
        [(3, 4), (5, 6)],
        [nn.Tanh(), nn.ReLU()],
        [{}, {"a": 1}],
        [X, Y],
        [X, X + 1],
        [print, nn.Linear],
    ],
)
def test_a_setting_that_is_no_number_arrives_as_it_is(values):
    seen = []
    result = sweep(lambda thing, a: seen.append((thing, len(a))) or {"a": a}, {"a": [1, 2, 3], "thing": values})
    assert all(thing is value and count == 3 for (thing, count), value in zip(seen, values, strict=True))
    assert result["a"].tolist() == [[1, 1], [2, 2], [3, 3]]


def test_names_in_an_array_arrive_as_pythons_own():
    seen = []
    sweep(lambda name: seen.append(name) or {"a": 1}, {"name": np.array(["a", "b"])}, stack=1)
    assert seen == ["a", "b"] and {type(name) for name in seen} == {str}


@pytest.mark.parametrize(
    "values", [[1, 2], range(2), (0.5, 1), np.arange(2), torch.arange(2), [True, False], [np.float32(1), 2.0], iter([4, 5])]
)
def test_numbers_are_one_tensor_for_a_stack(values):
    assert sweep(lambda a: {"a": a, "shape": torch.full((2,), a.ndim)}, {"a": values})["shape"].tolist() == [1, 1]


def test_errors_of_named_settings_are_found_by_their_names():
    def run(rule, sizes, a):
        if rule == "bad" and len(sizes) == 2:
            raise ZeroDivisionError("here")
        return {"a": a}

    with pytest.warns(
        RuntimeWarning, match=r"2 of 8 runs failed .* The first, rule=bad, a=0.5, sizes=\[1, 2\], raised ZeroDiv"
    ):
        result = sweep(run, {"rule": ["good", "bad"], "a": [0.5, 2], "sizes": [[1], [1, 2]]})
    assert list(result.errors) == [("bad", 0.5, "[1, 2]"), ("bad", 2.0, "[1, 2]")]
    assert result["a"].isnan().nonzero().tolist() == [[1, 0, 1], [1, 1, 1]]


def one_module(width, seed):
    torch.manual_seed(int(seed))
    net = nn.Sequential(nn.Linear(D, int(width)), nn.Tanh(), nn.Linear(int(width), 1), nn.Flatten(0)).double()
    loss = train(net, X, Y, torch.optim.Adam(net.parameters(), 0.01), 3).loss[-1]
    return {"loss": loss.item(), "count": sum(p.numel() for p in net.parameters())}


@pytest.mark.parametrize("jobs", [None, 2])
def test_any_module_is_swept_one_at_a_time(jobs):
    grid = {"width": [3, 8], "seed": [0, 1, 2]}
    result = sweep(one_module, grid, stack=1, jobs=jobs)
    assert result["count"].tolist() == [[5 * w + 1] * 3 for w in grid["width"]]
    for i, width in enumerate(grid["width"]):
        assert result["loss"][i].tolist() == [one_module(width, seed)["loss"] for seed in grid["seed"]]


def test_results_of_one_network_for_a_whole_stack_are_refused():
    with pytest.raises(ValueError, match=r"3 rows; 'loss' has shape \(\). If run\(\) makes one network at a time, .*stack=1"):
        sweep(lambda seed: {"loss": 0.5}, {"seed": [0, 1, 2]})
    assert sweep(lambda seed: {"loss": torch.ones(4)[None]}, {"seed": [0, 1, 2]}, stack=1)["loss"].shape == (3, 4)


def test_the_width_of_a_stack_is_one_number():
    with pytest.raises(ValueError, match="width must be a whole number; got tensor"):
        TwoLayer(D, torch.tensor([4, 5]))


# ---- a default device that is not the network's


@pytest.mark.parametrize("make", [perceptron, two_layer])
@pytest.mark.parametrize("options", [{"damping": 0.1}, {"damping": 0.1, "solver": "cg"}, {"singular": "drop"}])
def test_the_default_device_of_torch_is_not_asked(make, options):
    """`meta` stands for a GPU: nothing on it can be computed by accident."""
    net, grid = make(), {"seed": [1, 2, 3]}

    def run(seed):
        return {"twice": 2 * seed}

    def found():
        spectrum = sharpness(net, X, Y), sharpness(net, X, Y, method="dense"), neural_tangent_kernel(net, X)
        return [*gauss_newton(net, X, Y, **options).tensors, *spectrum, loss_on(net, X, Y), sweep(run, grid)["twice"]]

    wanted = found()
    with torch.device("meta"):
        on_meta = found()
    assert all(torch.equal(a, b) for a, b in zip(wanted, on_meta, strict=True))
