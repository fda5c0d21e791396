"""Small-number suppression of counts of people, for everything an analyst or the public may see.

Counts below 5 are withheld and the others rounded to the nearest 5. Rounding everything keeps a withheld
count from being worked out of totals, so no second round of suppression is needed. Sources: NHS Digital,
"Disclosure control methodology for Hospital Episode Statistics and Emergency Care Data Set" (2018), whose
method this is (it withholds 1 to 7); Office for National Statistics, "Disclosure control of health
statistics" (2006), for cells below 5.
"""

from __future__ import annotations

SMALLEST_SHOWN = 5
ROUNDED_TO = 5


def shown(count: int) -> int | None:
    """``count`` of people as it may be shown: 0 stays, 1 to 4 are withheld (None), others are rounded."""
    if count == 0:
        return 0
    return None if count < SMALLEST_SHOWN else ROUNDED_TO * int(count / ROUNDED_TO + 0.5)
