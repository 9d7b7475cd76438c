"""What lesson 04 writes out, and the numbers that its text states, against the library."""

import math

import numpy as np
import pytest
import torch

from regimes import linear_network as linear
from regimes.metrics import row_space
from regimes.theory import min_norm
from regimes_course.lesson04 import figures
from regimes_course.lesson04.plane import Products, draw_starts, gauss_newton
from tests.lessons import cells


@pytest.fixture(scope="module")
def lesson():
    """The names after each idea cell, what it printed, and the text."""
    source, quiet = cells.lesson("04"), lambda *said, **more: None
    after = cells.run(source, cells.is_idea, show=quiet, guess=quiet, my_factor=..., draw=figures)
    return after, cells.prose(source)


def rows(names):
    X, Y = (torch.from_numpy(names[name]) for name in "XY")
    return row_space(X), Y


def test_one_layer_ends_at_the_shortest_fit_and_the_unseen_part_of_its_start(lesson):
    names = lesson[0][0][0]
    space, Y = rows(names)
    assert torch.allclose(space.s, torch.ones(20, dtype=torch.float64)) and space.rank == 20
    np.testing.assert_allclose(names["shortest"], space.min_norm(Y), atol=1e-12)
    np.testing.assert_allclose(names["theta"] - names["shortest"], names["unseen"], atol=1e-12)
    assert abs(np.linalg.norm(names["unseen"]) - 5 * math.sqrt(30 / 50)) < 0.4


def test_the_product_is_the_distance_and_near_its_root_mean_square(lesson):
    names, said = lesson[0][1]
    space, _ = rows(names)
    numbers = [line.replace(",", "").replace(";", "").split() for line in said.splitlines()]
    assert len(numbers) == 3
    for words in numbers:
        distance, product, law = (float(words[i]) for i in (3, 7, -1))
        assert distance == product and 0.6 < distance / law < 1.5
    literal = min_norm.conditional_law(1, 0.0, names["s"] * np.linalg.norm(names["V"]), outside=30)  # the last s
    assert names["law"] == pytest.approx(literal.item())
    U2 = space.outside @ (space.outside.T @ torch.from_numpy(names["U"]))
    np.testing.assert_allclose(names["U2"], U2, atol=1e-12)  # never moved
    assert np.linalg.norm(names["R"]) < 1e-9


def test_the_formula_of_the_rate_is_twice_the_smallest_eigenvalue_of_the_kernel(lesson):
    """At random starts, to what a hundred units scatter; and the large last layer is the fastest."""
    names = lesson[0][2][0]
    space, _ = rows(names)
    for size_U, size_V in ((0.4, 0.025), (0.1, 0.1), (0.025, 0.4)):
        found = []
        for seed in range(20):
            g = torch.Generator().manual_seed(seed)
            U = size_U * torch.randn(50, 100, generator=g, dtype=torch.float64)
            V = size_V * torch.randn(1, 100, generator=g, dtype=torch.float64)
            U1 = space.inside.T @ U
            found.append(2 * torch.linalg.eigvalsh(U1 @ U1.T + V.square().sum() * torch.eye(20))[0].item())
        formula = 200 * size_V**2 + 2 * size_U**2 * (10 - 20**0.5) ** 2
        assert np.mean(found) == pytest.approx(formula, rel=0.15)
    first, equal, last, *_ = names["rates"]
    assert equal < first < last


def test_only_with_a_large_last_layer_the_distance_falls_with_the_product(lesson):
    ends = np.array(lesson[0][2][0]["ends"])
    first, equal, last = ends[:3] / ends[3:]
    assert first < 1.5 and 3 < equal < 4.5 and last == pytest.approx(10, rel=0.02)


@pytest.mark.parametrize("product", [1e-3, 1e-4])
def test_where_a_large_layer_ends(lesson, product):
    """The three distances of the text, against the root mean square over U2 that the library derives, of 20 starts."""
    names = lesson[0][0][0]
    X, Y = names["X"], names["Y"]

    def away(size_U, seed):
        rng = np.random.default_rng(seed)
        U1, V = X @ (size_U * rng.standard_normal((50, 100))), product / size_U * rng.standard_normal((1, 100))
        for _ in range(1500):
            R = U1 @ V.T - Y
            U1, V = U1 - 0.01 * R @ V, V - 0.01 * R.T @ U1
        assert np.linalg.norm(R) < 1e-3
        return min_norm.conditional_law(1, 0.0, size_U * np.linalg.norm(V), outside=30).item()

    sizes = (0.4, product**0.5, product / 0.4)
    first, equal, last = (np.sqrt(np.mean([away(size, seed) ** 2 for seed in range(20)])) for size in sizes)
    assert first == pytest.approx((30 / 79) ** 0.5, rel=0.1)
    assert equal == pytest.approx((30 * product) ** 0.5, rel=0.1)
    assert last == pytest.approx((30 * 100) ** 0.5 * product, rel=0.1)


def test_the_rate_of_the_loss_is_never_below_the_bound_of_the_hyperbola():
    for u, v in torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).tolist():
        levels = min_norm.imbalance_levels(torch.tensor([u * u - v * v]), 1, 1)
        assert 2 * (u * u + v * v) >= min_norm.imbalance_rate(levels, 1.0).item() - 1e-6
        assert min_norm.imbalance_rate(levels, 1.0).item() == pytest.approx(2 * abs(u * u - v * v), rel=1e-5)


def test_full_steps_make_the_last_layer_long(lesson):
    names, said = lesson[0][3]
    assert "step 1" in said and names["v"] @ names["v"] == pytest.approx(1 / 64 + 16, rel=0.5)
    assert names["u"] @ names["v"] == pytest.approx(1)
    cloud = gauss_newton(Products.of(draw_starts(1.0)), 1.0, 6)
    assert cloud.vv[-1].mean().item() == pytest.approx(1 / 64 + 16, rel=0.1)
    assert names["times"] == pytest.approx(4, rel=0.1)
    flow = min_norm.distance_law(64, 1.0, torch.ones(1, dtype=torch.float64), outside=1).item() * 64  # the length of V
    assert names["times"] == pytest.approx(np.linalg.norm(names["v"]) / flow)


def test_six_starts_of_the_set_are_exact_in_many_dimensions_too(lesson):
    space, Y = rows(lesson[0][0][0])
    starts = linear.six_inits(space, 1, 100, 0.3, seed=0)
    for name in ("U1 and V orthogonal to U2", "V = 0"):
        U, V = starts[name]
        for _ in range(3000):
            R = space.inside.T @ U @ V.T - space.inside.T @ space.min_norm(Y)
            U, V = U - 0.03 * space.inside @ R @ V, V - 0.03 * R.T @ space.inside.T @ U
        distance = torch.linalg.norm(U @ V.T - space.min_norm(Y))
        assert distance < 1e-9 if name != "V = 0" else distance > 0.1
