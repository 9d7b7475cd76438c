"""Data in two classes, and planes between them."""

import itertools
import math

import pytest
import torch
from scipy.optimize import minimize

from regimes.problems import (
    NotSeparable,
    digits_in_the_ball,
    five_points,
    is_separable,
    separation,
    tug_of_war,
    two_points,
    xor,
)
from tests.lib.cases import normal


@pytest.mark.parametrize("gamma", [0.025, 0.3])
def test_two_points(gamma):
    x, y = two_points(gamma)
    assert x.dtype == y.dtype == torch.float64 and y.tolist() == [1, 1]
    assert x[:, 0].tolist() == pytest.approx([gamma, gamma]) and x[0].norm().item() == pytest.approx(1)
    assert x[1, 1] == -x[0, 1] / 2
    found = separation(x, y)
    assert found.margin == pytest.approx(gamma, rel=1e-9) and found.direction.tolist() == pytest.approx([1, 0], abs=1e-9)


@pytest.mark.parametrize("g", [0.1, 0.2])
def test_tug_of_war(g):
    x, y = tug_of_war(g)
    assert y.tolist() == [1, 1, -1, -1] and torch.equal(x[2:], -x[:2])
    assert (x[0] * math.sqrt(4 + g * g)).tolist() == pytest.approx([1, g])
    assert (x[1] * math.sqrt(4 + g * g)).tolist() == pytest.approx([-2, g]) and x.norm(dim=1).max().item() == pytest.approx(1)
    assert separation(x, y).margin == pytest.approx(g / math.sqrt(4 + g * g), rel=1e-9)


@pytest.mark.parametrize("make", [two_points, tug_of_war])
def test_a_tensor_gives_each_run_its_data(make):
    values = torch.tensor([[0.1, 0.2, 0.4]], dtype=torch.float64)
    x, _ = make(values)
    for i, value in enumerate(values[0].tolist()):
        assert torch.allclose(x[0, i], make(value)[0])


@pytest.mark.parametrize("make", [two_points, tug_of_war])
@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, float("nan"), torch.tensor([0.1, 2.0])])
def test_margins_that_there_are_not(make, bad):
    with pytest.raises(ValueError, match="must lie strictly between 0 and 1; got"):
        make(bad)


def test_xor_has_opposite_neighbours_and_no_plane():
    x, y = xor()
    assert x.norm(dim=1).tolist() == pytest.approx([1] * 4)
    for i, j in itertools.combinations(range(4), 2):
        assert (y[i] == y[j]) == ((x[i] + x[j]).norm() < 1e-12)
    assert not is_separable(x, y)
    with pytest.raises(NotSeparable, match="no plane .* 4 samples by more than 1e-15 .* no margin"):
        separation(x, y)


def test_five_points():
    x, y = five_points()
    assert x.shape == (5, 3) and y.tolist() == [1, 1, -1, 1, 1]
    assert separation(x, y).margin == pytest.approx(0.05)


def test_no_line_without_an_intercept_is_told_too():
    x = torch.tensor([[1.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    assert not is_separable(x, torch.tensor([1.0, -1.0], dtype=torch.float64))
    assert is_separable(
        torch.cat([x, torch.ones(2, 1, dtype=torch.float64)], 1), torch.tensor([1.0, -1.0], dtype=torch.float64)
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_largest_margin_against_a_general_optimizer(seed):
    x = normal(9, 4, seed=seed) + 0.2
    y = (x @ normal(4, seed=seed + 50)).sign()
    found = separation(x, y)
    assert found.direction.norm().item() == pytest.approx(1) and found.margin > 0
    assert (y * (x @ found.direction)).min().item() == pytest.approx(found.margin, rel=1e-9)
    z = (y[:, None] * x).numpy()
    best = minimize(
        lambda w: w @ w,
        found.direction.numpy() / found.margin * 1.3,
        jac=lambda w: 2 * w,
        constraints={"type": "ineq", "fun": lambda w: z @ w - 1, "jac": lambda w: z},
        method="SLSQP",
        options={"ftol": 1e-14},
    )
    assert found.margin == pytest.approx(1 / best.fun**0.5, rel=1e-6)


@pytest.mark.parametrize("call", [is_separable, separation])
def test_labels_and_shapes(call):
    x = normal(5, 3)
    with pytest.raises(ValueError, match=r"labels must be -1 and \+1; got \[0.0, 1.0\]"):
        call(x, torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0], dtype=torch.float64))
    with pytest.raises(ValueError, match=r"one data set is needed.*got \(2, 5, 3\)"):
        call(x.expand(2, 5, 3), torch.ones(2, 5, dtype=torch.float64))


@pytest.mark.parametrize("centred", [True, False])
def test_digits_in_the_ball(centred):
    seeds = torch.tensor([3, 4])
    problem = digits_in_the_ball(n=50, seed=seeds, centred=centred)
    assert problem.x.shape == (2, 50, 64 + centred) and problem.x_test.shape == (2, 307, 64 + centred)
    assert problem.x.norm(dim=-1).amax(-1).tolist() == pytest.approx([1, 1])
    assert set(problem.y.unique().tolist()) == {-1, 1}
    alone = digits_in_the_ball(n=50, seed=4, centred=centred)
    assert torch.equal(alone.x, problem.x[1]) and torch.equal(alone.y_test, problem.y_test[1])
    assert is_separable(alone.x, alone.y)
    if centred:
        assert alone.x[:, :64].mean(0).abs().max() < 1e-12 and alone.x[:, 64].std() < 1e-12
    else:
        assert (alone.x >= 0).all()


@pytest.mark.parametrize("options", [{"first": 3, "second": 3}, {"n": 0}, {"n": 357}])
def test_digits_that_there_are_not(options):
    with pytest.raises(ValueError, match="; got"):
        digits_in_the_ball(**options)
