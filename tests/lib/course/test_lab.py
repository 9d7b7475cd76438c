"""Where JupyterLab serves, and whether a browser opens."""

import os
import socket

import pytest

from regimes.course import Unusable
from regimes.course import __main__ as command
from regimes.course import lab as room


@pytest.fixture
def busy():
    """A port somebody listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_busy_port_is_passed_over(busy):
    assert busy < room.free_port(busy) < busy + 100
    free = room.free_port(busy)
    assert room.free_port(free) == free


def test_no_free_port_is_an_error(monkeypatch):
    monkeypatch.setattr(room, "range", lambda *ends: [], raising=False)
    with pytest.raises(Unusable, match="--port N"):
        room.free_port(9000)


@pytest.mark.parametrize(
    ("environ", "platform", "shown"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"DISPLAY": ":0", "SSH_CONNECTION": "x"}, "linux", False),
        ({}, "darwin", True),
        ({"SSH_TTY": "x"}, "darwin", False),
        ({}, "win32", True),
    ],
)
def test_whether_a_browser_would_be_seen(environ, platform, shown):
    assert room.has_display(environ, platform) is shown


@pytest.fixture
def launched(monkeypatch, tmp_path):
    """A course folder, and what JupyterLab would be launched with."""
    seen = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JUPYTER_TOKEN", "")
    monkeypatch.setattr("jupyterlab.labapp.LabApp.launch_instance", lambda argv: seen.append(argv))
    (tmp_path / "lessons").mkdir()
    (tmp_path / room.WELCOME).write_text("{}")
    return seen


def test_a_busy_port_is_said_and_the_address_is_printed(launched, tmp_path, busy, capsys):
    assert room.lab(tmp_path, busy, browser=False) == 0
    shown = capsys.readouterr().out
    port = room.free_port(busy)
    assert f"Port {busy} is busy: using {port}." in shown
    assert f"http://127.0.0.1:{port}/lab/tree/{room.WELCOME}?token={os.environ['JUPYTER_TOKEN']}" in shown
    assert f"--port={port}" in launched[0] and "--no-browser" in launched[0]
    assert not any(os.environ["JUPYTER_TOKEN"] in word for word in launched[0])


def test_root_and_browser_options():
    assert "--allow-root" in room.options(9000, True, True) and "--no-browser" not in room.options(9000, True, True)
    assert "--allow-root" not in room.options(9000, False, False)


def test_an_incomplete_course_is_refused(tmp_path):
    with pytest.raises(Unusable, match="00_start_here.ipynb is missing"):
        room.lab(tmp_path)


@pytest.mark.parametrize("word", ["80", "65536", "x", "-1", "8888.5"])
def test_a_port_that_is_none_is_refused(word, capsys):
    with pytest.raises(SystemExit) as end:
        command.main(["lab", f"--port={word}"])
    assert end.value.code == 2 and "1024 to 65535" in capsys.readouterr().err
