"""JSON documents of a mebibyte that are the dearest of their kind: numbers, texts, escapes, depths, keys."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final

MEBIBYTE: Final = 1 << 20
NUMBERS: Final = (
    "1", "-0", "0.1", "1e9", "1e22", "1e23", "1e100", "1e300", "1e308", "-1E308", "9e307", "1e-300", "5e-324", "1e+308",
    "1e-05", "9007199254740993.5", "4052918392241269.75", "1.7976931348623157e308", "2.2250738585072011e-308",
    "18446744073709551616", "1" * 15, "1" * 16, "1" * 25, "1" * 300, "1" * 4_000, "1" * 309 + ".5", "0." + "1" * 700 + "e-5",
    "2.2250738585072011360574097967091319759348195463516456480234261097248222220210769455165295239081350879141491e-308",
    "0." + "0" * 300 + "1", "1" * 5_000, "0." + "1" * 5_000,
)  # fmt: skip
"""Those of six bytes near the end of the range take msgspec 10 µs each; what it gets from Python goes by the square of its digits."""
LISTED: Final = (
    '""', '"a"', '"é"', '"1"', '"e11"', "true", "null", "[]", "{}", "[0]", '{"a":1}', "[" * 8 + "]" * 8,
    "[" * 500 + "]" * 500, '{"a":' * 8 + "1" + "}" * 8, '{"a":' * 500 + "1" + "}" * 500, "[" * 5_000, "1 ", "\n", '"\\u0041"',
)  # fmt: skip
"""What a list may hold."""
WRITTEN: Final = (
    "a", "é", "😀", "\\n", "a\\n", "\\\\", '\\"', "\\u0041", "\\u2041", "\\ud83d\\ude00", "\\ud800", "[{,", "e11", "1" * 16, "e11,[", '\\\\\\"',
)  # fmt: skip
"""What a text may hold."""


def _list(one: str, size: int) -> str:
    return "[" + f"{one}," * ((size - 3) // (len(one.encode()) + 1)) + "0]"


def _table(keys: str, size: int) -> str:
    pairs, length, number = [], 8, 0
    while length < size:
        pairs.append(f'"{keys % number if "%" in keys else keys}":1,')
        length += len(pairs[-1])
        number += 1
    return "{" + "".join(pairs) + '"z":0}'


@functools.cache
def documents(size: int = MEBIBYTE) -> Mapping[str, bytes]:
    """Each by what it is full of, of about this many bytes."""
    found = {f"numbers {one[:30]} of {len(one)}": _list(one, size) for one in NUMBERS}
    found |= {f"a list of {one[:20]}": _list(one, size) for one in LISTED}
    found |= {f"a text of {one[:20]}": f'["{one * ((size - 4) // len(one.encode()))}"]' for one in WRITTEN}
    found |= {
        f"numbers {one} behind a text like them": f'["{"e11" * 2_000}",{_list(one, size - 6_100)}]'
        for one in ("1e9", '"1"')
    }
    found |= {f"keys {keys[:20]}": _table(keys, size) for keys in ("", "a", "%x", "%x" + "a" * 60, "\\u0041", "%d")}
    found["keys of large numbers"] = _table("%x", size).replace(":1,", ":1e308,")
    found |= {
        "nothing": "[" + " " * (size - 2) + "]",
        "no end": '["' + "a" * size,
        "depth": "[" * size,
        "keys down": '{"a":' * (size // 5),
    }
    found |= {
        "no JSON": '"1"1' * (size // 4),
        "costs": '{"total_cost_usd":' + _list('{"total_cost_usd":1e308}', size - 30) + "}",
    }
    return {name: text.encode() for name, text in found.items()}
