import pytest
import torch
from torch import nn

from regimes import reference
from regimes.jacobians import AutogradJacobian, LayerwiseJacobian, is_feed_forward, jacobian
from regimes.networks import TwoLayer, TwoLayerLinear
from tests.lib.cases import CASES, NAMES, WIDE, D, M, N, convolution, frozen, linear, normal, perceptron, relative, two_layer

X = normal(N, D, seed=1)


@pytest.mark.parametrize("name", NAMES)
def test_operator_is_the_dense_jacobian(name):
    net, x, _ = CASES[name]()
    wanted, f = reference.dense_jacobian(net, x), net(x).detach()
    J = jacobian(net, x)
    assert type(J) is CASES[name].backend
    assert J.shape == f.shape and J.samples == N and [id(p) for p in J.parameters] == _trainable(net)
    assert relative(J.outputs, f.flatten()) < 1e-13
    assert relative(J.gram(), wanted @ wanted.T) < 1e-12
    assert relative(J.dense(), wanted) < 1e-12
    u, v = normal(len(wanted), seed=4), normal(wanted.shape[1], seed=5)
    assert relative(J.flatten(J.vjp(u)), wanted.T @ u) < 1e-12
    assert relative(J.jvp(_like(v, J.parameters)), wanted @ v) < 1e-12
    assert all(t.shape == p.shape for t, p in zip(J.vjp(u), J.parameters, strict=True))


def _trainable(net):
    return [id(p) for p in net.parameters() if p.requires_grad]


def _like(v, parameters):
    return [t.reshape(p.shape) for t, p in zip(v.split([p.numel() for p in parameters]), parameters, strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_operator_leaves_the_network_and_the_data_alone(name):
    net, x, _ = CASES[name]()
    before, x_before = [p.detach().clone() for p in net.parameters()], x.clone()
    J = jacobian(net, x)
    J.gram(), J.jvp(J.vjp(J.outputs))
    assert torch.equal(x, x_before)
    assert all(torch.equal(p, b) and p.grad is None for p, b in zip(net.parameters(), before, strict=True))
    assert not any(m._forward_hooks for m in net.modules())


def test_linear_runs_may_share_a_step_or_a_residual():
    """What has no run axes is the same for all runs."""
    stack = linear(runs=(4,), seed=torch.arange(4))
    J, u = jacobian(stack, normal(N, WIDE, seed=6)), normal(3 * N, seed=7)
    step = [normal(WIDE, M, seed=8), normal(3, M, seed=9)]
    assert relative(J.jvp(step), J.jvp([t.expand(4, *t.shape) for t in step])) < 1e-14
    assert all(relative(a, b) < 1e-14 for a, b in zip(J.vjp(u), J.vjp(u.expand(4, -1)), strict=True))


def test_all_backends_agree_on_a_two_layer_network():
    net = two_layer(scaling="ntk")
    module = nn.Sequential(nn.Linear(D, M), nn.SiLU(), nn.Linear(M, 1, bias=False), nn.Flatten(0)).double()
    with torch.no_grad():
        module[0].weight.copy_(net.W[:, :-1]), module[0].bias.copy_(net.W[:, -1])
        module[2].weight.copy_(net.v * net.scale)
    # The last layer's weight is v / sqrt(m), so its own Jacobian is sqrt(m) times that of v.
    Phi = net.hidden(X)[0].detach()
    wanted = jacobian(net, X).gram() + (1 - net.scale**2) * Phi @ Phi.T
    for backend in ("layerwise", "autograd"):
        assert relative(jacobian(module, X, backend).gram(), wanted) < 1e-12


@pytest.mark.parametrize("wrap", [lambda net: net, nn.Sequential])
def test_autograd_backend_serves_a_two_layer_network(wrap):
    net = two_layer(scaling="ntk")
    assert relative(jacobian(wrap(net), X, "autograd").gram(), jacobian(net, X).gram()) < 1e-12


@pytest.mark.parametrize("name", ["layer called twice", "weight used functionally", "tokens"])
def test_layerwise_notices_when_its_sum_does_not_hold(name, monkeypatch):
    net, x, _ = CASES[name]()
    fallback = []
    for method in ("gram", "jvp"):
        slow = getattr(AutogradJacobian, method)
        monkeypatch.setattr(AutogradJacobian, method, lambda *of, slow=slow: fallback.append(slow) or slow(*of))
    jacobian(net, x).gram()
    jacobian(net, x).jvp([torch.ones_like(p) for p in net.parameters()])
    assert len(fallback) == 2


@pytest.mark.parametrize(
    "name", [name for name in CASES if name.startswith("perceptron") and "place" not in name and "first" not in name]
)
def test_layerwise_needs_no_fallback_for_a_perceptron(name, monkeypatch):
    monkeypatch.setattr(AutogradJacobian, "_rows", None)
    monkeypatch.setattr(AutogradJacobian, "_forward_mode", None)
    net, x, _ = CASES[name]()
    J = jacobian(net, x)
    assert len(J.gram()) == len(J.jvp([torch.ones_like(p) for p in J.parameters])) == net(x).numel() and not J.ways


@pytest.mark.parametrize("rows", [1, 4, 5, N])
def test_tiles_of_any_size_give_the_same_gram(rows, monkeypatch):
    net, x, _ = CASES["convolution, two outputs"]()
    wanted = jacobian(net, x).gram()
    monkeypatch.setattr(AutogradJacobian, "tile_bytes", rows * 8 * 2 * sum(p.numel() for p in net.parameters()))
    largest, rows_of = [], AutogradJacobian._rows
    monkeypatch.setattr(AutogradJacobian, "_rows", lambda self, x: largest.append(len(x)) or rows_of(self, x))
    assert relative(jacobian(net, x).gram(), wanted) < 1e-13
    assert max(largest) == rows


def test_rows_of_all_samples_are_checked_without_another_forward_pass(monkeypatch):
    net, x, _ = CASES["convolution, two outputs"]()
    J, wanted = jacobian(net, x), jacobian(net, x).gram()
    monkeypatch.setattr("regimes.jacobians.modules.call", None)
    assert relative(J.gram(), wanted) < 1e-13


@pytest.mark.parametrize("name", ["mean field", "perceptron, three outputs", "convolution"])
def test_float32_gram_is_close(name):
    net, x, _ = CASES[name]()
    K = jacobian(net.float(), x.float()).gram()
    assert K.dtype == torch.float64
    assert relative(K, jacobian(net.double(), x.float().double()).gram()) < 1e-6


@pytest.mark.parametrize(
    ("net", "x", "rank"),
    [
        (TwoLayer(D, 1, output_std=1.0, dtype=torch.float32), X, D + 2),
        (TwoLayerLinear(D, 1, 2, dtype=torch.float32), X, D),
        (nn.Linear(D, 1), X, D + 1),
        (nn.Sequential(nn.Conv1d(D, 1, 1), nn.Flatten()), X[..., None], D + 1),
    ],
    ids=["closed form", "closed form, linear", "layerwise", "autograd"],
)
def test_float32_gram_is_multiplied_in_float64(net, x, rank):
    """A product taken in float32 would lift the zero eigenvalues to 1e-8 of the largest."""
    lam = torch.linalg.eigvalsh(jacobian(net, x.float()).gram()).flip(0)
    assert lam[rank - 1] > 1e-6 * lam[0]
    assert lam[rank:].abs().max() < 1e-14 * lam[0]


def test_is_feed_forward():
    assert is_feed_forward(perceptron())
    for name in ("convolution", "own module", "tied weights"):
        assert not is_feed_forward(CASES[name]()[0])
    assert not is_feed_forward(nn.Sequential(nn.Tanh()))


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(4), nn.Dropout(), nn.AlphaDropout()])
def test_refuses_layers_that_mix_samples_or_roll_dice(layer):
    net = nn.Sequential(nn.Linear(D, 4), layer, nn.Linear(4, 1)).double()
    with pytest.raises(ValueError, match=f"1 is a {type(layer).__name__} in training mode, .*: call net.eval()"):
        jacobian(net, X)
    jacobian(net.eval(), X)


class Mixing(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(D, 2)

    def forward(self, x):
        return self.linear(x - x.mean(0))


class Noisy(Mixing):
    def forward(self, x):
        return self.linear(x + torch.rand_like(x))


@pytest.mark.parametrize(("net", "why"), [(Mixing(), "the network mixes samples"), (Noisy(), "its outputs are random")])
def test_refuses_outputs_that_depend_on_other_samples_or_on_chance(net, why):
    with pytest.raises(ValueError, match=why):
        jacobian(net.double(), X)


def test_refuses_outputs_without_a_row_a_sample():
    with pytest.raises(ValueError, match="one row per sample, 11 rows; got shape"):
        jacobian(nn.Sequential(nn.Linear(D, 2), nn.Flatten(0)).double(), X)


@pytest.mark.parametrize("net", [frozen(two_layer(), "W", "v"), perceptron().requires_grad_(False), nn.Tanh()])
def test_refuses_a_network_without_trainable_parameters(net):
    with pytest.raises(ValueError, match="no trainable parameters"):
        jacobian(net, X)


@pytest.mark.parametrize(
    ("net", "backend", "message"),
    [
        (two_layer(), "fast", "unknown backend 'fast'; choose auto, closed form, layerwise, autograd"),
        (perceptron(), "closed form", "closed form is for a Network that has one, such as TwoLayer; got Sequential"),
        (convolution(), "layerwise", "every parameter in an nn.Linear layer of its own"),
        (two_layer(), "layerwise", "every parameter in an nn.Linear layer of its own"),
    ],
)
def test_refuses_a_backend_that_cannot_serve(net, backend, message):
    with pytest.raises(ValueError, match=message):
        jacobian(net, X, backend)


def test_layerwise_refuses_shared_parameters():
    net, x, _ = CASES["tied weights"]()
    with pytest.raises(ValueError, match="every parameter in an nn.Linear layer of its own"):
        LayerwiseJacobian(net, x)


@pytest.mark.parametrize(
    "make",
    [two_layer, perceptron],
)
def test_refuses_inputs_that_are_not_finite(make):
    with pytest.raises(ValueError, match="finite"):
        jacobian(make(), X * float("nan"))
