"""Every kind of module, through every function, in every grad mode: the numbers of plain row-by-row autograd, or a refusal."""

import contextlib

import pytest
import torch
from torch import nn

from regimes import (
    GaussNewton,
    GradientDescent,
    TwoLayer,
    gauss_newton,
    gradient,
    hessian,
    jacobian,
    neural_tangent_kernel,
    sharpness,
    train,
)
from regimes.kernels import LazyScaling, Linearised
from regimes.metrics import loss_on, loss_rate, spectrum
from tests.lib.cases import relative
from tests.lib.foreign.modules import FLAT, MODULES, Module, N, curvature, example, numbers, rows

GRAD = {"grad": contextlib.nullcontext, "no_grad": torch.no_grad}
NOT_TWICE = {"weight norm", "weight norm, as it was", "bag of words", "sparse embedding"}  # wrong in torch, or missing


pytestmark = pytest.mark.filterwarnings(
    "ignore:Complex modules:UserWarning", "ignore:.torch.nn.utils.weight_norm. is deprecated:FutureWarning"
)


def flat(tensors):
    return torch.cat([t.detach().flatten() for t in tensors])


def state(net):
    return [t.clone() for t in (*net.parameters(), *net.buffers())]


@pytest.mark.parametrize("mode", GRAD)
@pytest.mark.parametrize("name", MODULES)
def test_first_derivatives(name, mode):
    net, x = example(name)
    J, f, before = rows(net, x), net(x.clone()).detach(), (state(net), x.clone())
    y = f + numbers(*f.shape, seed=5)
    r, eps = (f - y).flatten(), 0.3 * torch.eye(f.numel(), dtype=torch.float64)
    with GRAD[mode]():
        found = {
            "kernel": (neural_tangent_kernel(net, x), J @ J.T),
            "block": (neural_tangent_kernel(net, x[:2], x[2:]), (J @ J.T)[: len(r) // N * 2, len(r) // N * 2 :]),
            "gradient": (flat(gradient(net, x, y).tensors), J.T @ r / N),
            "damped": (flat(gauss_newton(net, x, y, damping=0.3).tensors), J.T @ torch.linalg.solve(J @ J.T + eps, r)),
            "undamped": (flat(gauss_newton(net, x, y, singular="drop").tensors), torch.linalg.pinv(J, rtol=1e-8) @ r),
            "loss": (loss_on(net, x, y), r.square().sum() / (2 * N)),
            "rate": (loss_rate(net, x, y), (J.T @ r / N).square().sum() / (r.square().sum() / (2 * N))),
            "largest eigenvalue": (spectrum(net, x).max(), torch.linalg.matrix_norm(J @ J.T, 2)),
        }
    for what, (got, wanted) in found.items():
        assert relative(got.clone(), wanted) < 1e-8, what
    assert all(torch.equal(a, b) for a, b in zip(before[0], state(net), strict=True)) and torch.equal(x, before[1])


@pytest.mark.parametrize("name", MODULES)
def test_linearised(name):
    net, x = example(name)
    if name in ("weight norm, as it was", "scripted"):
        with pytest.raises(ValueError, match="torch cannot copy it"):
            Linearised(net)
        return
    J, f = rows(net, x), net(x.clone()).detach()
    assert relative(neural_tangent_kernel(LazyScaling(net, 2.0), x), J @ J.T) < 1e-8
    J, f = rows(net, x), net(x.clone()).detach()
    straight = Linearised(net)
    assert relative(straight(x).detach(), f) < 1e-12
    parameters = [p for p in straight.net.parameters() if p.requires_grad]
    moved = [0.1 * numbers(*p.shape, seed=7) for p in parameters]
    with torch.no_grad():
        for p, t in zip(parameters, moved, strict=True):
            p += t
    for _ in range(2):  # a second call, too
        assert relative(straight(x).detach().flatten(), f.flatten() + J @ flat(moved)) < 1e-8
    u = numbers(len(J), seed=8)
    assert relative(flat(torch.autograd.grad(straight(x).flatten(), parameters, u)), J.T @ u) < 1e-8
    assert relative(neural_tangent_kernel(straight, x), J @ J.T) < 1e-8


@pytest.mark.parametrize("name", MODULES)
def test_second_derivatives(name):
    net, x = example(name)
    y = net(x.clone()).detach() + numbers(*net(x.clone()).shape, seed=5)
    if name in NOT_TWICE:
        with pytest.raises(ValueError, match="second derivatives|differentiate this network twice"):
            hessian(net, x, y)
        return
    H = curvature(net, x, y)
    with torch.no_grad():
        assert relative(hessian(net, x, y).dense().detach(), H) < 1e-8
        assert relative(sharpness(net, x, y), torch.linalg.eigvalsh(H)[-1]) < 1e-6


@pytest.mark.parametrize("name", MODULES)
def test_training(name):
    """As torch.optim.SGD does it; and Gauss-Newton's full steps leave nothing of a residual that can be removed."""
    twins = []
    for _ in range(2):
        net, x = example(name)
        twins.append((net, x))
    (net, x), (twin, _) = twins
    y = net(x.clone()).detach() + 0.1
    K = {"kernel": lambda net: spectrum(net, x)}
    trace = train(net, x, y, GradientDescent(net, 0.02), 3, measure=K)
    sgd = torch.optim.SGD(twin.parameters(), 0.02)
    for _ in range(3):
        sgd.zero_grad()
        ((twin(x.clone()) - y).square().sum() / (2 * N)).backward()
        sgd.step()
    assert relative(flat(net.parameters()), flat(twin.parameters())) < 1e-10
    assert trace.loss[-1] < trace.loss[0] and trace.measured["kernel"].shape == (4, y.numel())
    falls = train(net, x, y, GaussNewton(net, 0.5, damping=1e-6), 3).loss
    assert falls[-1] < falls[0]


@pytest.mark.parametrize("name", [name for name in FLAT if name not in ("scripted", "inputs changed in place")])
def test_float32(name):
    net, x = example(name)
    J = rows(net, x)
    net, x = net.float(), x.float()
    assert relative(neural_tangent_kernel(net, x), J @ J.T) < 1e-4
    y = torch.zeros_like(net(x.clone()))
    assert gradient(net, x, y).tensors[0].dtype == torch.float32
    if name not in NOT_TWICE:
        assert sharpness(net, x, y).dtype == torch.float32


def test_print_says_how_the_jacobian_is_computed():
    said = {name: repr(jacobian(*example(name))) for name in ("perceptron", "convolution", "GRU")}
    assert "layer by layer" in said["perceptron"] and "torch.func" in said["convolution"] and "backward passes" in said["GRU"]
    assert "12 outputs, 32 parameters" in said["perceptron"]
    assert "closed form" in repr(jacobian(TwoLayer(2, 3), numbers(4, 2)))


# ---- refusals


def centred(h):
    return h - h.mean(0)


MIXING = {
    "causal": lambda h: h.cumsum(0),
    "difference to the sample before": lambda h: h - torch.cat([torch.zeros_like(h[:1]), h[:-1]]),
    "batch statistics": lambda h: centred(h) / h.std(0),
    "weakly": lambda h: h + 1e-3 * h.mean(0),
    "weaker": lambda h: h + 1e-6 * h.mean(0),
    "only the last": lambda h: torch.cat([h[:-1], h[-1:] + h[:1]]),
    "pairs": lambda h: (h + h.roll(1, 0)) / 2,
    "largest": lambda h: h - h.max(0).values,
    "attention": lambda h: torch.softmax(h @ h.T, -1) @ h,
    "sorted": lambda h: h.sort(0).values,
    "convolution along the batch": lambda h: torch.nn.functional.avg_pool1d(h.T, 3, 1, 1).T,
    "chance": lambda h: torch.nn.functional.dropout(h, 0.5, True),
    "noise": lambda h: h + 1e-4 * torch.randn_like(h),
}


class Mixed(nn.Module):
    """A perceptron in which something happens to the hidden layer; the last layer may be zero, as at many a start."""

    def __init__(self, mix, head, conv=False):
        super().__init__()
        self.a, self.b, self.mix, self.conv = nn.Linear(3, 5), nn.Linear(5, 1), mix, nn.Conv1d(1, 1, 1) if conv else None
        nn.init.constant_(self.b.weight, head) if head == 0 else None
        nn.init.zeros_(self.b.bias) if head == 0 else None

    def forward(self, x):
        x = self.conv(x[:, None])[:, 0] if self.conv else x
        return self.b(self.mix(torch.tanh(self.a(x))))


FUNCTIONS = {
    "jacobian": lambda net, x, y: jacobian(net, x),
    "gradient": lambda net, x, y: gradient(net, x, y),
    "gauss-newton": lambda net, x, y: gauss_newton(net, x, y, damping=1e-2),
    "kernel": lambda net, x, y: neural_tangent_kernel(net, x),
    "hessian": lambda net, x, y: hessian(net, x, y),
    "sharpness": lambda net, x, y: sharpness(net, x, y),
    "loss": lambda net, x, y: loss_on(net, x, y),
    "linearised": lambda net, x, y: Linearised(net)(x),
    "training": lambda net, x, y: train(net, x, y, GaussNewton(net, 0.1, damping=1e-2), 1),
}


@pytest.mark.parametrize("n", [3, 7, 12])
@pytest.mark.parametrize("head", [0, 1], ids=["zero head", "head"])
@pytest.mark.parametrize("mix", MIXING)
@pytest.mark.parametrize("conv", [False, True], ids=["linear", "mixed"])
def test_networks_that_mix_samples_or_are_random(mix, head, n, conv):
    torch.manual_seed(0)
    net, x, y = Mixed(MIXING[mix], head, conv).double(), numbers(n, 3), numbers(n, 1, seed=2)
    why = "outputs are random" if mix in ("chance", "noise") else "mixes samples"
    for what, function in FUNCTIONS.items():
        with pytest.raises(ValueError, match=why):
            function(net, x, y)
            pytest.fail(what)


TRAINING = {
    "dropout": lambda: nn.Dropout(0.5),
    "batch norm": lambda: nn.BatchNorm1d(5),
    "batch norm without statistics": lambda: nn.BatchNorm1d(5, track_running_stats=False).eval(),
    "random relu": nn.RReLU,
}


@pytest.mark.parametrize("layer", TRAINING)
@pytest.mark.parametrize("what", FUNCTIONS)
def test_layers_in_training_mode(layer, what):
    net = nn.Sequential(nn.Linear(3, 5), TRAINING[layer](), nn.Linear(5, 1)).double()
    before = state(net)
    with pytest.raises(ValueError, match=r"1 is a \w+ (in training mode, .* call net.eval\(\)|without running statistics)"):
        FUNCTIONS[what](net, numbers(7, 3), numbers(7, 1))
    assert all(torch.equal(a, b) for a, b in zip(before, state(net), strict=True))


class Observer(nn.Module):
    """Keeps a running mean of what it sees, and passes it on."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)
        self.register_buffer("seen", torch.ones(3))

    def forward(self, x):
        self.seen.mul_(0.9).add_(0.1 * x.detach().mean(0))
        return self.linear(x) + self.seen.sum() * 0


@pytest.mark.parametrize("what", FUNCTIONS)
def test_measuring_changes_no_running_statistics(what):
    net = Observer().double()
    FUNCTIONS[what](net, numbers(7, 3), numbers(7, 1))
    assert torch.equal(net.seen, torch.ones(3, dtype=torch.float64))


def some_module(function):
    return lambda: Module(lambda m, x: function(m.a(x)), a=nn.Linear(3, 1)).double()


def linear():
    return nn.Linear(3, 1).double()


def inputs():
    return numbers(4, 3)


BAD = {
    "numpy": (linear, lambda: numbers(4, 3).numpy(), r"torch.from_numpy\(x\)"),
    "list": (linear, lambda: [[1.0, 2.0, 3.0]], r"torch.tensor\(x\)"),
    "dictionary": (linear, lambda: {"x": numbers(4, 3)}, "one tensor"),
    "integers": (linear, lambda: torch.ones(4, 3, dtype=torch.int64), r"convert x.double\(\)"),
    "integers for a closed form": (
        lambda: TwoLayer(3, 4),
        lambda: torch.ones(4, 3, dtype=torch.int64),
        "does not take inputs of type",
    ),
    "complex inputs": (linear, lambda: numbers(4, 3) * 1j, "complex numbers are not supported"),
    "complex network": (lambda: linear().to(torch.complex128), lambda: numbers(4, 3) + 0j, "complex numbers"),
    "sparse": (linear, lambda: numbers(4, 3).to_sparse(), r"x.to_dense\(\)"),
    "meta": (lambda: linear().to("meta"), inputs, "move one with"),
    "float32": (linear, lambda: numbers(4, 3).float(), "convert one"),
    "dictionary of outputs": (some_module(lambda f: {"f": f}), inputs, "must return one tensor"),
    "two outputs": (some_module(lambda f: (f, f)), inputs, "must return one tensor"),
    "integer outputs": (some_module(lambda f: f.round().long()), inputs, "must return real numbers"),
    "detached": (some_module(lambda f: f.detach()), inputs, "depend on no trainable parameter"),
    "frozen": (lambda: linear().requires_grad_(False), inputs, "no trainable parameters"),
    "empty": (linear, lambda: numbers(0, 3), "no sample"),
    "not finite": (linear, lambda: numbers(4, 3) / 0, "not finite"),
}


@pytest.mark.parametrize("what", ["jacobian", "gradient", "hessian", "kernel", "sharpness"])
@pytest.mark.parametrize("name", BAD)
def test_inputs_and_outputs_that_cannot_be_used(name, what):
    make, inputs, why = BAD[name]
    with pytest.raises(ValueError, match=why):
        FUNCTIONS[what](make(), inputs(), numbers(4, 1))


def test_inference_mode():
    net, x = nn.Linear(3, 1).double(), numbers(4, 3)
    with torch.inference_mode(), pytest.raises(ValueError, match=r"use torch.no_grad\(\)"):
        gradient(net, x, x[:, :1])


def test_autocast():
    net = nn.Linear(3, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(ValueError, match="autocast is on"):
        gradient(net, numbers(4, 3).float(), numbers(4, 1).float())


def test_data_changed_behind_torchs_back():
    """The dial computes its outputs at initialisation anew outside of a training: NumPy shares memory without a trace."""
    net = LazyScaling(nn.Linear(3, 1).double(), 2.0)
    array = numbers(4, 3).numpy()
    x = torch.from_numpy(array)
    assert not net(x).any()
    array[:] = 0.5
    assert not net(x).any()
