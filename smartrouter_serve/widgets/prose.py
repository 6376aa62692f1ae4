"""Markdown on a terminal while it grows: line by line, each written once and never moved.

So nothing flickers, the scrollback holds every line once, and a resized window does no harm. What
needs its end to be understood is kept back until then: a span in `**` or backticks, a line of
code, a table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console, JustifyMethod
from rich.style import Style
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from smartrouter_serve.widgets.terminal import Cleaner
from smartrouter_serve.widgets.tty import colorless

_WIDE = "\u2e80-\uffdc"
"""Scripts that may break anywhere."""
_SPAN = 200
"""Characters for which the end of a span or of a word is waited."""
_INLINE = re.compile(
    rf"""
    (?<![0-9A-Za-z*])\*\*(?=\S)(?P<bold>[^*\n]{{1,{_SPAN}}}?)(?<=\S)\*\*(?!\*)
    | `(?P<code>[^`\n]{{1,{_SPAN}}})`
    | (?P<open>(?:(?<![0-9A-Za-z*])\*\*(?=\S|\Z)[^*]{{0,{_SPAN}}}\*?|`[^`]{{0,{_SPAN}}})\Z)
    | (?P<plain>\s+|[{_WIDE}]|[^\s*`{_WIDE}]+|[*`]+)
    """,
    re.VERBOSE,
)
_PIECE = re.compile(rf"\s+|[{_WIDE}]|[^\s{_WIDE}]+")
_UNDECIDED = re.compile(r"\s*(?:#{1,6}|[>*+\-]|\d{1,9}[.)]?|`{1,2}|~{1,2})?\s*")
_WHOLE = ("```", "~~~", "|")
"""What a line begins with that is written once it has ended."""
_HEADING = re.compile(r" {0,3}#{1,6}\s+(?=\S)")
_MARGIN = re.compile(r"(?P<in>\s*)(?:(?P<bullet>[-*+])|(?P<quote>>)|(?P<number>\d{1,9}[.)]))\s+")
_RULED = re.compile(r"\|?(?:\s*:?-+:?\s*\|)+(?:\s*:?-+:?\s*)?")
_JUSTIFY: dict[tuple[bool, bool], JustifyMethod] = {
    (True, True): "center",
    (False, True): "right",
    (True, False): "left",
    (False, False): "left",
}
_LEAST_CELL = 6

_PLAIN, _BOLD, DIM = Style(), Style(bold=True), Style(dim=True)
_CODE = Style(color="cyan")
Run = tuple[str, Style]


def console(file: IO[str] | None = None) -> Console:
    """A console on a terminal, without a colour or a weight where `NO_COLOR` is set."""
    return Console(
        file=file,
        markup=False,
        highlight=False,
        emoji=False,
        color_system=None if colorless() else "auto",
    )


def runs(text: str) -> Iterator[Run]:
    """Bold, code and the rest of a finished line; a marker without its end is text."""
    return map(_run, _INLINE.finditer(text))


def _run(match: re.Match[str]) -> Run:
    if match["bold"]:
        return match["bold"], _BOLD
    return (match["code"], _CODE) if match["code"] else (match[0], _PLAIN)


class Prose:
    """Writes one answer on a console as it arrives."""

    def __init__(self, console: Console, *, markdown: bool = True, style: Style = _PLAIN) -> None:
        self._console = console
        self._markdown = markdown
        self._style = self._line_style = style
        self._colors = None if console.color_system is None else ColorSystem.STANDARD
        self._cleaner = Cleaner()
        self._held = ""
        self._inside = False
        self._column = self._hang = 0
        self._space = ""
        self._word: list[Run] = []
        self._before = ""  # the character before what is held: it decides whether a mark opens
        self._fence = ""
        self._syntax: Syntax | None = None
        self._table: list[str] = []

    def feed(self, piece: str) -> None:
        """Write what `piece` makes certain."""
        *ended, rest = (self._held + self._cleaner.feed(piece)).split("\n")
        out = [self._end(line) for line in ended]
        self._held = rest
        whole = self._fence or (not self._inside and self._is_whole(rest))
        if not whole and (self._inside or not _UNDECIDED.fullmatch(rest)):
            out.append(self._begin())
            out.append(self._words(ended=False))
        self._write("".join(out))

    def finish(self) -> None:
        """Write the rest and end the line."""
        out = self._end(self._held) if self._held or self._inside else ""
        self._held = ""
        self._write(out + self._flush_table())

    def _is_whole(self, line: str) -> bool:
        return self._markdown and line.lstrip(" ").startswith(_WHOLE)

    def _write(self, text: str) -> None:
        if text:
            self._console.file.write(text)
            self._console.file.flush()

    def _paint(self, text: str, style: Style) -> str:
        return (self._line_style + style).render(text, color_system=self._colors)

    def _end(self, line: str) -> str:
        """A line that has come to its end, or what of it is not written yet."""
        if self._inside:
            self._held = line
            return self._words(ended=True) + self._newline()
        if self._fence:
            return self._code(line)
        if self._is_whole(line):
            if line.lstrip(" ").startswith("|"):
                self._table.append(line)
                return ""
            return self._flush_table() + self._open_fence(line)
        self._held = line
        return self._begin() + self._words(ended=True) + self._newline()

    def _newline(self) -> str:
        self._inside, self._column, self._hang = False, 0, 0
        self._space = self._before = ""
        self._line_style = self._style
        return "\n"

    def _begin(self) -> str:
        """The margin of a line that begins: a bullet, a number, a bar."""
        if self._inside:
            return ""
        before, self._inside = self._flush_table(), True
        if not self._markdown:
            return before
        if self._colors and (head := _HEADING.match(self._held)):
            self._held = self._held[head.end() :]
            self._line_style = self._style + _BOLD
        margin = _MARGIN.match(self._held)
        if margin is None:
            return before
        self._held = self._held[margin.end() :]
        shown = margin[0]
        if self._console.encoding.startswith("utf") and not margin["number"]:
            shown = f"{margin['in']}{'•' if margin['bullet'] else '│'} "
        if len(shown) * 2 < self._console.width:
            self._hang = len(shown)
        self._column = len(shown)
        return before + self._paint(shown, DIM if margin["quote"] else _PLAIN)

    def _words(self, *, ended: bool) -> str:
        """Write what is held of a line; keep back a word or a span that may go on."""
        text, at = self._before + self._held, len(self._before)
        out: list[str] = []
        for match in _INLINE.finditer(text, at):
            at_end = match.end() == len(text) and not match[0].isspace()
            if at_end and not ended and len(match[0]) <= 2 * _SPAN:
                break
            at = match.end()
            marked = self._markdown and self._colors
            run, style = _run(match) if marked else (match[0], _PLAIN)
            out.extend(self._piece(piece, style) for piece in _PIECE.findall(run))
        self._before, self._held = text[:at][-1:], text[at:]
        if ended:
            out.append(self._flush_word())
        return "".join(out)

    def _piece(self, piece: str, style: Style) -> str:
        """Space ends a word, and so does a character that may stand alone."""
        if piece.isspace():
            out = self._flush_word()
            self._space += piece
            return out
        self._word.append((piece, style))
        alone = "\u2e80" <= piece[0] <= "\uffdc"
        return self._flush_word() if alone else ""

    def _flush_word(self) -> str:
        """The word that is complete, on the next line where this one has no room for it."""
        word, self._word = self._word, []
        if not word:
            return ""
        size, width = sum(cell_len(text) for text, _ in word), self._console.width
        space, self._space = self._space.expandtabs(4), ""
        painted = "".join(self._paint(text, style) for text, style in word)
        if self._column > self._hang and self._column + len(space) + size > width:
            self._column = self._hang + size
            return "\n" + " " * self._hang + painted
        self._column += len(space) + size
        if self._column > width:
            self._column = self._column % width or width
        return space + painted

    def _open_fence(self, line: str) -> str:
        bare = line.strip()
        mark = bare[: len(bare) - len(bare.lstrip(bare[0]))]
        self._fence = mark
        language = bare[len(mark) :].strip().split(" ")[0]
        if self._colors and language:
            self._syntax = Syntax("", language, theme="ansi_dark", background_color="default")
        return self._paint(line, DIM) + "\n"

    def _code(self, line: str) -> str:
        bare = line.strip()
        if bare.startswith(self._fence) and not bare.strip(self._fence[0]):
            self._fence, self._syntax = "", None
            return self._paint(line, DIM) + "\n"
        if self._syntax is None:
            return line + "\n"
        with self._console.capture() as caught:
            self._console.print(self._syntax.highlight(line), soft_wrap=True, end="")
        return caught.get().rstrip("\n") + "\n"

    def _flush_table(self) -> str:
        rows, self._table = self._table, []
        cells = [re.split(r"(?<!\\)\|", row.strip().strip("|")) for row in rows]
        fits = cells and len(cells[0]) * _LEAST_CELL <= self._console.width
        if len(rows) < 2 or not _RULED.fullmatch(rows[1].strip()) or not fits:
            return "".join(f"{row}\n" for row in rows)
        with self._console.capture() as caught:
            self._console.print(_drawn(cells))
        return caught.get()


def _drawn(cells: list[list[str]]) -> Table:
    """A table of Markdown's cells; the second row says how each column is aligned."""
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for name, rule in zip(cells[0], cells[1] + [""] * len(cells[0]), strict=False):
        table.add_column(_cell(name), justify=_JUSTIFY[_sides(rule)], overflow="fold")
    for row in cells[2:]:
        last = len(cells[0]) - 1
        table.add_row(*(_cell(value) for value in (*row[:last], "|".join(row[last:]))))
    return table


def _sides(rule: str) -> tuple[bool, bool]:
    return rule.strip().startswith(":"), rule.strip().endswith(":")


def _cell(text: str) -> Text:
    return Text.assemble(*runs(text.strip().replace("\\|", "|")))
