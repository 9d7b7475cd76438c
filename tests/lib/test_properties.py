"""What holds for every network, every backend and every stack of runs: examples are drawn, not chosen."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regimes.directions import gauss_newton, gradient
from regimes.jacobians import jacobian
from regimes.networks import ACTIVATIONS, SCALINGS
from regimes.reference import dense_jacobian
from tests.lib.cases import CASES, NAMES, WIDE, D, N, linear, normal, relative, reversible, runs_of, two_layer

SEEDS = st.integers(10, 10**6)
ACTIVATION = st.sampled_from(sorted(ACTIVATIONS))
FROZEN = st.sampled_from([(), (0,), (1,)])  # which of the two layers


@st.composite
def two_layer_stacks(draw, runs, seed):
    choice = {"scaling": st.sampled_from(sorted(SCALINGS)), "activation": ACTIVATION, "bias": st.booleans()}
    return two_layer(runs=runs, seed=seed, **{name: draw(values) for name, values in choice.items()}), D


@st.composite
def linear_stacks(draw, runs, seed):
    return linear(draw(st.integers(1, 4)), runs=runs, seed=seed), WIDE


@st.composite
def reversible_stacks(draw, runs, seed):
    return reversible(draw(st.integers(1, 4)), runs=runs, seed=seed, blocks=draw(st.integers(1, 3))), 2 * D


STACKS = {"two-layer": two_layer_stacks, "linear": linear_stacks, "reversible": reversible_stacks}


@st.composite
def stacks(draw, kind):
    """A stack on one or two run axes, with a layer frozen or not, and inputs for all runs or for each."""
    runs = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=2)))
    seed = draw(SEEDS) + torch.arange(torch.Size(runs).numel()).reshape(runs)
    net, inputs = draw(STACKS[kind](runs, seed))
    for i in draw(FROZEN) if kind != "reversible" else ():
        list(net.parameters())[i].requires_grad_(False)
    x = normal(*runs * draw(st.booleans()), N, inputs, seed=draw(SEEDS), std=0.9)
    return net, x


def singles(net):
    """The runs of a stack, each with the fixed weights of its own."""
    alone = runs_of(net)
    for name in ("V", "u") if hasattr(net, "encode") else ():  # a reversible network keeps two weights as buffers
        for one, value in zip(alone, getattr(net, name).flatten(0, len(net.runs) - 1), strict=True):
            setattr(one, name, value)
    return alone


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10)
@given(backend=st.sampled_from(["auto", "autograd"]), rows=st.integers(1, N), seed=SEEDS)
def test_jvp_and_vjp_are_adjoint(name, backend, rows, seed):
    net, x, _ = CASES[name]()
    J = jacobian(net, x[:rows], backend)
    u, v = normal(J.outputs.numel(), seed=seed), [normal(*p.shape, seed=seed + 1) for p in J.parameters]
    pushed, pulled = J.jvp(v) @ u, sum((a * b).sum() for a, b in zip(v, J.vjp(u), strict=True))
    torch.testing.assert_close(pushed, pulled, rtol=1e-10, atol=1e-10 * J.jvp(v).norm().item() * u.norm().item())


@pytest.mark.parametrize("kind", STACKS)
@given(data=st.data())
def test_the_operator_of_a_stack_is_that_of_its_runs(kind, data):
    net, x = data.draw(stacks(kind))
    J, axes = jacobian(net, x), len(net.runs)
    assert J.shape == net(x).shape and J.samples == N
    u = normal(*J.outputs.shape, seed=7)
    pull = J.vjp(u)
    of_stack = [a.flatten(0, axes - 1) for a in (J.outputs, J.gram(), J.dense(), J.flatten(pull), J.jvp(pull))]
    x, u = x.expand(*net.runs, *x.shape[-2:]).flatten(0, axes - 1), u.flatten(0, axes - 1)
    for i, one in enumerate(singles(net)):
        dense = dense_jacobian(one, x[i])
        wanted = one(x[i]).detach().flatten(), dense @ dense.T, dense, dense.T @ u[i], dense @ (dense.T @ u[i])
        assert max(relative(got[i], alone) for got, alone in zip(of_stack, wanted, strict=True)) < 1e-11


@pytest.mark.parametrize("rule", [gradient, partial(gauss_newton, damping=0.1)], ids=["gradient", "gauss-newton"])
@pytest.mark.parametrize("kind", STACKS)
@given(data=st.data())
def test_the_step_of_a_stack_is_that_of_its_runs(kind, rule, data):
    net, x = data.draw(stacks(kind))
    y, axes = normal(*net(x).shape, seed=3), len(net.runs)
    together = rule(net, x, y)
    x = x.expand(*net.runs, *x.shape[-2:]).flatten(0, axes - 1)
    for i, one in enumerate(singles(net)):
        alone = rule(one, x[i], y.flatten(0, axes - 1)[i])
        assert together.loss.flatten()[i].item() == pytest.approx(alone.loss.item(), rel=1e-12)
        for got, wanted in zip(together.tensors, alone.tensors, strict=True):
            assert relative(got.flatten(0, axes - 1)[i], wanted) < 1e-10
