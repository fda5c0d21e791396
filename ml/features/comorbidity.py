"""Comorbidity groups by ICD-10 code, and the weights of the LACE score.

Groups: H. Quan et al., "Coding Algorithms for Defining Comorbidities in ICD-9-CM and ICD-10 Administrative Data",
Medical Care 2005; 43(11): 1130-1139, table 1 (the Charlson groups) and table 2 (hypertension, arrhythmia, depression,
alcohol, drugs, fluid disorders, hypothyroidism of Elixhauser). One change: Quan's "chronic pulmonary disease" is
split into asthma (J45, J46) and the rest, because people return to hospital for them at very different rates.
Where illnesses are counted or weighed, the two are one again; so are the two grades of diabetes, of liver disease
and of cancer, the graver counting, as usual for the Charlson index (Quan et al., Am J Epidemiol 2011; 173: 676-682).

A category that stands alone (E11) is not on Quan's lists where these name some of its subcategories. It tells no more
than the subcategory "unspecified" (E11.9), so it belongs where that one does, and nowhere where that one is not listed
(I25, K71). Z49 is whole: all its subcategories of ICD-10 are listed. E11.A, a code of ICD-10-CM younger than the lists,
is diabetes without complications, in remission.

Codes are prefixes without the dot; with $ it is that category alone. They fit ICD-10 and ICD-10-CM; other code systems
belong to no group.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """A comorbidity group.

    prefixes: beginnings of ICD-10 codes without the dot, or a category and $. lace_weight: points in LACE's comorbidity
    part. illness: groups of one illness count once, with the greatest weight; by default a group is an illness of its
    own.
    """

    name: str
    label: str
    prefixes: str
    lace_weight: int = 0
    illness: str = ""

    @property
    def pattern(self) -> str:
        """Regular expression for codes of the group, dots removed."""
        return f"^({'|'.join(self.prefixes.split())})"


_DIABETES_PLAIN = "E11A " + " ".join(f"E1{kind}{end}" for kind in "01234" for end in "01689$")
_DIABETES_COMPLICATED = " ".join(f"E1{kind}{end}" for kind in "01234" for end in "23457")

GROUPS: tuple[Group, ...] = (
    Group("heart_attack", "heart attack, now or earlier", "I21 I22 I252", 1),
    Group(
        "heart_failure",
        "heart failure",
        "I09$ I099 I110 I130 I132 I255 I42$ I420 I425 I426 I427 I428 I429 I43 I50 P290",
        2,
    ),
    Group(
        "vascular",
        "disease of the arteries",
        "I70 I71 I73$ I731 I738 I739 I771 I790 I792 K55$ K551 K558 K559 Z95$ Z958 Z959",
        1,
    ),
    Group(
        "stroke",
        "stroke or other cerebrovascular disease",
        "G45 G46 H340 I60 I61 I62 I63 I64 I65 I66 I67 I68 I69",
        1,
    ),
    Group("dementia", "dementia", "F00 F01 F02 F03 F051 G30 G311", 3),
    Group(
        "lung",
        "chronic lung disease",
        "I27$ I278 I279 J40 J41 J42 J43 J44 J47 J60 J61 J62 J63 J64 J65 J66 J67 J684 J701 J703",
        2,
        "lung",
    ),
    Group("asthma", "asthma", "J45 J46", 2, "lung"),
    Group("rheumatic", "rheumatic disease", "M05 M06 M315 M32 M33 M34 M351 M353 M360", 3),
    Group("ulcer", "peptic ulcer", "K25 K26 K27 K28"),
    Group(
        "liver_mild",
        "liver disease",
        "B18 K70$ K700 K701 K702 K703 K709 K713 K714 K715 K717 K73 K74 K76$ K760 K762 K763 K764 K768 K769 Z944",
        2,
        "liver",
    ),
    Group(
        "liver_severe",
        "severe liver disease",
        "I85$ I850 I859 I864 I982 K704 K711 K72$ K721 K729 K765 K766 K767",
        4,
        "liver",
    ),
    Group("diabetes", "diabetes", _DIABETES_PLAIN, 1, "diabetes"),
    Group("diabetes_complicated", "diabetes with complications", _DIABETES_COMPLICATED, 2, "diabetes"),
    Group("paralysis", "paralysis", "G041 G114 G801 G802 G81 G82 G83$ G830 G831 G832 G833 G834 G839"),
    Group(
        "kidney",
        "chronic kidney disease",
        "I120 I131 N032 N033 N034 N035 N036 N037 N052 N053 N054 N055 N056 N057 N18 N19 N250 Z49 Z940 Z992",
        2,
    ),
    Group(
        "cancer",
        "cancer",
        "C0 C1 C20 C21 C22 C23 C24 C25 C26 C30 C31 C32 C33 C34 C37 C38 C39 C40 C41 C43 C45 C46 C47 C48 C49 C50 C51 "
        "C52 C53 C54 C55 C56 C57 C58 C6 C70 C71 C72 C73 C74 C75 C76 C81 C82 C83 C84 C85 C88 C90 C91 C92 C93 C94 "
        "C95 C96 C97",
        2,
        "cancer",
    ),
    Group("metastatic", "cancer that has spread", "C77 C78 C79 C80", 6, "cancer"),
    Group("hiv", "HIV disease", "B20 B21 B22 B24", 4),
    Group("hypertension", "high blood pressure", "I10 I11 I12 I13 I15"),
    Group(
        "arrhythmia",
        "irregular heartbeat",
        "I441 I442 I443 I45$ I456 I459 I47 I48 I49 R000 R001 R008 T821 Z450 Z950",
    ),
    Group("depression", "depression", "F204 F313 F314 F315 F32 F33 F341 F412 F432"),
    Group("alcohol", "alcohol disorder", "F10 E52 G621 I426 K292 K70$ K700 K703 K709 T51 Z502 Z714 Z721"),
    Group("drugs", "drug disorder", "F11 F12 F13 F14 F15 F16 F18 F19 Z715 Z722"),
    Group("fluid", "fluid or electrolyte disorder", "E222 E86 E87"),
    Group("thyroid", "underactive thyroid", "E00 E01 E02 E03 E890"),
)


def weighted_illnesses() -> list[list[Group]]:
    """The groups with a LACE weight, those of one illness together, in order."""
    found: dict[str, list[Group]] = {}
    for group in GROUPS:
        if group.lace_weight:
            found.setdefault(group.illness or group.name, []).append(group)
    return list(found.values())
