"""What is off on this machine, and the command that mends it: `python3 course.py doctor`.

The functions that judge take plain values and return a `Finding`; `examine` looks at the machine and calls them.
A broken package must not stop the others from being looked at, so nothing outside the standard library is imported above.
"""

import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

REBUILD = "delete the folder .venv, then run: python3 course.py lab"
ROOM = 1e9  # bytes that should be free: notebooks, pictures, room for an update
EXACT = 1e-10  # relative error that float64 keeps with a factor of 1e4 to spare and float32 cannot reach
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
EXTENSIONS = ("@jupyter-widgets/jupyterlab-manager", "anywidget")  # what shows sliders in JupyterLab
APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)


@dataclass(frozen=True)
class Finding:
    """One line of the report. mend: what to do when it is not ok; needed: whether the course needs it to be."""

    name: str
    ok: bool
    says: str
    mend: str = ""
    needed: bool = True

    def __str__(self):
        line = f"{'ok ' if self.ok else 'off'}  {self.name:<10} {self.says}"
        return line if self.ok else f"{line}\n{' ' * 16}{'mend:' if self.needed else 'to get it:'} {self.mend}"


def unmet(requirements: Iterable[str], versions: Mapping[str, str]) -> list[str]:
    """The requirements ("numpy>=1.26", of this platform and the course) that the installed `versions` do not meet."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    here = {canonicalize_name(name): version for name, version in versions.items()}
    wanted = [Requirement(text) for text in requirements]
    wanted = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": "course"})]
    found = [(one, here.get(canonicalize_name(one.name))) for one in wanted]
    return [
        f"{one.name} {version or 'is missing'} (needs {one.specifier or 'any version'})"
        for one, version in found
        if version is None or not one.specifier.contains(version, prereleases=True)
    ]


def packages(requirements: Iterable[str], versions: Mapping[str, str]) -> Finding:
    """Whether every package that the course needs is here in a version it works with."""
    if missing := unmet(requirements, versions):
        return Finding("packages", False, "; ".join(missing), REBUILD)
    shown = ("torch", "numpy", "jupyterlab", "ipykernel", "ipywidgets")
    return Finding("packages", True, ", ".join(f"{name} {versions[name]}" for name in shown if name in versions))


def device(cuda: str | None, mps: bool, threads: int) -> Finding:
    """What computes here, and what that means. cuda: the name of the GPU, None without one."""
    says = f"CPU, {threads} threads: every claim of the course is computed here, in float64."
    if cuda:
        says += f" Also {cuda} (CUDA): the same code runs there, many runs in one batch."
    if mps:
        says += " The Apple GPU (MPS) has no float64, so the course does not use it."
    return Finding("device", True, says)


def kernel(command: str, python: str) -> Finding:
    """Whether Jupyter's kernel `python3` starts the Python of this environment. command: the program it starts."""
    program = python if command in ("python", "python3", f"python3.{sys.version_info[1]}") else command
    if Path(program).parent == Path(python).parent:
        return Finding("kernel", True, f"python3 starts {program}")
    mend = f'"{python}" -m ipykernel install --sys-prefix --name python3'
    return Finding("kernel", False, f"python3 starts {program}, which is not the Python of the course", mend)


def widgets(requirements: Iterable[str], versions: Mapping[str, str], extensions: Iterable[Path]) -> Finding:
    """Whether sliders will show: the parts of ipywidgets agree, and JupyterLab's parts (folders) are in their places."""
    mend = f'"{sys.executable}" -m pip install --force-reinstall --no-deps anywidget ipywidgets jupyterlab_widgets'
    if wrong := unmet(requirements, versions):
        return Finding("widgets", False, "ipywidgets does not fit its front end: " + "; ".join(wrong), mend)
    if gone := [str(extension) for extension in extensions if not extension.exists()]:
        return Finding("widgets", False, f"JupyterLab would show no sliders: {', '.join(gone)} is missing", mend)
    parts = [f"{name} {versions[name]}" for name in ("ipywidgets", "jupyterlab_widgets", "anywidget") if name in versions]
    return Finding("widgets", True, " with ".join(parts))


def disk(free: float) -> Finding:
    """Whether there is room to work. free: bytes."""
    mend = f"free some disk space: {ROOM / 1e9:.0f} GB should be left"
    return Finding("disk", free >= ROOM, f"{free / 1e9:.1f} GB free", mend)


def numerics(error: float, rate: float) -> Finding:
    """Whether linear algebra is right. error: of a Gauss-Newton step; rate: of a matrix product, in GFLOP/s."""
    says = f"a Gauss-Newton step solves J delta = r to {error:.0e} (limit {EXACT:.0e}); {rate:.0f} GFLOP/s in float64"
    return Finding("numerics", error <= EXACT, says, REBUILD)


def chromium(program: str | None) -> Finding:
    """Whether the browser tests can run; nobody else needs a Chromium."""
    mend = "install Chromium or Chrome (Debian, Ubuntu: sudo apt install chromium), or name it in the variable CHROMIUM"
    return Finding("chromium", bool(program), program or "none found (only the browser tests need it)", mend, False)


def gauss_newton_error(dtype) -> float:
    """max|J delta - r| / max|r| of the minimum-norm step delta = J^T (J J^T)^-1 r for a random J, 20 x 50."""
    import torch

    generator = torch.Generator().manual_seed(0)
    jacobian = torch.randn(20, 50, generator=generator, dtype=torch.float64).to(dtype)
    residual = torch.randn(20, generator=generator, dtype=torch.float64).to(dtype)
    delta = jacobian.T @ torch.linalg.solve(jacobian @ jacobian.T, residual)
    return float((jacobian @ delta - residual).abs().max() / residual.abs().max())


def matmul_rate(size: int = 512, seconds: float = 0.3) -> float:
    """GFLOP/s of a float64 matrix product."""
    import torch

    matrix, runs = torch.ones(size, size, dtype=torch.float64), 0
    matrix @ matrix  # the first one also starts the threads
    begin = time.perf_counter()
    while (spent := time.perf_counter() - begin) < seconds:
        matrix @ matrix
        runs += 1
    return 2 * size**3 * runs / spent / 1e9


def find_chromium() -> str | None:
    """The program of a Chromium or Chrome: the one named in the variable CHROMIUM, else the first found; None without."""
    if named := os.environ.get("CHROMIUM"):
        return shutil.which(named)
    return next(filter(None, map(shutil.which, (*BROWSERS, *APPLICATIONS))), None)


def attempt(name: str, look: Callable[[], Finding]) -> Finding:
    """The finding of `look`; one that is off if looking itself fails, as it does with a broken package."""
    try:
        return look()
    except Exception as error:  # whatever a broken installation raises is a finding
        return Finding(name, False, f"{type(error).__name__}: {error}", REBUILD)


def examine(root: Path) -> list[Finding]:
    """Look at this machine and environment; `root` is the course folder."""
    versions = {name: one.version for one in metadata.distributions() if (name := one.metadata["Name"])}
    extensions = [Path(sys.prefix, "share/jupyter/labextensions", name) for name in EXTENSIONS]
    looks = {
        "python": lambda: Finding("python", True, f"{sys.version.split()[0]} ({sys.executable})"),
        "packages": lambda: packages(metadata.requires("regimes") or [], versions),
        "device": _look_device,
        "kernel": _look_kernel,
        "widgets": lambda: widgets(metadata.requires("ipywidgets") or [], versions, extensions),
        "disk": lambda: disk(shutil.disk_usage(root).free),
        "numerics": _look_numerics,
        "chromium": lambda: chromium(find_chromium()),
    }
    return [attempt(name, look) for name, look in looks.items()]


def _look_device():
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a GPU driver that is too old for this torch: then the CPU is used
        cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return device(cuda, torch.backends.mps.is_available(), torch.get_num_threads())


def _look_kernel():
    from jupyter_client.kernelspec import KernelSpecManager

    return kernel(KernelSpecManager().get_kernel_spec("python3").argv[0], sys.executable)


def _look_numerics():
    import torch

    return numerics(gauss_newton_error(torch.float64), matmul_rate())
