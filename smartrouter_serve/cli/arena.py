"""`arena`, `vote`."""

from __future__ import annotations

import sys
from typing import Any, get_args

import click

from smartrouter_serve.calls import Arena, Converge, Decided, Failed, Finished, encode
from smartrouter_serve.cli.ask import prompt_of, reply_json, shared
from smartrouter_serve.cli.common import (
    as_json,
    complete_group,
    complete_models,
    dumps,
    following,
    note,
    router,
    single_keys,
    stoppable,
)
from smartrouter_serve.client import SyncRouter, arena_call
from smartrouter_serve.types import Battle
from smartrouter_serve.widgets.battle import BattleView, vote_command
from smartrouter_serve.widgets.terminal import clean
from smartrouter_serve.widgets.tty import on_terminal

_SKIP = ("\r", "\n", "\x04", "")
"""Enter, Ctrl-D, and a keyboard that is gone."""


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
    names = [name for name in models.split(",") if name]
    call = arena_call(prompt_of(prompt), models=names, **options)
    view = BattleView(blind=call.blind)
    live = on_terminal(sys.stdout) and not (as_json or call.route.dry_run)
    with stoppable(), router() as found:
        if live:
            _watch(found, call, view)
        else:
            _wait(found, call, view)
        if as_json:
            click.echo(dumps(_lanes(view) if view.battle is None else _battle(view.battle)))
        elif view.battle is None:
            click.echo(view.prices().text)
        elif not live:
            click.echo(view.draw().text.replace("%smartrouter vote", "smartrouter vote"))
        else:
            _take_vote(found, view.battle)


def _watch(found: SyncRouter, call: Arena, view: BattleView) -> None:
    """Run a battle in live columns; then every answer whole, also after an interrupt."""
    from smartrouter_serve.widgets.columns import Stage, write_result
    from smartrouter_serve.widgets.prose import console

    shown = console()
    try:
        with following(found, call) as events, Stage(shown, view) as stage:
            for event in events:
                if event is not None:
                    view.apply(event)
                stage.update()
    except KeyboardInterrupt:
        view.stop()
        write_result(shown, view)
        raise
    if view.lanes:
        write_result(shown, view)
    if view.problem is not None:
        raise view.problem.error()


def _wait(found: SyncRouter, call: Arena, view: BattleView) -> None:
    """Run a battle that is printed at its end; a terminal beside it learns what happens."""
    watched = on_terminal(sys.stderr)
    told = call.route.dry_run
    try:
        with following(found, call) as events:
            for event in events:
                if event is None:
                    continue
                view.apply(event)
                if not told and not isinstance(event, Decided | Failed):
                    told = True
                    note(view.estimate())
                if watched and isinstance(event, Finished | Failed) and event.lane:
                    number = list(view.lanes).index(event.lane) + 1
                    note(f"{view.name(number, event.lane)} is done")
    except KeyboardInterrupt:
        view.stop()
        if view.lanes:
            click.echo(view.draw().text)
        raise
    if view.problem is not None:
        raise view.problem.error()


def _take_vote(found: SyncRouter, battle: Battle) -> None:
    """Take a vote by one key, or say how to vote later."""
    if not on_terminal(sys.stdin):
        click.echo(f"Vote: {vote_command(battle)}")
        return
    answered = [str(n) for n, c in enumerate(battle.contestants, 1) if c.reply is not None]
    choices = {key: key for key in answered} | {"t": "tie", "n": "none"}
    later = f"\nVote later: {vote_command(battle)}"
    try:
        with single_keys() as read:
            question = f"Which is best? {', '.join(answered)}, t tie, n none, Enter skips: "
            click.echo(question, nl=False)
            key = read().lower()
            while key not in choices and key not in _SKIP:
                key = read().lower()
    except KeyboardInterrupt:
        click.echo(later)
        raise
    choice = choices.get(key)
    if choice is None:
        click.echo(later)
        return
    told = found.vote(battle.id, choice)
    click.echo(f"{choice}\n{_voted(told)}")


def _voted(told: dict[str, Any]) -> str:
    return f"Voted for {clean(str(told['winner']))}."


def _battle(battle: Battle) -> dict[str, Any]:
    told: dict[str, Any] = encode(Finished(result=battle))["result"]
    told["cost"] = None if battle.cost is None else f"{battle.cost:f}"
    for row, contestant in zip(told["contestants"], battle.contestants, strict=True):
        row["reply"] = None if contestant.reply is None else reply_json(contestant.reply)
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


@click.command()
@click.argument("battle")
@click.argument("choice")
@click.argument("reason", nargs=-1)
@as_json
def vote(battle: str, choice: str, reason: tuple[str, ...], *, as_json: bool) -> None:  # noqa: D103
    with router() as found:
        told = found.vote(battle, choice, " ".join(reason))
    click.echo(dumps(told) if as_json else _voted(told))
