"""Gradient descent written out is that of the library, and so are the metrics of a run's moments."""

import pytest
import torch

from regimes.losses import logistic, squared
from regimes.metrics import sharpness
from regimes.networks import TwoLayer, fix_signs
from regimes.optimizers import GradientDescent
from regimes.training import Diverged, train
from regimes_course.kit import stack_of_snapshots
from regimes_course.kit.stack_of_snapshots import moments_of, parts
from regimes_course.kit.written_out import descend

KEEP = {"W": lambda net: net.W, "v": lambda net: net.v}
NETWORKS = {
    "tanh, mean field": lambda: TwoLayer(3, 7, activation="tanh", output_std=1.0, seed=2),
    "SiLU, NTK, from v = 0": lambda: TwoLayer(3, 6, scaling="ntk", seed=1),
    "fixed signs": lambda: fix_signs(TwoLayer(3, 5, activation="leaky_softplus", bias=False)),
}


def data(loss):
    x, y = torch.randn(2, 11, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x, y[:, 0].sign() if loss is logistic else y[:, 0]


@pytest.mark.parametrize("loss", [squared, logistic], ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_it_takes_the_steps_of_the_library(make, loss):
    (x, y), net, twin = data(loss), make(), make()
    start = net.W.detach().clone()
    run = descend(net, x, y, 0.3, 40, loss=loss, every=4)
    trace = train(twin, x, y, GradientDescent(twin, 0.3, loss=loss), 40, measure=KEEP)
    assert run.diverged is None and run.loss[-1] < 0.9 * run.loss[0] and torch.equal(net.W, start)
    torch.testing.assert_close(run.loss, trace.loss, rtol=1e-11, atol=0)
    torch.testing.assert_close(run.W, trace.measured["W"][::4], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(run.v, trace.measured["v"][::4], rtol=1e-10, atol=1e-12)


def test_it_stops_at_the_step_at_which_the_library_does():
    (x, y), net, twin = data(squared), *(TwoLayer(3, 7, output_std=1.0) for _ in "ab")
    run = descend(net, x, y, 1e3, 500)
    with pytest.raises(Diverged) as stop:
        train(twin, x, y, GradientDescent(twin, 1e3), 500)
    assert run.diverged == stop.value.step == len(run.loss) == len(run.W) < 500
    assert torch.isfinite(run.loss).all()


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_a_metric_of_all_moments_is_that_of_each(make):
    (x, y), net = data(squared), make()
    run = descend(net, x, y, 0.3, 12, every=3)
    past = moments_of(net, run.W, run.v)
    assert past.runs == (5,) and past.v.requires_grad == net.v.requires_grad and net.runs == ()
    twin, each = make(), []
    for W, v in zip(run.W, run.v, strict=True):
        twin.W.data, twin.v.data = W, v
        each.append((twin(x).detach(), sharpness(twin, x, y)))
    outputs, S = map(torch.stack, zip(*each, strict=True))
    torch.testing.assert_close(past(x), outputs)
    torch.testing.assert_close(sharpness(past, x, y), S)


def test_parts_are_all_samples_and_each_fits_the_cache(monkeypatch):
    x, stack = torch.arange(20.0)[:, None], TwoLayer(1, 5, runs=(4,))
    monkeypatch.setattr(stack_of_snapshots, "CACHED", 60)
    assert [len(part) for part in parts(stack, x)] == [3] * 6 + [2] and torch.equal(torch.cat(parts(stack, x)), x)
    monkeypatch.setattr(stack_of_snapshots, "CACHED", 10)
    assert len(parts(stack, x)) == 20  # one sample at the least
