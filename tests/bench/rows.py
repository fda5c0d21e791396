"""A benchmark's line: ``name value unit peer ratio target pass|short``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured figure; ``ratio`` is to what ``peer`` names, ``is_met`` judges it by ``target``."""

    name: str
    value: float
    unit: str
    peer: str
    ratio: float
    target: str
    is_met: bool

    def __str__(self) -> str:
        verdict = "pass" if self.is_met else "short"
        return (
            f"{self.name} {self.value:.2f} {self.unit} {self.peer} {self.ratio:.3f} {self.target} {verdict}"
        )
