"""The Python environment of the course: .venv, or whichever Python has the course already.

Standard library only, because it has to run before anything is installed.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "regimes.stamp"
LOG = VENV / "install.log"
SHARED = VENV / "shared_torch"  # names the folder of a torch that .venv takes from elsewhere
CONSTRAINTS = ROOT / "constraints.txt"
EXTRAS = LEARNER, AUTHOR, SITE = "course", "course,dev", "course,dev,site"  # of pyproject.toml; each has those before it

HINTS = [  # what pip's log may mean: the first pattern found speaks
    (r"No space left|not enough space", "The disk is full: the course needs about 1.5 GB."),
    (r"CERTIFICATE_VERIFY_FAILED|SSLError", "The connection is not trusted: pip needs your network's certificate."),
    (r"name resolution|getaddrinfo|unreachable|timed out|NewConnectionError|ProxyError", "No network, or a proxy between."),
    (r"No matching distribution found for torch", "torch has no build for this Python or machine: use Python 3.11 "
     "to 3.14 (64 bit) on Linux, Windows or macOS 14+ (Apple silicon)."),
    (r"Permission denied|Errno 13|WinError 5", "This folder cannot be written, or a file of .venv is in use."),
]  # fmt: skip

CUDA_BUILD = """Stopped before a surprise: the torch that pip would take here is the CUDA build, a download of
about 3 GB, and this machine shows no NVIDIA driver. Two ways on:
  python3 course.py {command} --torch-index URL   the small CPU build; URL is the CPU index address that
                                            PyTorch's "Get Started" page shows for pip
  python3 course.py {command} --cuda              take the large build all the same"""


def stop(message, code=1):
    """End with a message on stderr and no traceback."""
    print(message, file=sys.stderr)
    raise SystemExit(code)


def child_env():
    """Environment of every child: bytecode is kept (torch imports slowly without it) and the kernel of .venv wins."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**env, "JUPYTER_PREFER_ENV_PATH": "1"}


def health():
    """Python version of .venv, or None when there is no .venv or it is half made."""
    probe = "import sys, pip; assert sys.version_info >= (3, 11); print(sys.version.split()[0])"
    try:
        return subprocess.run([PYTHON, "-c", probe], capture_output=True, text=True).stdout.strip() or None
    except OSError:
        return None


def stamp(version, extra):
    """What decides whether .venv is up to date: place, Python, what is asked for and what is pinned."""
    parts = [str(ROOT), version, extra, (ROOT / "pyproject.toml").read_text("utf-8"), CONSTRAINTS.read_text("utf-8")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def environment(extra=LEARNER):
    """The Python that has the course: the one that runs this if the course is installed in it, else that of .venv.

    Makes .venv or brings it up to date; when nothing changed, no pip is called.
    """
    if installed_here():
        need_packages(extra)
        return sys.executable
    version = health()
    whole = STAMP.exists() and shared_path().exists() >= SHARED.exists()  # not killed in the middle of `install_around`
    enough = EXTRAS[EXTRAS.index(extra) :]
    if version and whole and STAMP.read_text() in (stamp(version, one) for one in enough):
        if any(word.startswith(("--torch-index", "--cuda")) for word in sys.argv):
            print("Note: .venv is complete. To change its torch, delete the folder .venv and run this again.")
        return PYTHON
    if not version:
        make_venv()
    how = "Bringing .venv up to date" if STAMP.exists() else "Installing into .venv (once; about 2 minutes, 1.5 GB)"
    print(how + " ...", flush=True)
    constraints, shared = settle_torch()
    pins = VENV / "constraints.txt"
    pins.write_text(constraints, "utf-8")
    if shared:
        install_around(shared, pins, extra)
    else:
        pip("install", "--compile", "-c", str(pins), "-e", f".[{extra}]")
    STAMP.write_text(stamp(health(), extra))
    print("Installed.".ljust(78), flush=True)
    return PYTHON


def installed_here():
    """Whether this folder is installed in the Python that runs this, and that is not .venv: by conda, in a JupyterHub, ..."""
    from importlib.metadata import distributions
    from importlib.util import find_spec

    spec = None if Path(sys.prefix) == VENV else find_spec("regimes")
    here = spec is not None and ROOT / "lib" in Path(spec.origin or "").resolve().parents
    return here and any(distributions(name="regimes"))


def need_packages(extra):
    """End if the Python that runs this lacks a package that the course asks for by now."""
    from importlib.metadata import distributions

    names = [re.match(r"[\w.-]+", one).group() for one in requirements(extra)]
    if missing := [name for name in names if not any(distributions(name=name))]:
        stop(f"The course is installed in this Python ({sys.executable}), without {', '.join(missing)}.\n"
             f'To install what is missing: cd "{ROOT}" && "{sys.executable}" -m pip install -e ".[{extra}]"')  # fmt: skip


def requirements(extra):
    """What pyproject.toml asks for with these extras ("course,dev"), as ["torch>=2.6", ...]."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    return project["dependencies"] + [one for name in extra.split(",") for one in extras[name]]


def make_venv():
    """Create an empty .venv, replacing a broken one."""
    from importlib.util import find_spec

    if find_spec("ensurepip") is None or find_spec("venv") is None:
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        stop(f"This Python ({sys.executable}) comes without venv. On Debian or Ubuntu: sudo apt install {package}")
    if Path(sys.prefix) == VENV:
        stop("The .venv is broken and cannot mend itself: run course.py with the system's Python.")
    print("The .venv here is broken or half made: making it anew." if VENV.exists() else "Making .venv ...", flush=True)
    done = subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], capture_output=True, text=True)
    if done.returncode:
        stop(f"Python could not make {VENV}:\n{(done.stdout + done.stderr).strip()}")


def pip(*arguments):
    """Run pip in .venv with its words in the log; when it fails show the end of the log and what it may mean."""
    command = [PYTHON, "-m", "pip", *arguments]
    pipe = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")
    lines, ended = ["pip starts"], threading.Event()
    threading.Thread(target=tell, args=(lines, ended), daemon=True).start()
    with LOG.open("a", encoding="utf-8") as log, subprocess.Popen(command, cwd=ROOT, env=child_env(), **pipe) as process:
        for line in process.stdout:
            log.write(line)
            if "\u2501" not in line:  # a progress bar of pip's
                lines.append(line)
    ended.set()
    if process.returncode:
        stop(f"\npip failed. Its last lines:\n  {'  '.join(lines[1:][-8:])}{hint(''.join(lines))}\nAll of it: {LOG}")


def tell(lines, ended):
    """Say what pip does: on a terminal in one line that changes, elsewhere a line every few seconds."""
    begin, terminal = time.monotonic(), sys.stdout.isatty()
    while not ended.wait(0.5 if terminal else 5):
        said = f"  {time.monotonic() - begin:4.0f} s  {lines[-1].strip()[:66]}"
        print("\r" + said.ljust(78) if terminal else said, end="" if terminal else "\n", flush=True)
    if terminal:
        print("\r" + " " * 78, end="\r", flush=True)


def hint(log):
    """What the log of a failed pip probably means."""
    found = (says for pattern, says in HINTS if re.search(pattern, log))
    return next(found, "The lines above say why.") + " Then run the same command again."


# ---- torch: the CPU build where there is one, a torch that is here already kept, no surprise gigabytes ---------------


def release(version):
    """'2.13.0+cpu' -> (2, 13)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def torch_choice(here, oldest, linux, nvidia, index, cuda):
    """Where torch comes from: 'index' (the address given), 'here' (one that is installed), 'pip', or 'ask' pip first."""
    if index:
        return "index"
    if here and release(here) >= release(oldest):
        return "here"
    return "pip" if cuda or nvidia or not linux else "ask"


def cuda_packages(report):
    """The CUDA packages in pip's report on torch; an empty list means a CPU build or nothing to install."""
    needs = [need for item in report["install"] for need in item["metadata"].get("requires_dist", [])]
    return [need for need in needs if re.match(r"(nvidia|cuda)\b", need)]


def without_torch(constraints):
    """The constraints without torch and the GPU packages that belong to the pinned torch."""
    return re.sub(r"(?m)^(torch|triton|nvidia-[\w-]+|cuda-[\w-]+)==.*\n", "", constraints)


def site_packages():
    """The folder of .venv that holds the packages."""
    return next(VENV.glob("lib/python*/site-packages"), VENV / "Lib/site-packages")


def shared_path():
    """The file that puts the folder of a shared torch at the end of .venv's path."""
    return site_packages() / "shared_torch.pth"


def torch_here():
    """(version, folder) of a torch that .venv shares or, if new, may share with the Python that runs this file."""
    from importlib.metadata import distributions

    known = [file.read_text("utf-8").strip() for file in (SHARED, shared_path()) if file.exists()]
    path = known[:1] if known else [] if STAMP.exists() else sys.path
    found = next(iter(distributions(name="torch", path=path)), None)
    return (found.version, str(found.locate_file(""))) if found else (None, None)


def settle_torch():
    """Do what `torch_choice` says; return the constraints for the rest, and the folder of a torch to share, if any."""
    constraints = CONSTRAINTS.read_text("utf-8")
    pin = re.search(r"(?m)^torch==[^\s;]+", constraints).group()
    oldest = re.search(r'"torch>=([\d.]+)', (ROOT / "pyproject.toml").read_text("utf-8")).group(1)
    version, folder = torch_here()
    index, cuda = os.environ.get("REGIMES_TORCH_INDEX"), os.environ.get("REGIMES_CUDA")
    nvidia = bool(shutil.which("nvidia-smi"))
    choice = torch_choice(version, oldest, sys.platform == "linux", nvidia, index, cuda)
    if choice == "here":
        print(f"Keeping torch {version}, which is installed in {folder}.", flush=True)
        return without_torch(constraints), folder
    if choice == "index":
        pip("install", "--compile", "--no-deps", "--index-url", index, pin)
    elif choice == "ask":
        refuse_cuda(pin)
    elif nvidia:
        print("With an NVIDIA driver torch may be the CUDA build (about 3 GB). For the small one: --torch-index URL")
    return constraints, None


def install_around(folder, pins, extra):
    """Install all but torch, whose folder is shared once everything else is here.

    If pip saw that folder, it would count JupyterLab and ipywidgets there as installed, and the sliders' part in the browser,
    which lies outside that folder, would be missing.
    """
    SHARED.write_text(folder, "utf-8")
    shared_path().unlink(missing_ok=True)
    others = [one for one in requirements(extra) if not re.match(r"torch\b", one)]
    try:
        pip("install", "--compile", "-c", str(pins), *others)
        pip("install", "--no-deps", "-e", ".")
    finally:  # also when pip fails or somebody stops us: what was here before works on
        shared_path().write_text(folder + "\n", "utf-8")


def refuse_cuda(pin):
    """End if pip would take the CUDA build of torch."""
    pip("install", "pip>=24,<27")  # an older one downloads torch to answer the question
    report = VENV / "torch.json"
    pip("install", "--dry-run", "--use-feature=fast-deps", "--no-deps", "--only-binary=:all:", "--report", str(report), pin)
    if cuda_packages(json.loads(report.read_text("utf-8"))):
        stop(CUDA_BUILD.format(command=next((word for word in sys.argv[1:] if not word.startswith("-")), "lab")))
