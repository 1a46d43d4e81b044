"""How a cost grows with length: exponents, laws, and where two of them cross."""

import numpy as np
from jaxtyping import Float64
from scipy import optimize, stats

Points = Float64[np.ndarray, " lengths"]


def exponent(lengths: Points, values: Points) -> tuple[float, float, float]:
    """Slope of log value over log length, and its 95 % interval over the lengths.

    The interval is wide where the curve is no power law: constant and growing parts mix.
    """
    if np.ptp(values) == 0:
        return 0.0, 0.0, 0.0
    fit = stats.linregress(np.log(lengths), np.log(values))
    spread = stats.t.ppf(0.975, len(lengths) - 2) * fit.stderr
    return float(fit.slope), float(fit.slope - spread), float(fit.slope + spread)


def law(lengths: Points, values: Points) -> Float64[np.ndarray, "3"]:
    """Costs as a + b n + c n^2, none of them negative; relative errors count.

    Everything that a sequence model does is of this form: per call, per token, per pair of tokens.
    """
    powers = lengths[:, None] ** np.arange(3)
    scale = powers.max(0)
    coefficients, _ = optimize.nnls(powers / scale / values[:, None], np.ones(len(values)))
    found: np.ndarray = coefficients / scale
    return found


def at(law: Float64[np.ndarray, "3"], lengths: Points) -> Points:
    """What a law says at some lengths."""
    values: np.ndarray = np.polynomial.polynomial.polyval(lengths, law)
    return values


def crossing(
    first: Float64[np.ndarray, "3"], second: Float64[np.ndarray, "3"], low: float, high: float
) -> float | None:
    """The length between low and high at which the second cost overtakes the first, or back."""
    roots = np.polynomial.polynomial.polyroots(np.trim_zeros(first - second, "b"))
    real = roots[np.isreal(roots)].real if len(roots) else roots
    inside = real[(real >= low) & (real <= high)]
    return float(inside.min()) if len(inside) else None
