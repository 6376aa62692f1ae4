"""How `%costs` is put on the screen."""

from __future__ import annotations

from shutil import get_terminal_size

from smartrouter_serve.errors import UsageError
from smartrouter_serve.magics.screen import Page, Terminal
from smartrouter_serve.widgets.costs import Costs

_FIRST = "%route What is the capital of France?"


def show_costs(place: Page | Terminal, costs: Costs, *, interactive: bool) -> None:
    """Draw the picture and the table; the interactive picture carries the plain one beside it.

    What cannot draw plotly's part, such as nbconvert, shows that one.
    """
    if isinstance(place, Terminal):
        if interactive:
            raise UsageError("--interactive needs a notebook.", "Leave it out on a terminal.")
        place.show(costs.draw(_FIRST, get_terminal_size().columns))
        return
    if not interactive or not costs.rows:
        place.show(costs.draw(_FIRST))
        return
    from IPython.display import display

    display(costs.picture().mime() | costs.figure(), raw=True)
    place.show(costs.table())
