"""`usage`, `budget`, `leaderboard`."""

from __future__ import annotations

import sys
from shutil import get_terminal_size

import click

from smartrouter_serve import background
from smartrouter_serve.cli.common import as_json, router, show
from smartrouter_serve.errors import UsageError
from smartrouter_serve.money import nanos
from smartrouter_serve.money import show as money
from smartrouter_serve.widgets.bundle import line, table
from smartrouter_serve.widgets.costs import Costs
from smartrouter_serve.widgets.tables import budgets_table, leaderboard_table


@click.command()
@click.option("--by", default="model", help="model, provider, intent, day, notebook, project.")
@click.option("--since", default="", help="How far back: 12h, 7d, 4w.")
@as_json
def usage(by: str, since: str, *, as_json: bool) -> None:  # noqa: D103
    with router() as found:
        costs = Costs.ask(found, by, since)
    width = get_terminal_size().columns if sys.stdout.isatty() else None
    drawn = costs.draw('smartrouter ask "What is the capital of France?"', width)
    show(costs.rows, drawn, as_json=as_json)


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def budget(ctx: click.Context, *, as_json: bool) -> None:  # noqa: D103
    if ctx.invoked_subcommand is not None:
        return
    with router() as found:
        rows = found.query("budgets")
        left_open = found.query("unconfirmed")
    bundle = budgets_table(rows)
    if left_open:
        shown = [
            (row["run"], row["model"], money(int(row["nanos"])), row["at"]) for row in left_open
        ]
        bundle += line("On hold when a process died, and counted until you say what it was:")
        bundle += table(("run", "model", "at most", "since"), shown)
        bundle += line("Put the real figure in with `smartrouter budget reconcile RUN --cost USD`.")
    show({"budgets": rows, "unconfirmed": left_open}, bundle, as_json=as_json)


@budget.command()
@click.argument("run")
@click.option("--cost", required=True, help="What the provider charged, in US dollars.")
def reconcile(run: str, cost: str) -> None:
    """Replace the bound that a crash left booked by the real cost."""
    from smartrouter_serve.assemble import build_ledger
    from smartrouter_serve.config import load

    try:
        amount = nanos(cost)
    except ValueError as error:
        raise UsageError(f"{cost!r} is not an amount in dollars.") from error

    async def correct() -> int:
        ledger = build_ledger(load())
        try:
            return await ledger.correct(run, amount)
        finally:
            await ledger.aclose()

    bound = background.run(correct())
    click.echo(f"{money(bound)} had been booked for {run}; it is {money(amount)} now.")


@click.command()
@as_json
def leaderboard(*, as_json: bool) -> None:  # noqa: D103
    with router() as found:
        rows = found.query("leaderboard")
    show(rows, leaderboard_table(rows), as_json=as_json)
