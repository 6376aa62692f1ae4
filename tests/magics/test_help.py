"""What `?` prints, and what `%smartrouter help` lists."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys

import pytest

from smartrouter_serve.magics import arguments, commands
from smartrouter_serve.magics.help import describe
from smartrouter_serve.magics.magics import SmartRouterMagics

MAGICS = ("route", "arena", "costs")
EVERY = [(name, action) for name in MAGICS for action in getattr(SmartRouterMagics, name).parser._actions]  # fmt: skip


def named(pair):
    name, action = pair
    return f"{name}-{action.dest}"


@pytest.mark.parametrize("pair", EVERY, ids=named)
def test_every_option_has_a_text_and_an_example_that_can_be_typed(pair):
    """The example parses, sets the option, and stands in the page; a value names its default."""
    magic, action = pair
    function = getattr(SmartRouterMagics, magic)
    told = describe(action)
    assert told.text.endswith(".")
    assert len(told.text) > 20
    assert told.example, f"end the help of {told.option} with `an example`"
    given = arguments.parse(function, told.example)
    assert getattr(given, action.dest) != action.default
    if action.option_strings and action.nargs != 0:
        assert "Default: " in told.text
    assert re.search(
        rf"^  {re.escape(told.option)} +{re.escape(told.example)}$", function.__doc__, re.MULTILINE
    )


@pytest.mark.parametrize("magic", [*MAGICS, "smartrouter", "leaderboard"])
def test_a_page_fits_a_terminal(magic):
    """No line is wider than 80 columns, and none ends in blanks."""
    lines = getattr(SmartRouterMagics, magic).__doc__.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line == line.rstrip() for line in lines)


def test_options_stand_in_groups():
    """What is chosen, what is asked, what it may cost, what comes back; in this order."""
    page = SmartRouterMagics.route.__doc__
    titles = re.findall(r"^([A-Z][a-z ]+):$", page, re.MULTILINE)
    assert titles == ["Who answers", "What is asked", "What it may cost", "What comes back"]
    assert page.startswith("%%route [options], the prompt on the lines below\n%route [options] ")
    assert page.index("What it may cost") < page.index("--budget USD") < page.index("What comes")


def test_a_new_option_needs_its_line_only():
    """An option that no group names stands with those of the output, its choices told."""

    @arguments.options(
        arguments.argument("--theme", choices=("dark", "light"), help="Colours. `--theme dark`")
    )
    def picture(line):
        """Draw."""

    assert picture.__doc__ == (
        "%picture [options]\n\nDraw.\n\nWhat comes back:\n"
        "  --theme dark|light                --theme dark\n      Colours.\n"
    )


@pytest.mark.parametrize("magic", ["%%route?", "%route?", "%%arena?", "%costs?", "%smartrouter?"])
def test_a_question_mark_shows_the_page_in_the_pager(book, magic):
    """In a kernel the page comes as a payload, with the examples in it."""
    text = book.page(magic)
    assert "--since 7d" in text if "costs" in magic else True
    assert re.search(r"Docstring:", text)
    assert "  -o, --output VAR" in text or "%smartrouter vote" in text


def test_a_question_mark_prints_the_page_on_a_terminal():
    """Plain IPython: the same page, without colours where there are none."""
    command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "-c"]
    code = "%load_ext smartrouter_serve\n%route?"
    env = os.environ | {"IPYTHONDIR": os.environ["SMARTROUTER_HOME"], "PAGER": "cat"}
    ran = subprocess.run(
        [*command, code], capture_output=True, text=True, env=env, timeout=60, check=True
    )
    page = inspect.cleandoc(SmartRouterMagics.route.__doc__)
    assert page in ran.stdout
    assert "\x1b" not in ran.stdout


def test_help_lists_every_word_and_magic_with_an_example(book):
    """Each line can be pasted; the page of `%smartrouter?` has the same lines."""
    shown = book.run("%smartrouter help").plain
    for word in commands.WORDS:
        assert re.search(rf"^%smartrouter {word}\b.* {{2,}}\S", shown, re.MULTILINE)
        assert f"%smartrouter {word}" in SmartRouterMagics.smartrouter.__doc__
    for magic in ("%%route", "%%arena", "%costs", "%leaderboard"):
        assert re.search(rf"^{magic}\b.* {{2,}}\S", shown, re.MULTILINE)


def test_the_examples_of_the_words_run(book):
    """Each line of the help does something, once there was a cell and a battle."""
    book.run("%%route --no-cache -m lab/small\nSAY ```python\nx = 1\n```")
    book.run("%%arena --no-cache -m lab/small,lab/large\nHello help")
    for example, _ in commands.lines():
        if example.startswith("%smartrouter"):
            ran = book.run(example)
            assert ran.status == "ok", ran.block
