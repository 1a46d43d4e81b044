"""Where to look along a long axis: everywhere nearby, then at a few places of each doubling."""

import math
from collections.abc import Iterable


def spaced(last: int, *, dense: int, per_octave: int, also: Iterable[int] = ()) -> list[int]:
    """All numbers from 0 to `dense`, then so many for each doubling, up to `last`, and that.

    Those of `also` that are not beyond it are among them.

    >>> spaced(70, dense=4, per_octave=1, also=(9, 99))
    [0, 1, 2, 3, 4, 8, 9, 16, 32, 64, 70]
    """
    octaves = math.log2(max(last / dense, 1))
    further = [round(dense * 2 ** (k / per_octave)) for k in range(int(octaves * per_octave) + 1)]
    wanted = {*range(dense + 1), *further, *also, last}
    return sorted(number for number in wanted if 0 <= number <= last)
