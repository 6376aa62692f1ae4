"""Text of a model made safe for a terminal.

Nothing a model writes may move the cursor, set the title or the clipboard, or turn the reading
direction: the result holds no control character but tab and newline.
"""

from __future__ import annotations

import re

_SEQUENCE = re.compile(
    r"""
    (?P<string>\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])        # OSC, DCS, SOS, PM, APC …
        [^\x07\x18\x1a\x1b\x9c]*
        (?:\x07|\x9c|\x1b\\|(?P<open_string>\x1b?\Z))?  # … up to BEL or ST
    | (?P<csi>\x1b\[|\x9b)[0-?]*[ -/]*(?:[@-~]|(?P<open_csi>\Z))?
    | (?P<escape>\x1b)[ -/]*(?:[0-~]|(?P<open_escape>\Z))?
    | [\x00-\x08\x0b-\x1f\x7f-\x9f]                     # C0, DEL and C1
    | [\u202a-\u202e\u2066-\u2069]                      # bidirectional controls
    """,
    re.VERBOSE,
)
_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which JSON can carry and no output can encode."""

_TYPED = re.compile(r"[\w.:/@+=~-]+")
_BREAK = re.compile("[\t\n\u2028\u2029]+")


class Cleaner:
    """Cleans a text that arrives in pieces: the results join to `clean` of the whole."""

    def __init__(self) -> None:
        self._open = ""

    def feed(self, piece: str) -> str:
        """The clean part of `piece`; a sequence that may still go on is kept back."""
        text, self._open = self._open + piece, ""
        return _SURROGATE.sub("\ufffd", _SEQUENCE.sub(self._drop, text))

    def _drop(self, match: re.Match[str]) -> str:
        """Remember an unfinished sequence by its introducer and its last character.

        What stands between them does not change how it goes on, and may be long.
        """
        for kind in ("string", "csi", "escape"):
            if match[kind] and match[f"open_{kind}"] is not None:
                introducer, whole = match[kind], match[0]
                self._open = introducer + (whole[-1] if len(whole) > len(introducer) else "")
        return ""


def clean(text: str) -> str:
    """Strip escape sequences, control characters but tab and newline, and bidi controls."""
    return Cleaner().feed(text)


def one_line(text: str) -> str:
    """`clean` text that cannot begin a line of its own, as in a table or an error."""
    return _BREAK.sub(" ", clean(text))


def can_be_typed(name: str) -> bool:
    """Whether completion may put a name that a provider listed on a line: it is one plain word."""
    return _TYPED.fullmatch(name) is not None
