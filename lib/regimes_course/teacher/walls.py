"""Walls around a student's code: it sees no other process and no network, reads the system and its library, writes to /tmp.

They are made of what Linux gives to everybody: namespaces, through `unshare` and `setpriv` of util-linux. Where these are
missing or forbidden, `missing` says what is then open, and the grader says so loudly.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt")
TMP = "size=64m"
HOME = "/tmp" if sys.platform == "linux" else tempfile.gettempdir()
UNSHARE = ["unshare", "--user", "--map-root-user", "--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child"]
POWERLESS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
OPEN = (
    "WARNING: this system lets nobody build walls ({why}). A hostile answer can read and delete your files, read the solutions "
    "and use the network. Grade in a container: see docs/INSTRUCTORS.md."
)


def command(library: Path, words: list[str]) -> list[str]:
    """The command that runs this Python with `words` behind walls.

    library: the folder ``lib`` that it can import; beside it stands an empty folder ``root``.
    """
    return [*UNSHARE, sys.executable, "-I", __file__, json.dumps([str(library), *words])]


def environment(library: Path) -> dict[str, str]:
    """What a student's process finds in its environment."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "SYSTEMROOT") if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    ours = {"PYTHONPATH": str(library), "MPLBACKEND": "agg", "TQDM_DISABLE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**kept, **threads, **ours, **dict.fromkeys(("HOME", "IPYTHONDIR", "MPLCONFIGDIR"), HOME)}


def missing(library: Path) -> str:
    """What there is to say where no walls can be built; "" where they stand: tried, not assumed."""
    if not shutil.which("unshare") or not shutil.which("setpriv"):
        return OPEN.format(why="no unshare and setpriv, which come with Linux")
    trial = "import os; assert os.getpid() < 5 and not os.path.exists('/home') and os.path.isdir('/usr'); open('/tmp/x', 'w')"
    done = subprocess.run(
        command(library, ["-c", trial]), env=environment(library), capture_output=True, text=True, check=False
    )
    last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return OPEN.format(why=last) if done.returncode else ""


def build(library: str, words: list[str]) -> None:
    """Inside the new namespaces: put a root together out of what may be seen, go there, give up all rights, run."""
    mount = lambda *arguments: subprocess.run(["mount", *arguments], check=True)  # noqa: E731
    new = Path(library).with_name("root")
    mount("--make-rprivate", "/")
    seen = [path for path in map(Path, SYSTEM) if path.exists()]
    seen += [Path(path) for path in {sys.base_prefix, sys.prefix, library} if not path.startswith(SYSTEM)]
    mount("-t", "tmpfs", "-o", TMP, "none", str(new))
    for path in seen:
        target = new / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            target.symlink_to(os.readlink(path))
        else:
            target.mkdir(exist_ok=True)
            mount("--bind", str(path), str(target))
            mount("-o", "remount,bind,ro", str(target))
    for name in ("null", "zero", "urandom", "random"):
        device = new / "dev" / name
        device.parent.mkdir(exist_ok=True)
        device.touch()
        mount("--bind", f"/dev/{name}", str(device))
    for name in ("proc", "tmp", "dev/shm"):
        (new / name).mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "proc", "proc", str(new / "proc")], stderr=subprocess.DEVNULL, check=False)
    os.chroot(new)
    os.chdir("/tmp")
    os.execvp(POWERLESS[0], [*POWERLESS, sys.executable, *words])


if __name__ == "__main__":
    library, *words = json.loads(sys.argv[1])
    build(library, words + sys.argv[2:])
