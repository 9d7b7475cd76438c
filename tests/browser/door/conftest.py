"""A stranger's copy of the course: cloned, set up by the first command of the README, and nothing replaced.

One clone serves all these tests, in a folder whose name has a space and an umlaut. It sets up its own .venv; only torch is
shared with the Python of the tests, as `course.py` does wherever it finds one.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.browser.jupyter import ARTIFACTS, PATIENCE, ROOT, Server, wait_until

INSTALLING = 1_800_000  # ms, for what took 40 seconds where it was tried first
# A runner in the background may ignore Ctrl-C. What it starts would, too, and these tests type Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/lab/tree/(\S+)\?token=(\w+)")


def git(folder: Path, *words: str) -> str:
    """Run git in a folder, as somebody with a name."""
    who = ["-c", "user.name=a learner", "-c", "user.email=learner@example.org", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def upstream(tmp_path_factory) -> Path:
    """The repository that learners clone: the files of this one as they are now, committed or not."""
    folder = tmp_path_factory.mktemp("upstream")
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, listed):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "the course")
    return folder


@pytest.fixture(scope="session")
def home(tmp_path_factory) -> dict[str, str]:
    """The variables of a stranger: an empty home, no display, no proxy, nothing of Jupyter's or of these tests'."""
    dropped = ("JUPYTER", "REGIMES", "PYTHON", "DISPLAY", "WAYLAND", "SSH_", "CI", "PYTEST")
    env = {name: value for name, value in os.environ.items() if not name.upper().startswith(dropped)}
    env = {name: value for name, value in env.items() if not name.lower().endswith("_proxy")}
    folder = tmp_path_factory.mktemp("home")
    cache = {"PIP_CACHE_DIR": str(Path.home() / ".cache/pip")}
    return env | cache | {"HOME": str(folder), "USERPROFILE": str(folder), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def clone(upstream, tmp_path_factory) -> Path:
    """What `git clone` gives."""
    folder = tmp_path_factory.mktemp("learner") / "mein Kürs"
    git(upstream.parent, "clone", "-q", str(upstream), str(folder))
    return folder


class Lab(Server):
    """JupyterLab, started by `python3 course.py lab`: its address is the one that was printed."""

    def opened(self) -> str:
        """The path of the notebook in the printed address."""
        return ADDRESS.search(self.log.read_text("utf-8"))[2]


@contextmanager
def running(words: list, folder: Path, home: dict[str, str], name: str) -> Iterator[Lab]:
    """A `lab` command as it is typed, from where `words` says, until the address is on the screen; Ctrl-C at the end."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    log = ARTIFACTS / f"{name}.log"
    with log.open("w") as output:
        send = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
        process = subprocess.Popen(words, cwd=folder.parent, env=home, start_new_session=True, **send)
    try:
        wait_until(lambda: ADDRESS.search(log.read_text("utf-8")) or process.poll() is not None, "an address", INSTALLING)
        found = ADDRESS.search(log.read_text("utf-8"))
        assert found, log.read_text("utf-8")
        yield Lab(f"http://127.0.0.1:{found[1]}", found[3], folder, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.wait(PATIENCE / 1000)


@pytest.fixture(scope="session")
def lab(clone, home) -> Iterator[Lab]:
    """The first command of the README, in a fresh clone, from another folder; it installs, then serves."""
    words = [sys.executable, clone.name + "/course.py", "lab", "--no-browser"]
    with running(words, clone, home, "door") as server:
        yield server


@dataclass(frozen=True)
class Said:
    """What a command line did: its exit code, None if it was stopped with Ctrl-C, and all it printed."""

    code: int | None
    text: str


def _goes_on(group: int) -> bool:
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def say(
    line: str, folder: Path, home: dict[str, str], python: Path = Path(sys.executable), seconds: float | None = None
) -> Said:
    """Run a command line as a page of the course writes it, in a folder.

    seconds: how long it may go on after its first words; then Ctrl-C stops it. None: until it ends.
    """
    pythons = {"python3": sys.executable, "python": str(folder / ".venv/bin/python")}
    words = [pythons.get(word, word) for word in shlex.split(line)]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:

        def text() -> str:
            output.seek(0)
            return output.read()

        send = {"stdin": subprocess.DEVNULL, "stdout": output.fileno(), "stderr": subprocess.STDOUT}
        with subprocess.Popen(words, cwd=folder, env=home, start_new_session=True, **send) as process:
            if seconds is not None:
                wait_until(lambda: process.poll() is not None or os.fstat(output.fileno()).st_size, f"a word of {line!r}")
                with suppress(subprocess.TimeoutExpired):
                    return Said(process.wait(seconds), text())
                os.killpg(process.pid, signal.SIGINT)  # as the terminal does: to the whole group
                try:
                    process.wait(PATIENCE / 1000)
                    wait_until(lambda: not _goes_on(process.pid), f"the end of all that {line!r} has begun")
                finally:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                return Said(None, text())
            return Said(process.wait(), text())
