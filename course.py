"""The one door to the course: `python3 course.py help` lists what it can do.

Standard library only, because it has to run before anything is installed.
"""

import argparse
import difflib
import os
import shutil
import signal
import subprocess
import sys

from tools.environment import AUTHOR, LEARNER, ROOT, SITE, child_env, environment, stop


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
        python = environment(extra)
        here = None if extra == LEARNER else ROOT  # a learner's paths are relative to where the learner stands
        return run([python, "-m", *words, *arguments], here)

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
    "lab": (module(LEARNER, "regimes_course", "lab"), "[--port N] [--no-browser]", "open the course in JupyterLab"),
    "start": (module(LEARNER, "regimes_course", "start"), "[NN] [--again]", "copy the exercises of lesson NN to work/"),
    "check": (module(LEARNER, "regimes_course", "check"), "PATH [--json]", "run all checks of an exercise notebook"),
    "grade": (module(LEARNER, "regimes_course", "grade"), "FOLDER [--out DIR]", "grade a class: scores and feedback"),
    "release": (module(LEARNER, "regimes_course", "release"), "DIR [NN ...]", "the course for a class, without answers"),
    "paper": (module(LEARNER, "regimes_course", "paper"), "NN [--again] [--jobs N]", "run lesson NN at the paper's size"),
    "progress": (module(LEARNER, "regimes_course", "progress"), "[--json]", "what you have solved, and what is next"),
    "doctor": (module(LEARNER, "regimes_course", "doctor"), "", "find what is off on this machine, and what mends it"),
    "test": (module(AUTHOR, "tools.stages"), "[STAGE ...]", "run every test, or the stages named"),
    "notebooks": (module(AUTHOR, "tools.notebooks", "build"), "[NN]", "build the notebooks from sources/"),
    "nbgrader": (module(AUTHOR, "tools.nbgrader"), "DIR [NN ...]", "the exercises as a course of nbgrader"),
    "stale": (module(AUTHOR, "tools.notebooks", "check"), "", "name the notebooks that differ from their source"),
    "claims": (module(AUTHOR, "tools.claims"), "", "write docs/CLAIMS.md from the executed lessons"),
    "site": (module(SITE, "tools.site"), "[DIR]", "build the web book, sliders included"),
    "lock": (lock, "[--torch V] [--upgrade]", "write constraints.txt anew (needs uv)"),
    "bench": (module(AUTHOR, "benchmarks.run"), "[TASK ...] [--peers]", "measure how fast the library is"),
    "help": (show_help, "", "show this list"),
}

TEACHERS = ("grade", "release", "nbgrader", "test", "notebooks", "stale", "claims", "site", "lock", "bench")
if not (ROOT / "tools/stages.py").exists():  # what a class gets has no such commands
    COMMANDS = {name: command for name, command in COMMANDS.items() if name not in TEACHERS}


def unknown(name):
    """End because no command has this name; show the nearest and the list."""
    near = difflib.get_close_matches(name.lower(), COMMANDS, n=1, cutoff=0.4)
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
