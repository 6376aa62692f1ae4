"""`smartrouter`: the group, its lazy commands, and how errors end."""

from __future__ import annotations

import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from smartrouter_serve.errors import Problem, SmartRouterError, UsageError, did_you_mean

COMMANDS: dict[str, tuple[str, str]] = {
    "ask": ("ask", "Send a prompt to the cheapest model that is good enough."),
    "arena": ("arena", "Let several models answer side by side."),
    "vote": ("arena", "Vote on a battle."),
    "models": ("models", "List the models, with price, health and speed."),
    "prices": ("models", "Show the prices of models."),
    "estimate": ("models", "Estimate what a file of prompts would cost."),
    "classify": ("models", "Add intent and complexity to a file of prompts."),
    "leaderboard": ("usage", "Show who won the battles that were voted on."),
    "usage": ("usage", "Show what was spent and saved."),
    "budget": ("usage", "Show the budgets, and confirm what a crash left open."),
    "keys": ("keys", "Set, list and remove API keys."),
    "local": ("local", "Pull, list, stop and remove local models."),
    "init": ("init", "Write a commented smartrouter.toml."),
    "doctor": ("doctor", "Check keys, reachability, clock, disk and versions."),
    "completion": ("completion", "Print the completion script of your shell."),
}
"""Module and help line of every command, so that `--help` imports none of them."""


class LazyGroup(click.Group):
    """Imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or an error with the nearest name."""
        if cmd_name not in COMMANDS:
            hint = did_you_mean(cmd_name, COMMANDS)
            ctx.fail(f"There is no command {cmd_name!r}. {hint}".rstrip())
        module = import_module(f"smartrouter_serve.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        command.help = command.help or COMMANDS[cmd_name][1]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table itself, without importing what it names."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="smartrouter-serve", prog_name="smartrouter")
def smartrouter() -> None:
    """Route every prompt to the cheapest language model that is good enough.

    Exit status: 0 done, 1 failed, 2 wrong use, 3 refused by a budget, quota or policy.
    """


def report(error: SmartRouterError, *, as_json: bool) -> int:
    """Tell an error on standard error, or as JSON where that was asked for; answers the status."""
    from smartrouter_serve.cli.common import dumps
    from smartrouter_serve.widgets.terminal import clean

    if as_json:
        told = {"kind": type(error).__name__, "message": error.message, "remedy": error.remedy}
        click.echo(dumps({"error": told}))
    else:
        click.echo(f"error: {clean(error.message)}", err=True)
        if error.remedy:
            click.echo(f"  → {clean(error.remedy)}", err=True)
    return error.exit_status


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line and exit."""
    as_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # None where it was closed
            stream.reconfigure(errors="replace")
    try:
        smartrouter.main(args=arguments, prog_name="smartrouter", standalone_mode=False)
    except click.exceptions.Exit as exited:
        sys.exit(exited.exit_code)
    except click.Abort:
        click.echo("stopped.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        if as_json:
            sys.exit(report(UsageError(error.format_message()), as_json=True))
        error.show()
        sys.exit(2)
    except SmartRouterError as error:
        sys.exit(report(error, as_json=as_json))
    except KeyboardInterrupt:
        click.echo("stopped.", err=True)
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - a traceback is for us, not for the person
        sys.exit(report(Problem.of(error).error(), as_json=as_json))
