"""Open JupyterLab on the first page of the course."""

import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from regimes_course.learner import Unusable
from regimes_course.learner.handout import hand_out_lessons

WELCOME = "work/lessons/00_start_here.ipynb"
PORT = 8888  # Jupyter's own
SETTINGS = Path(__file__).with_name("jupyter")  # see default_setting_overrides.json there; a user's own settings win


def free_port(first: int) -> int:
    """The first port from `first` on that nobody listens on; raises Unusable when a hundred in a row are taken."""
    for port in range(first, min(first + 100, 65536)):
        with socket.socket() as probe:
            if os.name != "nt":  # a port that was closed a moment ago counts as free, as it does for Jupyter
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Unusable(f"no free port from {first} on; choose another one with --port N, 1024 to 65535")


def has_display(environ: Mapping[str, str], platform: str) -> bool:
    """Whether a browser opened by this process would be seen: not over ssh, and on Linux only with a display."""
    if "SSH_CONNECTION" in environ or "SSH_TTY" in environ:
        return False
    return not platform.startswith("linux") or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def options(root: Path, port: int, browser: bool, root_user: bool) -> list[str]:
    """The arguments that JupyterLab gets."""
    return [
        f"--ServerApp.root_dir={root}",
        f"--LabApp.default_url=/lab/tree/{WELCOME}",
        "--ServerApp.contents_manager_class=regimes_course.learner.files.CourseFiles",
        "--ServerApp.kernel_spec_manager_class=regimes_course.learner.kernel.ThisPython",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        "--ServerApp.base_url=/",
        "--ServerApp.answer_yes=True",  # one Ctrl-C ends it, no question
        "--ServerApp.log_level=ERROR",
        "--LabApp.log_level=ERROR",
        "--LabApp.extension_manager=readonly",
        *["--no-browser"] * (not browser),
        *["--allow-root"] * root_user,
    ]


def announce(port: int, token: str, browser: bool) -> None:
    """Print the address as soon as somebody answers there."""
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    print("JupyterLab opens in your browser; or open" if browser else "Open this address in a browser")
    print(f"  http://127.0.0.1:{port}/lab/tree/{WELCOME}?token={token}\nStop with Ctrl-C.", flush=True)


def lab(root: Path, port: int | None = None, browser: bool = True) -> int:
    """Serve the course folder `root` until Ctrl-C; the lessons open as copies in root/work/lessons.

    port: where to serve; when it is busy the next free one is taken, and said. Without it, from 8888 on.
    browser: open one if there is a display to show it; the address with its token is printed in any case.
    Raises Unusable when `root` is not a complete copy of the course or no port is free.
    """
    for line in hand_out_lessons(root):
        print(line)
    if not (root / WELCOME).exists():
        raise Unusable(f"lesson 00 is missing: {root} is not a complete copy of the course; clone it again")
    free = free_port(port or PORT)
    if port and free != port:
        print(f"Port {port} is busy: using {free}.")
    print("Starting JupyterLab ...", flush=True)
    browser = browser and has_display(os.environ, sys.platform)
    token = os.environ["JUPYTER_TOKEN"] = secrets.token_hex(16)  # not an argument: those are visible to other users
    paths = [str(SETTINGS), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(paths)
    threading.Thread(target=announce, args=(free, token, browser), daemon=True).start()
    from jupyterlab.labapp import LabApp  # takes a second: after the first line is on the screen

    LabApp.launch_instance(options(root, free, browser, hasattr(os, "geteuid") and os.geteuid() == 0))
    return 0
