"""Links show where they go, and images are links: fetching one would tell who reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

SCHEMES = {"http", "https", "mailto"}
_HOST = re.compile(r"[a-z0-9_.:-]+")


def show_targets(state: Any) -> None:
    """Rewrite the links and images of every paragraph; a rule of the parser's core."""
    for token in state.tokens:
        if any(child.type in ("link_open", "image") for child in token.children or ()):
            token.children = list(_shown(token.children))


def target(href: str) -> str | None:
    """Where an address leads: a host in ASCII, so that look-alike letters show, or a mailbox.

    None for what must be no link.
    """
    try:
        parts = urlsplit(href)
        host = parts.hostname or ""
        if parts.scheme == "mailto":
            return parts.path or None
        if parts.scheme not in SCHEMES:
            return None
        host = host.encode("idna").decode("ascii").lower()
    except ValueError:
        return None
    return host if _HOST.fullmatch(host) else None


def _says(text: str, href: str, where: str) -> bool:
    """Whether a link's words are its address."""
    if "@" in href and not href.startswith("mailto:"):
        return False
    bare = href.partition("://")[2] or href.removeprefix("mailto:")
    return text.strip().rstrip("/") in {part.rstrip("/") for part in (href, bare, where)}


def _shown(children: Sequence[Any]) -> Iterator[Any]:
    href, words = "", ""
    where: str | None = None
    inside = False
    for child in children:
        if child.type == "link_open":
            href, words, inside = str(child.attrs["href"]), "", True
            where = target(href)
            if where is not None:
                yield child
        elif child.type == "link_close":
            inside = False
            if where is not None:
                yield child
                if not _says(words, href, where):
                    yield _text(f" ({where})")
        elif child.type == "image":
            label = child.content.strip() or "image"
            words += label
            yield from [_text(label)] if inside else _linked(label, str(child.attrs["src"]))
        else:
            words += child.content
            yield child


def _linked(label: str, href: str) -> Iterator[Any]:
    from markdown_it.token import Token

    where = target(href)
    if where is None:
        yield _text(label)
        return
    yield Token("link_open", "a", 1, attrs={"href": href})
    yield _text(label)
    yield Token("link_close", "a", -1)
    if not _says(label, href, where):
        yield _text(f" ({where})")


def _text(content: str) -> Any:
    from markdown_it.token import Token

    return Token("text", "", 0, content=content)
