"""Text of any origin made fit for the board, a prompt or a log, pure.

A NUL or an invalid byte is a 500 of the board, a lone surrogate a 400 (openproject-api.md, section 0, 16); terminal
sequences and other control characters are nothing that people read. Format characters are worse: those of bidirectional
text show a line in another order than it has, and others hide a text within a text.
"""

from __future__ import annotations

from typing import Any, Final

from agent.texts.bounded import Every

_SEES: Final = "any text that is shown, written or sent"
_ESCAPES: Final = Every(
    "clean: a terminal sequence",
    r"(?:\x1b(?:\[[0-?]*+[ -/]*+[@-~]|\][^\x07\x1b\r\n]*+(?:\x07|\x1b\\)|[ -/]*+[0-~]))++",
    sees=_SEES,
)
_CONTROL: Final = tuple(map(chr, (*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0))))
_SURROGATES: Final = dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
_FORMAT: Final = (
    "\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Unicode's categories Cf, Zl and Zp; a test compares."""
_UNSEEN: Final = Every("clean: what is not seen", f"[{_FORMAT}]++", sees=_SEES)
INVISIBLE: Final = Every("clean: what JSON does not escape", f"[\x7f-\x9f{_FORMAT}]++", sees=_SEES, longest=64 << 20)
"""The same, and the control characters that JSON does not escape."""
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0").union(
    map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
"""What Unicode calls printable (letters, marks, symbols), and nobody sees."""
_BLANKS: Final = Every(
    "clean: blanks in a row", r"(?<![ \t])[ \t]{40,}+", sees="a change that a person must see", longest=64 << 20
)
_WIDTH: Final = 120
"""Characters of a line that people see without moving it: boards wrap no code."""
_GOES_ON: Final = "\N{RIGHTWARDS ARROW WITH HOOK} "
_PROMPT, _LONGEST_PROMPT = "a text for a prompt, which is cut before", 100_000
_SELECTORS: Final = "\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
_JOINED: Final = "#*0-9\u00a9\u00ae\u0600-\u1fff\u203c-\ud7ff\uf900-\ufdff\ufe20-\uffef\U00010000-\U0003ffff"
"""What a variation selector or a joiner changes the look of: signs of scripts that need them, ideographs, symbols."""
_NO_JOINERS: Final = _FORMAT.replace("\u200b-\u200f", "\u200b\u200e\u200f").replace(
    "\U000e0000-\U000e0fff", "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
"""`_FORMAT` without joiners and variation selectors."""
_NEVER_SEEN: Final = Every(
    "clean: what is not seen, whatever stands before it",
    f"[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0{_NO_JOINERS}]++",
    sees=_PROMPT,
    longest=_LONGEST_PROMPT,
)
_ALONE: Final = Every(
    "clean: a selector or joiner of nothing",
    rf"(?<![{_JOINED}])(?:[{_SELECTORS}]|(?<![{_JOINED}][{_SELECTORS}])[\u200c\u200d])[{_SELECTORS}\u200c\u200d]*+",
    sees=_PROMPT,
    longest=_LONGEST_PROMPT,
)
_LINE_ENDS: Final = str.maketrans(dict.fromkeys("\u2028\u2029", "\n"))
_ASCII, _BASIC, _BYTES = 0x80, 0xFFFF, range(0xDC80, 0xDD00)


def clean(text: str) -> str:
    r"""The text as it may be written anywhere.

    Terminal sequences and control characters except `\n` and `\t` go, line ends become `\n`, a lone surrogate becomes
    U+FFFD. Cleaning twice changes nothing more. What is beyond `bounded.TEXT` characters is left out.
    """
    text = _ESCAPES.replaced(text, "").replace("\r\n", "\n").replace("\r", "\n")
    for sign in _CONTROL:  # faster than an expression, whose price is the number of places
        text = text.replace(sign, "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.translate(_SURROGATES)
    return text


def visible(text: str) -> str:
    """The same without format characters and the line ends that only some programs know: what is left is what is seen."""
    return _UNSEEN.replaced(clean(text), "")


def readable(text: str) -> str:
    """A text of a prompt, cut to its length, for who reads signs: what scripts and emoji need stays, once behind a sign."""
    return _ALONE.replaced(_NEVER_SEEN.replaced(clean(text).translate(_LINE_ENDS), ""), "")


def spelt_out(raw: bytes) -> str:
    r"""Bytes as text in which everything is seen: for what a person must judge.

    All that is not printed as itself is `\r`, `\x1b` (a control character, or a byte that is no UTF-8), `\u2028` or `\U000e0041`;
    lines end where they ended, and nowhere else.
    """
    return "".join(
        sign if (sign.isprintable() and sign not in _BLANK) or sign in "\n\t" else _name(sign)
        for sign in raw.decode("utf-8", "surrogateescape")
    )


def in_sight(text: str) -> str:
    """Lines that nobody has to move to see their ends: what is longer goes on in the next one, and many blanks are counted."""
    counted = _BLANKS.replaced(text, lambda found: f"[{len(found[0])} blanks]")
    return "\n".join(
        f"\n{_GOES_ON}".join(line[at : at + _WIDTH] for at in range(0, max(len(line), 1), _WIDTH))
        for line in counted.split("\n")
    )


def _name(sign: str) -> str:
    code = ord(sign)
    if sign == "\r":
        return "\\r"
    if code < _ASCII or code in _BYTES:
        return f"\\x{code & 0xFF:02x}"
    return f"\\u{code:04x}" if code <= _BASIC else f"\\U{code:08x}"


def clean_all(value: Any) -> Any:
    """A JSON value in which every text is clean."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: clean_all(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [clean_all(one) for one in value]
    return value
