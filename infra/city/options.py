"""What a city is made from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from jobs.errors import CitywellError


@dataclass(frozen=True)
class Options:
    """Two cities of equal options have equal bytes.

    population: people at the start. years: history before the clock starts. now: the clock's first instant,
    a UTC midnight. admission_factor: multiplies hospital admissions. dirt: multiplies the rates of planted
    dirt, 0 for none. Raises CitywellError for what makes no city.
    """

    population: int = 2000
    seed: int = 7
    years: float = 2.0
    now: str = "2026-01-01T00:00:00Z"
    admission_factor: float = 1.0
    dirt: float = 1.0

    def __post_init__(self) -> None:
        if self.population < 1 or self.seed < 0 or self.years <= 0:
            raise CitywellError(
                "a city needs people, years and a seed that is not negative",
                where="--population, --years, --seed",
                do="give larger numbers",
            )
        if self.admission_factor < 0 or self.dirt < 0:
            raise CitywellError(
                "a factor is negative", where="--admission-factor, --dirt", do="give 0 or a larger number"
            )
        try:
            moment = datetime.fromisoformat(self.now)
        except ValueError:
            moment = datetime(1970, 1, 1)
        if moment.tzinfo is None or moment.astimezone(UTC).timestamp() % 86_400:
            raise CitywellError(
                "the city's clock must start at a UTC midnight",
                where=f"--now {self.now}",
                do="give an instant such as 2026-01-01T00:00:00Z",
            )

    @property
    def now_day(self) -> int:
        """Days since 1970 of the clock's first day."""
        return int(datetime.fromisoformat(self.now).timestamp() // 86_400)

    @property
    def history_days(self) -> int:
        return max(1, round(self.years * 365.25))

    @property
    def first_day(self) -> int:
        return self.now_day - self.history_days
