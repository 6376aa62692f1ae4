"""The options of the magics, each written once.

A help text says what the option does, its unit and default, and ends with an example in backticks:
`help.py` prints it, the documentation's table is made from it, and Tab offers its `choices`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar, get_args

from IPython.core.error import UsageError as IPythonUsageError
from IPython.core.magic_arguments import argument, argument_group, kwds, magic_arguments

from smartrouter_serve.calls import Converge
from smartrouter_serve.engine.intent import INTENTS
from smartrouter_serve.errors import UsageError, did_you_mean
from smartrouter_serve.magics.help import HelpFormatter
from smartrouter_serve.types import Format, Think

F = TypeVar("F", bound=Callable[..., Any])

BY_WHAT = ("model", "provider", "intent", "day", "notebook", "project", "outcome")

POLICY = argument(
    "--policy",
    default=None,
    help="The quality to ask for: cheap (0.5 of 1), balanced (0.7), best, fast (the quickest above "
    "0.6) or a number from 0 to 1. Default: the configuration's, else balanced. `--policy cheap`",
)
BUDGET = argument(
    "--budget",
    metavar="USD",
    default=None,
    help="The most that this cell may cost, in US dollars; an answer is cut rather than refused. "
    "Default: only the configuration's budgets. `--budget 0.01`",
)
LATENCY = argument(
    "--max-latency",
    metavar="SECONDS",
    type=float,
    help="Only models that are expected to be done in so many seconds. Default: any. "
    "`--max-latency 5`",
)
INTENT = argument(
    "--intent",
    default="",
    help=f"The kind of task: {', '.join(INTENTS)}. Default: read from the prompt. `--intent code`",
)
SESSION = argument(
    "--session",
    metavar="NAME",
    default="",
    help="Go on with the conversation of this name, as long as the kernel lives. Default: none. "
    "`--session plan`",
)
CONTEXT = argument(
    "--context",
    metavar="SOURCES",
    default="",
    help="Sources to send along, joined by commas; this version has none to offer yet. "
    "Default: none. `--context notes`",
)
SYSTEM = argument(
    "--system",
    metavar="TEXT",
    default="",
    help='A system prompt; quote it. Default: none. `--system "Answer in one word."`',
)
TEMPERATURE = argument(
    "-t",
    "--temperature",
    metavar="NUMBER",
    type=float,
    help="From 0, the likeliest words, to 2, surprising ones. Default: the model's own. `-t 0`",
)
MAX_TOKENS = argument(
    "--max-tokens",
    metavar="N",
    type=int,
    help="The longest answer, in tokens. Default: what model and budget allow. `--max-tokens 200`",
)
THINK = argument(
    "--think",
    choices=get_args(Think),
    help="How long to think first; thinking is paid for like the answer. Default: the "
    "configuration's, else off. `--think low`",
)
FORMAT = argument(
    "--format",
    default="md",
    choices=get_args(Format),
    help="How to show it: md as Markdown, text as it came, json checked and indented, code without "
    "the words around it. Default: %(default)s. `--format code`",
)
VARIABLE = argument(
    "-o",
    "--output",
    metavar="VAR",
    help="Keep the result in this variable. Default: not kept. `-o result`",
)
NO_CACHE = argument(
    "--no-cache",
    action="store_true",
    help="Ask again where an equal call was answered already in this kernel. `--no-cache -t 1`",
)
DRY_RUN = argument(
    "--dry-run",
    action="store_true",
    help="Show candidates, price and time, and ask nobody. `--dry-run --budget 0.01`",
)
EXPLAIN = argument(
    "--explain",
    action="store_true",
    help="Show under the answer why this model was chosen and no other. `--explain --policy cheap`",
)
MODEL = argument(
    "-m",
    "--model",
    default=None,
    help="The model to ask; MODEL@NAME=VALUE,… fixes temperature, max_tokens, think or system. "
    "Default: the router chooses. `-m zhipu/glm-5@temperature=0`",
)
MODELS = argument(
    "-m",
    "--models",
    metavar="MODEL,MODEL,…",
    default="",
    help="Two to eight models, joined by commas; one model twice with other parameters is two. "
    "Default: those of the group. `-m zhipu/glm-5,minimax/MiniMax-M2.5`",
)
GROUP = argument(
    "-g",
    "--group",
    default="",
    help="A group of models: frontier, fast, hybrid, local or your own; those that can be called "
    "take part. Default: hybrid. `-g local`",
)
CONVERGE = argument(
    "--converge",
    default="none",
    choices=get_args(Converge),
    help="Make one answer: consensus is what most say, judge lets a model choose without seeing "
    "names, synthesis lets one write it from all. Default: %(default)s. `--converge judge`",
)
BLIND = argument(
    "--blind",
    action="store_true",
    help="Hide the names until the vote. `--blind -g fast`",
)
WORDS = argument(
    "words",
    metavar="PROMPT",
    nargs="*",
    help="On one line with the magic; of a cell, all lines below the first. "
    "`What is the capital of France?`",
)
YES = argument(
    "-y",
    "--yes",
    action="store_true",
    help="Do not ask first, though it may cost more than confirm_above allows. `--yes -t 0`",
)
BY = argument(
    "--by",
    metavar="WHAT",
    default="model",
    help=f"One row for each {', '.join(BY_WHAT)}. Default: %(default)s. `--by day`",
)
SINCE = argument(
    "--since",
    metavar="SPAN",
    default="",
    help="How far back, in hours, days or weeks: 12h, 7d, 4w. Default: everything. `--since 7d`",
)
INTERACTIVE = argument(
    "--interactive",
    action="store_true",
    help="Draw it with plotly, to zoom and to point at. `--interactive --by provider`",
)
CSV = argument(
    "--csv",
    metavar="FILE",
    help="Write the table to this file, too. Default: not written. `--csv costs.csv`",
)

_GROUPS = {
    "Who answers": "model models group policy intent max_latency",
    "What is asked": "words system session context temperature max_tokens think",
    "What it may cost": "budget dry_run yes no_cache",
    "Which figures": "by since",
}
"""The groups of a help page by the names of their options; all others come last."""
_OTHERS = "What comes back"


def _title(one: Any) -> str:
    name = one.args[-1].lstrip("-").replace("-", "_")
    return next((title for title, names in _GROUPS.items() if name in names.split()), _OTHERS)


def options(*arguments: Callable[[F], F]) -> Callable[[F], F]:
    """Give a magic its options, and the help page that `?` prints."""

    def decorate(function: F) -> F:
        for title in (_OTHERS, *reversed(_GROUPS)):
            group = [one for one in arguments if _title(one) == title]
            for one in reversed(group):
                function = one(function)
            if group:
                function = argument_group(title)(function)
        function = kwds(formatter_class=HelpFormatter)(function)
        decorated: F = magic_arguments()(function)
        return decorated

    return decorate


def parse(function: Any, line: str) -> Any:
    """Read a magic's line: quotes as in a shell; where words may follow, they are taken as typed.

    Raises `UsageError` with the nearest option where one is unknown.
    """
    free = any(action.dest == "words" for action in function.parser._actions)  # noqa: SLF001
    options, words = _leading(function, line) if free else (line, "")
    try:
        given = function.parser.parse_args(shlex.split(options))
    except IPythonUsageError as error:
        _explain(function, str(error), error)
    except ValueError as error:  # an open quote
        raise UsageError(f"The options cannot be read: {error}.", "Close the quote.") from error
    if free:
        given.words = words
    return given


_TOKEN = re.compile(r"""\s*((?:[^\s"']|"[^"]*"|'[^']*')+)""")


def _leading(function: Any, line: str) -> tuple[str, str]:
    """The options that `line` begins with, and the words behind them as they were typed."""
    flags = {
        flag: action.nargs != 0
        for action in function.parser._actions  # noqa: SLF001
        for flag in action.option_strings
    }
    at = 0
    while (token := _TOKEN.match(line, at)) and token[1].startswith("-"):
        name, equals, _ = token[1].partition("=")
        at = token.end()
        if flags.get(name) and not equals:
            value = _TOKEN.match(line, at)
            # A quote that is never closed takes the rest, and is told by `shlex`.
            at = value.end() if value else len(line)
    return line[:at], line[at:].strip()


def _explain(function: Any, said: str, error: Exception) -> NoReturn:
    unknown = re.search(r"unrecognized arguments: (-\S+)", said)
    if unknown is None:
        name = function.__name__
        raise UsageError(f"{said[:1].upper()}{said[1:]}.", f"`%{name}?` shows all options.")
    known = [flag for action in function.parser._actions for flag in action.option_strings]  # noqa: SLF001
    given = unknown[1].partition("=")[0]
    hint = did_you_mean(given, known, write=str)
    raise UsageError(
        f"Unknown option {given}.", f"{hint}Options are {', '.join(k for k in known if k != '-h')}."
    ) from error
