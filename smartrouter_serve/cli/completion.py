"""`completion`: the script that teaches a shell our commands, options and models."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from smartrouter_serve.errors import UsageError


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script: eval "$(smartrouter completion bash)"."""
    from smartrouter_serve.cli.main import smartrouter

    found = get_completion_class(shell)
    if found is None:
        raise UsageError(f"There is no completion for {shell!r}.", "Write bash, zsh or fish.")
    script = found(smartrouter, {}, "smartrouter", "_SMARTROUTER_COMPLETE")
    click.echo(script.source())
