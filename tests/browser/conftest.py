"""JupyterLab on a copy of the course, and a Chromium that drives it."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from playwright.sync_api import expect

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "artifacts" / "browser"
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"
FLAGS += " --disable-sync --disable-dev-shm-usage"
NEWS = "@jupyterlab/apputils-extension/notification.jupyterlab-settings"
PATIENCE = 60_000  # ms, for whatever a busy machine may take long over

expect.set_options(timeout=PATIENCE)


@dataclass
class Server:
    """A running JupyterLab.

    Attributes:
        url, token: where it is and what opens it.
        folder: its root; notebooks are copied there.
        log: what it and its kernels print.
    """

    url: str
    token: str
    folder: Path
    log: Path

    def address(self, path: str) -> str:
        return f"{self.url}/{path}?token={self.token}"

    def get(self, path: str) -> bytes:
        with urlopen(self.address(path), timeout=5) as answer:
            return answer.read()


def wait_until(done, what: str, seconds: float = PATIENCE / 1000) -> None:
    """Ask ``done()`` until it says yes; what: named in the error when it never does."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)


def environment(folder: Path) -> dict[str, str]:
    """No configuration of this user, no proxy, one thread a kernel, and no news to fetch."""
    settings = folder / "settings" / NEWS
    settings.parent.mkdir(parents=True)
    settings.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    places = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "runtime"}
    places |= {"LAB_SETTINGS_DIR": "settings", "LAB_WORKSPACES_DIR": "workspaces"}
    env |= {f"JUPYTER{'' if name.startswith('LAB') else '_'}{name}": str(folder / place) for name, place in places.items()}
    return env | {"JUPYTER_PREFER_ENV_PATH": "1", "OMP_NUM_THREADS": "1"}
