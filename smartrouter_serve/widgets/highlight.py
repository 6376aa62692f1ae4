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


def _color(name: str) -> str:
    return f"color:var(--jp-mirror-editor-{name}-color,inherit)"


_KEYWORD = f"{_color('keyword')};font-weight:bold"
_STYLES = {
    "Keyword": _KEYWORD,
    "Keyword.Constant": _color("number"),
    "Operator.Word": _KEYWORD,
    "Comment": "font-style:italic",
    "Literal.String": _color("string"),
    "Literal.Number": _color("number"),
    "Name.Builtin": _color("builtin"),
    "Name.Function": _color("def"),
    "Name.Class": _color("def"),
    "Name.Decorator": _color("def"),
    "Name.Tag": _KEYWORD,
    "Name.Attribute": _color("property"),
    "Generic.Heading": "font-weight:bold",
    "Generic.Strong": "font-weight:bold",
    "Generic.Emph": "font-style:italic",
    "Generic.Inserted": _color("number"),
    "Generic.Deleted": _color("string"),
}
STYLES = frozenset(_STYLES.values())
"""Every style that a span of code can have."""


def highlight(code: str, language: str) -> str:
    """Code as escaped HTML, with spans where the language is known and the code not too long."""
    language = language.lower()
    if language not in _LANGUAGES or len(code) > _LONGEST:
        return escape(code)
    shown, style, run = [], "", ""
    for kind, text in _lexer(language).get_tokens(code):
        found = _style(kind)
        if found != style and text.strip():
            shown.append(_span(run, style))
            style, run = found, ""
        run += text
    shown.append(_span(run, style))
    return "".join(shown)


def _span(text: str, style: str) -> str:
    return f'<span style="{style}">{escape(text)}</span>' if style and text else escape(text)


@cache
def _style(kind: Any) -> str:
    """The style of a token's type, or of the nearest type above it."""
    while kind:
        if (found := _STYLES.get(".".join(kind))) is not None:
            return found
        kind = kind.parent
    return ""


@cache
def _lexer(language: str) -> Any:
    from pygments.lexers import get_lexer_by_name

    return get_lexer_by_name(language, stripnl=False, ensurenl=False)
