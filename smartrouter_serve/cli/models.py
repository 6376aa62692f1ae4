"""`models`, `prices`, `estimate`, `classify`."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import click

from smartrouter_serve.cli.common import (
    as_json,
    complete_model,
    dumps,
    read_lines,
    router,
    show,
    write_lines,
)
from smartrouter_serve.client import route_call
from smartrouter_serve.engine import intent
from smartrouter_serve.money import show as money
from smartrouter_serve.widgets.bundle import table
from smartrouter_serve.widgets.tables import models_table
from smartrouter_serve.widgets.terminal import one_line

_FILE = click.Path(path_type=Path)


@click.command()
@click.option("--refresh", is_flag=True, help="Ask the providers for their own lists first.")
@click.argument("words", nargs=-1)
@as_json
def models(words: tuple[str, ...], *, refresh: bool, as_json: bool) -> None:  # noqa: D103
    if refresh:
        _refresh(quiet=as_json)
    with router() as found:
        rows = found.query("models")
    rows = [row for row in rows if all(word in row["id"] for word in words)]
    show(rows, models_table(rows), as_json=as_json)


def _refresh(*, quiet: bool) -> None:
    from smartrouter_serve import background
    from smartrouter_serve.assemble import refresh_models
    from smartrouter_serve.config import load

    for name, told in background.run(refresh_models(load())).items():
        if not quiet:
            said = f"{told['models']} models" if "models" in told else told["error"]
            click.echo(one_line(f"{name}: {said}"), err=True)


@click.command()
@click.argument("model", required=False, shell_complete=complete_model)
@as_json
def prices(model: str | None, *, as_json: bool) -> None:  # noqa: D103
    with router() as found:
        rows = found.query("prices", **({"model": model} if model else {}))
    shown = [
        (
            row["model"],
            f"above {tier['above_input_tokens']:,}" if tier["above_input_tokens"] else "",
            tier["input"],
            tier["cached_input"],
            tier["output"],
            tier["reasoning"],
            f"{row['source']} ({row['as_of']})",
        )
        for row in rows
        for tier in row["tiers"]
    ]
    unknown = [(row["model"], "", "unknown", "", "", "", "") for row in rows if not row["tiers"]]
    columns = ("model", "tokens in", "input", "cached", "output", "thinking", "source")
    show(rows, table(columns, [*shown, *unknown]), as_json=as_json)


@click.command()
@click.option("-m", "--model", shell_complete=complete_model, help="The model to estimate for.")
@click.option("--in", "source", type=_FILE, required=True, help='JSONL with a "prompt" each.')
@click.option("--out", "target", type=_FILE, required=True, help="The same lines with estimates.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before writing.")
@as_json
def estimate(  # noqa: D103
    source: Path, target: Path, model: str | None, *, yes: bool, as_json: bool
) -> None:
    rows = read_lines(source)
    with router() as found:
        told = [found.query("estimate", prompt=row["prompt"], model=model or "") for row in rows]
    total = _sum([row["cost"] for row in told])
    most = _sum([row["cost_p90"] for row in told])
    summary = (
        f"{len(rows)} prompts: about {money(total)}, at most {money(most)} if each is as long as "
        "nine of ten"
    )
    if not as_json:
        click.echo(summary, err=True)
    if sys.stdin.isatty() and not yes and not as_json:
        click.confirm(f"Write the estimates to {target}?", default=True, abort=True)
    write_lines(target, ({**row, **extra} for row, extra in zip(rows, told, strict=True)))
    if as_json:
        document = {
            "prompts": len(rows),
            "cost": None if total is None else f"{total:f}",
            "cost_p90": None if most is None else f"{most:f}",
        }
        click.echo(dumps(document))


def _sum(costs: list[str | None]) -> Decimal | None:
    if any(cost is None for cost in costs):
        return None
    return sum((Decimal(cost) for cost in costs if cost is not None), Decimal(0))


@click.command()
@click.option("--in", "source", type=_FILE, required=True, help='JSONL with a "prompt" each.')
@click.option("--out", "target", type=_FILE, required=True, help="The same lines with the intent.")
def classify(source: Path, target: Path) -> None:  # noqa: D103
    rows = read_lines(source)
    for row in rows:
        call = route_call(row["prompt"])
        found = intent.read(call, call.messages)
        row["intent"] = found.intent
        row["intent_probability"] = round(found.intent_probability, 4)
        row["complexity"] = round(found.complexity, 4)
    write_lines(target, rows)
    click.echo(f"{len(rows)} prompts classified", err=True)
