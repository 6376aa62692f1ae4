"""Tab in a real kernel."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartrouter_serve.magics.complete import open_expression


@pytest.mark.parametrize(
    ("code", "offered"),
    [
        ("%%route ", {"--policy": "POLICY", "--budget": "USD", "--dry-run": "switch"}),
        ("%%route --max-l", {"--max-latency": "SECONDS"}),
        ("%%route -m lab/sm", {"lab/small": "$1 in, $2 out"}),
        ("%%route -m local/smol", {"local/smollm2-135m": "free"}),
        ("%%route -m denied/o", {"denied/one": "price unknown"}),
        ("%%arena -m lab/small,lab/l", {"lab/large": "$10 in, $20 out"}),
        ("%%route --session --pol", {"--policy": "POLICY"}),
        ("%%arena -g hy", {"hybrid": "8 models"}),
        ("%%route --policy=ch", {"cheap": "value"}),
        ("%%route --think ", {"off": "value", "low": "value", "high": "value"}),
        ("%costs --by no", {"notebook": "value"}),
        ("%%time\n%%route --pol", {"--policy": "POLICY"}),
        ("x = 1\n%costs --by pr", {"provider": "value", "project": "value"}),
        ("%%route -m lab/small@te", {"temperature=": "0 to 2"}),
        ("%%route -m lab/small@temperature=0,ma", {"max_tokens=": "tokens"}),
        ("%%route -m lab/small@think=", {"off": "value", "low": "value", "high": "value"}),
        ("%%arena -m lab/small@te", {"temperature=": "0 to 2"}),
        ("%smartrouter vo", {"vote": "word"}),
    ],
)
def test_options_values_and_names_with_what_they_are(book, code, offered):
    """Beside a model stands its price a million tokens, beside an option its unit."""
    found = book.offered(code)
    assert offered.items() <= found.items()
    typed = code.split()[-1].split(",")[-1].split("@")[-1].split("=")[-1]
    if not code.endswith(" "):
        assert all(text.startswith(typed) for text in found)


@pytest.mark.parametrize(
    "code",
    [
        "%%route --policy cheap --pol",  # once is enough
        "%route why is --pol",  # the prompt has begun
        '%%route --system "say --pol',  # inside a quotation
        "%%route\n--pol",  # the prompt
        "%%route --policyx",
        "print('%%route --pol",
    ],
)
def test_nothing_is_offered_where_no_option_can_stand(book, code):
    """The prompt is prose, and an option stands once."""
    assert "--policy" not in book.complete(code)


@pytest.mark.parametrize(
    ("code", "offered"),
    [
        ("%%route\nDon't stop at {pri", "prices"),
        ("%%route\nSum {{a}} and {prices.va", ".values"),
        ("%%route\nfirst line\n\n{prices['t", "tea"),
        ("%%arena -g local\n{len(pri", "prices"),
        ("%%time\n%%route\n{pri", "prices"),
        ("%route Sum {pri", "prices"),
        ("%%route\n{prices.keys()} and {prices.it", ".items"),
        ("%%route\n{[row for row in pri", "prices"),
    ],
)
def test_python_completes_inside_braces(book, code, offered):
    """Names, attributes and keys, by the shell's own completer; no magic and no file is among them."""
    book.run("prices = {'tea': 3, 'cake': 4}")
    found = book.offered(code)
    assert offered in found
    assert not {"magic", "path"} & set(found.values())


@pytest.mark.parametrize("code", ["%%route\n{{pric", "%%route\n{prices} pric"])
def test_outside_of_braces_the_prompt_is_left_alone(book, code):
    """What the shell offers there is its own affair."""
    book.run("prices = {'tea': 3}")
    assert "variable" not in book.offered(code).values()


def test_sessions_of_this_kernel(book):
    """Names of conversations with their length; none before there is one."""
    book.run("%%route --no-cache -m lab/small --session tea-party\nHello")
    assert book.offered("%%route --session tea")["tea-party"] == "2 turns"


def test_votes_name_battles_and_contestants(book):
    """The last battle's contestants, ids of those kept; a blind one does not tell its names."""
    book.run("%%arena --no-cache -m lab/small,lab/large -o first\nHello Tab")
    ident = book.value("first.id").strip("'")
    found = book.offered("%smartrouter vote ")
    assert {"1": "lab/small", "2": "lab/large", "tie": "vote", "none": "vote"}.items() <= (
        found.items()
    )
    assert found[ident] == "Hello Tab"
    book.run("%%arena --no-cache --blind -m lab/small,lab/large\nHello blind Tab")
    assert book.offered("%smartrouter vote ")["1"] == "hidden"
    assert book.offered(f"%smartrouter vote {ident} ")["2"] == "lab/large"
    assert "tie" not in book.offered(f"%smartrouter vote {ident} 1 ")


def test_tab_builds_no_router(book):
    """In a kernel that has not routed yet, every kind of Tab leaves the session empty."""
    loaded = book.run("%reload_ext smartrouter_serve")
    assert loaded.status == "ok", loaded.block
    live = "get_ipython().magics_manager.registry['SmartRouterMagics'].session.live"
    assert book.value(f"{live} is None") == "True"
    for code in ("%%route -m lab/", "%%route --session ", "%smartrouter vote ", "%%arena -g "):
        book.complete(code)
    assert book.value(f"{live} is None") == "True"


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("{df.he", "df.he"),
        ("{", ""),
        ("{{", None),
        ("{{{x", "x"),
        ("{a} {b", "b"),
        ("{a} b", None),
        ("{d[{1: 2}[1]].", "d[{1: 2}[1]]."),
        ("}", None),
        ("{a}}", None),
    ],
)
def test_the_open_brace(text, inside):
    """The innermost one that is open; doubled ones are braces."""
    assert open_expression(text) == inside


@given(before=st.text("ab {}\n"), expression=st.text("xy.()[]'"))
def test_what_follows_a_single_brace_is_inside(before, expression):
    """Whatever stands before, as long as no brace stands right at it."""
    assert open_expression(f"{before} {{{expression}") == expression
