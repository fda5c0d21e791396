"""Models after they were put to use: are they asked what they have learnt, and do they answer as promised?

figures     rows of quality.monitoring
profile     how values are spread, as counts by bin
drift       PSI and KS, with what chance explains and how many were looked at
reference   what a training saw
outcomes    what came to pass of the scores that were issued
decay       performance against the card's promise
fate        what became of each alert
forecasts   forecasts against what came
asking      when a question is trained again
words       what crossed its line, for people
page        the Evidently report
pipeline    all of it, for every question
"""

from ml.monitoring.pipeline import monitor, tell, write_pages

__all__ = ["monitor", "tell", "write_pages"]
