"""JupyterLab on a copy of the notebooks, and a Chromium to open them in."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from playwright.sync_api import Browser, Error, expect, sync_playwright

from regimes_course.learner.doctor import find_chromium
from tests.browser.jupyter import ARTIFACTS, PATIENCE, ROOT, Notebook, Server, wait_until

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]
NEWS = "@jupyterlab/apputils-extension/notification.jupyterlab-settings"

expect.set_options(timeout=PATIENCE)


def environment(folder: Path) -> dict[str, str]:
    """The variables of JupyterLab: nothing of this user's configuration, no proxy, no news to fetch, one thread a kernel."""
    settings = folder / "settings" / NEWS
    settings.parent.mkdir(parents=True)
    settings.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    for name in ("JUPYTER_CONFIG", "JUPYTER_DATA", "JUPYTER_RUNTIME", "JUPYTERLAB_SETTINGS", "JUPYTERLAB_WORKSPACES"):
        env[f"{name}_DIR"] = str(folder / name.split("_")[1].lower())
    return env | {"JUPYTER_PREFER_ENV_PATH": "1", "OMP_NUM_THREADS": "1"}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    """JupyterLab in a folder of its own, for all browser tests; what it prints is kept in artifacts/browser."""
    folder, own = tmp_path_factory.mktemp("course"), tmp_path_factory.mktemp("jupyter")
    port, token, log = free_port(), secrets.token_hex(16), ARTIFACTS / "server.log"
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}", "--ServerApp.port_retries=0"]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment(own), stdout=output, stderr=output, cwd=folder)
    lab = Server(f"http://127.0.0.1:{port}", token, folder, log)
    try:
        wait_until(lambda: lab.answers() or process.poll() is not None, "JupyterLab")
        assert process.poll() is None, log.read_text()
        yield lab
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium without a window; none found: a skip, but a failure in continuous integration."""
    program = find_chromium()
    if not program:
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop("no Chromium found; `python3 course.py doctor` says how to get one")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_notebook(server: Server, browser: Browser) -> Iterator[Callable[[str], Notebook]]:
    """``open_notebook(path)``: a copy of a notebook of the course, opened; ``open_notebook(path, node)``: another one, written
    there. At the end no page may have met an error."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    errors: list[Error] = []
    context.on("weberror", lambda error: errors.append(error.error))

    def open_copy(path: str, node: NotebookNode | None = None) -> Notebook:
        copy = server.folder / path
        copy.parent.mkdir(exist_ok=True)
        if node:
            nbformat.write(node, copy)
        else:
            shutil.copy(ROOT / path, copy)
        return Notebook(context.new_page(), server, path)

    yield open_copy
    context.close()
    assert not errors
