"""The magics in a plain terminal IPython."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.magics.lab import FIRST, configure, serving


@pytest.fixture(scope="module")
def terminal(tmp_path_factory):
    """Run lines in a terminal IPython of their own; answers what it printed, and its upstream."""
    folder = tmp_path_factory.mktemp("terminal")
    with serving() as upstream:
        env = (
            dict(os.environ) | configure(folder, upstream) | {"IPYTHONDIR": str(folder / "ipython")}
        )
        command = [
            sys.executable,
            "-m",
            "IPython",
            "--simple-prompt",
            "--no-banner",
            "--colors=NoColor",
            "-i",
        ]

        def run(script: str) -> str:
            done = subprocess.run(
                command,
                input=script,
                env=env,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            return done.stdout + done.stderr

        run.upstream, run.env, run.folder = upstream, env, folder  # type: ignore[attr-defined]
        yield run


def test_the_answer_is_written_once_then_the_cost_line(terminal):
    """No repeated updates, no HTML: the text, then who, tokens and cost."""
    said = terminal(
        "%load_ext smartrouter_serve\n%route --no-cache -m lab/small Please SAY plain words here\n"
    )
    assert said.count("plain words here") == 1
    assert re.search(r"lab/small · pinned · 12 → 5 tokens .*\$0.000022", said)
    assert "<div" not in said


def test_hostile_output_cannot_drive_the_terminal(terminal):
    """Sequences split over chunks of four characters are stripped."""
    said = terminal("%load_ext smartrouter_serve\n%route --no-cache -m lab/small HOSTILE\n")
    assert "<script>alert(1)</script>" in said
    assert "owned" not in said
    assert "[2J" not in said


def test_an_error_is_one_block(terminal):
    """No traceback on a terminal either."""
    said = terminal("%load_ext smartrouter_serve\n%route -m lab/smal Hello\n")
    assert "lab/small" in said
    assert "Traceback" not in said


def test_tables_are_plain_text(terminal):
    """Costs and models come as aligned columns."""
    said = terminal(
        "%load_ext smartrouter_serve\n%costs\n%smartrouter models lab\n%route --dry-run Hello\n"
    )
    assert "lab/small" in said
    assert "<td" not in said


def test_control_c_stops_the_answer(terminal):
    """Ctrl-C on a real terminal: upstream is cancelled, the prompt comes back, the text stays."""
    import pexpect

    child = pexpect.spawn(
        sys.executable, ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"],
        env=terminal.env, cwd=str(terminal.folder), encoding="utf-8", timeout=30,
    )  # fmt: skip
    child.expect_exact("In [1]: ")
    child.sendline("%load_ext smartrouter_serve")
    child.expect_exact("In [2]: ")
    terminal.upstream.cancelled.clear()
    child.sendline("%route --no-cache -m lab/small WAIT")
    child.expect_exact(FIRST.strip())
    child.sendintr()
    child.expect_exact("stopped")
    child.expect(r"In \[\d\]: ")
    assert "Traceback" not in child.before
    assert terminal.upstream.cancelled.wait(10)
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.close()


def test_a_value_reads_well_on_a_terminal(terminal):
    """A reply shows its text and cost line, in a list its short form; Python shares the session."""
    said = terminal(
        "%load_ext smartrouter_serve\n"
        "%route -m lab/small --session talk -o reply SAY once\n"
        "from smartrouter_serve import Router\n"
        'again = await Router().route("SAY twice", model="lab/small", session="talk")\n'
        "again\n"
        "[again]\n"
    )
    assert re.search(r"twice\nlab/small · pinned", said)
    assert "[Reply('twice', lab/small, $0.000022)]" in said
    assert len(terminal.upstream.bodies[-1]["messages"]) == 3
