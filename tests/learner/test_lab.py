"""Where JupyterLab serves, and whether a browser opens. That it does stands in tests/browser/door."""

import socket

import pytest

from regimes_course import __main__ as command
from regimes_course.learner import Unusable
from regimes_course.learner import lab as room


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


def test_root_and_browser_options(tmp_path):
    by_root, plain = (room.options(tmp_path, 9000, browser=yes, root_user=yes) for yes in (True, False))
    assert "--allow-root" in by_root and "--no-browser" not in by_root
    assert "--allow-root" not in plain and "--no-browser" in plain


def test_an_incomplete_course_is_refused(tmp_path):
    (tmp_path / "lessons").mkdir()
    with pytest.raises(Unusable, match="lesson 00 is missing"):
        room.lab(tmp_path)


@pytest.mark.parametrize("word", ["80", "65536", "x", "-1", "8888.5"])
def test_a_port_that_is_none_is_refused(word, capsys):
    with pytest.raises(SystemExit) as end:
        command.main(["lab", f"--port={word}"])
    assert end.value.code == 2 and "1024 to 65535" in capsys.readouterr().err
