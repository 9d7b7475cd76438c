import pytest
import torch

from regimes.jacobians import jacobian
from regimes.networks import TwoLayerLinear
from tests.lib.cases import WIDE, M, N, linear, normal, relative, runs_of

X = normal(N, WIDE, seed=1)


@pytest.mark.parametrize("q", [1, 3])
def test_a_linear_network_is_the_sum_over_units(q):
    net = linear(q)
    assert net(X).shape == (N, q) and net.predictor.shape == (WIDE, q) and not net.predictor.requires_grad
    for x, f in zip(X, net(X), strict=True):
        wanted = sum((u @ x) * v for u, v in zip(net.U.mT, net.V.mT, strict=True))
        assert relative(f.detach(), wanted.detach()) < 1e-13
    assert relative(X @ net.predictor, net(X).detach()) < 1e-13


def test_a_linear_stack_is_its_runs():
    seeds = torch.tensor([[3, 1, 4], [1, 5, 9]])
    std = torch.tensor([[0.1, 1.0, 3.0], [0.2, 2.0, 5.0]])
    stack = linear(runs=(2, 3), seed=seeds, std=std, output_std=2 * std)
    assert stack.U.shape == (2, 3, WIDE, M) and stack.V.shape == (2, 3, 3, M) and stack.predictor.shape == (2, 3, WIDE, 3)
    for i, net in enumerate(runs_of(stack)):
        s = std.flatten()[i].item()
        alone = linear(seed=int(seeds.flatten()[i]), std=s, output_std=2 * s)
        assert torch.equal(net.U, alone.U) and torch.equal(net.V, alone.V)
        assert relative(stack(X).detach().flatten(0, 1)[i], alone(X).detach()) < 1e-14
        assert relative(stack.predictor.flatten(0, 1)[i], alone.predictor) < 1e-14


def test_each_linear_run_may_have_its_own_inputs():
    stack, x = linear(runs=(4,), seed=torch.arange(4)), normal(4, N, WIDE, seed=8)
    wanted = torch.stack([net(xi) for net, xi in zip(runs_of(stack), x, strict=True)]).detach()
    assert relative(stack(x).detach(), wanted) < 1e-14


def test_networks_are_stacked_from_their_layers():
    single, several = linear(seed=1), linear(runs=(2, 2), seed=torch.tensor([[2, 3], [5, 7]]))
    net = TwoLayerLinear.stack((n.U, n.V) for n in (single, several))
    assert net.runs == (5,) and net.U.is_leaf and (net.inputs, net.outputs, net.width) == (WIDE, 3, M)
    assert torch.equal(net.U, torch.cat([single.U[None], several.U.flatten(0, 1)]))
    assert torch.equal(net.V, torch.cat([single.V[None], several.V.flatten(0, 1)]))
    with torch.no_grad():
        net.U.zero_(), net.V.zero_()
    assert single.U.norm() > 0 and several.V.norm() > 0
    assert TwoLayerLinear.stack([(single.U.float(), single.V.float())]).U.dtype == torch.float32


@pytest.mark.parametrize(
    "shapes",
    [
        [],
        [((4, 5), (3, 6))],
        [((4, 5), (3, 5)), ((4, 6), (3, 6))],
        [((4, 5), (3, 5)), ((4, 5), (2, 5))],
        [((2, 4, 5), (3, 3, 5))],
    ],
)
def test_layers_that_do_not_belong_together_are_not_stacked(shapes):
    with pytest.raises(ValueError, match=r"pairs of U \(..., d, m\) and V \(..., q, m\) are needed.*; got"):
        TwoLayerLinear.stack([(normal(*u), normal(*v)) for u, v in shapes])


def test_standard_deviations_of_a_linear_start():
    net = TwoLayerLinear(41, 29, 500, std=0.3, output_std=2.5)
    assert net.U.std().item() == pytest.approx(0.3, rel=0.02) and net.V.std().item() == pytest.approx(2.5, rel=0.02)
    net = TwoLayerLinear(41, 29, 500, std=0.3)
    assert net.U.std().item() == pytest.approx(0.3, rel=0.02) and net.V.std().item() == pytest.approx(0.3, rel=0.02)
    assert not torch.equal(net.U[:29], net.V)


def test_a_linear_network_says_what_it_is():
    net = linear(runs=(2,), dtype=torch.float32)
    assert net.U.dtype == net.V.dtype == net(X.float()).dtype == torch.float32
    assert repr(net) == f"TwoLayerLinear(d={WIDE}, m={M}, q=3, runs=(2,))"
    assert [name for name, _ in net.named_parameters()] == ["U", "V"] and net.time_scale == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"std": -1.0}, "std must be a finite number >= 0; got -1"),
        ({"output_std": float("nan")}, "output_std must be a finite number"),
        ({"runs": (2,), "std": torch.tensor([1.0, -2.0])}, "std must be a finite number"),
    ],
)
def test_a_linear_network_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        linear(**options)


@pytest.mark.parametrize("sizes", [(0, 2, 3), (2, 0, 3), (2, 3, 0), (-1, 2, 3)])
def test_a_linear_network_refuses_sizes_below_one(sizes):
    with pytest.raises(ValueError, match="at least one of each; got inputs=.*outputs=.*width="):
        TwoLayerLinear(*sizes)


@pytest.mark.parametrize("x", [X[0], X.T, normal(N, WIDE + 1)], ids=["d", "d, n", "n, d + 1"])
def test_a_linear_network_refuses_inputs_of_another_shape(x):
    for serve in (lambda net: net(x), lambda net: jacobian(net, x)):
        with pytest.raises(ValueError, match=rf"inputs must have shape \(\.\.\., n, {WIDE}\); got"):
            serve(linear())
