import pytest
import torch
from torch.nn import functional as F

from regimes.jacobians import jacobian
from regimes.networks import ACTIVATIONS, SCALINGS, Activation, TwoLayer, get_activation
from tests.lib.cases import D, M, N, frozen, normal, relative, runs_of, two_layer, weights

X = normal(N, D, seed=1)
KNOWN = {
    "identity": lambda z: 1.0 * z,
    "square": torch.square,
    "silu": F.silu,
    "tanh": torch.tanh,
    "erf": lambda z: torch.erf(z / 2**0.5),
    "relu": F.relu,
    "gelu": F.gelu,
    "softplus": F.softplus,
    "leaky_relu": lambda z: F.leaky_relu(z, 0.1),
    "leaky_silu": lambda z: 0.1 * z + 0.9 * F.silu(z),
    "leaky_tanh": lambda z: 0.1 * z + 0.9 * torch.tanh(z),
    "leaky_gelu": lambda z: 0.5 * z + 0.5 * F.gelu(z),
    "leaky_softplus": lambda z: 0.5 * z + 0.5 * F.softplus(z),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_and_its_derivative(name):
    z = torch.linspace(-7.3, 6.1, 66, dtype=torch.float64).reshape(6, 11).requires_grad_()
    wanted = KNOWN[name](z)
    slope = torch.autograd.grad(wanted.sum(), z)[0]
    phi, dphi = get_activation(name)(z.detach())
    assert relative(phi, wanted.detach()) < 1e-12
    assert relative(dphi, slope) < 1e-12
    single = get_activation(name)(z.detach().float())
    assert all(relative(a, b.float()) < 1e-5 for a, b in zip(single, (phi, dphi), strict=True))


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("bias", [True, False])
def test_forward_is_the_sum_over_units(scaling, bias):
    net = two_layer(scaling=scaling, bias=bias)
    scale = {"mean_field": 1 / M, "ntk": M**-0.5}[scaling]
    for x, f in zip(X, net(X), strict=True):
        x = torch.cat([x, torch.ones(1, dtype=x.dtype)]) if bias else x
        wanted = scale * sum(v * F.silu(w @ x) for w, v in zip(net.W, net.v, strict=True))
        assert abs(f - wanted) < 1e-14


def test_scale_and_time_scale_make_the_kernel_of_order_one():
    for scaling in SCALINGS:
        net = two_layer(scaling=scaling)
        assert net.time_scale * net.scale**2 == pytest.approx(1 / M)


def test_output_starts_at_zero_by_default():
    assert torch.equal(TwoLayer(D, M)(X), torch.zeros(N, dtype=torch.float64))


def test_a_stack_is_its_runs():
    seeds = torch.tensor([[3, 1, 4], [1, 5, 9]])
    std = torch.tensor([[0.1, 1.0, 3.0], [0.2, 2.0, 5.0]])
    stack = two_layer(runs=(2, 3), seed=seeds, std=std, output_std=2 * std)
    for i, net in enumerate(runs_of(stack)):
        s = std.flatten()[i].item()
        alone = two_layer(seed=int(seeds.flatten()[i]), std=s, output_std=2 * s)
        assert torch.equal(net.W, alone.W) and torch.equal(net.v, alone.v)
        assert relative(stack(X).flatten(0, -2)[i].detach(), alone(X).detach()) < 1e-14


def test_each_run_may_have_its_own_inputs():
    stack, x = two_layer(runs=(4,), seed=torch.arange(4)), normal(4, N, D, seed=8)
    wanted = torch.stack([net(xi) for net, xi in zip(runs_of(stack), x, strict=True)]).detach()
    assert relative(stack(x).detach(), wanted) < 1e-14


def test_an_integer_seed_counts_on_from_run_to_run_and_equal_seeds_are_equal_starts():
    net = two_layer(runs=(2, 3), seed=7)
    for i, one in enumerate(runs_of(net)):
        assert torch.equal(one.W, two_layer(seed=7 + i).W) and torch.equal(one.v, two_layer(seed=7 + i).v)
    same = two_layer(runs=(3,), seed=torch.full((3,), 7))
    assert torch.equal(same.W[0], same.W[2]) and torch.equal(same.W[0], two_layer(seed=7).W)


def test_standard_deviations_of_the_start():
    net = TwoLayer(41, 500, std=0.3, output_std=2.5)
    assert net.W.std().item() == pytest.approx(0.3, rel=0.02) and abs(net.W.mean().item()) < 0.01
    assert net.v.std().item() == pytest.approx(2.5, rel=0.1)


def test_a_generator_is_used_and_moves_on():
    g = torch.Generator().manual_seed(2)
    first, second = two_layer(seed=g), two_layer(seed=g)
    assert torch.equal(first.W, two_layer(seed=torch.Generator().manual_seed(2)).W)
    assert not torch.equal(first.W, second.W)


def test_dtype():
    net = two_layer(dtype=torch.float32)
    assert net.W.dtype == net.v.dtype == net(X.float()).dtype == torch.float32
    assert relative(net.W.detach(), two_layer().W.detach().float()) == 0


def test_hidden_gives_features_and_slopes():
    net = two_layer()
    z = net.augmented(X) @ net.W.T
    assert torch.equal(net.augmented(X)[:, -1], torch.ones(N, dtype=torch.float64))
    assert all(torch.equal(a, b) for a, b in zip(net.hidden(X), ACTIVATIONS["silu"](z), strict=True))


def test_an_activation_of_your_own():
    cube = Activation("cube", lambda z: (z**3, 3 * z**2))
    net = two_layer(activation=cube)
    assert get_activation(cube) is cube
    assert relative(net(X).detach(), ((net.augmented(X) @ net.W.T) ** 3 @ net.v / M).detach()) < 1e-14
    assert "cube" in repr(net)


# ---- copies of units

SHUFFLED = torch.randperm(M, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scaling", SCALINGS)
def test_units_in_another_order_are_the_same_network(scaling):
    net = two_layer(scaling=scaling)
    other = net.units(SHUFFLED)
    assert torch.equal(other.W, net.W[SHUFFLED]) and torch.equal(other.v, net.v[SHUFFLED])
    assert relative(other(X).detach(), net(X).detach()) < 1e-14


@pytest.mark.parametrize(("scaling", "times"), [("mean_field", 1.0), ("ntk", 2**0.5)])
def test_every_unit_twice_is_the_same_network_only_as_a_mean(scaling, times):
    net = two_layer(scaling=scaling)
    twin = net.units(torch.arange(M).repeat(2))
    assert twin.width == 2 * M and twin.scaling == scaling
    assert relative(twin(X).detach(), times * net(X).detach()) < 1e-14


def test_the_whole_is_the_mean_of_its_pieces():
    net = two_layer(runs=(2,), seed=torch.arange(2)).units(torch.arange(15))
    pieces = net.units(torch.arange(15).reshape(3, 5))
    assert pieces.runs == (2, 3) and pieces.width == 5
    assert relative(pieces(X).mean(1).detach(), net(X).detach()) < 1e-14
    for i, one in enumerate(runs_of(pieces)):
        run, piece = divmod(i, 3)
        assert torch.equal(one.W, net.W[run, 5 * piece : 5 * piece + 5])


def test_units_of_a_stack_are_those_of_each_run():
    stack = two_layer(runs=(2, 3), seed=torch.arange(6).reshape(2, 3))
    chosen = stack.units(SHUFFLED[:4])
    assert chosen.runs == (2, 3) and chosen.width == 4
    for many, one in zip(runs_of(chosen), runs_of(stack), strict=True):
        assert torch.equal(many.v, one.v[SHUFFLED[:4]]) and torch.equal(many.W, one.units(SHUFFLED[:4]).W)


def test_units_keep_what_a_network_is():
    cube = Activation("cube", lambda z: (z**3, 3 * z**2))
    net = frozen(two_layer(activation=cube, bias=False, scaling="ntk", dtype=torch.float32), "v")
    other = net.units(SHUFFLED)
    assert (other.activation, other.bias, other.scaling, other.inputs) == (cube, False, "ntk", D)
    assert other.W.dtype == other.v.dtype == torch.float32
    assert [p.requires_grad for p in other.parameters()] == [True, False]
    assert relative(other(X.float()).detach(), net(X.float()).detach()) < 1e-6


def test_units_are_copies():
    net = two_layer()
    before, other = weights(net), net.units(torch.arange(M))
    with torch.no_grad():
        other.W.zero_(), other.v.zero_()
    assert torch.equal(weights(net), before) and net.W.grad_fn is None and other.W.is_leaf
    other(X).sum().backward()
    assert net.W.grad is None


@pytest.mark.parametrize("index", [[0, M], [-M - 1], [3, 99]])
def test_a_unit_that_does_not_exist(index):
    with pytest.raises(IndexError, match=f"out of (range|bounds).*{M}"):
        two_layer().units(torch.tensor(index))


def test_print_says_what_it_is():
    assert "d=3, m=17, silu, mean_field, bias=True, runs=(2,)" in repr(two_layer(runs=(2,)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "swish"}, "unknown activation 'swish'.*silu.*Activation"),
        ({"scaling": "lazy"}, "unknown scaling 'lazy'.*mean_field, ntk"),
        ({"std": -1.0}, "std must be a finite number >= 0; got -1"),
        ({"std": float("nan")}, "std must be a finite number"),
        ({"output_std": float("inf")}, "output_std must be a finite number"),
        ({"runs": (2,), "output_std": torch.tensor([1.0, -2.0])}, "output_std must be a finite number"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        two_layer(**options)


@pytest.mark.parametrize(("inputs", "width"), [(0, 3), (3, 0), (-1, 3)])
def test_refuses_sizes_below_one(inputs, width):
    with pytest.raises(ValueError, match="at least one input and one hidden unit; got inputs=.*width="):
        TwoLayer(inputs, width)


@pytest.mark.parametrize("x", [X[0], X.T, normal(N, D + 1)])
def test_refuses_inputs_of_another_shape(x):
    with pytest.raises(ValueError, match=r"inputs must have shape \(\.\.\., n, 3\); got"):
        two_layer()(x)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_refuses_inputs_that_are_not_finite(bad):
    x = X.clone()
    x[3, 1] = bad
    with pytest.raises(ValueError, match="inputs contain numbers that are not finite"):
        jacobian(two_layer(), x)


def test_a_single_unit_is_given_as_a_list_of_one():
    with pytest.raises(ValueError, match=r"for one unit torch.tensor\(\[2\]\)"):
        TwoLayer(2, 5).units(torch.tensor(2))
