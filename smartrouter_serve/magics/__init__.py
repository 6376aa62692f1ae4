"""IPython: the magics and their completion. Thin over events; draws with `widgets`."""

from __future__ import annotations

import atexit
import re
from typing import Any

from smartrouter_serve.magics.placing import REGISTERED, find_misplaced

_NAME = "_smartrouter_magics"
_PLAIN = "get_ipython().run_cell_magic('arena', "
_AWAITED = f"await {REGISTERED}.arena_here("
_QUESTION = re.compile(r"^(\s*)%(route|arena)[ \t]+(.*\S.*\?)[ \t]*$")


def ask_not_help(lines: list[str]) -> list[str]:
    """Keep IPython from reading `%route Is it true?` as a request for help."""
    return [
        _QUESTION.sub(lambda m: f"{m[1]}get_ipython().run_line_magic({m[2]!r}, {m[3]!r})", line)
        for line in lines
    ]


class _AsyncArena:
    """Makes a notebook's `%%arena` cell an async one: the kernel hears clicks while it runs.

    Not inside another cell magic such as `%%time`, which cannot await, and not on a terminal.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._running = False
        shell.input_transformers_post.append(self.transform)
        shell.events.register("pre_run_cell", self._begin)
        shell.events.register("post_run_cell", self._end)

    def remove(self) -> None:
        """Take the hooks away."""
        self._shell.input_transformers_post.remove(self.transform)
        self._shell.events.unregister("pre_run_cell", self._begin)
        self._shell.events.unregister("post_run_cell", self._end)

    def transform(self, lines: list[str]) -> list[str]:
        """Await the magic where that is possible."""
        notebook = getattr(self._shell, "kernel", None) is not None
        if self._running or not notebook or not self._shell.autoawait or not lines:
            return lines
        return [lines[0].replace(_PLAIN, _AWAITED, 1), *lines[1:]]

    def _begin(self, *_: Any) -> None:
        self._running = True

    def _end(self, *_: Any) -> None:
        self._running = False


def register(shell: Any) -> None:
    """Add the magics to a shell; nothing is read or built before the first cell."""
    from smartrouter_serve.magics import complete, formatters
    from smartrouter_serve.magics.magics import SmartRouterMagics

    unregister(shell)
    magics = SmartRouterMagics(shell)
    shell.register_magics(magics)
    # A kernel that is shut down before a vote leaves no dead buttons on the page.
    atexit.register(magics.session.forget)
    cleanup = shell.input_transformers_cleanup
    cleanup.extend((ask_not_help, find_misplaced))
    undo = [
        complete.install(magics),
        formatters.install(shell),
        _AsyncArena(shell).remove,
        lambda: cleanup.remove(ask_not_help),
        lambda: cleanup.remove(find_misplaced),
        lambda: _remove(shell, magics),
        magics.session.forget,
        lambda: atexit.unregister(magics.session.forget),
        magics.session.close,
    ]
    setattr(shell, _NAME, undo)


def _remove(shell: Any, magics: Any) -> None:
    """Take the magics away; IPython itself has no way to."""
    manager = shell.magics_manager
    manager.registry.pop(type(magics).__name__, None)
    for kind, names in magics.magics.items():
        for name in names:
            manager.magics[kind].pop(name, None)


def unregister(shell: Any) -> None:
    """Leave the shell as it was, and close the engine."""
    for undo in getattr(shell, _NAME, ()):
        undo()
    if hasattr(shell, _NAME):
        delattr(shell, _NAME)
