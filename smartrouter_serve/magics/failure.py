"""A cell that fails well: one readable block, no traceback, and Run All stops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from smartrouter_serve.errors import Problem, SmartRouterError
from smartrouter_serve.magics.paste import to_paste
from smartrouter_serve.widgets.terminal import clean


class CellError(Exception):
    """Carries the block; IPython shows what `_render_traceback_` returns."""

    def __init__(self, problem: Problem) -> None:
        # A provider's words may be in it, and a terminal prints tracebacks as they are.
        super().__init__(clean(problem.message))
        self.problem = problem

    def _render_traceback_(self) -> list[str]:
        lines = [f"Smart Router: {clean(self.problem.message)}"]
        if self.problem.remedy:
            lines.append(f"→ {clean(self.problem.remedy)}")
        return [*lines, *to_paste(self.problem.remedy)]


class StoppedError(CellError):
    """The person stopped the cell."""

    def __init__(self) -> None:
        super().__init__(
            Problem(kind="Stopped", message="stopped.", remedy="What had arrived stays above.")
        )


@contextmanager
def readable() -> Iterator[None]:
    """Turn every failure into a `CellError`."""
    try:
        yield
    except CellError:
        raise
    except SmartRouterError as error:
        raise CellError(Problem.of(error)) from None
    except KeyboardInterrupt:
        raise StoppedError from None
    except Exception as error:
        raise CellError(Problem.of(error)) from error
