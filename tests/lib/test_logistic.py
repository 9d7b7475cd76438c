"""The logistic loss, safe at any margin; the oracle counts with fifty digits."""

import math
from decimal import Decimal, getcontext

import pytest
import torch

from regimes.losses import logistic
from regimes.networks import TwoLayer, fix_signs
from regimes.optimizers import GradientDescent
from regimes.problems import two_points
from regimes.training import train
from tests.lib.cases import N, normal, relative

getcontext().prec = 50
MARGINS = [-1000.0, -710.5, -40.0, -1.3, 0.0, 0.7, 16.0, 35.9, 36.1, 38.0, 300.0, 700.0]
ONE = torch.ones(1, dtype=torch.float64)


def exact(q):
    """Loss, slope by ``q``, curvature and logarithm of the loss, as decimals."""
    e = (-Decimal(q)).exp()
    loss = (1 + e).ln() if e > Decimal("1e-40") else e
    return loss, -e / (1 + e), e / (1 + e) ** 2, loss.ln()


def at(q):
    return torch.tensor([q], dtype=torch.float64)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("q", MARGINS)
def test_value_slope_and_curvature_to_the_last_digits(q, sign):
    f, y = sign * at(q), sign * ONE
    got = logistic.value(f, y, 1), sign * logistic.grad(f, y)[0], logistic.hessian_diag(f, y)[0], logistic.log_value(f, y, 1)
    for value, wanted in zip(got, exact(q), strict=True):
        assert value.item() == pytest.approx(float(wanted), rel=1e-13, abs=1e-300)


def test_known_numbers():
    assert logistic.grad(at(38.0), ONE).item() == pytest.approx(-3.139e-17, rel=1e-3)
    assert logistic.grad(at(0.0), ONE).item() == -0.5 and logistic.hessian_diag(at(0.0), ONE).item() == 0.25
    assert logistic.grad(at(-1000.0), ONE).item() == -1.0 and logistic.value(at(-1000.0), ONE, 1).item() == 1000.0


@pytest.mark.parametrize("q", [-1000.0, -37.5, 0.0, 37.5, 1000.0])
def test_autograd_agrees_and_is_never_nan(q):
    f = at(q).requires_grad_()
    slope = torch.autograd.grad(logistic.value(f, ONE, 1), f, create_graph=True)[0]
    assert slope.item() == pytest.approx(logistic.grad(f.detach(), ONE).item(), rel=1e-12, abs=1e-300)
    curvature = torch.autograd.grad(slope, f)[0]
    assert curvature.item() == pytest.approx(logistic.hessian_diag(f.detach(), ONE).item(), rel=1e-9, abs=1e-16)


def test_it_is_a_mean_over_samples_and_a_number_a_run():
    f, y = 3 * normal(2, 4, N), normal(4, N, seed=1).sign()
    wanted = torch.stack([torch.stack([torch.log1p(torch.exp(-y[j] * f[i, j])).mean() for j in range(4)]) for i in range(2)])
    assert relative(logistic.value(f, y, N), wanted) < 1e-13
    assert relative(logistic.log_value(f, y, N), wanted.log()) < 1e-13
    assert logistic.grad(f, y).shape == logistic.hessian_diag(f, y).shape == f.shape


def test_the_logarithm_is_there_where_the_loss_is_not():
    f = torch.tensor([800.0, 1000.0, 5000.0], dtype=torch.float64)
    assert logistic.value(f, torch.ones_like(f), 3) == 0
    assert logistic.log_value(f, torch.ones_like(f), 3).item() == pytest.approx(-800 - math.log(3), rel=1e-12)
    single = f.float() / 5
    assert logistic.log_value(single, torch.ones_like(single), 3).item() == pytest.approx(-160 - math.log(3), rel=1e-6)


def test_the_loss_bounds_its_slope_and_the_slope_its_curvature():
    f = torch.linspace(-900, 900, 3601, dtype=torch.float64)
    y = torch.ones_like(f)
    each = torch.stack([logistic.value(q[None], ONE, 1) for q in f])
    slope, curvature = logistic.grad(f, y).abs(), logistic.hessian_diag(f, y)
    assert (curvature <= slope * (1 + 1e-14)).all() and (slope <= each * (1 + 1e-14)).all()


@pytest.mark.parametrize("call", ["value", "log_value", "grad", "hessian_diag"])
@pytest.mark.parametrize(("labels", "told"), [([0.0, 1.0], "got 0"), ([1.0, 2.5], "got 2.5"), ([1.0, float("nan")], "got nan")])
def test_labels_are_signs(call, labels, told):
    y = torch.tensor(labels, dtype=torch.float64)
    samples = (2,) if "value" in call else ()
    with pytest.raises(ValueError, match=f"labels -1 and \\+1; {told}.*2 \\* y - 1"):
        getattr(logistic, call)(torch.zeros(2, dtype=torch.float64), y, *samples)


def test_a_run_that_underflows_goes_on_without_a_nan_and_stops_if_asked():
    (x, y), net = two_points(0.1), fix_signs(TwoLayer(2, 1, activation="identity", bias=False, std=0.0))
    trace = train(net, x, y, GradientDescent(net, 1e6, loss=logistic), 200)
    assert torch.isfinite(trace.loss).all() and torch.isfinite(net.W).all() and trace.loss[-1] < 1e-300
    net = fix_signs(TwoLayer(2, 1, activation="identity", bias=False, std=0.0))
    stopped = train(net, x, y, GradientDescent(net, 1e6, loss=logistic), 200, until=1e-300)
    small = stopped.loss <= 1e-300 * stopped.loss[0]
    assert small[-2:].all() and not small[:-2].any() and len(stopped.step) < 150
