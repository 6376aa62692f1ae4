"""`ask`, `arena`, `vote`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any, get_args

import click

from smartrouter_serve.calls import (
    Arena,
    Converge,
    Decided,
    Event,
    Failed,
    Finished,
    Route,
    Switched,
    TextDelta,
    Waiting,
    encode,
)
from smartrouter_serve.cli.common import (
    as_json,
    complete_group,
    complete_model,
    complete_models,
    dumps,
    read_stdin,
    router,
)
from smartrouter_serve.client import SyncRouter, arena_call, route_call
from smartrouter_serve.errors import SmartRouterError, UsageError
from smartrouter_serve.types import Battle, Format, Reply, Think
from smartrouter_serve.widgets.battle import BattleView
from smartrouter_serve.widgets.reply import code_of, cost_line, json_of
from smartrouter_serve.widgets.tables import decision_table
from smartrouter_serve.widgets.terminal import Cleaner, clean

_SHARED: tuple[Callable[..., Any], ...] = (
    click.option("--budget", help="The most it may cost, in US dollars."),
    click.option("--system", default="", help="A system prompt."),
    click.option("-t", "--temperature", type=float),
    click.option("--max-tokens", type=int, help="The longest answer."),
    click.option("--think", type=click.Choice(get_args(Think))),
    click.option("--no-cache", is_flag=True, help="Ask again, though it was answered."),
    click.option("--dry-run", is_flag=True, help="Show candidates and price; ask nobody."),
    as_json,
    click.argument("prompt", nargs=-1),
)


def shared(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `ask` and `arena` have in common."""
    for option in reversed(_SHARED):
        function = option(function)
    return function


def _prompt(words: tuple[str, ...]) -> str:
    """The words, or standard input for `-` or nothing in a pipe."""
    if words == ("-",) or (not words and not sys.stdin.isatty()):
        return read_stdin()
    text = " ".join(words)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError("The prompt is not UTF-8.", "Pipe it through iconv first.") from error
    return text


def _asked(options: dict[str, Any]) -> dict[str, Any]:
    """Click's options as `route_call` has them."""
    rest = {name: value for name, value in options.items() if name != "no_cache"}
    return {**rest, "cache": not options["no_cache"]}


@click.command()
@click.option("-m", "--model", shell_complete=complete_model, help="Pin a model: zhipu/glm-5.")
@click.option("--policy", help="cheap, balanced, best, fast, or 0 (cheap) to 1 (best).")
@click.option("--max-latency", type=float, help="Seconds that the answer may take.")
@click.option("--intent", default="", help="What kind of task it is, such as code.")
@click.option("--session", default="", help="Go on with a conversation of this name.")
@click.option("--context", default="", help="Sources to send along, joined by commas.")
@click.option("--format", "form", type=click.Choice(get_args(Format)), default="md")
@click.option("--explain", is_flag=True, help="Show why this model was chosen.")
@shared
def ask(  # noqa: D103 - the table in main.py has the help line
    prompt: tuple[str, ...],
    form: str,
    context: str,
    *,
    explain: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    options["context"] = [source for source in context.split(",") if source]
    text = _prompt(prompt)
    with router() as found:
        if dry_run:
            decision = found.decide(text, **_asked(options))
            told = encode(Decided(decision=decision))["decision"]
            click.echo(dumps(told) if as_json else decision_table(decision).text)
            return
        if as_json:
            click.echo(dumps(_reply(found.route(text, **_asked(options)))))
            return
        call = route_call(text, **_asked(options))
        reply = Printer(form, pinned=call.model is not None).run(found, call)
    click.echo(clean(cost_line(reply)), err=True)
    for note in reply.notes:
        click.echo(clean(note), err=True)
    if explain:
        click.echo(decision_table(reply.decision).text, err=True)


def _reply(reply: Reply) -> dict[str, Any]:
    """A reply as JSON, with money in dollars as decimal strings."""
    told: dict[str, Any] = encode(Finished(result=reply))["result"]
    for name in ("cost", "baseline_cost", "saved"):
        value = getattr(reply, name)
        told[name] = None if value is None else f"{value:f}"
    return told


class Printer:
    """Prints an answer as it comes, or once it is whole.

    It comes whole where it is code or JSON, and in a pipe unless the model is pinned: another
    model may have to start anew, and a pipe cannot be told to forget. What had arrived before a
    failure or an interrupt is printed all the same, since it was paid for.
    """

    def __init__(self, form: str, *, pinned: bool) -> None:
        self._form = form
        self._live = form in ("md", "text") and (pinned or sys.stdout.isatty())
        self._cleaner = Cleaner()
        self._text = ""
        self._state_shown = False

    def run(self, found: SyncRouter, call: Route) -> Reply:
        """Print the answer to `call`; raises what it failed with."""
        try:
            with closing(found.events(call)) as events:
                for event in events:
                    if isinstance(event, Finished) and isinstance(event.result, Reply):
                        self._finish()
                        return event.result
                    self._take(event)
        except BaseException:
            if self._text:
                self._finish()
            raise
        raise SmartRouterError("The answer ended without its end.", "Try it again.")

    def _take(self, event: Event) -> None:
        if isinstance(event, Failed):
            raise event.problem.error()
        if isinstance(event, TextDelta):
            self._text += event.text
            if self._live:
                self._erase()
                click.echo(self._cleaner.feed(event.text), nl=False)
        elif isinstance(event, Switched):
            self._erase()
            if self._live and self._text:
                click.echo()
            self._text, self._cleaner = "", Cleaner()
            line = f"{event.from_model} failed, {event.to_model} takes over: {event.reason}"
            click.echo(clean(line), err=True)
        elif isinstance(event, Waiting) and self._live and not self._text and sys.stderr.isatty():
            self._state_shown = True
            click.echo(f"\r\x1b[K{clean(event.reason)} …", nl=False, err=True)

    def _erase(self) -> None:
        """Take the line away that said what was waited for."""
        if self._state_shown:
            self._state_shown = False
            click.echo("\r\x1b[K", nl=False, err=True)

    def _finish(self) -> None:
        self._erase()
        if self._live:
            click.echo()
        elif self._form == "code":
            click.echo(clean(code_of(self._text)))
        elif self._form == "json":
            click.echo(clean(json_of(self._text) or self._text))
        else:
            click.echo(clean(self._text))


@click.command()
@click.option(
    "-g",
    "--group",
    default="",
    shell_complete=complete_group,
    help="A battle group: frontier, fast, hybrid, local.",
)
@click.option(
    "-m",
    "--models",
    default="",
    shell_complete=complete_models,
    help="Two to eight models, joined by commas.",
)
@click.option(
    "--converge",
    type=click.Choice(get_args(Converge)),
    default="none",
    help="How the battle becomes one answer.",
)
@click.option("--blind", is_flag=True, help="Hide the names until the vote.")
@shared
def arena(prompt: tuple[str, ...], models: str, *, as_json: bool, **options: Any) -> None:  # noqa: D103
    call = arena_call(
        _prompt(prompt), models=[name for name in models.split(",") if name], **_asked(options)
    )
    with router() as found:
        view = _fight(found, call)
    battle = view.battle
    if as_json:
        click.echo(dumps(_lanes(view) if battle is None else _battle(battle)))
    elif battle is None:
        click.echo(view.prices().text)
    else:
        click.echo(view.draw().text.replace("%smartrouter vote", "smartrouter vote"))


def _battle(battle: Battle) -> dict[str, Any]:
    told: dict[str, Any] = encode(Finished(result=battle))["result"]
    told["cost"] = None if battle.cost is None else f"{battle.cost:f}"
    for row, contestant in zip(told["contestants"], battle.contestants, strict=True):
        row["reply"] = None if contestant.reply is None else _reply(contestant.reply)
        row["cost"] = None if row["reply"] is None else row["reply"]["cost"]
    return told


def _lanes(view: BattleView) -> dict[str, Any]:
    """The decisions of a dry run, or why a contestant cannot take part."""
    told: dict[str, Any] = {}
    for label, lane in view.lanes.items():
        if lane.problem is not None:
            told[label] = {"error": lane.problem.message}
        elif lane.decision is not None:
            told[label] = encode(Decided(decision=lane.decision))["decision"]
    return told


def _fight(found: SyncRouter, call: Arena) -> BattleView:
    """Run a battle; on a terminal a line says what each contestant does."""
    view = BattleView(blind=call.blind)
    with closing(found.events(call)) as events:
        for event in events:
            view.apply(event)
            if view.problem is not None:
                raise view.problem.error()
            ended = isinstance(event, Finished | Failed) and event.lane
            if ended and sys.stderr.isatty():
                click.echo(f"{clean(event.lane)} is done", err=True)
    return view


@click.command()
@click.argument("battle")
@click.argument("choice")
@click.argument("reason", nargs=-1)
@as_json
def vote(battle: str, choice: str, reason: tuple[str, ...], *, as_json: bool) -> None:  # noqa: D103
    with router() as found:
        told = found.vote(battle, choice, " ".join(reason))
    click.echo(dumps(told) if as_json else clean(f"Voted for {told['winner']}."))
