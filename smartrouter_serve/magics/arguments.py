"""The options of the magics, each written once."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar, get_args

from IPython.core.error import UsageError as IPythonUsageError
from IPython.core.magic_arguments import argument, magic_arguments

from smartrouter_serve.calls import Converge
from smartrouter_serve.errors import UsageError, did_you_mean
from smartrouter_serve.types import Format, Think

F = TypeVar("F", bound=Callable[..., Any])

POLICY = argument(
    "--policy", default=None, help="cheap, balanced, best, fast, or 0 (cheap) to 1 (best)."
)
BUDGET = argument("--budget", default=None, help="The most it may cost, in US dollars: 0.01.")
LATENCY = argument("--max-latency", type=float, help="Seconds that the answer may take.")
INTENT = argument("--intent", default="", help="What kind of task it is, such as code.")
SESSION = argument("--session", default="", help="Go on with a conversation of this name.")
CONTEXT = argument("--context", default="", help="Sources to send along, joined by commas.")
SYSTEM = argument("--system", default="", help="A system prompt; quote it.")
TEMPERATURE = argument("-t", "--temperature", type=float, help="0 for the same answer each time.")
MAX_TOKENS = argument("--max-tokens", type=int, help="The longest answer.")
THINK = argument("--think", choices=get_args(Think), help="How long to think.")
FORMAT = argument("--format", default="md", choices=get_args(Format), help="How to show it.")
VARIABLE = argument("-o", "--output", metavar="VAR", help="Store the result in this variable.")
NO_CACHE = argument("--no-cache", action="store_true", help="Ask again, though it was answered.")
DRY_RUN = argument("--dry-run", action="store_true", help="Show candidates and price; ask nobody.")
YES = argument("-y", "--yes", action="store_true", help="Do not ask, whatever it may cost.")
EXPLAIN = argument("--explain", action="store_true", help="Show why this model was chosen.")
MODEL = argument("-m", "--model", default=None, help="The model to ask: zhipu/glm-5.")
MODELS = argument("-m", "--models", default="", help="Two to eight models, joined by commas.")
GROUP = argument("-g", "--group", default="", help="A battle group: frontier, fast, hybrid, local.")
CONVERGE = argument(
    "--converge",
    default="none",
    choices=get_args(Converge),
    help="How the battle becomes one answer.",
)
BLIND = argument("--blind", action="store_true", help="Hide the names until the vote.")
WORDS = argument("words", nargs="*", help="The prompt, on one line.")
BY = argument("--by", default="model", help="model, provider, intent, day, notebook or project.")
SINCE = argument("--since", default="", help="How far back: 12h, 7d, 4w.")


def options(*arguments: Callable[[F], F]) -> Callable[[F], F]:
    """Give a magic its options."""

    def decorate(function: F) -> F:
        for one in reversed(arguments):
            function = one(function)
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
