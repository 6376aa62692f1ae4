"""`ask`, and what it shares with `arena`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, get_args

import click

from smartrouter_serve.calls import Decided, Finished, Route, encode
from smartrouter_serve.cli.common import (
    as_json,
    complete_model,
    dumps,
    following,
    note,
    read_stdin,
    router,
    stoppable,
)
from smartrouter_serve.cli.writers import Pipe, Screen, Writer
from smartrouter_serve.client import SyncRouter, route_call
from smartrouter_serve.errors import SmartRouterError, UsageError
from smartrouter_serve.types import Format, Reply, Think
from smartrouter_serve.widgets.costline import cost_line
from smartrouter_serve.widgets.reply import ReplyView
from smartrouter_serve.widgets.tables import decision_table
from smartrouter_serve.widgets.tty import on_terminal

_SHARED: tuple[Callable[..., Any], ...] = (
    click.option("--budget", help="The most it may cost, in US dollars."),
    click.option("--system", default="", help="A system prompt."),
    click.option("-t", "--temperature", type=float),
    click.option("--max-tokens", type=int, help="The longest answer."),
    click.option("--think", type=click.Choice(get_args(Think))),
    click.option(
        "--no-cache",
        "cache",
        flag_value=False,
        default=True,
        help="Ask again, though it was answered.",
    ),
    click.option("--dry-run", is_flag=True, help="Show candidates and price; ask nobody."),
    as_json,
    click.argument("prompt", nargs=-1),
)


def shared(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `ask` and `arena` have in common."""
    for option in reversed(_SHARED):
        function = option(function)
    return function


def prompt_of(words: tuple[str, ...]) -> str:
    """The words, or standard input for `-` or nothing in a pipe."""
    if words == ("-",) or (not words and not sys.stdin.isatty()):
        return read_stdin()
    text = " ".join(words)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError("The prompt is not UTF-8.", "Pipe it through iconv first.") from error
    return text


@click.command()
@click.option("-m", "--model", shell_complete=complete_model, help="Pin a model: zhipu/glm-5.")
@click.option("--policy", help="cheap, balanced, best, fast, or 0 (cheap) to 1 (best).")
@click.option("--max-latency", type=float, help="Seconds that the answer may take.")
@click.option("--intent", default="", help="What kind of task it is, such as code.")
@click.option("--session", default="", help="Go on with a conversation of this name.")
@click.option("--context", default="", help="Sources to send along, joined by commas.")
@click.option("--format", "form", type=click.Choice(get_args(Format)), default="md")
@click.option("--explain", is_flag=True, help="Show why this model was chosen.")
@click.option("--show-thinking", is_flag=True, help="Show what the model thinks before it answers.")
@shared
def ask(  # noqa: D103 - the table in main.py has the help line
    prompt: tuple[str, ...],
    form: Format,
    context: str,
    *,
    explain: bool,
    show_thinking: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    options["context"] = [source for source in context.split(",") if source]
    text = prompt_of(prompt)
    with stoppable(), router() as found:
        if dry_run:
            decision = found.decide(text, **options)
            told = encode(Decided(decision=decision))["decision"]
            click.echo(dumps(told) if as_json else decision_table(decision).text)
            return
        call = route_call(text, **options)
        reply = _answer(found, call, form, _writer(call, form, as_json, show_thinking))
    if as_json:
        click.echo(dumps(reply_json(reply)))
        return
    for line in (cost_line(reply), *reply.notes):
        note(line)
    if explain:
        click.echo(decision_table(reply.decision).text, err=True)


def _writer(call: Route, form: Format, as_json: bool, thinking: bool) -> Writer:
    if as_json:
        return Writer()
    if on_terminal(sys.stdout):
        return Screen(form, thinking=thinking)
    at_once = call.model is not None or (sys.stdout is not None and sys.stdout.isatty())
    return Pipe(streams=at_once and form in ("md", "text"), thinking=thinking)


def _answer(found: SyncRouter, call: Route, form: Format, writer: Writer) -> Reply:
    """Write the answer to `call`; raises what it failed with."""
    view = ReplyView(format=form)
    try:
        with following(found, call) as events:
            for event in events:
                if event is not None:
                    view.apply(event)
                writer.show(view, event)
    finally:
        writer.finish(view)
    if view.problem is not None:
        raise view.problem.error()
    if view.reply is None:
        raise SmartRouterError("The answer ended without its end.", "Try it again.")
    return view.reply


def reply_json(reply: Reply) -> dict[str, Any]:
    """A reply as JSON, with money in dollars as decimal strings."""
    told: dict[str, Any] = encode(Finished(result=reply))["result"]
    for name in ("cost", "baseline_cost", "saved"):
        value = getattr(reply, name)
        told[name] = None if value is None else f"{value:f}"
    return told
