"""Bytes as people write them, in units of 1,024."""

import re

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def written(count: float) -> str:
    """For example 24.5 KiB."""
    power = 0
    while count >= 1024 and power < len(UNITS) - 1:
        count, power = count / 1024, power + 1
    return f"{count:,.0f} {UNITS[power]}" if power == 0 else f"{count:,.1f} {UNITS[power]}"


def read(text: str) -> int | None:
    """What `2GiB`, `512 MiB` or `1000` say; None if it says nothing."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:(bytes|B)|([KMGT])i?B?)?", text.strip())
    if found is None:
        return None
    power = "KMGT".index(found[3]) + 1 if found[3] else 0
    return int(float(found[1]) * 1024**power)
