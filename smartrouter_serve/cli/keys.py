"""`keys`: API keys in the system keyring or an encrypted file; never shown."""

from __future__ import annotations

import re
import sys

import click

from smartrouter_serve.cli.common import as_json, read_stdin, show
from smartrouter_serve.config import Settings, in_cell, load
from smartrouter_serve.errors import UsageError, nearest
from smartrouter_serve.providers.registry import names
from smartrouter_serve.security.vault import Vault
from smartrouter_serve.widgets.bundle import table

_KEY = re.compile(r"[!-~]+")
"""What an HTTP header can carry."""


@click.group()
def keys() -> None:  # noqa: D103
    pass


@keys.command(name="set")
@click.argument("name")
@click.argument("rest", nargs=-1)
@click.option("--check", is_flag=True, help="Ask the provider whether the key works.")
def set_(name: str, rest: tuple[str, ...], *, check: bool) -> None:
    """Keep a key: asked for without an echo, or read from a pipe."""
    if rest:
        raise UsageError(
            "A key is not given on the command line, where the shell's history keeps it.",
            f"Run `smartrouter keys set {name}` and paste it, or pipe it in.",
        )
    asked = sys.stdin.isatty()
    if asked and in_cell():
        raise UsageError(
            "A notebook's cell cannot be typed into.",
            f"Run `smartrouter keys set {name}` in a terminal; the next cell knows the key.",
        )
    key = click.prompt(f"Key for {name}", hide_input=True) if asked else read_stdin()
    key = key.strip()
    if not key:
        raise UsageError(
            "The key is empty.", f"Paste it, or pipe it: … | smartrouter keys set {name}"
        )
    if not _KEY.fullmatch(key):
        raise UsageError(
            "This is no key: it holds spaces, control characters or letters beyond ASCII.",
            "Copy it again, the key alone.",
        )
    settings = load()
    where = Vault(settings).set(name, key)
    _say_who_uses(name, settings)
    place = "the system keyring" if where == "keyring" else "an encrypted file"
    click.echo(f"The key {name!r} is kept in {place}.")
    if check:
        _check(name)


def _say_who_uses(name: str, settings: Settings) -> None:
    """Tell where nobody asks for a key of this name, and what was likely meant."""
    named = {
        given.api_key.get_secret_value()
        for given in settings.providers.values()
        if given.api_key is not None
    }
    if name in names(settings) or f"vault:{name}" in named:
        return
    near = nearest(name, names(settings))
    hint = f"did you mean {near!r}? " if near else ""
    click.echo(
        f"note: no provider is called {name!r}; {hint}`smartrouter keys remove {name}` undoes it, "
        f'api_key = "vault:{name}" in a provider\'s table uses it.',
        err=True,
    )


def _check(name: str) -> None:
    from smartrouter_serve import background
    from smartrouter_serve.assemble import build_providers

    providers = build_providers(load())
    if name not in providers:
        raise UsageError(
            f"There is no provider {name!r} to ask.", f"Providers are {', '.join(providers)}."
        )

    async def probe() -> None:
        try:
            await providers[name].probe()
        finally:
            await providers[name].aclose()

    background.run(probe())
    click.echo(f"{name} accepts it.")


@keys.command(name="list")
@as_json
def list_(*, as_json: bool) -> None:
    """Show which providers have a key and where it comes from."""
    from smartrouter_serve.assemble import key_sources

    settings = load()
    stored = dict(Vault(settings).names())
    rows = [{"name": name, "source": told} for name, told in key_sources(settings).items()]
    known = {row["name"] for row in rows}
    rows += [
        {"name": name, "source": f"vault ({place})"}
        for name, place in stored.items()
        if name not in known
    ]
    shown = [(row["name"], row["source"]) for row in rows]
    show(rows, table(("name", "key from"), shown), as_json=as_json)


@keys.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget a key."""
    if not Vault(load()).remove(name):
        raise UsageError(f"There is no key {name!r}.", "`smartrouter keys list` shows them.")
    click.echo(f"The key {name!r} is forgotten.")
