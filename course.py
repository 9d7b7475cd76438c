"""The one door to the course: `python3 course.py help` lists what it can do.

Standard library only, because it has to run before anything is installed.
"""

import argparse
import difflib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "regimes.stamp"
LOG = VENV / "install.log"
CONSTRAINTS = ROOT / "constraints.txt"
LEARNER, AUTHOR = "", "dev"  # extras of pyproject.toml

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


# ---- the environment -------------------------------------------------------------------------------------------------


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
    """Make .venv or bring it up to date; when nothing changed, no pip is called."""
    version = health()
    if version and STAMP.exists() and STAMP.read_text() in (stamp(version, extra), stamp(version, AUTHOR)):
        if any(word.startswith(("--torch-index", "--cuda")) for word in sys.argv):
            print("Note: .venv is complete. To change its torch, delete the folder .venv and run this again.")
        return
    if not version:
        make_venv()
    how = "Bringing .venv up to date" if STAMP.exists() else "Installing into .venv (once; about 2 minutes, 1.5 GB)"
    print(how + " ...", flush=True)
    pins = VENV / "constraints.txt"
    pins.write_text(settle_torch(), "utf-8")
    pip("install", "--compile", "-c", str(pins), "-e", f".[{extra}]" if extra else ".")
    STAMP.write_text(stamp(health(), extra))
    print("Installed.".ljust(78), flush=True)


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
    lines = []
    with LOG.open("a", encoding="utf-8") as log, subprocess.Popen(command, cwd=ROOT, env=child_env(), **pipe) as process:
        for line in process.stdout:
            lines.append(line)
            log.write(line)
            if sys.stdout.isatty():
                print("\r  " + line.strip()[:76].ljust(76), end="\r", flush=True)
    if process.returncode:
        stop(f"\npip failed. Its last lines:\n  {'  '.join(lines[-8:])}{hint(''.join(lines))}\nAll of it: {LOG}")


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


def torch_here():
    """(version, folder) of a torch that .venv shares or, if new, may share with the Python that runs this file."""
    from importlib.metadata import distributions

    shared = site_packages() / "shared_torch.pth"
    path = [shared.read_text().strip()] if shared.exists() else [] if STAMP.exists() else sys.path
    found = next(iter(distributions(name="torch", path=path)), None)
    return (found.version, str(found.locate_file(""))) if found else (None, None)


def settle_torch():
    """Do what `torch_choice` says; return the constraints for the rest of the installation."""
    constraints = CONSTRAINTS.read_text("utf-8")
    pin = re.search(r"(?m)^torch==[^\s;]+", constraints).group()
    oldest = re.search(r'"torch>=([\d.]+)', (ROOT / "pyproject.toml").read_text("utf-8")).group(1)
    version, folder = torch_here()
    index, cuda = os.environ.get("REGIMES_TORCH_INDEX"), os.environ.get("REGIMES_CUDA")
    nvidia = bool(shutil.which("nvidia-smi"))
    choice = torch_choice(version, oldest, sys.platform == "linux", nvidia, index, cuda)
    if choice == "here":
        print(f"Keeping torch {version}, which is installed in {folder}.", flush=True)
        (site_packages() / "shared_torch.pth").write_text(folder + "\n")
        return without_torch(constraints)
    if choice == "index":
        pip("install", "--compile", "--no-deps", "--index-url", index, pin)
    elif choice == "ask":
        refuse_cuda(pin)
    elif nvidia:
        print("With an NVIDIA driver torch may be the CUDA build (about 3 GB). For the small one: --torch-index URL")
    return constraints


def refuse_cuda(pin):
    """End if pip would take the CUDA build of torch."""
    pip("install", "pip>=24,<27")  # an older one downloads torch to answer the question
    report = VENV / "torch.json"
    pip("install", "--dry-run", "--use-feature=fast-deps", "--no-deps", "--only-binary=:all:", "--report", str(report), pin)
    if cuda_packages(json.loads(report.read_text("utf-8"))):
        stop(CUDA_BUILD.format(command=next((word for word in sys.argv[1:] if word in COMMANDS), "lab")))


# ---- commands --------------------------------------------------------------------------------------------------------


def run(command, cwd=None):
    """Run a command and return its exit code; leaves no orphan when somebody stops us."""
    process = subprocess.Popen(command, cwd=cwd, env=child_env())
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        return process.wait()
    except KeyboardInterrupt:  # in a terminal Ctrl-C reaches the child too, which then closes what it has open
        try:
            return process.wait(10)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.terminate()
            return process.wait()


def module(extra, *words):
    """A command that hands its arguments to a module, run by the Python of .venv."""

    def command(arguments):
        environment(extra)
        here = ROOT if extra == AUTHOR else None  # a learner's paths are relative to where the learner stands
        return run([PYTHON, "-m", *words, *arguments], here)

    return command


def lock(arguments):
    """Write constraints.txt anew; needs no .venv, so that it can mend what keeps .venv from being made."""
    return run([sys.executable, "-m", "tools.lock", *arguments], ROOT)


def show_help(arguments=()):
    """List the commands."""
    print("usage: python3 course.py COMMAND\n")
    for name, (_, usage, says) in COMMANDS.items():
        print(f"  {name + ' ' + usage:<33}{says}")
    print("\nThe first command makes the Python environment .venv (about 2 minutes, 1.5 GB). For it only:")
    print("  --torch-index URL                take torch from this pip index (or set REGIMES_TORCH_INDEX)")
    print("  --cuda                           accept the CUDA build of torch, about 3 GB (or set REGIMES_CUDA=1)")
    return 0


COMMANDS = {
    "lab": (module(LEARNER, "regimes.course", "lab"), "[--port N] [--no-browser]", "open the course in JupyterLab"),
    "start": (module(LEARNER, "regimes.course", "start"), "[NN] [--again]", "copy the exercises of lesson NN to work/"),
    "check": (module(LEARNER, "regimes.course", "check"), "PATH [--json]", "run all checks of an exercise notebook"),
    "paper": (module(LEARNER, "regimes.course", "paper"), "NN [--again] [--jobs N]", "run lesson NN at the paper's size"),
    "doctor": (module(LEARNER, "regimes.course", "doctor"), "", "find what is off on this machine, and what mends it"),
    "test": (module(AUTHOR, "tools.stages"), "[STAGE ...]", "run every test, or the stages named"),
    "notebooks": (module(AUTHOR, "tools.notebooks", "build"), "[NN]", "build the notebooks from sources/"),
    "stale": (module(AUTHOR, "tools.notebooks", "check"), "", "name the notebooks that differ from their source"),
    "claims": (module(AUTHOR, "tools.claims"), "", "write docs/CLAIMS.md from the executed lessons"),
    "lock": (lock, "[--torch V] [--upgrade]", "write constraints.txt anew (needs uv)"),
    "bench": (module(AUTHOR, "benchmarks.run"), "", "measure the library against its peers"),
    "help": (show_help, "", "show this list"),
}


def unknown(name):
    """End because no command has this name; show the nearest and the list."""
    near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.4)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    stop(f"course.py: there is no command {name!r}.{guess}\nCommands: {', '.join(COMMANDS)}.", code=2)


def need_python():
    """End with a clear message on a Python that is too old."""
    if sys.version_info >= (3, 11):  # noqa: UP036 (it is older Pythons that need the message)
        return
    newer = next(filter(shutil.which, ("python3.14", "python3.13", "python3.12", "python3.11")), None)
    advice = f"One is here: {newer} course.py lab" if newer else "Install one, next to this one if you like."
    stop(f"The course needs Python 3.11 or newer; this is {sys.version.split()[0]} ({sys.executable}).\n{advice}")


def main(arguments):
    """Run one command; return its exit code."""
    need_python()
    flags = argparse.ArgumentParser(prog="course.py", add_help=False, allow_abbrev=False)
    flags.add_argument("--torch-index")
    flags.add_argument("--cuda", action="store_true")
    torch, words = flags.parse_known_args(arguments)
    name, *rest = words or ["help"]
    if torch.torch_index:
        os.environ["REGIMES_TORCH_INDEX"] = torch.torch_index
    if torch.cuda:
        os.environ["REGIMES_CUDA"] = "1"
    if name in ("-h", "--help"):
        name = "help"
    if name not in COMMANDS:
        unknown(name)
    return COMMANDS[name][0](rest)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("\nStopped. The same command goes on from here.")
