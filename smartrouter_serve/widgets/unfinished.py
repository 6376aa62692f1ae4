"""Closes what is still open in a text that grows, for the drawing only.

So a fence, a table, emphasis, a link or a formula that has just begun looks as it will look, and
markers that may become one do not flash up.
"""

from __future__ import annotations

import re
from typing import Any

_MARKERS = "-=*+#>~`|:_ \t0123456789.)"
_LONGEST_MARKER = 12
_MOST_BRACKETS = 500
"""In one paragraph: the parser's time for links grows with their square."""
_HALF_TABLE = re.compile(r"(?:\A|\n)(\|[^\n]*)(?:\n[|:\- \t]*)?\Z")
_HALF_MARKER = re.compile(r"[*_~`$\\!\[<]+\Z")
_HALF_LINK = re.compile(r"!?\[([^\[\]]*)\]?(?:\([^()\s]*)?\Z")
_HALF_DOLLAR = re.compile(r"(?<![\w$\\])\$[^\s\d$][^$]*\Z")
_RUN = re.compile(r"\\`|`+")


def install(parser: Any) -> None:
    """Let a parser close what is open, where its environment says that the text is growing."""
    parser.core.ruler.at("inline", _inline)
    parser.core.ruler.after("block", "half_table", _half_table)
    parser.inline.ruler2.after("balance_pairs", "close_emphasis", _close_emphasis)


def without_half_marker(text: str) -> str:
    """The text without a last line that may become a list, a heading, a rule or a fence."""
    last = text[text.rfind("\n") + 1 :]
    if last and len(last) <= _LONGEST_MARKER and not last.strip(_MARKERS):
        return text[: len(text) - len(last)]
    return text


def _inline(state: Any) -> None:
    from markdown_it.token import Token

    inlines = [token for token in state.tokens if token.type == "inline"]
    growing = state.env.get("growing") and _ends_in_words(state.tokens)
    for token in inlines:
        state.env["open"] = growing and token is inlines[-1]
        content = _closed(token.content) if state.env["open"] else token.content
        if content.count("[") > _MOST_BRACKETS:
            token.children = [Token("text", "", 0, content=content)]
            continue
        state.md.inline.parse(content, state.md, state.env, token.children)


def _ends_in_words(tokens: Any) -> bool:
    """Whether the last block is no code, rule or formula."""
    leaves = [token.type for token in tokens[-12:] if token.nesting == 0]
    return bool(leaves) and leaves[-1] == "inline"


def _half_table(state: Any) -> None:
    """Draw a table from its first line on."""
    if not state.env.get("growing") or [token.type for token in state.tokens[-3:]] != [
        "paragraph_open",
        "inline",
        "paragraph_close",
    ]:
        return
    opening, inline, _ = state.tokens[-3:]
    found = _HALF_TABLE.search(inline.content)
    if opening.level or found is None:
        return
    before, header = inline.content[: found.start()], found[1].rstrip("| \t")
    columns = max(header.count("|") - header.count("\\|"), 1)
    tokens: list[Any] = []
    source = f"{before}\n\n{header} |\n{'|-' * columns}|\n"
    state.md.block.parse(source, state.md, state.env, tokens)
    for token in tokens:
        token.map = opening.map
    state.tokens[-3:] = tokens


def _closed(content: str) -> str:
    """A paragraph with its last link, code or formula closed."""
    content = _HALF_MARKER.sub("", content)
    if ticks := _open_ticks(content):
        return content + ("" if content.endswith("`") else ticks)
    for opener, closer in (("$$", "$$"), ("\\(", "\\)"), ("\\[", "\\]")):
        last = content.rfind(opener)
        odd = content.count("$$") % 2 == 1 if opener == "$$" else content.find(closer, last) == -1
        if last != -1 and odd:
            return content + closer
    if "$$" not in content and _HALF_DOLLAR.search(content):
        return f"{content}$"
    return _HALF_LINK.sub(r"\1", content)


def _open_ticks(content: str) -> str:
    """The run of backticks that no other closes."""
    opened = ""
    for run in _RUN.findall(content):
        if run == "\\`" and not opened:
            continue
        ticks = run.lstrip("\\")
        opened = ticks if not opened else "" if ticks == opened else opened
    return opened


def _close_emphasis(state: Any) -> None:
    """Give each opening marker without an end one of its own, innermost first."""
    if not state.env.get("open") or state.linkLevel:
        return
    from markdown_it.rules_inline.state_inline import Delimiter

    for delimiter in state.delimiters[::-1]:
        if delimiter.open and delimiter.end == -1 and not delimiter.close:
            token = state.push("text", "", 0)
            token.content = state.tokens[delimiter.token].content
            delimiter.end = len(state.delimiters)
            state.delimiters.append(
                Delimiter(
                    marker=delimiter.marker,
                    length=delimiter.length,
                    token=len(state.tokens) - 1,
                    end=-1,
                    open=False,
                    close=True,
                )
            )
