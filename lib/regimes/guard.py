"""Before anything is measured: inputs that a network can take, and networks whose outputs have rows that belong to samples.

``J J^T``, a mean over samples and a linearisation say what they promise only if the outputs for a sample are a function of that
sample and the parameters. Batch statistics, recurrence or attention along the batch axis, and dropout break that without any
error from torch; so every measurement of a network that the library does not know by its closed form passes `check_samples`.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from regimes.data import finite, once, passes
from regimes.network import Network, has_closed_form, output_axes, run_axes

__all__ = ["Mixing", "call", "check_inputs", "check_samples", "evaluate", "explained", "graph", "untouched"]

SINGLY = 8  # up to so many samples each is tried alone; from there on two random halves


class Mixing(ValueError):
    """The outputs for a sample depend on the other samples of the batch, or on chance."""


def check_inputs(net: nn.Module, x: Tensor) -> None:
    """Raise a ValueError unless ``x`` is a tensor that ``net`` can take: samples, on its device, finite, of its dtype.

    Integers may be what a network looks up, as an embedding does.
    """
    check_call(x)
    once((net, check_inputs), lambda: check_match(net, x), x)


def check_call(x: Tensor) -> None:
    """Of `check_inputs`, what may change from call to call: what ``x`` is, and torch's modes."""
    if not isinstance(x, Tensor):
        raise ValueError(
            f"inputs are one tensor, samples first; got a {type(x).__name__}: convert numbers by torch.from_numpy(x) or "
            "torch.tensor(x); a network with other inputs needs a module around it that takes one tensor"
        )
    if torch.is_autocast_enabled(x.device.type):
        raise ValueError("torch.autocast is on, which rounds to half precision: measure outside it, or autocast(enabled=False)")
    if torch.is_inference_mode_enabled():
        raise ValueError("torch.inference_mode() is on, in which nothing can be differentiated: use torch.no_grad()")
    if x.layout != torch.strided:
        raise ValueError(f"inputs are {x.layout}: convert them with x.to_dense()")


def check_match(net: nn.Module, x: Tensor) -> None:
    """Of `check_inputs`, whether ``net`` and ``x`` belong together: once is enough while both last."""
    weights = next((p for p in net.parameters() if p.requires_grad), next(net.parameters(), x))
    if x.is_complex() or weights.is_complex():
        raise ValueError(f"the network is {weights.dtype} and the inputs are {x.dtype}: complex numbers are not supported")
    if x.is_meta or weights.is_meta or x.device != weights.device:
        raise ValueError(f"the network is on {weights.device} and the inputs are on {x.device}: move one with .to(device)")
    if not x.numel():
        raise ValueError(f"there is no sample in inputs of shape {tuple(x.shape)}")
    if x.is_floating_point() and x.dtype != weights.dtype:
        raise ValueError(
            f"the network is {weights.dtype} and the inputs are {x.dtype}: convert one, "
            f"net.to(x.dtype) or x.to({weights.dtype})"
        )
    if x.is_floating_point() and not passes(x, finite):
        raise ValueError("inputs contain numbers that are not finite (NaN or infinity)")


def call(net: nn.Module, x: Tensor) -> Tensor:
    """``net(x)`` with its graph, whatever the grad mode; ``x`` and the buffers of ``net`` stay as they are.

    Raises:
        ValueError: if the output is not one tensor of real numbers with the run axes and then one row per sample, or integer
            inputs are no indices.
    """
    recurrent = any(isinstance(m, nn.RNNBase) for m in net.modules())
    plain = torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext()
    # cudnn's recurrent layers and fused attention cannot be differentiated twice
    with torch.enable_grad(), plain, sdpa_kernel(SDPBackend.MATH), untouched(net), explained(x):
        f = net(x.clone())
    if not isinstance(f, Tensor):
        advice = "use a module around it that returns its prediction only"
        raise ValueError(f"net(x) must return one tensor, (n,) or (n, c); got a {type(f).__name__}: {advice}")
    if not f.is_floating_point():
        raise ValueError(f"net(x) must return real numbers; got {f.dtype}")
    runs = run_axes(net)
    if not runs and f.shape[:1] != x.shape[:1]:
        raise ValueError(f"net(x) must have one row per sample, {len(x)} rows; got shape {tuple(f.shape)}")
    if tuple(f.shape[: f.ndim - output_axes(net, f)]) != runs or f.ndim == len(runs):
        raise ValueError(f"net(x) must have the run axes {runs} and then one row per sample; got shape {tuple(f.shape)}")
    return f


@contextmanager
def untouched(net: nn.Module) -> Iterator[None]:
    """Inside this context ``net`` works on copies of its buffers, which its graph may keep; its own stay as they are."""
    own = (m for m in net.modules() if not isinstance(m, torch.jit.ScriptModule))  # whose buffers live in C++
    lent = [(m._buffers, name, b) for m in own for name, b in m._buffers.items() if b is not None]
    for buffers, name, b in lent:
        buffers[name] = b.clone()
    try:
        yield
    finally:
        for buffers, name, b in lent:
            buffers[name] = b


def explained(x: Tensor) -> AbstractContextManager:
    """Say what is wrong where a network of real weights gets integers."""
    return nullcontext() if x.is_floating_point() else _explaining(x)


@contextmanager
def _explaining(x: Tensor) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise ValueError(f"the network does not take inputs of type {x.dtype}: convert x.double(), or x.float()") from error


def graph(net: nn.Module, x: Tensor, forward: Callable[[nn.Module, Tensor], Tensor] = call) -> Tensor:
    """``forward(net, x)``, of a network that passes `check_samples`.

    Raises:
        ValueError: also if the outputs depend on no trainable parameter.
    """
    f = forward(net, x)
    if not f.requires_grad:
        raise ValueError("the outputs depend on no trainable parameter: does forward() detach them, or freeze what it uses?")
    check_samples(net, x, f)
    return f


def evaluate(net: nn.Module, x: Tensor) -> Tensor:
    """``net(x)`` without its graph, of a network and inputs that pass `check_inputs` and `check_samples`."""
    check_inputs(net, x)
    if has_closed_form(net, "jacobian"):
        with torch.no_grad(), explained(x):
            return net(x)
    f = call(net, x)
    check_samples(net, x, f)
    return f.detach()


def check_samples(net: nn.Module, x: Tensor, f: Tensor) -> None:
    """Raise a `Mixing` unless ``net`` treats samples one by one and gives the same outputs twice.

    The batch is taken apart: each sample alone, or two random halves where there are many. Outputs must stay what they are, and
    so must ``J^T u`` at a random ``u``: it sees what a last layer of zeros hides. They may differ by the square root of the
    machine precision, 1.5e-8 in float64. Inside `regimes.training.train` a network is checked at the first step only.

    Args:
        net: any module; one that is known by its closed form passes.
        x: the inputs.
        f: ``call(net, x)``.
    """
    if not has_closed_form(net, "jacobian"):
        check_mode(net)
        once((net, check_samples), lambda: _take_apart(net, x, f))


def check_mode(net: nn.Module) -> None:
    """Raise a `Mixing` that names a layer which draws random numbers or uses the statistics of the batch."""
    for name, m in net.named_modules():
        what = f"{name or 'the network'} is a {type(m).__name__}"
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.running_mean is None:
            raise Mixing(f"{what} without running statistics, which uses those of the batch even in eval mode: use LayerNorm")
        if m.training and _is_random(m):
            raise Mixing(f"{what} in training mode, which mixes samples or draws random numbers: call net.eval()")


def _is_random(m: nn.Module) -> bool:
    if isinstance(m, nn.RNNBase):
        return m.num_layers > 1 and m.dropout > 0
    if isinstance(m, nn.MultiheadAttention):
        return m.dropout > 0
    if isinstance(m, nn.modules.dropout._DropoutNd):
        return m.p > 0
    return isinstance(m, (nn.modules.batchnorm._BatchNorm, nn.RReLU))


def _take_apart(net: nn.Module, x: Tensor, f: Tensor) -> None:
    """The check itself."""
    runs = len(run_axes(net))
    axis = x.ndim - 2 if runs or (isinstance(net, Network) and net.output_axes) else 0  # of the samples, in the inputs
    n, parameters = x.shape[axis], [p for p in net.parameters() if p.requires_grad]
    if n != f.shape[runs]:
        raise ValueError(
            f"the inputs of this {type(net).__name__} are (..., n, d), samples last but one: {tuple(x.shape)} has {n} of them "
            f"and the outputs have {f.shape[runs]}; flatten each sample"
        )
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(f.shape, generator=generator, dtype=torch.float64, device="cpu").to(f)
    order = torch.randperm(n, generator=generator, device="cpu")
    parts = [p.to(x.device) for p in order.split(1 if n <= SINGLY else (n + 1) // 2)]

    def pull(f: Tensor, u: Tensor) -> list[Tensor]:
        options = {"retain_graph": True, "materialize_grads": True}
        gradients = torch.autograd.grad(f, parameters, u, **options) if parameters and f.requires_grad else ()
        return [f.detach(), *(g.to_dense() for g in gradients)]

    def apart() -> list[Tensor]:
        of_parts, outputs = [], torch.full_like(f, torch.nan)
        for part in parts:
            of_parts.append(pull(call(net, x.index_select(axis, part)), u.index_select(runs, part)))
            outputs.index_copy_(runs, part, of_parts[-1][0])
        return [outputs, *(sum(g) for g in zip(*(g[1:] for g in of_parts), strict=True))]

    whole = pull(f, u)
    if not all(torch.isfinite(t).all() for t in whole):
        return  # a run that has diverged: nothing can be compared, and what is measured says so
    try:
        with warnings.catch_warnings(action="ignore"):  # statistics of one sample
            differ = n > 1 and _differ(whole, apart())
    except (RuntimeError, ValueError, IndexError) as error:
        raise Mixing(f"net(x) works for all {n} samples and fails for some of them: {MIXES}. {ADVICE}") from error
    again = pull(call(net, x), u)
    if _differ(whole, again):
        raise Mixing(
            f"two calls of the network on the same inputs differ: its outputs are random, or it changes itself. {ADVICE}"
        )
    if differ:
        raise Mixing(f"the outputs for a sample change when the other samples of the batch change: {MIXES}. {ADVICE}")


MIXES = "the network mixes samples, by batch statistics, or recurrence, attention or convolution along the batch axis"
ADVICE = "Call net.eval(), give a recurrent layer batch_first=True, or remove the layer that does it"


def _differ(whole: list[Tensor], other: list[Tensor]) -> bool:
    """Whether outputs, or the gradient of some parameter, differ by more than rounding."""
    eps = torch.finfo(whole[0].dtype).eps
    size = max((g.norm().item() for g in whole[1:]), default=0.0)
    for i, (a, b) in enumerate(zip(whole, other, strict=True)):
        floor = 100 * eps * size if i else 0.0  # of a gradient that is zero but for rounding
        if not (a - b).norm() <= eps**0.5 * torch.maximum(a.norm(), b.norm()) + floor:
            return True
    return False
