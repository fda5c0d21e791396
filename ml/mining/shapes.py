"""The tables of mining: grain, and columns in Spark's words. Each holds the last KEPT_RUNS runs, one slice a run.

They stay inside the lake: what leaves it counts people through ``jobs.writeback.disclosure``. ``run_id`` names the
run's instant and sorts as the instants do; ``as_of`` is that instant.
"""

from __future__ import annotations

from dataclasses import dataclass

KEPT_RUNS = 12
RUN = "run_id string, as_of timestamp"


@dataclass(frozen=True)
class Shape:
    """grain: what one row is; its first sentence."""

    table: str
    grain: str
    columns: str

    @property
    def ddl(self) -> str:
        return f"{RUN}, {self.columns}"


def _doubles(names: str) -> str:
    return ", ".join(f"{name} double" for name in names.split())


STATISTICS = Shape(
    "gold.mining_statistics",
    "One row per run, variable, division and group of people. Each person counts once; values in ``unit`` (UCUM), _low "
    "and _high: 95 % interval.",
    "variable string, unit string, division string, group_name string, people int, missing int, "
    + _doubles("mean mean_low mean_high sd sd_low sd_high quartile_1 quartile_1_low quartile_1_high")
    + ", "
    + _doubles("median median_low median_high quartile_3 quartile_3_low quartile_3_high"),
)
CORRELATIONS = Shape(
    "gold.mining_correlations",
    "One row per run and pair of variables of people. rho: Spearman's, partial_rho: given age and sex; _low and _high: "
    "95 % interval; q: false discovery rate over all pairs.",
    "variable string, other_variable string, people int, "
    + _doubles("rho rho_low rho_high p q partial_rho partial_rho_low partial_rho_high partial_p partial_q"),
)
RULES = Shape(
    "gold.mining_rules",
    "One row per run, antecedent and consequent: people who have ever had the one or two items of the antecedent have "
    "had the consequent more often than chance explains. Items: icd10|category and atc|code, joined by &.",
    "antecedent string, consequent string, antecedent_words string, consequent_words string, people int, "
    "antecedent_people int, consequent_people int, "
    + _doubles("support confidence lift lift_low lift_high lift_given_age_and_sex p q"),
)
CLUSTERS = Shape(
    "gold.mining_clusters",
    "One row per run, kind (patients or districts) and cluster. One cluster alone, without a silhouette, means that "
    "there are none. words: what marks it; stability: mean adjusted Rand index under subsampling.",
    "kind string, cluster int, members int, words string, silhouette double, stability double",
)
MEMBERS = Shape(
    "gold.mining_cluster_members",
    "One row per run, kind and member: a person, by person_key, or a district, by area_code. distance: to the middle "
    "of its cluster, in standard deviations of the components.",
    "kind string, person_key string, area_code string, cluster int, distance double",
)
ANOMALIES = Shape(
    "gold.mining_anomalies",
    "One row per run, kind (dispensing, reading or facility_day), subject, what is anomalous and day or window. "
    "subject: person_key or facility_key; score compares within a kind; observed and expected are in ``unit``.",
    "kind string, subject_kind string, subject string, what string, from_date date, to_date date, observed double, "
    "expected double, unit string, score double, words string",
)
OUTBREAKS = Shape(
    "gold.mining_outbreaks",
    "One row per run, postal district, syndrome and day that could be judged. observed: its residents of whom it was "
    "known on the next morning that they came with the syndrome; expected, threshold and p by what was known then; "
    "window_: of the three days that end with the day.",
    "area_code string, syndrome string, date date, observed int, expected double, threshold int, "
    "window_observed int, window_expected double, p double, is_alarm boolean",
)
MINED = (STATISTICS, CORRELATIONS, RULES, CLUSTERS, MEMBERS, ANOMALIES)
"""Of a run of mining; OUTBREAKS are of a run of surveillance."""
SHAPES = (*MINED, OUTBREAKS)
