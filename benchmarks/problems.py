"""What the methods are given: networks and data, drawn from seeds."""

from functools import cached_property

import torch
from torch import Tensor, nn

from regimes.jacobians import jacobian
from regimes.networks import TwoLayer


class Divided(nn.Module):
    """The sum over hidden units, divided by their number: ``(n, 1)`` to ``(n,)``."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, f: Tensor) -> Tensor:
        """Scale and drop the last axis."""
        return f[:, 0] / self.width


def module(W: Tensor, v: Tensor) -> nn.Sequential:
    """The two-layer network of plain layers, of which the library knows no closed form; parameter by parameter."""
    m, d = W.shape
    net = nn.Sequential(nn.Linear(d, m, bias=False), nn.SiLU(), nn.Linear(m, 1, bias=False), Divided(m)).to(W)
    net.load_state_dict({"0.weight": W, "2.weight": v[None]})
    return net


class TwoLayerProblem:
    """A network of one hidden layer, ``n`` samples, ``d`` inputs, ``m`` units; the same network as a plain module."""

    def __init__(self, n: int, d: int, m: int, device: str = "cpu", dtype: torch.dtype = torch.float64):
        self.n, self.d, self.m = n, d, m
        self.net = TwoLayer(d, m, bias=False, std=d**-0.5, output_std=1.0, dtype=dtype, device=device)
        self.W, self.v = self.net.W.detach().clone(), self.net.v.detach().clone()
        g = torch.Generator().manual_seed(1)
        self.x, self.y = (torch.randn(*shape, generator=g, dtype=torch.float64).to(device, dtype) for shape in ((n, d), (n,)))
        self.r = (self.net(self.x) - self.y).detach()

    @property
    def state(self) -> tuple[Tensor, Tensor, Tensor]:
        """Parameters and inputs."""
        return self.W, self.v, self.x

    @property
    def state64(self) -> tuple[Tensor, Tensor, Tensor]:
        """The same in float64."""
        W, v, x = (t.double() for t in self.state)
        return W, v, x

    @cached_property
    def module(self) -> nn.Sequential:
        """The same network of plain layers."""
        return module(self.W, self.v)

    @cached_property
    def damping(self) -> float:
        """A ten-thousandth of the mean eigenvalue of ``J J^T``."""
        return 1e-4 * jacobian(self.net, self.x).gram().diagonal().mean().item()

    @cached_property
    def vector(self) -> tuple[Tensor, Tensor]:
        """A direction in the space of parameters."""
        g = torch.Generator().manual_seed(2)
        V, u = (torch.randn(t.shape, generator=g, dtype=torch.float64).to(t) for t in (self.W, self.v))
        return V, u


class ImageProblem:
    """Two convolutions and a linear layer on ``n`` images of 8 x 8, with ``c`` outputs: 1505 parameters for one."""

    def __init__(self, n: int, c: int, device: str = "cpu"):
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, c)]
        self.net = nn.Sequential(*layers).double().to(device)
        self.x = torch.randn(n, 1, 8, 8, dtype=torch.float64).to(device)
        self.y = torch.randn(n, c, dtype=torch.float64).to(device)
        self.r = (self.net(self.x) - self.y).detach().flatten()
        self.damping = 1e-4 * jacobian(self.net, self.x).gram().diagonal().mean().item()
