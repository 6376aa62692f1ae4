"""Model output as HTML in a notebook; what hostile output does is in `test_payloads.py`."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import jupyterlab
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygments.lexers import get_lexer_by_name

from smartrouter_serve.widgets.highlight import _LANGUAGES, PALETTE, STYLES
from smartrouter_serve.widgets.markdown import LONGEST, GrowingMarkdown, _parser, plain, to_html

COLOR = re.compile(r"--jp-mirror-editor-([\w-]+)-color")


def words(html: str) -> str:
    """What is read of a fragment."""
    return re.sub(r"<[^>]*>", "", html)


def test_what_answers_are_made_of_is_kept() -> None:
    """Code, lists, tables with alignment, emphasis and links."""
    html = to_html(
        "# T\n\n1. **b** `c`\n\n```\nx < 1\n```\n\n|a|b|\n|-|-:|\n|1|2|\n\n[l](https://x.example)"
    )
    for piece in (
        "<h1>T</h1>",
        "<strong>b</strong>",
        "<pre><code>x &lt; 1\n</code></pre>",
        '<td style="text-align:right">2</td>',
        'href="https://x.example"',
    ):
        assert piece in html


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[l](https://x.example/a)", "l (x.example)"),
        ("[x.example](https://x.example/)", "x.example"),
        ("[https://x.example/a](https://x.example/a)", "https://x.example/a"),
        ("<https://x.example/a>", "https://x.example/a"),
        ("[https://bank.example](https://evil.example)", "https://bank.example (evil.example)"),
        ("[x](https://bank.example@evil.example)", "x (evil.example)"),
        ("<https://аpple.example>", "https://аpple.example (xn--pple-43d.example)"),
        ("[me](mailto:a@x.example)", "me (a@x.example)"),
        ("<a@x.example>", "a@x.example"),
        ("[up](../secret)", "up"),
        ("![a cat & dog](https://x.example/c.png)", "a cat &amp; dog (x.example)"),
        ("![](https://x.example/c.png)", "image (x.example)"),
        ("[![i](https://x.example/i.png)](https://y.example)", "i (y.example)"),
    ],
)
def test_links_show_where_they_go(text: str, shown: str) -> None:
    """The host stands behind words that say something else, in ASCII; an image is a link."""
    html = to_html(text)
    assert words(html).strip() == shown
    assert "<img" not in html
    assert html.count("<a ") <= 1


@pytest.mark.parametrize(
    "formula",
    [
        "$x_1 * y_1 * z$",
        "$a\\_b$",
        "$$x_1 < y_2$$",
        r"\(a_b * c_d\)",
        r"\[\begin{pmatrix}1 & 2 \\ 3 & 4\end{pmatrix}\]",
        "$$\na\n=\n- b_1\n+ c_2\n# d\n$$",
        "\\[\na_1 = b_1 \\\\\n\\]",
        "\\begin{align}\na &= b_1 * c_1 \\\\\n\\end{align}",
        r"$\text{costs \$5}$",
    ],
)
def test_maths_reaches_mathjax_as_written(formula: str) -> None:
    """One run of text with its delimiters, in an element of its own: also in a list and a quote."""
    for text in (formula, f"Let {formula} be", f"> {formula}", f"- a\n- {formula}"):
        if "\n" in formula and text != formula:
            continue
        assert formula in re.findall(
            "<span>([^<]*)</span>", unescape(to_html(text)).replace("< ", "‹ ")
        ) or (f"<span>{formula}</span>" in unescape(to_html(text)))


@pytest.mark.parametrize(
    "text",
    [
        "costs $5 and $6",
        "US$5 or US$6",
        "($5) or ($6)",
        "$5-$6",
        "$HOME and $PATH",
        r"\$5 and \$6",
        "a $ b $ c",
        "$$",
        "$x",
        r"\\(a\\)",
        r"see \ref{x} and \begin{equation} x",
    ],
)
def test_what_is_no_maths_is_hidden_from_mathjax(text: str) -> None:
    """Money, shell variables and stray backslashes: no run of text holds two delimiters."""
    for html in (to_html(text), plain(text)):
        for run in re.split("<[^>]*>", html):
            assert run in ("$", "\\") or not re.search(r"[$\\]", run)
    assert words(plain(text)) == text


@pytest.mark.parametrize(
    "command", ["href{javascript:alert(1)}{x}", "class{a}{b}", "def\\x{y}", "bbox[a:b]{x}"]
)
def test_maths_that_acts_is_shown_as_its_source(command: str) -> None:
    """Commands that link, style, load or redefine are not typeset; those alike in name are."""
    for opener, closer in (("$", "$"), ("$$", "$$"), ("\\(", "\\)"), ("\\[", "\\]")):
        assert f"<code>{opener}\\{command}{closer}</code>" in to_html(
            f"{opener}\\{command}{closer}"
        )
    assert "<span>$\\newline \\left( \\deg \\hbar \\in\\mathbb{R}$</span>" in to_html(
        "$\\newline \\left( \\deg \\hbar \\in\\mathbb{R}$"
    )


def test_code_is_coloured_by_the_theme_and_keeps_every_character() -> None:
    """Keywords, names, strings and numbers differ; without a theme weight and slant still tell."""
    code = 'def f(x):  # why\n    """doc"""\n\n    return "<b>" + str(12)\n'
    html = to_html(f"```python\n{code}```")
    for piece in (
        f'<pre><code style="{PALETTE}">',
        '<b style="color:var(--k)">def',
        '<span style="color:var(--d)">f<',
        "<i># why",
        '<span style="color:var(--s)">"&lt;b&gt;"',
        '<span style="color:var(--b)">str<',
        '<span style="color:var(--n)">12<',
    ):
        assert piece in html
    assert unescape(words(html)) == code + "\n"
    assert len(to_html(f"```python\n{code * 20}```")) < 8 * len(code * 20)


def luminance(color: str) -> float:
    """The relative luminance of `#rgb` or `#rrggbb`, as WCAG defines it."""
    digits = color.lstrip("#")
    digits = "".join(d * 2 for d in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("theme", "background"), [("light", "#fff"), ("dark", "#111")])
def test_every_colour_can_be_read_in_both_themes(theme: str, background: str) -> None:
    """JupyterLab's own colours, as its themes define them: contrast 4.5 or more."""
    data = Path(jupyterlab.__file__).parent
    css = (data / f"themes/@jupyterlab/theme-{theme}-extension/index.css").read_text("utf-8")
    named = {"green": "#008000", "red": "#ff0000", "blue": "#0000ff"}
    names = COLOR.findall(PALETTE)
    assert len(names) == len(STYLES)
    for name in names:
        value = re.search(rf"--jp-mirror-editor-{name}-color:\s*([^;}}]+)", css)
        assert value is not None
        found = re.search(r"#[0-9a-f]{3,6}", named.get(value[1], value[1]))
        assert found is not None
        pair = sorted([luminance(found[0]), luminance(background)])
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (name, value[1])


@pytest.mark.parametrize(
    "language", ["", "nosuch", "brainfuck", '"><script>', "../../etc", "py\u0000thon x"]
)
def test_unknown_languages_are_plain_code(language: str) -> None:
    """A name that nobody writes answers in picks no lexer."""
    assert "style" not in to_html(f"```{language}\nif x: 1\n```") or language.startswith("py")


def test_every_language_has_a_lexer() -> None:
    """The short list holds names that Pygments knows."""
    assert all(get_lexer_by_name(language) for language in _LANGUAGES)


def test_right_to_left_text_reads_from_the_right() -> None:
    """Its block finds its own direction, code in it stays as it is, and other text has none."""
    html = to_html(
        "- مرحبا\n\n      x = 1\n\nEnglish\n\n# שלום\n\n|عربي|\n|-|\n|x|\n\n> \u202eאב\u202c"
    )
    assert '<ul dir="auto">' in html
    assert '<pre dir="ltr"><code>x = 1' in html
    assert "<p>English</p>" in html
    assert '<h1 dir="auto">' in html
    assert '<table dir="auto">' in html
    assert '<blockquote dir="auto">' in html
    assert "\u202e" not in html


def test_the_tags_that_models_write_for_want_of_markdown() -> None:
    """A line break in a table, a subscript and a superscript."""
    html = to_html("|a|\n|-|\n|H<sub>2</sub>O<br>x<sup>2</sup>|")
    assert "H<sub>2</sub>O<br>\nx<sup>2</sup>" in html


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("**bo", "<p><strong>bo</strong></p>"),
        ("a **b *c", "<p>a <strong>b <em>c</em></strong></p>"),
        ("a **b*", "<p>a <strong>b</strong></p>"),
        ("a **", "<p>a </p>"),
        ("2 * 3 and a_b", "<p>2 * 3 and a_b</p>"),
        ("~~x", "<p><s>x</s></p>"),
        ("`x", "<p><code>x</code></p>"),
        ("[te", "<p>te</p>"),
        ("[text](htt", "<p>text</p>"),
        ("![alt](https://x", "<p>alt</p>"),
        ("$x_1 + y_", "<p><span>$x_1 + y$</span></p>"),
        (r"\(x_1 + y_1", r"<p><span>\(x_1 + y_1\)</span></p>"),
        ("costs $5", "<p>costs <span>$</span>5</p>"),
        ("a\n--", "<p>a</p>"),
        ("- a\n-", "<ul>\n<li>a</li>\n</ul>"),
        ("1. a\n2.", "<ol>\n<li>a</li>\n</ol>"),
        ("```py\nx = 1\n``", "<pre><code>x = 1\n</code></pre>"),
        ("~~~\nx\n\ny", "<pre><code>x\n\ny</code></pre>"),
        ("|a|b", "<table>\n<thead>\n<tr>\n<th>a</th>\n<th>b</th>\n</tr>\n</thead>\n</table>"),
        ("|a|b|\n|-", "<table>\n<thead>\n<tr>\n<th>a</th>\n<th>b</th>\n</tr>\n</thead>\n</table>"),
    ],
)
def test_what_is_open_looks_finished(text: str, shown: str) -> None:
    """Half emphasis, code, links, maths, fences, lists and tables are drawn as they will be."""
    assert GrowingMarkdown().render(text).strip() == shown


SAMPLE = """## A heading

A paragraph with **bold *and* words**, `code`, a [link](https://x.example/a_b) and $x_1 * y_1$.

1. one
2. two **bold**
   - nested `code`

```python
def f():

    return 1
```

| a | b |
|---|--:|
| 1 | **2** |

~~~
x

y
~~~

> quoted ![image](https://x.example/i.png)

- loose

- list

$$
x_1
$$
"""


def test_no_marker_flashes_up_while_an_answer_grows() -> None:
    """At no moment is a fence, a rule of a table, emphasis or a link seen as its source."""
    growing = GrowingMarkdown()
    for cut in range(len(SAMPLE) + 1):
        html = growing.render(SAMPLE[:cut])
        drawn = words(re.sub(r"<span>\$.*?\$</span>", "", html, flags=re.DOTALL))
        for marker in ("**", "`", "~", "](", "|", "#", "![", "--", "$$"):
            assert marker not in drawn, (SAMPLE[:cut][-40:], drawn[-60:])


def test_what_is_drawn_only_grows() -> None:
    """Words that stood there stay while the next come, but for what a link or a marker takes."""
    growing, before = GrowingMarkdown(), ""
    for cut in range(len(SAMPLE) + 1):
        drawn = re.sub(r"[\s()$]+|x\.example", "", words(growing.render(SAMPLE[:cut])))
        stood = max(len(before) - 4, 0)
        assert drawn[:stood] == before[:stood]
        before = drawn


BLOCKS = [
    "A paragraph with **bold *and* `code`** and a [link](https://x.example).",
    "two lines\nof text",
    "code:\n```py\nx = 1\n```\nand more",
    "- a\n```\nx\n```",
    "$$\n```\n$$\n```",
    "# Heading",
    "Heading\n---",
    "```py\nx = 1\n\ny = 2\n```",
    "~~~\nx\n\n```\n\ny\n~~~",
    "- one\n- two",
    "- one\n\n- two\n\n  more\n\n      code",
    "1. one\n\n2. two",
    "1. one\n\n   ```\n   x\n\n   y\n   ```\n\n2. two",
    "|a|b|\n|-|-|\n|1|2|",
    "> quoted\n\n> again",
    "> - a\n>\n> - b",
    "---",
    "    indented\n\n    code",
    "$$\nx_1\n$$",
    "$$\nnever closed",
    "costs $5 and $x_1$",
    "[a]: https://x.example",
    "see [a] and [b][a]",
    "unclosed **bold and `code",
    "```\nnever closed",
    "مرحبا",
    "\x1b[31mred\x1b[0m",
]
TEXT = st.lists(
    st.tuples(st.sampled_from(BLOCKS), st.sampled_from(["\n", "\n\n", "\n\n\n"])), max_size=8
)


@settings(max_examples=300, deadline=None)
@given(TEXT, st.lists(st.integers(0, 400), max_size=12))
def test_however_a_text_arrives_its_end_is_that_of_the_whole(
    blocks: list[tuple[str, str]], cuts: list[int]
) -> None:
    """Drawn at any moments in between, the final drawing equals `to_html`."""
    text = "".join(block + gap for block, gap in blocks)
    growing = GrowingMarkdown()
    for cut in sorted(cuts):
        growing.render(text[:cut])
    assert growing.render(text, final=True) == to_html(text)


@settings(max_examples=60, deadline=None)
@given(TEXT)
def test_drawn_at_every_character_the_end_is_that_of_the_whole(
    blocks: list[tuple[str, str]],
) -> None:
    """The hardest split of all."""
    text = "".join(block + gap for block, gap in blocks)
    growing = GrowingMarkdown()
    for cut in range(len(text)):
        growing.render(text[:cut])
    assert growing.render(text, final=True) == to_html(text)


@given(st.text(alphabet='ab1 \n`~*_$\\\\()[]|-:>#"!<'))
@settings(max_examples=300, deadline=None)
def test_any_markup_ends_as_the_whole(text: str) -> None:
    """Random markup, too."""
    growing = GrowingMarkdown()
    for cut in range(len(text)):
        growing.render(text[:cut])
    assert growing.render(text, final=True) == to_html(text)


def test_another_text_begins_anew() -> None:
    """A text that does not continue the one before is drawn from its own beginning."""
    growing = GrowingMarkdown()
    growing.render("one\n\ntwo\n\nthree")
    assert growing.render("else\n\nx", final=True) == to_html("else\n\nx")


def test_a_finished_block_is_kept_and_an_open_one_is_not_cut() -> None:
    """A loose list and a tilde fence with blank lines are one block until something follows."""
    for block in ("- a\n\n- b\n\n- c", "~~~\na\n\nb\n\nc"):
        growing = GrowingMarkdown()
        drawn = [growing.render(block[:cut]) for cut in range(len(block) + 1)][-1]
        assert drawn.count("<ul>") + drawn.count("<pre>") == 1
        assert not growing._html
    growing = GrowingMarkdown()
    growing.render("one\n\ntwo\n\nthr")
    assert growing._html == "<p>one</p>\n"
    growing.render("one\n\ntwo\n\nthree\n")
    assert growing._html == "<p>one</p>\n<p>two</p>\n"


@pytest.mark.parametrize(
    "block",
    ["A paragraph with **bold** words and `code`.\n\n- one\n- two\n\n", "x " * 40, "- item\n"],
)
def test_an_update_costs_what_is_open_and_not_the_length(
    block: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over 100 updates to 80 kB each reads at most the open block, which is bounded."""
    text = (block * 4_000)[:80_000]
    read: list[int] = []
    parse = _parser().parse
    monkeypatch.setattr(
        _parser(), "parse", lambda source, env: read.append(len(source)) or parse(source, env)
    )
    growing = GrowingMarkdown()
    for cut in range(0, len(text), 800):
        growing.render(text[:cut])
    assert sum(read) < 100 * 16_000
    if "\n\n" in block:
        assert sum(read) < 100 * 1_800


HUGE = {
    "a megabyte": "Some **words** of it.\n\n" * 45_000,
    "a megabyte in a line": "x" * 1_000_000,
    "a megabyte of code": "```py\n" + "x = f(1)\n" * 110_000,
    "a megabyte of a list": "- a b c d\n" * 100_000,
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
def test_a_huge_answer_is_shown_by_its_beginning_and_its_end(text: str) -> None:
    """The page stays light, says how much it leaves out and where that is; growing, too."""
    text += "\n~~~\n\nthe end" if "```" not in text else "\nthe end"
    growing = GrowingMarkdown()
    for drawn in (
        to_html(text),
        *(growing.render(text[:cut]) for cut in range(100_000, len(text), 300_000)),
    ):
        assert len(drawn) < 4 * LONGEST
        found = re.search(r"([\d,]+) characters are left out here; <code>reply.text", drawn)
        assert found or len(drawn) > LONGEST
    assert "the end" in growing.render(text)
    assert growing.render(text, final=True) == to_html(text)
    assert "the end" in to_html(text)


def test_a_huge_fence_is_code_to_its_end() -> None:
    """What is shown of a fence's end is still code, and what stands behind it is not."""
    text = "```py\n" + "x = f(1)\n" * 20_000 + "```\n\nafter **all**"
    for html in (to_html(text), GrowingMarkdown().render(text)):
        assert html.count("<pre>") == html.count("</pre>") >= 1
        assert "<strong>all</strong>" in html


def test_two_thousand_rows_are_shown_as_five_hundred() -> None:
    """The first and the last, and a row that says how many are left out."""
    rows = "".join(f"|{n}|x|\n" for n in range(2_000))
    html = to_html(f"|n|x|\n|-|-|\n{rows}")
    assert html.count("<tr>") == 1 + 500 + 1
    assert "1,500 rows are left out" in html
    assert "<td>399</td>" in html
    assert "<td>400</td>" not in html
    assert "<td>1999</td>" in html


@pytest.mark.parametrize(
    "text",
    [
        "> " * 10_000 + "x",
        "- " * 10_000 + "x",
        "".join(" " * 2 * n + "- a\n" for n in range(200)),
        "*a " * 10_000,
        "[" * 50_000,
        "![" * 25_000,
        "\\(" * 25_000,
        "$" * 50_000,
        "\\begin{a}\n" * 5_000,
        "`" * 50_000,
        "<" * 50_000,
        "|" * 50_000,
        "\ud83d" * 50_000,
        "\0" * 50_000,
    ],
)
def test_odd_answers_are_drawn_and_lose_nothing(text: str) -> None:
    """No recursion error, nothing that never ends, and every letter can still be read."""
    html = to_html(text)
    GrowingMarkdown().render(text)
    assert words(html).count("x") >= text.count("x")
    assert words(html).count("a") >= text.count("a")


def test_only_so_many_formulas_are_typeset() -> None:
    """MathJax takes milliseconds for each; the rest is shown as it was written."""
    html = to_html("$x$ " * 3_000)
    assert html.count("<span>$x$</span>") == 1_000
    assert html.count("<code>$x$</code>") == 2_000
