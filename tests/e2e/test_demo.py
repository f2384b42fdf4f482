"""`serin demo` as a newcomer sees it: plain lines in a pipe, a panel beneath them on a terminal.

The terminal is a pseudo-terminal with pyte behind it, which keeps the screen as a terminal would and answers what programs ask it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pyte
import pytest

from peers import release_binary
from processes import environment

# Of the whole play, on a machine that is busy.
WITHIN_S = 90
STEP = re.compile(r"^[+-]\d+\.\d{3} s  \S.*$")
HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"


class Screen:
    """A program on a pseudo-terminal of so many columns and lines."""

    def __init__(self, arguments: list[str], columns: int = 100, lines: int = 30, **more: str) -> None:
        self.screen = pyte.HistoryScreen(columns, lines, history=1_000, ratio=0.5)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.frames: list[list[str]] = []
        self.terminal, side = pty.openpty()
        self.screen.write_process_input = lambda text: os.write(self.terminal, text.encode())
        self.size(columns, lines)
        self.before = termios.tcgetattr(side)
        self.side = side
        variables = {**environment(), "TERM": "xterm-256color", **more}
        self.process = subprocess.Popen(
            [release_binary(), *arguments],
            stdin=side,
            stdout=side,
            stderr=side,
            env=variables,
            preexec_fn=_own_terminal,
        )

    def size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        self.screen.resize(lines, columns)
        self.size(columns, lines)

    def read(self, within_s: float) -> None:
        """Whatever is written next, if anything is."""
        if not select.select([self.terminal], [], [], within_s)[0]:
            return
        read = os.read(self.terminal, 65_536)
        self.raw += read
        # pyte takes the private modes of synchronized updates for nothing, and so do we.
        self.stream.feed(read)
        self.frames.append(self.shown())

    def shown(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    def all(self) -> list[str]:
        """With what has scrolled away."""
        history = [
            "".join(line[x].data for x in range(self.screen.columns)).rstrip()
            for line in self.screen.history.top
        ]
        return [*history, *self.shown()]

    def wait_for(self, text: str) -> None:
        self._wait(text, lambda: any(text in line for line in self.shown()))

    def wait_end(self) -> int:
        self._wait("its end", lambda: self.process.poll() is not None)
        while select.select([self.terminal], [], [], 0.2)[0]:
            self.read(0)
        return self.process.returncode

    def _wait(self, what: str, holds) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not holds():
            assert time.monotonic() < deadline, f"{what}\n" + "\n".join(self.shown())
            self.read(0.2)

    def restored(self) -> bool:
        """Whether the terminal is as it was: its modes, and its cursor."""
        return (
            termios.tcgetattr(self.side) == self.before
            and self.raw.rfind(SHOW) > self.raw.rfind(HIDE)
            and b"\x1b[?1049h" not in self.raw
        )

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.terminal)
        os.close(self.side)


def _own_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def demo(stack: contextlib.ExitStack, *arguments: str, **more) -> Screen:
    screen = Screen(["demo", *arguments], **more)
    stack.callback(screen.stop)
    return screen


def test_in_a_pipe_there_are_lines_and_nothing_else(tmp_path: Path) -> None:
    run = subprocess.run(
        [release_binary(), "demo"], env={**environment(), "TERM": "xterm"}, capture_output=True, timeout=WITHIN_S
    )
    assert run.returncode == 0, run.stderr
    assert b"\x1b" not in run.stdout and b"\r" not in run.stdout
    lines = run.stdout.decode().splitlines()
    assert re.fullmatch(r"lab      blue and green, 3 targets each, behind a load balancer at \S+", lines[0])
    assert lines[1].startswith("config   ") and lines[2].startswith("         settle and grace")
    steps = [line for line in lines if STEP.match(line)]
    assert [line.split("  ")[1].strip() for line in steps][:2] == ["cutover sent", "cutover seen"]
    users = lines.index(next(line for line in lines if line.startswith("          users (100 a second) had ")))
    assert lines[3:users] == steps, "every line between is a step"
    assert lines[-1].startswith("          outcome: reverted; the account: serin report --dir ")


def test_on_a_terminal_a_panel_is_redrawn_beneath_the_story(stack: contextlib.ExitStack) -> None:
    screen = demo(stack)
    screen.wait_for("── serin demo")
    screen.wait_for("judging")
    assert screen.wait_end() == 0, "\n".join(screen.all())
    assert screen.restored()
    lines = screen.all()
    text = "\n".join(lines)
    titles = [line for line in lines if line.startswith("── serin demo")]
    assert len(titles) == 1, f"one panel, wherever the lines pushed it\n{text}"
    told = [line for line in lines if STEP.match(line)]
    assert any("BREACH" in line for line in told) and any("verified" in line for line in told), text
    # The story above the panel, the panel as it was last, the summary beneath it.
    panel = lines.index(titles[0])
    assert lines.index(told[-1]) < panel, text
    assert any(line.startswith("checkout-a ") for line in lines[panel:]), text
    assert any("outcome: reverted" in line for line in lines[panel:]), text
    # It moved: both colours answered, a URL was bad, and the last minute has bars.
    ever = {line for frame in screen.frames for line in frame}
    for part in ("blue-", "green-", " bad "):
        assert any(part in line for line in ever), part
    assert any(re.match(r"checkout-a .*[▁▂▃▄▅▆▇█]{3}$", line) for line in ever), text


@pytest.mark.parametrize("how", ["key", "SIGTERM", "SIGINT"])
def test_whoever_interrupts_it_gets_the_terminal_back(stack: contextlib.ExitStack, how: str) -> None:
    screen = demo(stack)
    screen.wait_for("── serin demo")
    screen.wait_for("cutover sent")
    if how == "key":
        os.write(screen.terminal, b"\x03")
    else:
        screen.process.send_signal(getattr(signal, how))
    assert screen.wait_end() == 1
    assert screen.restored()
    assert "interrupted" in "\n".join(screen.all())


def test_a_terminal_may_change_its_size(stack: contextlib.ExitStack) -> None:
    screen = demo(stack)
    screen.wait_for("judging")
    for columns, lines in ((60, 20), (30, 8), (10, 3), (120, 40)):
        screen.resize(columns, lines)
        for _ in range(10):
            screen.read(0.1)
    assert screen.wait_end() == 0, "\n".join(screen.all())
    assert screen.restored()
    assert "outcome: reverted" in "\n".join(screen.all())


@pytest.mark.parametrize(
    ("arguments", "more"),
    [(["--plain"], {}), ([], {"TERM": "dumb"}), ([], {"columns": 20}), ([], {"lines": 5})],
    ids=["plain", "dumb", "narrow", "low"],
)
def test_where_no_panel_fits_there_are_lines(
    stack: contextlib.ExitStack, arguments: list[str], more: dict
) -> None:
    screen = demo(stack, "--fault", "outage", "--at", "0s", *arguments, **more)
    assert screen.wait_end() == 0
    assert b"\x1b" not in screen.raw, "no control sequence at all"
    assert screen.raw.count(b"cutover sent") == 1


def test_without_colours_it_can_be_read_as_well(stack: contextlib.ExitStack) -> None:
    screen = demo(stack, "--at", "0s", NO_COLOR="1")
    assert screen.wait_end() == 0
    coloured = re.search(rb"\x1b\[[0-9;]*(?<![0-9])(3[0-7]|38;5;\d+|9[0-7])m", screen.raw)
    assert coloured is None, coloured
    assert any(" bad " in line for frame in screen.frames for line in frame)
