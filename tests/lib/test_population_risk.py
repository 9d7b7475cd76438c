"""The population risk of committees and its gradient, against quadrature, autograd and the ODE of the overlaps."""

import math

import numpy as np
import pytest
import torch

from regimes.flows import RungeKutta4
from regimes.networks import TwoLayer, committee
from regimes.online_sgd import overlaps
from regimes.population_risk import PopulationGradient, overlap_risk, population_risk
from regimes.problems import orthonormal_units, unit_vectors
from regimes.theory import online_sgd
from regimes.training import train
from tests.lib.overlap_cases import start

UNITS = torch.tensor([[0.7, 0.3], [-0.4, 0.9], [0.5, -0.6]], dtype=torch.float64)
TEACHER = torch.tensor([[0.8, -0.5], [0.2, 0.6]], dtype=torch.float64)
COMMITTEES = {"mean": {}, "total": {"total": True}}


def plane(n=60):
    """A Gauss rule for smooth functions of two Gaussian inputs: nodes and weights."""
    z, w = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(n))
    return torch.cartesian_prod(z, z), torch.cartesian_prod(w, w).prod(-1) / (2 * math.pi)


def rays(n=200_000):
    """A rule for functions of two Gaussian inputs that are linear along rays, squared: angles, exact in the radius."""
    angle = (torch.arange(n, dtype=torch.float64) + 0.5) * 2 * math.pi / n
    return math.sqrt(2) * torch.stack([angle.cos(), angle.sin()], -1), torch.full((n,), 1 / n, dtype=torch.float64)


RULES = {"erf": (plane, 1e-10, 1e-9), "relu": (rays, 1e-9, 1e-5)}  # errors of risks and of gradients


@pytest.mark.parametrize("kind", COMMITTEES)
@pytest.mark.parametrize("activation", RULES)
def test_risk_and_gradient_are_those_of_quadrature(activation, kind):
    rule, within, nearly = RULES[activation]
    (x, weights), target = rule(), committee(TEACHER, activation=activation)
    net = committee(UNITS, activation=activation, **COMMITTEES[kind])
    risk = (weights * (net(x) - target(x).detach()).square()).sum() / 2
    (slope,) = torch.autograd.grad(risk, [net.W])
    here = PopulationGradient(target)(net)
    assert population_risk(net, target).item() == pytest.approx(risk.item(), abs=within)
    assert here.loss.item() == pytest.approx(risk.item(), abs=within)
    torch.testing.assert_close(here.tensors[0], net.time_scale * slope, rtol=0, atol=nearly)


@pytest.mark.parametrize("activation", RULES)
def test_a_teacher_with_output_weights_of_its_own(activation):
    (x, weights), net = RULES[activation][0](), committee(UNITS, activation=activation)
    target = TwoLayer(2, 2, activation=activation, bias=False)
    with torch.no_grad():
        target.W.copy_(TEACHER)
        target.v.copy_(torch.tensor([1.5, -0.4]))
    risk = (weights * (net(x) - target(x)).square()).sum() / 2
    assert population_risk(net, target).item() == pytest.approx(risk.item(), abs=1e-8)


def test_units_in_one_direction():
    """The angle between ReLU units is zero or a half turn: no NaN, and the risk of two units that are one."""
    net = committee(torch.tensor([[0.6, 0.8], [1.2, 1.6], [-0.6, -0.8]], dtype=torch.float64), activation="relu")
    target = committee(torch.tensor([[0.6, 0.8]], dtype=torch.float64), activation="relu")
    here = PopulationGradient(target)(net)
    assert here.loss.item() == pytest.approx((1 / 9) / 4, abs=1e-12)  # f - f* = relu(-z) / 3
    assert torch.isfinite(here.tensors[0]).all()


def test_risk_vanishes_at_the_solution_and_stays_above_zero():
    target = committee(orthonormal_units(9, 3, seed=1))
    same = committee(target.W[[2, 0, 1]].detach())
    assert population_risk(same, target).item() == pytest.approx(0, abs=1e-16)
    assert PopulationGradient(target)(same).tensors[0].abs().max() < 1e-15


def test_rounding_never_makes_a_risk_negative():
    for k in (2, 3, 5, 7):
        teachers = committee(orthonormal_units(9, k, seed=torch.arange(30)))
        assert (population_risk(committee(teachers.W.detach().flip(-2)), teachers) >= 0).all()


def test_overlap_risk_is_that_of_the_networks_and_of_the_theory():
    Q, M = (np.stack(a) for a in zip(*(start(5, 3, seed) for seed in (1, 2)), strict=True))
    got = overlap_risk(torch.from_numpy(Q), torch.from_numpy(M))
    omega = online_sgd.covariance(Q, M, np.eye(3))
    np.testing.assert_allclose(got, online_sgd.risk(omega, online_sgd.coefficients(5, 3)), atol=1e-16)
    nets, target = committee(unit_vectors(11, 5, seed=torch.tensor([1, 2]))), committee(orthonormal_units(11, 3))
    torch.testing.assert_close(overlap_risk(*overlaps(nets, target)), population_risk(nets, target), rtol=0, atol=1e-15)


def test_run_axes_are_single_networks():
    target = committee(orthonormal_units(7, 2), activation="relu")
    stack = committee(unit_vectors(7, 3, seed=torch.tensor([4, 5])), activation="relu")
    here = PopulationGradient(target)(stack)
    for i, seed in enumerate((4, 5)):
        one = PopulationGradient(target)(committee(unit_vectors(7, 3, seed=seed), activation="relu"))
        torch.testing.assert_close(here.tensors[0][i], one.tensors[0], rtol=0, atol=1e-16)
        torch.testing.assert_close(here.loss[i], one.loss, rtol=0, atol=1e-16)


def test_overlaps_of_the_flow_follow_the_drift():
    target = committee(orthonormal_units(15, 2, seed=1))
    net = committee(1.3 * unit_vectors(15, 3, seed=2))
    Q, M = overlaps(net, target)
    trace = train(net, None, None, RungeKutta4(net, PopulationGradient(target), 0.05), 200, every=100)
    path = online_sgd.integrate(Q.numpy(), M.numpy(), trace.time.numpy(), eta=1.0, keep="drift", rtol=1e-9)
    assert trace.time.tolist() == pytest.approx([0, 5, 10])
    np.testing.assert_allclose(trace.loss, path.risk, rtol=0, atol=1e-6)
    for got, wanted in zip(overlaps(net, target), (path.Q[-1], path.M[-1]), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("net", "target", "message"),
    [
        (committee(UNITS), committee(TEACHER, activation="relu"), "got erf and relu"),
        (committee(UNITS, activation="tanh"), committee(TEACHER, activation="tanh"), "both with erf or both with relu"),
        (TwoLayer(2, 3, activation="erf"), committee(TEACHER), "bias True and False"),
    ],
)
def test_what_has_no_closed_form(net, target, message):
    with pytest.raises(ValueError, match=message):
        population_risk(net, target)


def test_output_weights_in_training_are_refused():
    with pytest.raises(ValueError, match="freeze v"):
        PopulationGradient(committee(TEACHER))(TwoLayer(2, 3, activation="erf", bias=False))
