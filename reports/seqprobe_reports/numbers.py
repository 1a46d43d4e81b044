"""How numbers are written: three significant digits, a unit, an interval."""

from __future__ import annotations

import math

from seqprobe.results import Cell, Estimate, Null

NBSP = "\N{NO-BREAK SPACE}"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float) -> str:
    r"""Three significant digits; whole numbers below ten million in full.

    >>> number(54.0), number(1234), number(0.012345), number(4.56e-7), number(-1234.5)
    ('54', '1,234', '0.0123', '4.56\xa0×\xa010⁻⁷', '−1,230')
    """
    if value < 0:
        return "−" + number(-value)
    if value == int(value) and value < 1e7:
        return f"{value:,.0f}"
    if 1e-4 <= value < 1e6:
        return _fixed(value)
    digits, power = f"{value:.2e}".split("e")
    return f"{float(digits):g}{NBSP}×{NBSP}{power_of_ten(int(power))}"


def _fixed(value: float) -> str:
    rounded = float(f"{value:.3g}")
    decimals = max(0, 2 - math.floor(math.log10(rounded)))
    text = f"{rounded:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def power_of_ten(exponent: int) -> str:
    """A power of ten, as on the ticks of an axis.

    >>> power_of_ten(-3)
    '10⁻³'
    """
    return f"10{str(exponent).translate(_SUPERSCRIPT)}"


def amount(value: float, unit: str) -> str:
    """A number with its unit.

    >>> amount(54, "steps"), amount(1, "hops"), amount(0.5, "")
    ('54 steps', '1 hop', '0.5')
    """
    plural = len(unit) > 3 and unit.endswith("s") and not unit.endswith("ss")
    return f"{number(value)} {unit[:-1] if plural and value == 1 else unit}".rstrip()


def estimate(found: Estimate) -> str:
    """A value with its interval, or how far it is bounded.

    >>> estimate(Estimate(54.0, "steps", low=48.0, high=61.0))
    '54 steps [48, 61]'
    >>> estimate(Estimate.missing("steps", "no end in sight", low=128.0))
    'at least 128 steps'
    """
    if found.value is None:
        return _bound(found)
    value = amount(found.value, found.unit)
    if found.low is None and found.high is None:
        return value
    if found.low is not None and found.high is not None:
        return f"{value} [{number(found.low)}, {number(found.high)}]"
    return f"{value} ({_bound(found)})"


def difference(found: Estimate) -> str:
    """How much more, or less, with its interval; or at least how much.

    >>> difference(Estimate(12.0, "steps", low=5.0, high=19.0))
    '+12 steps [5, 19]'
    >>> difference(Estimate.missing("steps", "no end in sight", low=146.0))
    'at least 146 steps more'
    """
    if found.value is not None:
        return f"{'+' if found.value > 0 else ''}{estimate(found)}"
    if found.low is not None and found.low > 0:
        return f"at least {amount(found.low, found.unit)} more"
    if found.high is not None and found.high < 0:
        return f"at least {amount(-found.high, found.unit)} less"
    return "not estimable"


def _bound(found: Estimate) -> str:
    low, high = found.low, found.high
    if low is not None and high is not None:
        return f"between {number(low)} and {amount(high, found.unit)}"
    if low is not None:
        return f"at least {amount(low, found.unit)}"
    return f"at most {amount(high, found.unit)}" if high is not None else "not estimable"


def support(found: Estimate) -> str:
    """What stands behind an estimate: its level, null, ceiling and sample."""
    level, *rest = _support(found)
    nothing = found.null
    beside = f"null ({nothing.name}) {null(nothing, found.unit)}" if nothing else ""
    return _joined(level, beside, *rest)


def sample(found: Estimate) -> str:
    """What stands behind an estimate, apart from its null."""
    return _joined(*_support(found))


def _support(found: Estimate) -> tuple[str, str, str]:
    interval = found.low is not None or found.high is not None
    level = f"{number(100 * found.level)} % interval" if interval else ""
    return (
        "exact" if found.exact else level,
        f"ceiling {amount(found.ceiling, found.unit)}" if found.ceiling is not None else "",
        f"n{NBSP}={NBSP}{number(found.n)}" if found.n else "",
    )


def _joined(*facts: str) -> str:
    return " · ".join(fact for fact in facts if fact)


def null(nothing: Null, unit: str) -> str:
    """The same estimate where there is nothing to find."""
    reason = "" if nothing.value is not None else "not estimable"
    return estimate(Estimate(nothing.value, unit, nothing.low, nothing.high, reason=reason))


def cell(value: Cell) -> str:
    """One cell of a data table."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else number(value)


def duration(seconds: float) -> str:
    """Seconds, or minutes where there are many.

    >>> duration(2.345), duration(200)
    ('2.35 seconds', '3.33 minutes')
    """
    return amount(seconds, "seconds") if seconds < 120 else amount(seconds / 60, "minutes")
