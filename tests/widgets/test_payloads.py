"""Hostile words through every renderer, whole and cut at every point, read as a browser reads them.

`payloads.json` holds payloads in the manner of the public cheat sheets: for Markdown and HTML, for
MathJax, for terminals.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import html5lib
import pytest

from smartrouter_serve.calls import (
    Decided,
    Event,
    Failed,
    Finished,
    ReasoningDelta,
    Switched,
    TextDelta,
    Waiting,
)
from smartrouter_serve.errors import Problem, ProviderError
from smartrouter_serve.magics.failure import CellError, readable
from smartrouter_serve.types import (
    Battle,
    Candidate,
    Contestant,
    Decision,
    Reply,
    ToolCall,
    Usage,
)
from smartrouter_serve.widgets.battle import BattleView
from smartrouter_serve.widgets.bundle import Bundle, folded, heading, line, table
from smartrouter_serve.widgets.highlight import PALETTE, STYLES
from smartrouter_serve.widgets.markdown import GrowingMarkdown, plain, to_html
from smartrouter_serve.widgets.reply import ReplyView
from smartrouter_serve.widgets.tables import decision_table
from smartrouter_serve.widgets.terminal import Cleaner, clean, one_line

CORPUS = json.loads(Path(__file__).with_name("payloads.json").read_text("utf-8"))
PAGE = CORPUS["markdown"] + CORPUS["maths"]
TERMINAL = CORPUS["terminal"]

HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
MARKDOWN_TAGS = HEADINGS | {
    *("p", "br", "hr", "strong", "em", "s", "del", "blockquote", "ul", "ol", "li", "pre", "code"),
    *("b", "i", "span", "table", "thead", "tbody", "tr", "th", "td", "a", "sup", "sub"),
}
VIEW_TAGS = MARKDOWN_TAGS | {"div", "details", "summary"}
BLOCKS = HEADINGS | {"p", "ul", "ol", "blockquote", "table"}
ALIGNED = {f"text-align:{side}" for side in ("left", "right", "center")}
FETCHES = re.compile(r"url\(|@import|expression|behavior|src\s*=|image-set", re.IGNORECASE)
TYPESET = re.compile(
    r"\$\$.+?\$\$|\$.+?\$|\\\(.+?\\\)|\\\[.+?\\\]|\\begin\{([^}]*)\}.*?\\end\{\1\}|\\(?:eq)?ref\s*\{",
    re.DOTALL,
)
ACTS = re.compile(
    r"\\(href|url|class|style|cssId|html\w*|data|require|unicode|bbox|mmlToken|def|let|csname"
    r"|(re)?new(command|environment)|Declare\w+|New\w+|texttip|toggle|ref|eqref)(?![A-Za-z])"
)
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@lru_cache(maxsize=4096)
def faults(html: str, *, view: bool = False) -> list[str]:
    """What of a fragment could run, load, restyle, submit or mislead, in a browser's own tree."""
    return list(_faults(html, VIEW_TAGS if view else MARKDOWN_TAGS, view=view))


def _faults(html: str, tags: set[str], *, view: bool) -> Iterator[str]:
    if CONTROLS.search(html):
        yield "a control character"
    for element in html5lib.parseFragment(html, namespaceHTMLElements=False).iter():
        if element.tag == "DOCUMENT_FRAGMENT":
            continue
        if element.tag not in tags:
            yield f"tag {element.tag}"
        for name, value in element.attrib.items():
            yield from _attribute(str(element.tag), name, value, view=view)
        yield from _maths(element)


def _attribute(tag: str, name: str, value: str, *, view: bool) -> Iterator[str]:
    harmless = {
        ("a", "href"): bool(re.match(r"https?://[\w\[]|mailto:.", value)),
        ("a", "rel"): value == "noopener noreferrer",
        ("a", "title"): True,
        ("ol", "start"): value.isdigit(),
        ("td", "colspan"): value.isdigit(),
        ("span", "style"): value in STYLES,
        ("b", "style"): value in STYLES,
        ("code", "style"): value == PALETTE,
        ("pre", "dir"): value == "ltr",
    }
    aligned = tag in ("th", "td") and name == "style" and value in ALIGNED
    directed = tag in BLOCKS and name == "dir" and value == "auto"
    # What our own views add around the words.
    ours = view and (name in ("style", "class", "title", "role", "tabindex") or name[:5] == "aria-")
    ours = ours and (name != "style" or not FETCHES.search(value))
    if not (harmless.get((tag, name)) or aligned or directed or ours):
        yield f"{name}={value!r} on {tag}"


def _maths(element: object) -> Iterator[str]:
    """MathJax looks at each run of text outside of code, and so does this."""
    tag, text = element.tag, element.text  # type: ignore[attr-defined]
    runs = [] if tag in ("code", "pre") else [text or ""]
    runs += [child.tail or "" for child in element] if tag not in ("code", "pre") else []  # type: ignore[attr-defined]
    for run in runs:
        for found in TYPESET.finditer(run):
            if ACTS.search(found[0]):
                yield f"maths {found[0]!r}"


def test_the_corpus_is_large() -> None:
    """Hundreds of payloads, none twice."""
    assert len(set(PAGE)) == len(PAGE) >= 250
    assert len(set(TERMINAL)) == len(TERMINAL) >= 90


@pytest.mark.parametrize("payload", PAGE + TERMINAL)
def test_nothing_runs_or_loads_whole_or_streamed(payload: str) -> None:
    """In an answer and on its own; and the last drawing of a stream is that of the whole."""
    assert not faults(to_html(payload))
    text = f"b\n\n{payload}\n\nc **d**"
    growing = GrowingMarkdown()
    for end in range(len(text) + 1):
        assert not faults(growing.render(text[:end]))
    assert growing.render(text, final=True) == to_html(text)


@pytest.mark.parametrize("payload", PAGE)
def test_every_split_in_two_ends_as_the_whole(payload: str) -> None:
    """However an answer arrives in two pieces, its end looks the same and is as harmless."""
    text = f"{payload}\n\nc"
    whole = to_html(text)
    for end in range(len(text)):
        growing = GrowingMarkdown()
        growing.render(text[:end])
        assert growing.render(text, final=True) == whole


@pytest.mark.parametrize("payload", PAGE + TERMINAL)
def test_links_say_where_they_go(payload: str) -> None:
    """The host of every link can be read, in ASCII, in the link's words or right behind them."""
    tree = html5lib.parseFragment(to_html(payload), namespaceHTMLElements=False)
    for parent in tree.iter():
        for child in parent:
            if child.tag == "a" and "href" in child.attrib:
                parts = urlsplit(child.attrib["href"])
                host = parts.hostname or parts.path
                shown = "".join(child.itertext()) + (child.tail or "")
                assert host.encode("idna").decode() in shown


@pytest.mark.parametrize("payload", TERMINAL + PAGE)
def test_no_control_sequence_reaches_a_terminal(payload: str) -> None:
    """Whole, a character at a time, and split in two everywhere."""
    whole = clean(payload)
    assert not CONTROLS.search(whole)
    cleaner = Cleaner()
    assert "".join(map(cleaner.feed, payload)) == whole
    for end in range(len(payload)):
        cleaner = Cleaner()
        assert cleaner.feed(payload[:end]) + cleaner.feed(payload[end:]) == whole
    assert not re.search(r"[\t\n\u2028\u2029]", one_line(payload))


def decision(evil: str) -> Decision:
    """A decision in whose every word something hostile stands."""
    return Decision(
        model=evil,
        reason=evil,
        intent=evil,
        bar=0.7,
        candidates=(
            Candidate(model=evil, quality=0.8, cost_nanos=1, latency=1.0, verdict=evil),
            Candidate(model=f"x{evil}", quality=0.9, excluded=evil, verdict=evil),
        ),
    )


def reply(evil: str) -> Reply:
    """A reply in whose every word something hostile stands."""
    return Reply(
        id="abcdefgh",
        text=evil,
        reasoning=evil,
        model=evil,
        usage=Usage(input_tokens=1, output_tokens=1),
        cost_nanos=1,
        decision=decision(evil),
        baseline=evil,
        baseline_nanos=2,
        latency=1.0,
        first_token=0.1,
        switched_from=(evil,),
        notes=(evil,),
        tool_calls=(ToolCall(id="1", name=evil, arguments=evil),),
    )


def events(evil: str) -> Iterator[Event]:
    """A call that says the same hostile thing wherever something can be said."""
    yield Decided(decision=decision(evil))
    yield Waiting(reason=evil)
    yield ReasoningDelta(text=evil)
    yield TextDelta(text=evil)
    yield Switched(from_model=evil, to_model=evil, reason=evil)
    yield TextDelta(text=evil)
    yield Finished(result=reply(evil))


def check(bundle: Bundle) -> None:
    """Neither form of an output does anything."""
    assert not faults(bundle.html, view=True)
    assert not CONTROLS.search(bundle.text)


@pytest.mark.parametrize("payload", PAGE + TERMINAL)
def test_a_reply_is_harmless_in_every_state(payload: str) -> None:
    """Names, states, thinking, text, tools, notes and switches, in every format."""
    for shape in ("md", "text", "code", "json"):
        view = ReplyView(format=shape)
        for event in events(payload):
            view.apply(event)
            check(view.draw())
    check(decision_table(decision(payload)))


@pytest.mark.parametrize("payload", PAGE + TERMINAL)
def test_a_battle_is_harmless_in_every_state(payload: str) -> None:
    """Labels, columns, failures and the verdict."""
    view = BattleView()
    for event in events(payload):
        view.apply(replace(event, lane=payload))
        check(view.draw())
    view.apply(Failed(lane="other", problem=Problem(kind="AuthError", message=payload)))
    view.apply(TextDelta(text=payload))
    check(view.draw())
    check(view.prices())
    battle = Battle(
        id="k3j9x2ab",
        prompt=payload,
        contestants=(
            Contestant(label=payload, model=payload, reply=reply(payload)),
            Contestant(label="other", model="other", error=payload),
        ),
        verdict=payload,
        reply=reply(payload),
        cost_nanos=1,
    )
    view.apply(Finished(result=battle))
    check(view.draw())


@pytest.mark.parametrize("payload", PAGE + TERMINAL)
def test_words_in_lines_tables_and_errors_are_harmless(payload: str) -> None:
    """The pieces that all other outputs are made of."""
    for bundle in (
        line(payload, title=payload),
        heading(payload),
        folded(payload, line(payload)),
        table([payload], [[payload]]),
    ):
        check(bundle)
    assert not faults(plain(payload))
    with pytest.raises(CellError) as caught, readable():
        raise ProviderError(payload, payload)
    shown = "\n".join(caught.value._render_traceback_()) + str(caught.value)
    assert not CONTROLS.search(shown)
