"""The magics: thin over the events of `SyncRouter`."""

from __future__ import annotations

import keyword
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand

from smartrouter_serve.calls import Event
from smartrouter_serve.client import arena_call, route_call
from smartrouter_serve.errors import UsageError
from smartrouter_serve.magics import arguments as a
from smartrouter_serve.magics import commands, placing, routing
from smartrouter_serve.magics.ballot import Ballot
from smartrouter_serve.magics.confirm import confirm
from smartrouter_serve.magics.costs import show_costs
from smartrouter_serve.magics.failure import CellError, readable
from smartrouter_serve.magics.interpolate import interpolate
from smartrouter_serve.magics.running import Running
from smartrouter_serve.magics.screen import Page, screen
from smartrouter_serve.magics.session import Session
from smartrouter_serve.widgets.battle import BattleView
from smartrouter_serve.widgets.costs import Costs
from smartrouter_serve.widgets.tables import decision_table, leaderboard_table

_ROUTE = (
    *(a.MODEL, a.POLICY, a.BUDGET, a.LATENCY, a.INTENT, a.SESSION, a.CONTEXT, a.SYSTEM),
    *(a.TEMPERATURE, a.MAX_TOKENS, a.THINK, a.FORMAT, a.VARIABLE, a.NO_CACHE, a.DRY_RUN),
    *(a.YES, a.EXPLAIN, a.WORDS),
)
_ARENA = (
    *(a.GROUP, a.MODELS, a.CONVERGE, a.BLIND, a.BUDGET, a.SYSTEM, a.TEMPERATURE, a.MAX_TOKENS),
    *(a.THINK, a.VARIABLE, a.NO_CACHE, a.DRY_RUN, a.YES, a.WORDS),
)


@magics_class
class SmartRouterMagics(Magics):
    """`%%route`, `%%arena`, `%smartrouter`, `%costs` and `%leaderboard`."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.session = Session(shell)

    @no_var_expand
    @line_cell_magic
    @a.options(*_ROUTE)
    def route(self, line: str, cell: str | None = None) -> None:
        """Send the cell to the cheapest model that is good enough, and show its answer.

        {variable} puts a Python value in, {{ is a brace.

        Example::

            %%route --policy best --budget 0.02 -o reply
            Summarise in one sentence: {text}
        """
        with readable():
            given = a.parse(self.route, line)
            _check_variable(given.output)
            prompt = self._prompt(given, cell)
            if given.dry_run:
                decision = self.session.router.decide(prompt, **_options(given))
                screen(self.session.shell).show(decision_table(decision))
                return
            call = route_call(prompt, notebook=self.session.notebook, **_options(given))
            reply = routing.run(self.session, call, given)
            if given.output:
                self.session.shell.user_ns[given.output] = reply

    @no_var_expand
    @line_cell_magic
    @a.options(*_ARENA)
    def arena(self, line: str, cell: str | None = None) -> None:
        """Send the cell to several models at once and show them side by side.

        Example::

            %%arena -g fast --converge consensus
            What is 17 + 25?
        """
        with readable(), self._battle(line, cell) as running:
            running.follow()

    async def arena_here(self, line: str, cell: str) -> None:
        """Run `%%arena` as an async cell, so that its buttons are heard while it runs."""
        with readable(), self._battle(line, cell, heard=True) as running:
            await running.follow_here()

    @contextmanager
    def _battle(self, line: str, cell: str | None, *, heard: bool = False) -> Iterator[Running]:
        """A battle to follow; what comes after its end is drawn and stored on leaving."""
        given = a.parse(self.arena, line)
        _check_variable(given.output)
        call = arena_call(
            self._prompt(given, cell),
            group=given.group,
            models=[name for name in given.models.split(",") if name],
            converge=given.converge,
            blind=given.blind,
            dry_run=given.dry_run,
            notebook=self.session.notebook,
            **_options(given),
        )
        confirm(self.session, call, yes=given.yes)
        place = screen(self.session.shell)
        view = BattleView(blind=call.blind, brief=isinstance(place, Page))
        ballot = Ballot(call.route.run, self.session, view, place, heard=heard)

        def show(event: Event | None) -> None:
            if not call.route.dry_run:
                place.update(view)
                ballot.take(event)

        with ballot.closed_on_error():
            yield Running(self.session.router, call, view, place, show)
            if view.problem is None and call.route.dry_run:
                place.show(view.prices())
                return
            if view.lanes:
                place.update(view, final=True)
            if view.problem is not None:
                raise CellError(view.problem)
            ballot.ended()
        self.session.last_battle = view.battle
        if given.output:
            self.session.shell.user_ns[given.output] = view.battle

    @line_magic
    @commands.documented
    def smartrouter(self, line: str) -> None:
        """Show where the router stands; a word behind it shows or does something else."""
        with readable():
            screen(self.session.shell).show(commands.run(self.session, line))

    @line_magic
    @a.options(a.BY, a.SINCE, a.INTERACTIVE, a.CSV, a.VARIABLE)
    def costs(self, line: str) -> None:
        """Show what was spent and saved, by model, provider, intent, day, notebook or project.

        -o stores a pandas DataFrame where pandas is installed, else a list of rows.

        Example::

            %costs --by day --since 7d --csv costs.csv
        """
        with readable():
            given = a.parse(self.costs, line)
            _check_variable(given.output)
            costs = Costs.ask(self.session.router, given.by, given.since)
            show_costs(screen(self.session.shell), costs, interactive=given.interactive)
            if given.csv:
                costs.write_csv(Path(given.csv))
            if given.output:
                self.session.shell.user_ns[given.output] = costs.frame()

    @line_magic
    def leaderboard(self, line: str) -> None:  # noqa: ARG002 - a magic's signature
        """Show who won the battles that were voted on."""
        with readable():
            rows = self.session.router.query("leaderboard")
            screen(self.session.shell).show(leaderboard_table(rows))

    def misplaced(self, name: str, number: int) -> None:
        """Fail a cell that has one of the magics in its middle."""
        with readable():
            placing.misplaced(name, number)

    def _prompt(self, given: Any, cell: str | None) -> str:
        """The cell, or the words on the line, with expressions replaced."""
        text = given.words if cell is None else cell.rstrip("\n")
        if cell is not None and given.words:
            raise UsageError(
                f"{given.words.split()[0]!r} is not an option.",
                "The prompt goes under the first line.",
            )
        if not text.strip():
            raise UsageError("The prompt is empty.", "Write what you want to ask under the line.")
        placing.one_magic(text)
        return interpolate(text, self.session.shell.user_ns)


def _check_variable(name: str | None) -> None:
    """Raise `UsageError` for what cannot be a variable, before anything is spent."""
    if name is not None and (not name.isidentifier() or keyword.iskeyword(name)):
        raise UsageError(f"{name!r} is no name for a variable.", "Write -o reply, for example.")


_SHARED = (
    *("model", "policy", "budget", "max_latency", "intent", "session", "system"),
    *("temperature", "max_tokens", "think"),
)


def _options(given: Any) -> dict[str, Any]:
    """The options of `route_call` that a magic has."""
    found = {name: getattr(given, name) for name in _SHARED if hasattr(given, name)}
    if getattr(given, "context", ""):
        found["context"] = given.context.split(",")
    return found | {"cache": not given.no_cache}
