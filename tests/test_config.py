"""Settings: found, merged, checked."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from smartrouter_serve import config
from smartrouter_serve.errors import ConfigError


def write(text: str) -> Path:
    """A configuration file in the working folder."""
    path = Path("smartrouter.toml")
    path.write_text(text)
    return path


def test_defaults_need_no_file(home):
    """Without a file everything has its default."""
    settings = config.load()
    assert (settings.policy, settings.file, settings.home) == ("balanced", None, home)
    assert settings.baseline == "openrouter/anthropic/claude-opus-4.6"


def test_the_working_folder_then_the_users(tmp_path):
    """The working folder's file wins over the user's."""
    user = tmp_path / "config" / "smartrouter" / "smartrouter.toml"
    user.parent.mkdir(parents=True)
    user.write_text('policy = "cheap"')
    assert config.load().policy == "cheap"
    write('policy = "best"')
    assert config.load().policy == "best"


def test_the_environment_wins_over_the_file_and_an_argument_over_both(monkeypatch):
    """argument > SMARTROUTER_* > file."""
    write('policy = "best"')
    monkeypatch.setenv("SMARTROUTER_POLICY", "0.25")
    assert config.load().policy == "0.25"
    assert config.load(policy="fast").policy == "fast"


def test_smartrouter_config_names_a_file(monkeypatch, tmp_path):
    """A named file that is missing is an error, not a silent default."""
    monkeypatch.setenv("SMARTROUTER_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load()


def test_floats_in_budgets_are_exact():
    """0.1 dollars is a tenth of a dollar."""
    write("[budgets.day]\nlimit = 0.1\n")
    assert config.load().budgets["day"].limit == Decimal("0.1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('polcy = "x"', "unknown key 'polcy'; did you mean 'policy'?"),
        ('[providers.z]\nbase = "x"', "unknown key 'providers.z.base'; did you mean 'base_url'?"),
        ('[residency]\ndenny = ["CN"]', "did you mean 'deny'?"),
        ('policy = "chaep"', "not one of cheap, balanced, best, fast or 0..1"),
        ("policy = 1.5", "0..1"),
        ("[budgets.d]\nlimit = 0", "greater than 0"),
        ("[budgets.d]\nlimit = -1", "greater than 0"),
        ('[budgets.d]\nlimit = 1\nwindow = "year"', "'hour', 'day', 'week', 'month' or 'total'"),
        ("a = [1,\n", "line 1, column|end of document"),
        ('a = "b"\nc = = 1', "line 2, column 5"),
        ("zzzz = 1", "known are baseline"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text, said):
    """Line and column, the nearest known key, the allowed values."""
    write(text)
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")) as caught:
        config.load()
    assert "\n" not in caught.value.message
    assert "smartrouter init" in caught.value.remedy


def test_a_file_that_is_not_utf8_is_named():
    """Latin-1 is not read as something else."""
    Path("smartrouter.toml").write_bytes(b'policy = "\xe9"')
    with pytest.raises(ConfigError, match="not UTF-8"):
        config.load()


def test_keys_do_not_show():
    """Neither a repr nor an error shows a key."""
    write('[providers.lab]\napi_key = "sk-very-secret"')
    assert "sk-very-secret" not in repr(config.load())
    write("[providers.lab]\napi_key = 12345678")
    with pytest.raises(ConfigError) as caught:
        config.load()
    assert "12345678" not in str(caught.value)


def test_the_environment_is_read_once(monkeypatch):
    """A variable that changes later does not change settings that were read."""
    monkeypatch.setenv("ZAI_API_KEY", "one")
    settings = config.load()
    monkeypatch.setenv("ZAI_API_KEY", "two")
    assert settings.env("NONE", "ZAI_API_KEY") == "one"
    assert config.Settings().env("ZAI_API_KEY") == "two"


def test_the_limit_from_which_a_cell_asks():
    """Left out there is none; a float is read by its shortest form; a loss is no limit."""
    assert config.load().confirm_above is None
    write("confirm_above = 0.05")
    assert config.load().confirm_above == Decimal("0.05")
    write("confirm_above = -0.01")
    with pytest.raises(ConfigError, match="confirm_above = -0.01 is wrong"):
        config.load()
