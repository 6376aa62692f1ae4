"""Code in colours, as inline styles: an output brings no style sheet along.

The colours are JupyterLab's own, which follow its theme. No colour has a contrast of 4.5 on white
and on black, so where there are none (VS Code, a bare page) the text keeps its colour, and weight
and slant tell.
"""

from __future__ import annotations

from functools import cache
from html import escape
from typing import Any

_LONGEST = 20_000
# fmt: off
_LANGUAGES = frozenset((
    "bash", "c", "c#", "c++", "console", "cpp", "cs", "csharp", "css", "diff", "docker",
    "dockerfile", "go", "haskell", "html", "ini", "ipython", "java", "javascript", "js", "json",
    "jsx", "julia", "kotlin", "latex", "lua", "make", "makefile", "matlab", "perl", "php",
    "powershell", "py", "pycon", "python", "python3", "r", "rb", "ruby", "rs", "rust", "scala",
    "sh", "shell", "sql", "swift", "tex", "toml", "ts", "tsx", "typescript", "xml", "yaml", "yml",
    "zsh",
))
# fmt: on
"""What answers are written in; of Pygments' hundreds of lexers some can be made to run for hours.
"""


_COLORS = {
    "k": "keyword",
    "s": "string",
    "n": "number",
    "b": "builtin",
    "d": "def",
    "p": "property",
}
PALETTE = ";".join(f"--{k}:var(--jp-mirror-editor-{name}-color)" for k, name in _COLORS.items())
"""The style of the element around: a saved notebook holds the long names once a block."""
STYLES = frozenset(f"color:var(--{letter})" for letter in _COLORS)
"""The styles within; where a colour is not defined, CSS takes that of the text around."""
_KINDS = {
    "Keyword": ("b", "k"),
    "Keyword.Constant": ("span", "n"),
    "Operator.Word": ("b", "k"),
    "Comment": ("i", ""),
    "Literal.String": ("span", "s"),
    "Literal.Number": ("span", "n"),
    "Name.Builtin": ("span", "b"),
    "Name.Function": ("span", "d"),
    "Name.Class": ("span", "d"),
    "Name.Decorator": ("span", "d"),
    "Name.Tag": ("b", "k"),
    "Name.Attribute": ("span", "p"),
    "Generic.Heading": ("b", ""),
    "Generic.Strong": ("b", ""),
    "Generic.Emph": ("i", ""),
    "Generic.Inserted": ("span", "n"),
    "Generic.Deleted": ("span", "s"),
}
"""Tag and colour of Pygments' types of tokens."""


def highlight(code: str, language: str) -> str:
    """Code as an element, in colours where the language is known and the code not too long."""
    language = language.lower()
    if language not in _LANGUAGES or len(code) > _LONGEST:
        return f"<code>{escape(code)}</code>"
    shown, kind, run = [], None, ""
    for token, text in _lexer(language).get_tokens(code):
        found = _kind(token)
        if found != kind and text.strip():
            shown.append(_span(run, kind))
            kind, run = found, ""
        run += text
    shown.append(_span(run, kind))
    return f'<code style="{PALETTE}">{"".join(shown)}</code>'


def _span(text: str, kind: tuple[str, str] | None) -> str:
    if kind is None or not text:
        return escape(text)
    tag, letter = kind
    style = f' style="color:var(--{letter})"' if letter else ""
    return f"<{tag}{style}>{escape(text)}</{tag}>"


@cache
def _kind(token: Any) -> tuple[str, str] | None:
    """The tag and colour of a token's type, or of the nearest type above it."""
    while token:
        if (found := _KINDS.get(".".join(token))) is not None:
            return found
        token = token.parent
    return None


@cache
def _lexer(language: str) -> Any:
    from pygments.lexers import get_lexer_by_name

    return get_lexer_by_name(language, stripnl=False, ensurenl=False)
