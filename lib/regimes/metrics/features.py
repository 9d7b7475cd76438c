"""The hidden layer: how far it moved, and what its features are worth."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from regimes.guard import call, evaluate
from regimes.losses import match_targets
from regimes.metrics.norms import relative_size, unit_scaled
from regimes.network import Network, output_axes, run_axes
from regimes.networks import TwoLayer

__all__ = ["Features", "feature_movement", "hidden_features", "refit", "weighted_cosine_distance"]

Features = Callable[[nn.Module, Tensor], Tensor]
NOT_LINEAR = (
    "the outputs of {} are not those of a last nn.Linear whose weights stand nowhere else, so what its features are has to be "
    "said: pass features=, a function of the network and x that returns them, (n, h)"
)


def hidden_features(net: nn.Module, x: Tensor) -> Tensor:
    """What the last layer reads, ``(..., n, h)``: the hidden units of a `TwoLayer`, else the inputs of the last ``nn.Linear``.

    Raises:
        ValueError: for another module whose outputs are not those of its last ``nn.Linear``.
    """
    return net.hidden(x)[0] if isinstance(net, TwoLayer) else _last_linear(net, x)[1]


def refit(net: nn.Module, x: Tensor, y: Tensor, *, cutoff: float = 1e-6, features: Features | None = None) -> nn.Module:
    r"""A copy of the network whose output weights are fitted again, the rest left as it is.

    The new weights ``v`` are the shortest that solve :math:`\Phi v = y` in the least-squares sense, with the features
    :math:`\Phi` (n, h); eigenvalues of :math:`\Phi\Phi^T` below ``cutoff`` times the largest are dropped. At initialisation
    this is the random-feature fit; during training it says what the features are worth.

    For a `TwoLayer`, :math:`\Phi` are its hidden units times the output scale ``s``; for another module the inputs of its last
    ``nn.Linear``, and a one if that has a bias.

    Args:
        net: a `TwoLayer`, or a stack of them; any module whose outputs are those of its last ``nn.Linear``.
        x, y: the training data, inputs ``(..., n, d)`` and targets in the shape of the outputs.
        cutoff: ``1e-6`` by default. The result depends on it where features are nearly linearly dependent: with ``1e-10`` the
            random features of an initialisation with small weights predict several times worse.
        features: for any other network: ``features(net, x)`` of shape ``(..., n, h)``. What is returned then is a module that
            is linear in them.

    Raises:
        ValueError: for targets of a different shape or dtype from the outputs, a cut-off outside ``[0, 1)``, or a network whose
            outputs are not its features times the weights of its last layer.

    Source: Arbel et al. 2023 (published code; their cut-off is 1e-10).
    """
    if not 0 <= cutoff < 1:
        raise ValueError(f"the cut-off is a share of the largest eigenvalue, from 0 up to 1; got {cutoff}")
    fitted = copy.deepcopy(net)
    f = evaluate(net, x)
    own = output_axes(net, f)
    with torch.no_grad():
        targets = match_targets(y, f.flatten(-own), f.shape).unflatten(-1, (f.shape[-own], -1))
        if features is not None:
            return _Readout(fitted, features, _shortest(features(net, x), targets, cutoff), own)
        Phi, assign = _output_layer(fitted, x)
        v = _shortest(Phi, targets, cutoff)
        assign(v)
        off = (call(fitted, x).reshape(*v.shape[:-2], *targets.shape[-2:]) - Phi @ v).abs()
        if not (off <= torch.finfo(v.dtype).eps ** 0.5 * (Phi.abs() @ v.abs())).all():
            raise ValueError(NOT_LINEAR.format(type(net).__name__))
    return fitted


class _Readout(Network):
    """A linear layer on features of a network that stays as it is."""

    def __init__(self, net: nn.Module, features: Features, weight: Tensor, output_axes: int):
        super().__init__()
        self.net, self.features, self.weight = net.requires_grad_(False), features, nn.Parameter(weight)
        self.runs, self.output_axes = run_axes(net), output_axes

    def forward(self, x: Tensor) -> Tensor:
        f = self.features(self.net, x) @ self.weight
        return f[..., 0] if self.output_axes == 1 else f


def feature_movement(W: Tensor, start: Tensor) -> Tensor:
    """How far hidden weights moved, ``|W - W_0| / |W_0|`` (Frobenius): two tensors ``(..., m, k)`` to ``(...)``.

    Raises:
        ValueError: for a start that is zero.
    """
    return relative_size(W - start, start, "a start")


def weighted_cosine_distance(W: Tensor, reference: Tensor) -> Tensor:
    r"""How far the directions of hidden units are from the nearest of some reference units; longer units count more.

    .. math:: D = \sum_j p_j \min_i \sqrt{2 (1 - \cos(w_j, w'_i))}, \qquad p_j = |w_j|^2 / \textstyle\sum_l |w_l|^2

    Zero if every unit points along a reference unit; at most 2. Pass weights without their biases, ``net.W[..., :-1]``.

    Args:
        W: ``(..., m, d)``.
        reference: ``(..., m', d)``: the units of the teacher, or the units at initialisation.

    Source: Arbel et al. 2023 (published code).
    """
    unit, other = _directions(W), _directions(reference)
    chord = torch.cdist(unit, other, compute_mode="donot_use_mm_for_euclid_dist").amin(-1)  # |u - u'|^2 = 2 (1 - cos)
    square = unit_scaled(W)[0].square().sum(-1)
    share = square / square.sum(-1, keepdim=True).clamp(min=TINY)
    return (share * chord).sum(-1).to(W.dtype)


TINY = torch.finfo(torch.float64).tiny  # a unit of length zero has no direction: its share is zero, and 0 / TINY is 0, not NaN


def _directions(W: Tensor) -> Tensor:
    """Each unit at length one."""
    W, _ = unit_scaled(W, axes=1)
    return W / W.norm(dim=-1, keepdim=True).clamp(min=TINY)


def _shortest(Phi: Tensor, Y: Tensor, cutoff: float) -> Tensor:
    """The shortest ``v`` (..., h, q) with ``Phi v = Y``, least squares on the eigenvalues above the cut-off."""
    A, scale = unit_scaled(Phi)
    lam, Q = torch.linalg.eigh(A @ A.mT)
    keep = lam > cutoff * lam[..., -1:].clamp(min=0)
    inverse = torch.where(keep, 1 / torch.where(keep, lam, 1.0), 0.0)
    return (A.mT @ (Q @ (inverse[..., None] * (Q.mT @ Y.double()))) / scale).to(Phi.dtype)


def _output_layer(net: nn.Module, x: Tensor) -> tuple[Tensor, Callable[[Tensor], object]]:
    """``Phi`` of which the outputs are multiples, and what puts the multipliers ``v`` (..., h, q) in their place."""
    if isinstance(net, TwoLayer):
        return net.scale * net.hidden(x)[0], lambda v: net.v.copy_(v[..., 0])
    layer, Phi = _last_linear(net, x)
    if layer.bias is None:
        return Phi, lambda v: layer.weight.copy_(v.mT)
    return torch.cat([Phi, torch.ones_like(Phi[:, :1])], 1), lambda v: (layer.weight.copy_(v[:-1].mT), layer.bias.copy_(v[-1]))


def _last_linear(net: nn.Module, x: Tensor) -> tuple[nn.Linear, Tensor]:
    """The last ``nn.Linear`` that was called, and what it read, if what it returned are the outputs."""
    calls: list[tuple[nn.Linear, Tensor, Tensor]] = []

    def remember(layer, args, kwargs, output):
        calls.append((layer, next(iter((*args, *kwargs.values()))).clone(), output.clone()))  # of both, as they are now

    handles = [m.register_forward_hook(remember, with_kwargs=True) for m in net.modules() if isinstance(m, nn.Linear)]
    try:
        f = call(net, x)
    finally:
        for handle in handles:
            handle.remove()
    if calls and not run_axes(net):
        layer, Phi, z = calls[-1]
        if z.ndim == 2 and torch.equal(z.reshape(-1), f.reshape(-1)):
            return layer, Phi
    raise ValueError(NOT_LINEAR.format(type(net).__name__))
