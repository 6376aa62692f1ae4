"""A process on a pseudo-terminal, and the screen as the person in front of it sees it."""

from __future__ import annotations

import codecs
import copy
import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
from collections.abc import Callable
from typing import Any

import pyte

_OWN_IT = (
    "python",
    "-c",
    """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
""",
)
"""Makes the terminal the process's own, so that Ctrl-C reaches it."""
_SECOND = 1049
"""The private mode of the second screen."""
PATIENCE = 30


class Screen(pyte.HistoryScreen):
    """pyte's screen, which lacks the second one that editors draw on."""

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__(columns, rows, history=10_000, ratio=0.5)
        self.first: Any = None

    @property
    def second(self) -> bool:
        return self.first is not None

    def set_mode(self, *modes: int, **how: Any) -> None:
        if how.get("private") and _SECOND in modes:
            self.first = copy.deepcopy(self.buffer), copy.copy(self.cursor)
            self.erase_in_display(2)
        super().set_mode(*modes, **how)

    def reset_mode(self, *modes: int, **how: Any) -> None:
        super().reset_mode(*modes, **how)
        if how.get("private") and _SECOND in modes and self.first is not None:
            hidden = self.cursor.hidden
            self.buffer, self.cursor = self.first
            self.cursor.hidden = hidden
            self.first = None

    @property
    def everything(self) -> list[str]:
        """The scrollback and what is shown, without empty lines at the end."""
        above = ["".join(row[x].data for x in range(self.columns)) for row in self.history.top]
        lines = [line.rstrip() for line in (*above, *self.display)]
        while lines and not lines[-1]:
            lines.pop()
        return lines


class Terminal:
    """A process on a pseudo-terminal."""

    def __init__(self, spawn: Callable, columns: int = 80, rows: int = 24) -> None:
        self._master, self._slave = pty.openpty()
        self._spawn = spawn
        self.raw = ""
        self.screen = Screen(columns, rows)
        self._stream = pyte.Stream(self.screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._size()

    def _size(self) -> None:
        size = struct.pack("HHHH", self.screen.lines, self.screen.columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def resize(self, columns: int, rows: int) -> None:
        """As a person who drags the window's corner; the process is told by the kernel."""
        self.screen.resize(rows, columns)
        self._size()

    def start(self, *arguments: str, stdin: Any = None, **environment: str) -> Terminal:
        ends = dict.fromkeys(("stdout", "stderr"), self._slave)
        inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        self.process = self._spawn(
            *arguments,
            **({"executable": sys.executable, "prefix": _OWN_IT} if stdin is None else {}),
            start_new_session=True,
            stdin=self._slave if stdin is None else stdin,
            env=inherited | {"TERM": "xterm-256color"} | environment,
            **ends,
        )
        os.close(self._slave)
        return self

    def until(self, text: str) -> None:
        """Read until `text` was written, whatever became of it since."""
        while text not in self.raw and self._read():
            pass
        assert text in self.raw

    def until_shown(self, *texts: str) -> list[str]:
        """Read until the screen shows all of `texts` at once; what it shows."""
        while not all(text in "\n".join(self.screen.display) for text in texts):
            assert self._read(), f"ended; the screen shows {self.screen.display}"
        return [line.rstrip() for line in self.screen.display]

    def write(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> tuple[int, list[str]]:
        """Read to the end; the exit status and the lines on the screen."""
        while self._read():
            pass
        return self.process.wait(PATIENCE), self.screen.everything

    def foreign(self, *ours: str) -> set[str]:
        """Control sequences and characters that were written and are not of `ours`."""
        sequences = re.findall(
            r"\x1b(?:\[[0-9;?]*[A-Za-z]|.)|[\x00-\x09\x0b\x0c\x0e-\x1a\x7f-\x9f]", self.raw
        )
        return {one for one in sequences if not any(re.fullmatch(own, one) for own in ours)}

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], PATIENCE)
        assert ready, f"nothing came; so far: {self.raw!r}"
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux says so when the other side has closed
            return False
        text = self._decoder.decode(data)
        self.raw += text
        self._stream.feed(text)
        return bool(data)

    def close(self) -> None:
        os.close(self._master)
