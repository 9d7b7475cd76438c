"""Kernels in the layouts of the field, whole and in blocks, against rows by plain autograd."""

import pytest
import torch

from regimes.kernels import kernel_blocks, neural_tangent_kernel
from regimes.networks import TwoLayerLinear
from tests.lib.cases import relative
from tests.lib.foreign.modules import example, numbers, rows

NAMES = ["perceptron", "convolution", "GRU", "embedding"]


def layouts(K, q):
    K = K.reshape(len(K) // q, q, -1, q).permute(0, 2, 1, 3)
    return {"flat": None, "full": K, "trace": torch.einsum("ijaa->ij", K)}


@pytest.mark.parametrize("layout", ["flat", "full", "trace"])
@pytest.mark.parametrize("name", NAMES)
def test_layouts(name, layout):
    net, x = example(name)
    J, q = rows(net, x), net(x).shape[1]
    for n in (6, 2):  # the kernel of x, and that between the first two and the others
        K = J @ J.T if n == 6 else (J @ J.T)[: 2 * q, 2 * q :]
        wanted = layouts(K, q)[layout] if layout != "flat" else K
        found = (
            neural_tangent_kernel(net, x, layout=layout) if n == 6 else neural_tangent_kernel(net, x[:2], x[2:], layout=layout)
        )
        assert found.shape == wanted.shape and relative(found, wanted) < 1e-10


@pytest.mark.parametrize("layout", ["flat", "full", "trace"])
@pytest.mark.parametrize("batch", [1, 4, 100])
def test_blocks_fill_the_kernel_once(batch, layout):
    net, x = example("perceptron")
    wanted = neural_tangent_kernel(net, x, layout=layout)
    found, times = torch.zeros_like(wanted), torch.zeros(wanted.shape[:2])
    for at, to, K in kernel_blocks(net, x, batch=batch, layout=layout):
        found[at, to] = K
        times[at, to] += 1
    assert relative(found, wanted) < 1e-12 and (times == 1).all()


@pytest.mark.parametrize("layout", ["flat", "full", "trace"])
def test_stacks_keep_their_run_axes(layout):
    x, other = numbers(2, 5, 4), numbers(3, 4, seed=2)  # inputs of each run, and shared ones
    stack = TwoLayerLinear(4, 3, 6, runs=(2,), std=0.5)
    found = [neural_tangent_kernel(stack, x, layout=layout), neural_tangent_kernel(stack, x, other, layout=layout)]
    blocks = torch.zeros_like(found[0])
    for at, to, K in kernel_blocks(stack, x, batch=2, layout=layout):
        blocks[:, at, to] = K
    assert relative(blocks, found[0]) < 1e-12
    for i in range(2):
        single = TwoLayerLinear(4, 3, 6, std=0.5, seed=i)
        J = rows(single, torch.cat([x[i], other]))
        for got, K in zip(found, ((J @ J.T)[:15, :15], (J @ J.T)[:15, 15:]), strict=True):
            assert relative(got[i], K if layout == "flat" else layouts(K, 3)[layout]) < 1e-10


def test_unknown_layouts():
    net, x = example("perceptron")
    with pytest.raises(ValueError, match="one of flat, full, trace; got 'nnqq'"):
        neural_tangent_kernel(net, x, layout="nnqq")
