"""Random numbers for initialisation."""

import torch
from torch import Tensor

from regimes.seeds import seeded

__all__ = ["per_run_std", "placed", "seeded_normal"]


def per_run_std(std: float | Tensor, runs: tuple[int, ...], name: str, axes: int) -> Tensor:
    """``std`` broadcast to the runs, with ``axes`` trailing axes of length one.

    Raises:
        ValueError: if it is negative, not finite, no number, or does not fit the runs; the message calls it ``name``.
    """
    try:
        stds = torch.as_tensor(std, dtype=torch.float64, device="cpu")
    except (TypeError, ValueError, RuntimeError):  # torch's answers to what is no number
        raise ValueError(f"{name} must be a finite number >= 0; got {std!r}") from None
    if (stds < 0).any() or not torch.isfinite(stds).all():
        raise ValueError(f"{name} must be a finite number >= 0; got {stds.tolist()}")
    try:
        return stds.expand(runs).reshape(runs + (1,) * axes)
    except RuntimeError:
        raise ValueError(f"{name} of shape {tuple(stds.shape)} does not fit runs {runs}: pass one number per run") from None


def seeded_normal(
    seed: int | Tensor | torch.Generator, runs: tuple[int, ...], shapes: list[tuple[int, ...]]
) -> tuple[Tensor, ...]:
    """Standard normal float64 tensors of the given shapes behind the run axes, drawn run by run, then on the CPU."""

    def draw(g: torch.Generator, runs: tuple[int, ...] = ()) -> tuple[Tensor, ...]:
        draws = (torch.randn(*runs, *shape, generator=g, dtype=torch.float64, device=g.device) for shape in shapes)
        return tuple(t.cpu() for t in draws)

    return draw(seed, runs) if isinstance(seed, torch.Generator) else seeded(seed, draw, runs)


def placed(t: Tensor, device: torch.device | str | None, dtype: torch.dtype) -> Tensor:
    """``t`` on ``device`` (torch's default device if ``None``), as ``dtype``.

    Raises:
        ValueError: for a dtype that is not floating, or a device that is not there.
    """
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"parameters are floating-point numbers, such as dtype=torch.float64; got {dtype!r}")
    device = torch.get_default_device() if device is None else device
    try:
        return t.to(device, dtype)
    except (AssertionError, RuntimeError) as error:  # torch built without it, or no such device
        raise ValueError(f"device {str(device)!r} cannot be used here; use 'cpu'. It says: {error}") from error
