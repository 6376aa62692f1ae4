"""Model output for a page: Markdown to HTML in which nothing can run or be fetched.

The one way of a model's, a provider's or a document's words into a page: `to_html` for Markdown,
`GrowingMarkdown` for Markdown that still arrives, `plain` for words shown as they are.

markdown-it-py with HTML switched off, then nh3 with a short list of tags: both, since each alone
keeps something that the other drops.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import Any

from smartrouter_serve.widgets import links, maths, unfinished
from smartrouter_serve.widgets.highlight import PALETTE, STYLES, highlight
from smartrouter_serve.widgets.terminal import Cleaner, clean

_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_TAGS = _HEADINGS | {
    *("p", "br", "hr", "strong", "em", "s", "del", "blockquote", "ul", "ol", "li", "pre", "code"),
    *("b", "i"),
    *("span", "table", "thead", "tbody", "tr", "th", "td", "a", "sup", "sub"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "td": {"colspan"}}
_ALIGNMENTS = {f"text-align:{side}" for side in ("left", "right", "center")}
_VALUES = {
    "span": {"style": set(STYLES)},
    "b": {"style": set(STYLES)},
    "code": {"style": {PALETTE}},
    "th": {"style": _ALIGNMENTS},
    "td": {"style": _ALIGNMENTS},
    "pre": {"dir": {"ltr"}},
    **{tag: {"dir": {"auto"}} for tag in (*_HEADINGS, "p", "ul", "ol", "blockquote", "table")},
}
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_SIMPLE_TAG = re.compile(r"<(br) ?/?>|<(su[bp])>([^<>\n]{1,80})</\2>")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_NESTING = 40

_HEAD, _END = 60_000, 30_000
LONGEST = _HEAD + _END
"""Characters of an answer that a page shows; rendering so many takes a quarter of a second."""
_ROWS_HEAD, _ROWS_END = 400, 100
_OPEN, _OPEN_FENCE = 8_000, 32_000
"""A block that grows beyond this is drawn by its end, and parsed anew once a quarter is new."""
_OPEN_END = 6_000


def plain(text: str) -> str:
    """Words as they are, as HTML: no markup, no maths, no control characters."""
    return maths.inert(escape(clean(text)))


def to_html(text: str) -> str:
    """Render Markdown to safe HTML; of a very long text the beginning and the end."""
    text = clean(text)
    if len(text) <= LONGEST:
        return _render(text, {})
    head, start = _line_end(text, _HEAD), _line_end(text, len(text) - _END)
    env = {"formulas": 0}
    return (
        _render(text[:head], env)
        + _left_out(start - head)
        + _render(
            _reopened(text[start:], _open_fence(text, 0, start)), {"formulas": env["formulas"]}
        )
    )


class GrowingMarkdown:
    """Renders a text that grows; a block that is finished is rendered once."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._cleaner = Cleaner()
        self._given = ""
        self._text = ""
        self._done = 0
        self._html = ""
        self._look_at = 0
        self._fence = (0, "")
        self._env: dict[str, Any] = {"references": {}, "formulas": 0}

    def render(self, text: str, *, final: bool = False) -> str:
        """Safe HTML of `text`; quick where it continues the text of the call before.

        What is open is drawn as if it were closed, until the text is `final`: then it is `to_html`.
        """
        if not text.startswith(self._given):
            self._begin()
        self._text += self._cleaner.feed(text[len(self._given) :])
        self._given = text
        if final:
            return self._whole()
        rest = self._text[self._done :]
        if len(self._text) <= LONGEST and len(rest) >= self._look_at:
            drawn = self._finish_blocks(rest)
            rest = self._text[self._done :]
            short = len(rest) <= (_OPEN_FENCE if _FENCE.match(rest) else _OPEN)
            self._look_at = 0 if short else len(rest) * 5 // 4
            if short:
                return self._html + drawn
        return self._html + self._ending()

    def _ending(self) -> str:
        """The end of a block too long to be drawn at every update, or of a text that is."""
        start = _line_end(self._text, max(len(self._text) - _OPEN_END, self._done))
        begin, fence = self._fence if self._fence[0] >= self._done else (self._done, "")
        fence = _open_fence(self._text, min(begin, start), start, fence)
        self._fence = (start, fence)
        shown = unfinished.without_half_marker(_reopened(self._text[start:], fence))
        return _left_out(start - self._done) + _render(shown, self._growing())

    def _whole(self) -> str:
        env = {**self._env, "references": dict(self._env["references"])}
        if len(self._text) <= LONGEST:
            html = self._html + _render(self._text[self._done :], env)
            # A definition may stand behind a link that was drawn without it.
            if not env["references"]:
                return html
        return to_html(self._text)

    def _growing(self) -> dict[str, Any]:
        return {**self._env, "references": dict(self._env["references"]), "growing": True}

    def _finish_blocks(self, rest: str) -> str:
        """Keep the blocks that nothing can change any more; answers the drawing of the last one."""
        env = self._growing()
        source = unfinished.without_half_marker(rest)
        tokens = _parser().parse(source, env)
        at, line = _last_block(tokens, source)
        if line:
            cut = _start_of(source, line)
            self._html += _render(rest[:cut], self._env)
            self._done += cut
        return _sanitised(_parser().renderer.render(tokens[at:], _parser().options, env))


def _last_block(tokens: list[Any], source: str) -> tuple[int, int]:
    """The token and the line at which the last block begins that is sure to begin there.

    Its first line has ended, and it is a fence or a blank line is before it: what comes can only
    be part of it.
    """
    lines = source.split("\n")
    for at in range(len(tokens) - 1, -1, -1):
        token = tokens[at]
        if token.level == 0 and token.nesting >= 0 and token.map:
            line = token.map[0]
            sure = token.type == "fence" or not lines[line - 1].strip()
            if 0 < line < len(lines) - 1 and sure:
                return at, line
    return 0, 0


def _start_of(text: str, line: int) -> int:
    at = 0
    for _ in range(line):
        at = text.index("\n", at) + 1
    return at


def _line_end(text: str, at: int) -> int:
    """The first beginning of a line from `at` on, or `at` where the line is long."""
    found = text.find("\n", at, at + 2_000)
    return at if found == -1 else found + 1


def _open_fence(text: str, begin: int, end: int, fence: str = "") -> str:
    """The first line of the fence that is open at `end`, if `fence` is the one at `begin`."""
    for found in _FENCE.finditer(text, begin, end):
        if not fence:
            fence = found[0]
        elif found[1].startswith(_FENCE.match(fence)[1]) and not found[2].strip():  # type: ignore[index]
            fence = ""
    return fence


def _reopened(text: str, fence: str) -> str:
    return f"{fence}\n{text}" if fence else text


def _left_out(characters: int) -> str:
    return (
        f"<p><em>… {characters:,} characters are left out here; <code>reply.text</code> and the "
        "variable of <code>-o</code> have them all …</em></p>\n"
    )


def _render(text: str, env: dict[str, Any]) -> str:
    parser = _parser()
    tokens = parser.parse(text, env)
    if any(token.level >= _NESTING - 1 for token in tokens):
        # The parser drops what is nested deeper.
        return f"<pre><code>{escape(text)}</code></pre>\n"
    return _sanitised(parser.renderer.render(tokens, parser.options, env))


def _sanitised(html: str) -> str:
    import nh3

    return nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        tag_attribute_values=_VALUES,
        url_schemes=links.SCHEMES,
        url_relative="deny",
        link_rel="noopener noreferrer",
    )


@cache
def _parser() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _NESTING})
    parser.enable(["table", "strikethrough"])
    parser.inline.ruler.before("autolink", "simple_tag", _simple_tag)
    maths.install(parser)
    unfinished.install(parser)
    parser.core.ruler.after("block", "long_tables", _shorten_tables)
    parser.core.ruler.push("targets", links.show_targets)
    parser.core.ruler.push("direction", _direct)
    parser.add_render_rule("fence", _code)
    parser.add_render_rule("code_block", _code)
    return parser


def _code(_renderer: Any, tokens: Any, index: int, _options: Any, env: Any) -> str:
    token = tokens[index]
    language = token.info.split(maxsplit=1)[0] if token.info.strip() else ""
    # Colours wait until the block is whole: they cost more than all the rest.
    code = highlight(token.content, "" if env.get("growing") else language)
    direction = ' dir="ltr"' if token.attrs.get("dir") else ""
    return f"<pre{direction}>{code}</pre>\n"


def _simple_tag(state: Any, silent: bool) -> bool:
    """The three tags that models write for want of Markdown: `<br>`, `<sub>` and `<sup>`."""
    found = _SIMPLE_TAG.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        if found[1]:
            state.push("hardbreak", "br", 0)
        else:
            state.push(f"{found[2]}_open", found[2], 1)
            state.push("text", "", 0).content = found[3]
            state.push(f"{found[2]}_close", found[2], -1)
    state.pos = found.end()
    return True


def _shorten_tables(state: Any) -> None:
    """Take the middle out of tables that a browser would be slow to lay out."""
    starts: list[int] = []
    cuts = []
    for at, token in enumerate(state.tokens):
        if token.type == "tbody_open":
            starts = []
        elif token.type == "tr_open":
            starts.append(at)
        elif token.type == "tbody_close" and len(starts) > _ROWS_HEAD + _ROWS_END:
            cuts.append((starts[_ROWS_HEAD], starts[-_ROWS_END], len(starts)))
    for first, last, rows in reversed(cuts):
        left_out = f"… {rows - _ROWS_HEAD - _ROWS_END:,} rows are left out here …"
        state.tokens[first:last] = _note_row(left_out)


def _note_row(text: str) -> list[Any]:
    from markdown_it.token import Token

    inline = Token("inline", "", 0, content=text, children=[])
    return [
        Token("tr_open", "tr", 1),
        Token("td_open", "td", 1, attrs={"colspan": "100"}),
        inline,
        Token("td_close", "td", -1),
        Token("tr_close", "tr", -1),
    ]


def _direct(state: Any) -> None:
    """Let each block with right-to-left letters find its direction; code stays left-to-right."""
    if not _RIGHT_TO_LEFT.search(state.src):
        return
    block: list[Any] = []
    for token in state.tokens:
        block.append(token)
        if token.level == 0 and token.nesting <= 0:
            if any(_RIGHT_TO_LEFT.search(part.content) for part in block):
                _turn(block)
            block = []


def _turn(block: list[Any]) -> None:
    block[0].attrSet("dir", "auto")
    for token in block:
        if token.type in ("fence", "code_block"):
            token.attrSet("dir", "ltr")
