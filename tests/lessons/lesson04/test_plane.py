"""The plane of predictors of lesson 04, against training written out with all its weights."""

import math

import pytest
import torch

from regimes.networks import TwoLayerLinear
from regimes.optimizers import GaussNewton
from regimes.theory.linear_flows import plane_path
from regimes.theory.min_norm import distance_law, full_step_law
from regimes_course.lesson04 import plane
from regimes_course.lesson04.plane import ANGLE, STARTS, Products, draw_starts, predictor, ray

X, Y = ray(ANGLE)[None], torch.ones(1, 1, dtype=torch.float64)


def weights(start, run):
    """U (2, m) and V (1, m) of one network."""
    z = ray(ANGLE + math.pi / 2)
    return torch.outer(X[0], start.u[run]) + torch.outer(z, start.u2[run]), start.v[run][None]


@pytest.mark.parametrize("kind", STARTS)
def test_the_flow_is_the_closed_form_of_the_theory(kind):
    start = draw_starts(0.4, 9, runs=5, kind=kind, seed=3)
    path = predictor(plane.flow(Products.of(start), 30))
    for run in range(5):
        exact = plane_path(start.u[run], start.v[run], start.u2[run], 1.0, ANGLE, points=30)
        torch.testing.assert_close(path[:, run], exact, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("eta", [1.0, 0.2])
def test_gauss_newton_is_the_library_s(eta):
    start = draw_starts(0.5, 9, runs=3, seed=4)
    path = predictor(plane.gauss_newton(Products.of(start), eta, 4))
    for run in range(3):
        net = TwoLayerLinear(2, 1, 9)
        net.load_state_dict(dict(zip("UV", weights(start, run), strict=True)))
        optimizer = GaussNewton(net, eta)
        for k in range(5):
            torch.testing.assert_close(net.predictor[:, 0], path[k, run], rtol=1e-8, atol=1e-10)
            optimizer.step(X, Y)


def test_adam_is_torch_s():
    start = draw_starts(0.5, 9, runs=3, seed=5)
    path = plane.adam(start, limit=60)
    for run in range(3):
        U, V = (torch.nn.Parameter(A) for A in weights(start, run))
        optimizer = torch.optim.Adam([U, V], 0.01)
        for k in range(60):
            torch.testing.assert_close((U @ V.T).detach()[:, 0], path[k, run], rtol=1e-8, atol=1e-10)
            optimizer.zero_grad()
            ((X @ U @ V.T - Y).square().sum() / 2).backward()
            optimizer.step()


@pytest.mark.parametrize("alpha", [0.25, 0.5, 1.0])
def test_laws_are_those_of_the_theory(alpha):
    one = torch.ones(1, dtype=torch.float64)
    assert plane.law(64, alpha) == pytest.approx(distance_law(64, alpha, one, outside=1).item())
    assert plane.law(64, alpha, full_steps=True) == pytest.approx(full_step_law(64, alpha, 1.0, q=1, outside=1).item())


def test_special_starts_are_what_they_are_called():
    for kind, zero in zip(STARTS, ((), ("vv",), ("u2v",), ("u2v", "u2u")), strict=True):
        products = Products.of(draw_starts(0.5, 9, runs=4, kind=kind))
        for name in ("uu", "vv", "u2u", "u2v"):
            assert (getattr(products, name).abs().max() < 1e-14) == (name in zero or (kind == "V = 0" and name == "u2v"))
    with pytest.raises(ValueError, match="there is a law for random"):
        plane.law(64, 0.5, STARTS[2])
