"""Codes, words and name parts the city speaks with. Displays are our own short words.

Systems: ICD-10-CM for conditions, LOINC with UCUM units for observations, ATC for medications, CVX for
vaccines. Nothing here depends on a seed; every table is a tuple, so that an index into it means the same in
every run."""

from __future__ import annotations

from dataclasses import dataclass

ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
LOINC = "http://loinc.org"
ATC = "http://www.whocc.no/atc"
CVX = "http://hl7.org/fhir/sid/cvx"
UCUM = "http://unitsofmeasure.org"
CITY_CODES = "https://codes.city.example/clinical"
"""Codes of the city's own, for what has no code that may be shipped."""
ICD10_PCS = "http://www.cms.gov/Medicare/Coding/ICD10"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
NATIONAL_ID = "https://id.city.example/national"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


R4_TYPES = frozenset(
    _words(
        """
        Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse
        AuditEvent Basic Binary BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement CarePlan
        CareTeam CatalogEntry ChargeItem ChargeItemDefinition Claim ClaimResponse ClinicalImpression
        CodeSystem Communication CommunicationRequest CompartmentDefinition Composition ConceptMap Condition
        Consent Contract Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue
        Device DeviceDefinition DeviceMetric DeviceRequest DeviceUseStatement DiagnosticReport
        DocumentManifest DocumentReference EffectEvidenceSynthesis Encounter Endpoint EnrollmentRequest
        EnrollmentResponse EpisodeOfCare EventDefinition Evidence EvidenceVariable ExampleScenario
        ExplanationOfBenefit FamilyMemberHistory Flag Goal GraphDefinition Group GuidanceResponse
        HealthcareService ImagingStudy Immunization ImmunizationEvaluation ImmunizationRecommendation
        ImplementationGuide InsurancePlan Invoice Library Linkage List Location Measure MeasureReport Media
        Medication MedicationAdministration MedicationDispense MedicationKnowledge MedicationRequest
        MedicationStatement MedicinalProduct MedicinalProductAuthorization MedicinalProductContraindication
        MedicinalProductIndication MedicinalProductIngredient MedicinalProductInteraction
        MedicinalProductManufactured MedicinalProductPackaged MedicinalProductPharmaceutical
        MedicinalProductUndesirableEffect MessageDefinition MessageHeader MolecularSequence NamingSystem
        NutritionOrder Observation ObservationDefinition OperationDefinition OperationOutcome Organization
        OrganizationAffiliation Parameters Patient PaymentNotice PaymentReconciliation Person PlanDefinition
        Practitioner PractitionerRole Procedure Provenance Questionnaire QuestionnaireResponse RelatedPerson
        RequestGroup ResearchDefinition ResearchElementDefinition ResearchStudy ResearchSubject
        RiskAssessment RiskEvidenceSynthesis Schedule SearchParameter ServiceRequest Slot Specimen
        SpecimenDefinition StructureDefinition StructureMap Subscription Substance SubstanceNucleicAcid
        SubstancePolymer SubstanceProtein SubstanceReferenceInformation SubstanceSourceMaterial
        SubstanceSpecification SupplyDelivery SupplyRequest Task TerminologyCapabilities TestReport
        TestScript ValueSet VerificationResult VisionPrescription
        """
    )
)
PATIENT_TYPES = (
    "Patient",
    "Encounter",
    "Condition",
    "Observation",
    "MedicationRequest",
    "Immunization",
    "Procedure",
)
SHARED_TYPES = ("Organization", "Location", "Practitioner", "Medication")
CARE_TYPES = ("AllergyIntolerance", "DiagnosticReport", "CarePlan", "MedicationAdministration")
HOUSE_TYPES = ("PractitionerRole", "Device", "Schedule")
TYPES = PATIENT_TYPES + SHARED_TYPES + CARE_TYPES + HOUSE_TYPES
"""Ids follow from a type's place here: new ones go to the end."""

CLASSES = ("AMB", "EMER", "IMP")
AMB, EMER, IMP = range(3)
PRIORITIES = ("R", "EL", "UR", "EM")
ROUTINE, ELECTIVE, URGENT, EMERGENCY = range(4)
ADMIT_SOURCES = ("", "gp", "emd", "hosp-trans", "outp")
NO_SOURCE, GP, EMD, TRANSFER_IN, OUTPATIENT = range(5)
DISPOSITIONS = ("", "home", "other-hcf", "snf", "rehab", "hosp", "exp", "aadvice")
NO_DISPOSITION, HOME, TRANSFER_OUT, SNF, REHAB, HOSPICE, DIED, AGAINST_ADVICE = range(8)


@dataclass(frozen=True)
class Chronic:
    """A lasting condition: ICD-10-CM codes it may be recorded as, prevalence logit(p) = at60 + per10 * (age -
    60) / 10.

    ``admission`` multiplies the rate of unplanned admissions, ``medications`` are indexes of MEDICATIONS.
    """

    key: str
    codes: tuple[tuple[str, str], ...]
    at60: float
    per10: float
    admission: float
    medications: tuple[int, ...]


MEDICATIONS: tuple[tuple[str, str], ...] = (
    ("C09AA05", "Ramipril"),
    ("C08CA01", "Amlodipine"),
    ("A10BA02", "Metformin"),
    ("A10AB05", "Insulin aspart"),
    ("C03CA01", "Furosemide"),
    ("C07AB07", "Bisoprolol"),
    ("R03AC02", "Salbutamol"),
    ("R03BB04", "Tiotropium"),
    ("B01AC06", "Acetylsalicylic acid"),
    ("C10AA05", "Atorvastatin"),
    ("B01AF02", "Apixaban"),
    ("N06AB06", "Sertraline"),
    ("N06DA02", "Donepezil"),
    ("C03DA01", "Spironolactone"),
    ("L01XC02", "Rituximab"),
    ("J01CA04", "Amoxicillin"),
    ("N02BE01", "Paracetamol"),
    ("M01AE01", "Ibuprofen"),
    ("A02BC01", "Omeprazole"),
    ("N02AX02", "Tramadol"),
    ("H02AB06", "Prednisolone"),
    ("J01MA02", "Ciprofloxacin"),
    ("H03AA01", "Levothyroxine"),
    ("L01XA01", "Cisplatin"),
    ("J04AC01", "Isoniazid"),
    ("J04AB02", "Rifampicin"),
)
ACUTE_MEDICATIONS = tuple(range(15, 22))

CHRONIC: tuple[Chronic, ...] = (
    Chronic("hypertension", (("I10", "High blood pressure"),), -0.1, 0.55, 1.10, (0, 1)),
    Chronic("diabetes", (("E11.9", "Type 2 diabetes"),), -1.5, 0.40, 1.30, (2, 3)),
    Chronic("kidney", (("N18.30", "Chronic kidney disease, stage 3"),), -2.3, 0.55, 1.40, (0,)),
    Chronic("heart_failure", (("I50.9", "Heart failure"),), -2.9, 0.75, 1.90, (4, 5, 13)),
    Chronic("copd", (("J44.9", "Chronic obstructive lung disease"),), -2.4, 0.40, 1.70, (6, 7)),
    Chronic(
        "cancer",
        (
            ("C50.919", "Breast cancer"),
            ("C18.9", "Colon cancer"),
            ("C61", "Prostate cancer"),
        ),
        -2.8,
        0.45,
        1.60,
        (14,),
    ),
    Chronic("dementia", (("F03.90", "Dementia"),), -4.2, 1.00, 1.30, (12,)),
    Chronic("liver", (("K74.60", "Cirrhosis of the liver"),), -3.9, 0.25, 1.60, (13,)),
    Chronic("coronary", (("I25.10", "Coronary artery disease"),), -2.0, 0.60, 1.30, (8, 9)),
    Chronic("atrial_fibrillation", (("I48.91", "Atrial fibrillation"),), -2.9, 0.70, 1.25, (10, 5)),
    Chronic("depression", (("F32.A", "Depression"),), -1.9, 0.05, 1.20, (11,)),
    Chronic("asthma", (("J45.909", "Asthma"),), -2.3, -0.05, 1.10, (6,)),
    Chronic("thyroid", (("E03.9", "Underactive thyroid"),), -2.4, 0.25, 1.00, (22,)),
    Chronic("lung_cancer", (("C34.11", "Cancer of the right upper lung"),), -5.9, 0.45, 1.70, (23,)),
    Chronic("tuberculosis", (("A15.0", "Tuberculosis of the lung"),), -7.0, 0.10, 1.30, (24, 25)),
)
CHRONIC_KEYS = tuple(c.key for c in CHRONIC)
ASSOCIATED_MEDICATIONS = (("asthma", 18), ("copd", 20), ("liver", 21), ("kidney", 4))
"""Lasting conditions and a medicine each (index of MEDICATIONS) that goes with them beside their own."""


@dataclass(frozen=True)
class Reason:
    """Why someone comes: ICD-10-CM code, words, base weight, chronic key that makes it likelier, days of stay
    (median), whether it follows the season of coughs and colds (``rhythms``)."""

    code: str
    display: str
    weight: float
    chronic: str = ""
    boost: float = 1.0
    days: float = 0.0
    is_respiratory: bool = False


UNPLANNED: tuple[Reason, ...] = (
    Reason("I50.23", "Acute on chronic heart failure", 0.1, "heart_failure", 60, 5.0),
    Reason("J44.1", "COPD with exacerbation", 0.1, "copd", 50, 4.0),
    Reason("J18.9", "Pneumonia", 1.6, "copd", 2, 4.5, is_respiratory=True),
    Reason("A41.9", "Sepsis", 1.0, "cancer", 3, 6.5),
    Reason("N39.0", "Urinary tract infection", 1.0, "dementia", 3, 3.5),
    Reason("I63.9", "Stroke", 0.7, "atrial_fibrillation", 3, 6.0),
    Reason("I21.4", "Heart attack without ST elevation", 0.6, "coronary", 5, 3.8),
    Reason("K92.2", "Bleeding in the gut", 0.6, "liver", 4, 3.6),
    Reason("N17.9", "Acute kidney failure", 0.4, "kidney", 8, 4.5),
    Reason("S72.001A", "Broken hip", 0.5, "dementia", 3, 6.0),
    Reason("E11.65", "Diabetes with high blood sugar", 0.1, "diabetes", 9, 3.2),
    Reason("R07.9", "Chest pain", 1.2, "coronary", 2, 1.6),
    Reason("K85.90", "Acute pancreatitis", 0.5, "", 1, 4.2),
    Reason("L03.90", "Skin infection", 0.7, "diabetes", 2, 3.4),
    Reason("C78.00", "Spread of cancer to the lung", 0.02, "cancer", 60, 6.0),
    Reason("E87.1", "Low sodium", 0.3, "heart_failure", 2, 3.4),
    Reason("K35.80", "Acute appendicitis", 0.5, "", 1, 2.0),
)
PLANNED: tuple[Reason, ...] = (
    Reason("M17.11", "Knee joint wear", 1.2, "", 1, 2.8),
    Reason("M16.11", "Hip joint wear", 1.0, "", 1, 2.9),
    Reason("K80.20", "Gallstones", 1.0, "", 1, 1.6),
    Reason("K40.90", "Groin hernia", 0.8, "", 1, 1.2),
    Reason("Z51.11", "Chemotherapy", 0.05, "cancer", 60, 2.2),
    Reason("N40.1", "Enlarged prostate", 0.5, "", 1, 2.0),
    Reason("I25.110", "Coronary disease with angina", 0.2, "coronary", 6, 2.4),
)
EMERGENCY_ROOM: tuple[Reason, ...] = (
    Reason("R10.9", "Belly pain", 1.3),
    Reason("R51.9", "Headache", 0.8),
    Reason("S93.401A", "Sprained ankle", 0.9),
    Reason("S61.219A", "Cut finger", 0.9),
    Reason("R07.89", "Chest discomfort", 0.9, "coronary", 3),
    Reason("J06.9", "Common cold", 1.0, is_respiratory=True),
    Reason("R06.02", "Short of breath", 0.5, "copd", 6),
    Reason("R55", "Fainting", 0.5),
    Reason("M54.50", "Low back pain", 0.7),
    Reason("R42", "Dizziness", 0.6, "heart_failure", 2),
    Reason("A09", "Stomach infection", 0.25),
    Reason("S06.0X0A", "Concussion", 0.3),
    Reason("S52.90XA", "Broken forearm", 0.3),
)
OUTPATIENT_VISIT: tuple[Reason, ...] = (
    Reason("Z00.00", "General examination", 2.0),
    Reason("Z09", "Follow-up examination", 1.6),
    Reason("J06.9", "Common cold", 1.0, is_respiratory=True),
    Reason("M54.50", "Low back pain", 0.8),
    Reason("Z23", "Vaccination", 0.6),
    Reason("R05.9", "Cough", 0.7, is_respiratory=True),
    Reason("F41.9", "Anxiety", 0.5, "depression", 3),
    Reason("L30.9", "Eczema", 0.4),
    Reason("K21.9", "Reflux", 0.4),
    Reason("Z79.4", "Insulin treatment check", 0.02, "diabetes", 60),
    Reason("R04.2", "Coughing blood", 0.02),
    Reason("R63.4", "Weight loss", 0.08),
    Reason("R61", "Night sweats", 0.06),
    Reason("R50.9", "Fever", 0.25, is_respiratory=True),
    Reason("A09", "Stomach infection", 0.15),
)
REASONS: tuple[Reason, ...] = UNPLANNED + PLANNED + EMERGENCY_ROOM + OUTPATIENT_VISIT
REASON_RANGES = {
    "unplanned": (0, len(UNPLANNED)),
    "planned": (len(UNPLANNED), len(UNPLANNED) + len(PLANNED)),
    "emergency_room": (len(UNPLANNED) + len(PLANNED), len(REASONS) - len(OUTPATIENT_VISIT)),
    "outpatient": (len(REASONS) - len(OUTPATIENT_VISIT), len(REASONS)),
}

VACCINES = (
    ("140", "Influenza"),
    ("33", "Pneumococcal"),
    ("115", "Tetanus, diphtheria, pertussis"),
    ("309", "COVID-19"),
)

PROCEDURES = (
    ("0SRD0J9", "Knee replacement"),
    ("0SR90J9", "Hip replacement"),
    ("0FT44ZZ", "Gallbladder removal"),
    ("4A023N7", "Heart catheter"),
    ("0BH17EZ", "Breathing tube placement"),
    ("30233N1", "Red cell transfusion"),
    ("B2111ZZ", "Heart ultrasound"),
)


@dataclass(frozen=True)
class Measure:
    """One kind of Observation: code (of LOINC, or of ``system``), words, category, value type, UCUM unit, decimals,
    plausible reference range."""

    key: str
    code: str
    display: str
    category: str
    value_type: str
    unit: str = ""
    decimals: int = 0
    low: float | None = None
    high: float | None = None
    system: str = LOINC


MEASURES: tuple[Measure, ...] = (
    Measure("heart_rate", "8867-4", "Heart rate", "vital-signs", "Quantity", "/min", 0, 50, 100),
    Measure("blood_pressure", "85354-9", "Blood pressure panel", "vital-signs", "Components"),
    Measure("temperature", "8310-5", "Body temperature", "vital-signs", "Quantity", "Cel", 1, 36.0, 38.0),
    Measure("respiration", "9279-1", "Respiratory rate", "vital-signs", "Quantity", "/min", 0, 12, 20),
    Measure("oxygen", "2708-6", "Oxygen saturation", "vital-signs", "Quantity", "%", 0, 92, 100),
    Measure("weight", "29463-7", "Body weight", "vital-signs", "Quantity", "kg", 1),
    Measure("height", "8302-2", "Body height", "vital-signs", "Quantity", "cm", 1),
    Measure("glucose", "2339-0", "Glucose in blood", "laboratory", "Quantity", "mg/dL", 0, 70, 140),
    Measure("hba1c", "4548-4", "Haemoglobin A1c", "laboratory", "Quantity", "%", 1, 4.0, 6.0),
    Measure("creatinine", "2160-0", "Creatinine in serum", "laboratory", "Quantity", "mg/dL", 2, 0.6, 1.3),
    Measure("haemoglobin", "718-7", "Haemoglobin in blood", "laboratory", "Quantity", "g/dL", 1, 12.0, 17.0),
    Measure("sodium", "2951-2", "Sodium in serum", "laboratory", "Quantity", "mmol/L", 0, 135, 145),
    Measure("bnp", "30934-4", "Natriuretic peptide B", "laboratory", "Quantity", "pg/mL", 0, 0, 100),
    Measure("cholesterol", "2093-3", "Cholesterol in serum", "laboratory", "Quantity", "mg/dL", 0, 120, 200),
    Measure("leucocytes", "6690-2", "Leucocytes in blood", "laboratory", "Quantity", "10*3/uL", 1, 4.0, 11.0),
    Measure("smoking", "72166-2", "Tobacco smoking status", "social-history", "CodeableConcept"),
    Measure("fever", "45701-0", "Fever", "exam", "boolean"),
    Measure("coma_scale", "9269-2", "Glasgow coma score", "exam", "integer"),
    Measure("pain", "72514-3", "Pain severity 0-10", "survey", "integer"),
    Measure("sleep", "93832-4", "Sleep duration", "survey", "Range", "h"),
    Measure("antibody_titre", "5048-4", "Nuclear antibody titre", "laboratory", "Ratio"),
    Measure("complaint", "8661-1", "Chief complaint", "exam", "string"),
    Measure("last_period", "8665-2", "Last menstrual period", "survey", "dateTime"),
    Measure("hdl", "2085-9", "HDL cholesterol in serum", "laboratory", "Quantity", "mg/dL", 0, 40, 100),
    Measure(
        "care_need", "care-need", "Need of help in daily life 0-5", "survey", "integer", system=CITY_CODES
    ),
)
MEASURE_INDEX = {m.key: i for i, m in enumerate(MEASURES)}
SYSTOLIC = ("8480-6", "Systolic blood pressure")
DIASTOLIC = ("8462-4", "Diastolic blood pressure")
SMOKING = (("LA18978-9", "Never smoker"), ("LA15920-4", "Former smoker"), ("LA18976-3", "Smokes every day"))

REPORT = ("11502-2", "Laboratory report")
ALLERGENS = (
    ("penicillin-allergy", "Penicillin allergy", "medication"),
    ("grass-pollen-allergy", "Grass pollen allergy", "environment"),
    ("nut-allergy", "Nut allergy", "food"),
    ("shellfish-allergy", "Shellfish allergy", "food"),
    ("bee-venom-allergy", "Bee venom allergy", "environment"),
    ("latex-allergy", "Latex allergy", "environment"),
)
MANIFESTATIONS = (("rash", "Rash"), ("hives", "Hives"), ("anaphylaxis", "Anaphylaxis"))
SEVERITIES = ("mild", "moderate", "severe")
CARE_PLAN = ("care-plan", "Care plan")
ACTIVITIES: dict[str, tuple[tuple[str, str], ...]] = {
    "diabetes": (("diabetic-diet", "Diabetic diet"), ("exercise-therapy", "Exercise therapy")),
    "heart_failure": (("exercise-therapy", "Exercise therapy"),),
    "copd": (("help-to-stop-smoking", "Help to stop smoking"), ("exercise-therapy", "Exercise therapy")),
    "asthma": (("teaching-about-allergy", "Teaching about allergy"),),
}
"""What is planned for a lasting condition; those not named have no plan."""
DOSES_MG = dict(zip(ACUTE_MEDICATIONS, (500, 1000, 400, 20, 50, 20, 500), strict=True))
BY_MOUTH = ("by-mouth", "By mouth")

WARDS = ("Emergency", "Medicine", "Surgery", "Heart", "Lung", "Outpatients", "Rehabilitation", "Oncology")
SPECIALTIES = (
    ("emergency-medicine", "Emergency medicine"),
    ("general-medicine", "General medicine"),
    ("general-surgery", "General surgery"),
    ("cardiology", "Cardiology"),
    ("lung-medicine", "Lung medicine"),
    ("general-practice", "General practice"),
    ("rehabilitation", "Rehabilitation"),
    ("cancer-medicine", "Cancer medicine"),
)
"""One for each of WARDS."""
DEVICE_KINDS = (
    ("monitor", "Patient monitor"),
    ("infusion-pump", "Infusion pump"),
    ("ventilator", "Ventilator"),
)
DEVICE_SYSTEM = "https://city.example/device-kind"


GIVEN_FEMALE = _words(
    """
    Ada Amira Beatriz Bronwen Carmen Chiara Dalia Edith Elena Esther Fatou Freya Greta Hanna Hélène Ilse
    Imani Ingrid Jasmin Joan Kaisa Keiko Leila Linnea Lucía Mabel Maren Mei Milena Nadia Naomi Nora
    Odile Olga Paloma Petra Priya Quitterie Rania Rosa Ruth Saskia Sigrid Signe Tamar Teresa Ulla
    Valérie Vera Wanda Ximena Yara Yvette Zahra Zoë
    """
)
GIVEN_MALE = _words(
    """
    Abdul Adrian Anselm Arjun Bastian Björn Caleb Cassian Dario Dmitri Edgar Emeka Enzo Esteban Felix
    Gareth Goran Hakan Henrik Hugo Ibrahim Igor Ivo Jakob Jonas José Kenji Kwame Lars Leander Luca
    Magnus Malik Mateo Mihail Nils Noah Olaf Omar Otto Pavel Pedro Quentin Rafael Ravi Rufus Søren Silas
    Tariq Tobias Ulrich Viktor Walter Xavier Yusuf Zoltán
    """
)
FAMILY_HEADS = _words(
    """
    Ash Bell Birch Black Bren Brook Cald Carr Chal Clay Corn Dal Dun East Elm Fair Fen Ferr Glen Gold
    Grey Hal Hart Haver Heath Holl Kel Kirk Lang Lark Lin Lock Marl Mel Mor North Oak Pell Quar Rad
    Raven Red Rook Sand Sher Stan Stone Sum Thorn Tor Under Vas Wald Wel West Whit Wil Win Yar Yew
    """
)
FAMILY_TAILS = _words(
    """
    aker berg bourne bridge bury by combe cott croft dale den ell feld field ford gate grove ham hurst
    ing ington kvist land ley low man mere mont more quist rick ridge shaw son stead stein stow strom
    thorpe ton vale vik ward water well wick wood worth
    """
)
STREETS = _words(
    """
    Alder Anchor Aspen Bakehouse Beacon Canal Chapel Cooper Dock Elder Ferry Foundry Garden Granary
    Harbour Juniper Kiln Lantern Linden Market Meadow Mill Orchard Quarry Quay Rope Saddler Station
    Tanner Tower Vine Weaver Willow Windmill
    """
)
STREET_KINDS = ("Street", "Lane", "Road", "Row", "Walk", "Close", "Avenue")
DISTRICTS = tuple(f"C{n:02d}" for n in range(1, 13))
