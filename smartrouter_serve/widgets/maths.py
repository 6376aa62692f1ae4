r"""Maths in Markdown: kept from emphasis, given to MathJax as written, with nothing that acts.

JupyterLab and nbconvert typeset what stands between `$…$`, `$$…$$`, `\(…\)`, `\[…\]` and in bare
`\begin{…}…\end{…}`. Each formula gets an element of its own, and a dollar or a backslash that is
no maths another one: MathJax joins no delimiters across elements.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

_PAIRS = (("$$", "$$"), ("\\(", "\\)"), ("\\[", "\\]"))
_ENVIRONMENT = re.compile(r"\\begin\{([a-zA-Z]{1,20}\*?)\}")
_ACTS = re.compile(
    r"""\\(?:
        href|url|class|style|cssId|data|html[A-Za-z]*|unicode|img|includegraphics   # page and web
        |require|autoload|csname|mmlToken|bbox|texttip|mathtip|toggle|verb          # MathJax itself
        |[gex]?def|let|futurelet|(?:re|provide)?newcommand|(?:re)?newenvironment    # stays defined
        |Declare[A-Za-z]*|New[A-Za-z]+|definecolor                                  # for all cells
    )(?![A-Za-z])""",
    re.VERBOSE,
)
"""MathJax's `safe` extension is on in JupyterLab, but has let `java\\nscript:` through before."""
_LONGEST, _LONGEST_LINES = 5_000, 100
FORMULAS = 1_000
"""So many formulas of a text are typeset, at milliseconds each; the rest is shown as written."""


def inert(html: str) -> str:
    """Escaped text in which MathJax finds nothing to typeset."""
    return html.replace("\\", "<span>\\</span>").replace("$", "<span>$</span>")


def install(parser: Any) -> None:
    """Teach a Markdown parser maths."""
    parser.inline.ruler.before("escape", "maths", _inline)
    parser.block.ruler.before("fence", "maths_block", _block, {"alt": ["paragraph", "blockquote"]})
    parser.add_render_rule("maths", _render)
    parser.add_render_rule("maths_block", _render)
    parser.add_render_rule("text", _render_text)


def formula(text: str, start: int, end: int) -> int:
    """Where the formula that begins at `start` ends, or -1 where none does.

    A single dollar touches its formula, and no letter or digit outside: `$5 and $6` is money.
    """
    for opener, closer in _PAIRS:
        if text.startswith(opener, start):
            found = text.find(closer, start + 2, end)
            return found + 2 if found > start + 2 else -1
    if text[start] != "$" or text[start + 1 : start + 2].isspace() or _word(text, start - 1):
        return -1
    at = start + 1
    while (at := text.find("$", at, end)) != -1 and text[at - 1] == "\\":
        at += 1
    if at <= start + 1 or text[at - 1].isspace() or _word(text, at + 1):
        return -1
    return at + 1


def _word(text: str, at: int) -> bool:
    return 0 <= at < len(text) and text[at].isalnum()


def _inline(state: Any, silent: bool) -> bool:
    if state.src[state.pos] not in "$\\":
        return False
    closer = dict(_PAIRS).get(state.src[state.pos : state.pos + 2])
    if closer and _unclosed(state, closer, state.pos + 2):
        return False
    end = formula(state.src, state.pos, state.posMax)
    if end == -1:
        return False
    if not silent:
        token = state.push("maths", "", 0)
        token.content = state.src[state.pos : end]
    state.pos = end
    return True


def _unclosed(state: Any, closer: str, at: int) -> bool:
    """Whether no closer follows; looked for once, so that a line of openers costs linear time."""
    known: set[tuple[str, str]] = state.env.setdefault("unclosed", set())
    if (state.src, closer) not in known and state.src.find(closer, at) == -1:
        known.add((state.src, closer))
    return (state.src, closer) in known


def _block(state: Any, start: int, end: int, silent: bool) -> bool:
    """Display maths that begins a line; it ends with a line, and before a blank one."""
    if state.is_code_block(start):
        return False
    first = state.src[state.bMarks[start] + state.tShift[start] : state.eMarks[start]]
    closer = _closer(first)
    if not closer or _unclosed(state, closer, state.bMarks[start] + 2):
        return False
    line, end = start, min(end, start + _LONGEST_LINES)
    while line < end and not state.isEmpty(line) and state.sCount[line] >= state.blkIndent:
        text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()
        if text.startswith(("```", "~~~")):
            return False
        body = text[2:] if line == start else text
        line += 1
        if closer in body:
            if not body.endswith(closer):
                return False
            break
    else:
        return False
    if not silent:
        token = state.push("maths_block", "", 0)
        token.content = state.getLines(start, line, state.blkIndent, False).strip()
        token.map = [start, line]
        state.line = line
    return True


def _closer(line: str) -> str:
    for opener, closer in (_PAIRS[0], _PAIRS[2]):
        if line.startswith(opener):
            return closer
    found = _ENVIRONMENT.match(line)
    return f"\\end{{{found[1]}}}" if found else ""


def _render(_renderer: Any, tokens: Any, index: int, _options: Any, env: Any) -> str:
    token = tokens[index]
    env["formulas"] = env.get("formulas", 0) + 1
    hostile = _ACTS.search(token.content) or len(token.content) > _LONGEST
    tag = "code" if hostile or env["formulas"] > FORMULAS else "span"
    html = f"<{tag}>{escape(token.content)}</{tag}>"
    return f"<p>{html}</p>\n" if token.type == "maths_block" else html


def _render_text(_renderer: Any, tokens: Any, index: int, _options: Any, _env: Any) -> str:
    return inert(escape(tokens[index].content))
