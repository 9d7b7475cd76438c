"""Reversible networks: forwards by hand, backwards to rounding, one block at a time."""

import weakref

import pytest
import torch
from torch.func import jacrev

from regimes.networks import Reversible
from tests.lib.cases import D, M, N, normal, relative, reversible, runs_of

X = normal(N, 2 * D, seed=1, std=0.9)
ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "silu": torch.nn.functional.silu}


def by_hand(net, x, phi):
    """Every sample and block on its own, with an explicit bias."""
    rows = []
    for row in x:
        a, b = row[:D].clone(), row[D:].clone()
        for V, W in zip(net.V, net.W.detach(), strict=True):
            a += phi(V[0].T @ b) @ W[0, :-1] + W[0, -1]
            b += phi(V[1].T @ a) @ W[1, :-1] + W[1, -1]
        rows.append(torch.cat([a, b]))
    return torch.stack(rows)


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_forward_is_the_formula(blocks, name):
    net = reversible(activation=name, blocks=blocks)
    z = by_hand(net, X, ACTIVATIONS[name])
    assert relative(net.encode(X).detach(), z) < 1e-14
    assert relative(net(X).detach(), z @ net.u) < 1e-14
    states = list(net.states(X))
    assert len(states) == blocks and torch.equal(states[-1], net.encode(X))
    assert relative(reversible(activation=name, blocks=blocks, from_zero=True)(X).detach(), (z - X) @ net.u) < 1e-13


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(("std", "blocks", "tolerance"), [(1e-3, 32, 1e-12), (0.02, 8, 1e-12), (0.3, 3, 1e-11)])
def test_the_inverse_brings_the_inputs_back(name, std, blocks, tolerance):
    net = reversible(activation=name, blocks=blocks, std=std)
    z = net.encode(X)
    assert (z - X).norm() > 0.1 * X.norm() and relative(net.inverse(z).detach(), X) < tolerance


def test_a_state_that_was_changed_comes_back_to_other_inputs():
    net = reversible()
    z = net.encode(X).detach()
    z[3, 0] += 1
    back = net.inverse(z).detach()
    assert relative(net.encode(back).detach(), z) < 1e-13
    assert (back - X).abs().amax(1).argmax() == 3 and relative(back[:3], X[:3]) < 1e-13


def test_blocks_preserve_volume():
    net = reversible(blocks=3, activation="tanh")
    for x in X[:3]:
        J = jacrev(lambda x: net.encode(x[None])[0])(x)
        assert torch.linalg.det(J).item() == pytest.approx(1, abs=1e-10) and (J - torch.eye(2 * D)).norm() > 0.5


def test_the_way_back_holds_one_block_at_a_time():
    """No activation of a block outlives the visit of the next one."""
    net, seen = reversible(blocks=5).requires_grad_(False), []
    for _, F, G in net.backwards(net.encode(X)):
        assert not any(ref() is not None for ref in seen)
        seen += [weakref.ref(F.A), weakref.ref(G.A)]
    assert len(seen) == 10


def test_the_way_back_visits_the_states_of_the_way_forth():
    net = reversible(blocks=3)
    states = [X, *net.states(X)]
    for block, F, G in net.backwards(states[-1]):
        below, above = states[block], states[block + 1]
        assert relative(F.x.detach(), below[:, D:].detach()) < 1e-13
        assert relative(G.x.detach(), above[:, :D].detach()) < 1e-13


def test_push_and_pull_are_the_derivative_and_its_transpose():
    layer = reversible(activation="tanh").half_layer(1, 0, X[:, :D])
    t, c = normal(N, D, seed=7), normal(N, D, seed=8)

    def F(x):
        return torch.tanh(x @ layer.V) @ layer.W[:-1] + layer.W[-1]

    assert relative(layer.output.detach(), F(layer.x).detach()) < 1e-14
    assert relative(layer.jvp(t).detach(), torch.func.jvp(F, (layer.x,), (t,))[1].detach()) < 1e-13
    assert relative(layer.vjp(c).detach(), torch.func.vjp(F, layer.x)[1](c)[0].detach()) < 1e-13


def test_a_stack_of_runs_equals_the_runs_one_by_one():
    stack = reversible(
        runs=(2, 2), seed=torch.arange(4).reshape(2, 2), std=torch.tensor([[0.1, 0.2], [0.3, 0.4]], dtype=torch.float64)
    )
    z = stack.encode(X).detach()
    for i, net in enumerate(runs_of(stack)):
        net.V, net.u = stack.V.flatten(0, 1)[i], stack.u.flatten(0, 1)[i]
        assert relative(z.flatten(0, 1)[i], net.encode(X).detach()) < 1e-14
        assert relative(stack(X).detach().flatten(0, 1)[i], net(X).detach()) < 1e-14
    alone = reversible(seed=2, std=0.3)
    assert relative(stack(X).detach()[1, 0], alone(X).detach()) < 1e-14
    assert relative(stack.inverse(z).detach()[1, 1], X) < 1e-11


def test_the_start():
    net = Reversible(2 * D, 4, 4000, blocks=2, std=0.05, seed=3)
    assert net.V.shape == (2, 2, D, 4000) and net.W.shape == (2, 2, 4001, D) and net.u.shape == (2 * D, 4)
    assert net.V.std().item() == pytest.approx(D**-0.5, rel=0.02) and net.V.mean().abs() < 0.01
    assert net.W[..., :-1, :].std().item() == pytest.approx(0.05, rel=0.02) and not net.W[..., -1, :].any()
    assert relative(net.u.T @ net.u, torch.eye(4, dtype=torch.float64)) < 1e-14
    assert [name for name, _ in net.named_parameters()] == ["W"]
    assert Reversible(2 * D, 4, M, seed=3, dtype=torch.float32).V.dtype == torch.float32


def test_autograd_sees_the_same_function():
    net = reversible(activation="tanh")
    net(X).square().sum().backward()
    W, eps, at = net.W.detach().clone(), 1e-6, (1, 0, 4, 2)
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            net.W.copy_(W)
            net.W[at] += sign * eps
            values.append(net(X).square().sum().item())
    assert net.W.grad[at].item() == pytest.approx((values[0] - values[1]) / (2 * eps), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": 5}, "inputs are split into halves"),
        ({"outputs": 9}, "at most as many outputs; got inputs=6, outputs=9"),
        ({"width": 0}, "at least one; got .*width=0"),
        ({"blocks": 0}, "at least one; got .*blocks=0"),
        ({"std": -1.0}, "std must be a finite number"),
        ({"activation": "step"}, "unknown activation"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        Reversible(**{"inputs": 6, "outputs": 3, "width": 7, **options})


@pytest.mark.parametrize("shape", [(N, 2 * D + 2), (2 * D,)])
def test_refuses_inputs_of_another_shape(shape):
    with pytest.raises(ValueError, match=rf"inputs must have shape \(..., n, {2 * D}\)"):
        reversible()(normal(*shape))


def test_says_what_it_is():
    assert "d=6, L=2, m=17, q=3, relu" in repr(reversible())
    assert "runs=(2,)" in repr(reversible(runs=(2,)))
