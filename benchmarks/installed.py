"""The same by packages that need an install, each called as its users call it; imported only when asked for.

``pip install -e ".[bench]"`` brings most of them. BackPACK requires a torchvision that fits the installed torch exactly, so who
wants its rows installs it without: ``pip install --no-deps backpack-for-pytorch unfoldNd einops``.
"""

import os
from functools import cache

import torch
from torch import Tensor

from benchmarks.problems import TwoLayerProblem, module
from benchmarks.task import flat

NAMES = ("jax", "asdfghjkl", "PyHessian", "hessian-eigenthings", "backpack-for-pytorch")


def backpack_rows(W: Tensor, v: Tensor, x: Tensor) -> Tensor:
    """``J`` by the gradients of single samples that BackPACK collects in one backward pass."""
    from backpack import backpack, extend
    from backpack.extensions import BatchGrad

    net = extend(module(W, v)[:-1])
    with backpack(BatchGrad()):
        net(x).sum().backward()
    return torch.cat([p.grad_batch.flatten(1) for p in net.parameters()], 1) / len(v)


def asdl_kernel(p: TwoLayerProblem) -> Tensor:
    """ASDL's kernel, layer by layer as a Hadamard product."""
    from asdl.kernel import empirical_class_wise_hadamard_ntk

    return empirical_class_wise_hadamard_ntk(p.module[:-1], p.x)[..., 0] / p.m**2


def asdl_damped_step(p: TwoLayerProblem) -> Tensor:
    """A damped step with that kernel and one backward pass."""
    K = asdl_kernel(p)
    K.diagonal().add_(p.damping)
    f = p.module(p.x)
    alpha = torch.cholesky_solve((f.detach() - p.y)[:, None], torch.linalg.cholesky(K))[:, 0]
    return flat(torch.autograd.grad(f, list(p.module.parameters()), alpha))


@cache
def jax_functions() -> dict:
    """The closed form and a Hessian product, compiled; data are arguments, for jax would fold constants at compile time."""
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")  # one thread, as everybody has here
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def parts(W, v, x):
        Z = x @ W.T
        sigmoid = jax.nn.sigmoid(Z)
        Phi = Z * sigmoid
        return Phi, (sigmoid + Phi * (1 - sigmoid)) * v

    def gram(Phi, D, x):
        return (Phi @ Phi.T + (D @ D.T) * (x @ x.T)) / Phi.shape[1] ** 2

    def step(W, v, x, y, damping):
        Phi, D = parts(W, v, x)
        m = len(v)
        K = gram(Phi, D, x) + damping * jnp.eye(len(x))
        alpha = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(K), Phi @ v / m - y) / m
        return D.T @ (alpha[:, None] * x), Phi.T @ alpha

    def product(W, v, x, y, V, u):
        def loss(W, v):
            return jnp.mean((jax.nn.silu(x @ W.T) @ v / len(v) - y) ** 2) / 2

        return jax.jvp(jax.grad(loss, (0, 1)), (W, v), (V, u))[1]

    plain = {"kernel": lambda W, v, x: gram(*parts(W, v, x), x), "step": step, "product": product}
    return {name: jax.jit(function) for name, function in plain.items()}


@cache
def jax_arrays(p: TwoLayerProblem) -> dict:
    """The problem as arrays of jax."""
    jax_functions()  # sets float64
    import jax.numpy as jnp

    named = {"W": p.W, "v": p.v, "x": p.x, "y": p.y, "V": p.vector[0], "u": p.vector[1]}
    return {name: jnp.asarray(t.cpu().numpy()) for name, t in named.items()}


def from_jax(p: TwoLayerProblem, function: str, names: str, *numbers: float) -> Tensor:
    """What the function makes of some of these arrays, when it is done."""
    import jax
    import numpy as np

    arrays = jax_arrays(p)
    found = jax.block_until_ready(jax_functions()[function](*(arrays[name] for name in names), *numbers))
    return flat([torch.from_numpy(np.array(a)).to(p.W.device) for a in jax.tree.leaves(found)])


def jax_kernel(p: TwoLayerProblem) -> Tensor:
    """The kernel by the same formula, compiled."""
    return from_jax(p, "kernel", "Wvx").reshape(p.n, p.n)


def jax_damped_step(p: TwoLayerProblem) -> Tensor:
    """The damped step by the same formula, compiled."""
    return from_jax(p, "step", "Wvxy", p.damping)


def jax_hessian_product(p: TwoLayerProblem) -> Tensor:
    """A Hessian product, forward over reverse, compiled."""
    return from_jax(p, "product", "WvxyVu")


def half_mean_square(f: Tensor, y: Tensor) -> Tensor:
    """``|f - y|^2 / 2n``."""
    return (f - y).square().mean() / 2


def pyhessian_sharpness(p: TwoLayerProblem, W: Tensor, v: Tensor) -> float:
    """PyHessian's power iteration; its random vectors have torch's default type."""
    from pyhessian import hessian

    usual = torch.get_default_dtype()
    torch.set_default_dtype(W.dtype)
    try:
        found = hessian(module(W, v), half_mean_square, data=(p.x, p.y), cuda=W.is_cuda)
        return p.m * found.eigenvalues(tol=1e-4, top_n=1)[0][0]
    finally:
        torch.set_default_dtype(usual)


def eigenthings_sharpness(p: TwoLayerProblem, W: Tensor, v: Tensor) -> float:
    """The Lanczos iteration of hessian-eigenthings."""
    from hessian_eigenthings import HessianOperator, lanczos, supervised_loss

    operator = HessianOperator(module(W, v), [(p.x, p.y)], supervised_loss(half_mean_square))
    return p.m * lanczos(operator, k=1, max_iter=20, tol=1e-4, which="LA").eigenvalues[0].item()
