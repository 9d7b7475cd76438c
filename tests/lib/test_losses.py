import pytest
import torch

from regimes.losses import match_targets, squared
from tests.lib.cases import N, normal, relative


@pytest.mark.parametrize("outputs", [1, 3])
def test_squared_value_and_slope(outputs):
    f, y = normal(2, N * outputs).requires_grad_(), normal(2, N * outputs, seed=1)
    value = squared.value(f, y, N)
    wanted = torch.stack(
        [sum((a - b) ** 2 for a, b in zip(fi, yi, strict=True)) / (2 * N) for fi, yi in zip(f, y, strict=True)]
    )
    assert relative(value.detach(), wanted.detach()) < 1e-14
    slope = N * torch.autograd.grad(value.sum(), f)[0]
    assert relative(squared.grad(f, y).detach(), slope) < 1e-14


@pytest.mark.parametrize(
    ("y", "outputs", "shape"),
    [
        ((N,), (N,), (N,)),  # one network
        ((N,), (4, N), (4, N)),  # targets shared by all runs
        ((4, N), (4, N), (4, N)),  # targets of each run
        ((4, N), (3, 4, N), (3, 4, N)),  # shared along the first run axis
        ((N, 2), (2 * N,), (N, 2)),  # two outputs a sample
        ((N, 1), (N,), (N, 1)),
        ((N, 2), (4, 2 * N), (4, N, 2)),  # two outputs a sample, targets shared by all runs
        ((4, N, 2), (4, 2 * N), (4, N, 2)),
        ((N, 1), (4, N), (4, N, 1)),
        ((4, N, 2), (3, 4, 2 * N), (3, 4, N, 2)),
    ],
)
def test_targets_that_match(y, outputs, shape):
    y, outputs = normal(*y), normal(*outputs)
    matched = match_targets(y, outputs, torch.Size(shape))
    assert (outputs - matched).shape == outputs.shape
    assert torch.equal(matched.flatten(), y.flatten())


@pytest.mark.parametrize(
    ("y", "outputs", "shape"),
    [
        ((N, 1), (N,), (N,)),
        ((1,), (N,), (N,)),
        ((), (N,), (N,)),
        ((N + 1,), (N,), (N,)),
        ((1, N), (N,), (N,)),
        ((N,), (N,), (N, 1)),
        ((N,), (2 * N,), (N, 2)),
        ((2 * N,), (2 * N,), (N, 2)),
        ((2, N), (2 * N,), (N, 2)),
        ((3,), (3, N), (3, N)),
        ((N, 3), (3, N), (3, N)),
        ((1, N), (3, N), (3, N)),
        ((), (3, N), (3, N)),
        ((2, 3, N), (3, N), (3, N)),
        ((N,), (4, N), (4, N, 1)),
        ((2,), (4, 2 * N), (4, N, 2)),
        ((2 * N,), (4, 2 * N), (4, N, 2)),
        ((4, 2 * N), (4, 2 * N), (4, N, 2)),
        ((2, N), (4, 2 * N), (4, N, 2)),
        ((1, N, 2), (4, 2 * N), (4, N, 2)),
        ((N, 1), (4, 2 * N), (4, N, 2)),
        ((4, N, 2), (2 * N,), (N, 2)),
    ],
)
def test_targets_never_broadcast_by_accident(y, outputs, shape):
    with pytest.raises(ValueError, match="outputs have shape .*; the targets y have"):
        match_targets(normal(*y), normal(*outputs), torch.Size(shape))


def test_targets_of_several_outputs_go_sample_by_sample_as_the_outputs_do():
    f = normal(4, N, 2)
    for y in (normal(N, 2, seed=1), normal(4, N, 2, seed=1)):
        got = f.flatten(-2) - match_targets(y, f.flatten(-2), f.shape)
        assert torch.equal(got.unflatten(-1, (N, 2)), f - y)


@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_targets_must_be_finite(bad):
    y = normal(N)
    y[2] = bad
    with pytest.raises(ValueError, match="targets y contain numbers that are not finite"):
        match_targets(y, normal(N), torch.Size((N,)))
