"""`%%arena` in a plain IPython on a real terminal."""

from __future__ import annotations

import os
import re
import sys

import pexpect
import pytest

from tests.cli.pseudo import Screen
from tests.magics.lab import FIRST, configure, serving

ENTER, LEAVE, CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"
MODELS = "lab/small,lab/large"


@pytest.fixture(scope="module")
def upstream():
    """Two models that answer."""
    with serving() as found:
        yield found


@pytest.fixture
def shell(upstream, tmp_path):
    """A terminal IPython with the extension, 80 columns wide."""
    environment = dict(os.environ) | configure(tmp_path, upstream) | {"TERM": "xterm-256color"}
    child = pexpect.spawn(
        sys.executable, ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"],
        env=environment | {"IPYTHONDIR": str(tmp_path / "ipython")},
        cwd=str(tmp_path), encoding="utf-8", timeout=30, dimensions=(24, 80),
    )  # fmt: skip
    child.expect_exact("In [1]: ")
    child.sendline("%load_ext smartrouter_serve")
    child.expect_exact("In [2]: ")
    yield child
    child.close(force=True)


def on_screen(text: str) -> list[str]:
    """What a terminal shows after this was written to it."""
    import pyte

    screen = Screen(80, 24)
    pyte.Stream(screen).feed(text)
    return screen.everything


def test_the_extension_loads_no_rich(shell):
    """It is for battles on a terminal alone."""
    shell.sendline("import sys; 'rich' in sys.modules")
    shell.expect(r"Out\[2\]: (True|False)")
    assert shell.match[1] == "False"


def test_a_battle_is_live_and_then_stands_whole(shell):
    """Columns while it runs; at its end each answer once, the cost, the line to vote."""
    shell.sendline(f"%arena --no-cache -m {MODELS} Please SAY plain words here")
    shell.expect_exact(ENTER)
    shell.expect_exact(LEAVE)
    shell.expect_exact(CURSOR)
    shell.expect(r"In \[\d\]: ")
    lines = on_screen(shell.before)
    assert lines.count("plain words here") == 2
    assert any(re.match(r"cost of the battle: \$0\.\d+", line) for line in lines)
    vote = re.fullmatch(r"Vote: (%smartrouter vote \w+) 1\|2\|tie\|none", lines[-1])
    assert vote
    shell.sendline(f"{vote[1]} 2")
    shell.expect_exact("lab/large")


def test_control_c_gives_the_terminal_back(shell, upstream):
    """Upstream is cancelled, what arrived stands on the first screen, the prompt comes back."""
    upstream.cancelled.clear()
    shell.sendline(f"%arena --no-cache -m {MODELS} WAIT")
    shell.expect_exact(FIRST.strip())
    shell.sendintr()
    shell.expect_exact(LEAVE)
    shell.expect_exact(CURSOR)
    shell.expect(r"In \[\d\]: ")
    said = "\n".join(on_screen(shell.before))
    assert said.count(FIRST.strip()) == 2
    assert "stopped" in said
    assert "Traceback" not in said
    assert upstream.cancelled.wait(10)
