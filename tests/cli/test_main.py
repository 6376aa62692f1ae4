"""The group: help, errors, completion, the shape of every command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from smartrouter_serve.cli.main import COMMANDS
from tests.cli.conftest import COMMAND


def test_help_imports_no_command():
    """Neither pydantic nor an HTTP client is loaded for it."""
    ran = subprocess.run([COMMAND, "--help"], capture_output=True, text=True, check=True)
    assert all(name in ran.stdout for name in COMMANDS)
    code = (
        "import sys; from smartrouter_serve.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('pydantic', 'httpx', 'rich', 'cryptography') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.usefixtures("configure")
def test_an_answer_in_a_pipe_loads_no_drawing():
    """It is for those who look. (rich itself comes with httpx, which has a command line.)"""
    code = (
        "import sys; from smartrouter_serve.cli.main import main\n"
        "for words in (['arena', '-m', 'lab/small,lab/large', 'Hi'], ['ask', 'Hi']):\n"
        "    try: main(words)\n"
        "    except SystemExit: pass\n"
        "print([m for m in ('columns', 'prose') if f'smartrouter_serve.widgets.{m}' in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Hello there friend" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "[]"


def test_version(cli):
    """The installed version."""
    assert cli("--version").out.strip().endswith(version("smartrouter-serve"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(cli, command):
    """It ends well and shows its usage."""
    ran = cli(command, "--help")
    assert ran.status == 0
    assert f"Usage: smartrouter {command}" in ran.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("models",),
        ("prices",),
        ("usage",),
        ("budget",),
        ("leaderboard",),
        ("keys", "list"),
        ("local", "list"),
        ("doctor", "--offline"),
    ],
)
def test_every_command_that_prints_data_prints_json(cli, arguments):
    """One document on standard output, in an empty home without a configuration."""
    ran = cli(*arguments, "--json")
    assert ran.status in (0, 1)
    assert json.loads(ran.out) is not None


@pytest.mark.parametrize(
    "arguments", [("models",), ("usage",), ("budget",), ("leaderboard",), ("local", "list")]
)
def test_tables_are_readable_without_any_data(cli, arguments):
    """An empty home is told in words."""
    ran = cli(*arguments)
    assert ran.status == 0
    assert ran.out.strip()


@pytest.mark.parametrize(
    ("arguments", "near"),
    [(("aks", "Hi"), "ask"), (("modles",), "models"), (("keys", "sett"), "set")],
)
def test_an_unknown_command_names_the_nearest(cli, arguments, near):
    """Wrong use."""
    ran = cli(*arguments)
    assert ran.status == 2
    assert near in ran.err
    assert "Traceback" not in ran.err


def test_an_unknown_option_names_the_nearest(cli):
    """Wrong use."""
    ran = cli("models", "--refesh")
    assert ran.status == 2
    assert "--refresh" in ran.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("policy = \n", r"line 1, column \d+"),
        ('polcy = "best"\n', "policy"),
        ('policy = "bset"\n', "cheap, balanced, best, fast"),
        ("[budgets.day]\nlimit = 0\n", "budgets.day.limit"),
        ('[providers.x]\nkind = "openai"\nbase_url = "http://x"\n', "openai-compatible"),
        ('[providers.zhipu]\napi_key = "env:NOT_SET"\n', "NOT_SET"),
        ('[providers.zhipu]\napi_key = "vault:absent"\n', "keys set absent"),
        ('[groups.mine]\nmodels = ["zhipu/glm-55"]\n', "zhipu/glm-5"),
    ],
)
def test_a_wrong_configuration_is_told_at_its_place(cli, text, said):
    """Status 2 and one block, as JSON where that was asked for."""
    with Path("smartrouter.toml").open("w", encoding="utf-8") as file:
        file.write(text)
    ran = cli("models")
    assert ran.status == 2
    assert re.search(said, ran.err)
    assert "Traceback" not in ran.err
    told = json.loads(cli("models", "--json").out)
    assert re.search(said, told["error"]["message"] + told["error"]["remedy"])


def test_a_configuration_that_is_not_there_is_told(cli, monkeypatch):
    """`SMARTROUTER_CONFIG` names a file that does not exist."""
    monkeypatch.setenv("SMARTROUTER_CONFIG", "/no/such/file.toml")
    ran = cli("models")
    assert ran.status == 2
    assert "/no/such/file.toml" in ran.err


def test_no_key_and_no_local_model_says_how_to_get_either(cli):
    """The first thing that a new user may see."""
    with Path("smartrouter.toml").open("w", encoding="utf-8") as file:
        file.write("[providers.ollama]\nenabled = false\n")
    ran = cli("ask", "Hi")
    assert ran.status == 3
    assert "local pull smollm2" in ran.err
    assert "keys set" in ran.err


def test_a_state_folder_that_cannot_be_made_is_told(cli, monkeypatch, tmp_path):
    """Where a file stands in its place: one block, no traceback."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SMARTROUTER_HOME", str(tmp_path / "file" / "home"))
    ran = cli("usage")
    assert ran.status == 1
    assert "SMARTROUTER_HOME" in ran.err


def test_a_damaged_ledger_is_told_and_kept(cli, home):
    """Nothing that was stored is lost."""
    (home / "ledger.sqlite").write_bytes(b"not a database" * 200)
    ran = cli("usage")
    assert ran.status == 1
    assert "ledger.sqlite" in ran.err
    assert (home / "ledger.sqlite").read_bytes() == b"not a database" * 200


@pytest.mark.usefixtures("configure")
def test_an_argument_that_is_not_utf8_is_told(spawn):
    """A prompt of broken bytes is wrong use, not a fault of ours."""
    process = spawn("ask", b"caf\xe9")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert b"UTF-8" in err
    assert b"Traceback" not in err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_shells_script(cli, shell):
    """It names the command and click's variable."""
    ran = cli("completion", shell)
    assert ran.status == 0
    assert "_SMARTROUTER_COMPLETE" in ran.out


def _complete(environment: dict[str, str], line: str) -> list[str]:
    words = line.split(" ")
    ran = subprocess.run(
        [COMMAND],
        capture_output=True,
        text=True,
        check=False,
        env={
            **environment,
            "_SMARTROUTER_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
    )
    assert "Traceback" not in ran.stderr
    return [row.partition(",")[2] for row in ran.stdout.splitlines() if row]


@pytest.fixture
def complete(home):
    """Complete a line as bash would."""
    import os

    return lambda line: _complete(dict(os.environ), line)


def test_commands_options_and_models_complete(complete):
    """Names of commands, of options, of models by id, and of the choices of an option."""
    assert complete("smartrouter mod") == ["models"]
    assert complete("smartrouter ask --pol") == ["--policy"]
    assert "zhipu/glm-5" in complete("smartrouter ask -m zhipu/")
    assert complete("smartrouter ask --think h") == ["high"]
    assert complete("smartrouter keys s") == ["set"]


def test_completing_behind_an_unknown_command_is_silent(complete):
    """A typing error is no reason for a traceback in the middle of a line."""
    assert complete("smartrouter aks ") == []


@pytest.mark.usefixtures("configure")
def test_models_of_the_configuration_complete(complete):
    """Also those of a provider of one's own."""
    assert complete("smartrouter ask -m lab/s") == ["lab/small"]
    assert complete("smartrouter prices lab/l") == ["lab/large"]


@pytest.mark.usefixtures("configure")
def test_contestants_complete(complete):
    """A battle's models and groups complete like any other model."""
    assert "zhipu/glm-5" in "".join(complete("smartrouter arena -m zhipu/glm"))
    assert complete("smartrouter arena -g pai") == ["pair"]


def test_a_reader_that_goes_away_leaves_no_traceback(spawn):
    """As with `smartrouter prices | head -1`."""
    process = spawn("prices", "--json")
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=30)
    assert b"Traceback" not in err
    assert b"Exception ignored" not in err
