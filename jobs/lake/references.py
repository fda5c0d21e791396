"""What a FHIR reference, or the address of a deletion, points at.

A literal reference (``Type/id``, or that under a server's address) is a record of this server when it is relative, or
stands under one of the server's own addresses; of these the scheme, the case of scheme and host, a port that goes
without saying and slashes at the end do not matter, because servers behind proxies write them as they like. Under any
other address it is a record of somebody else, whatever its id: it keeps its address and joins with nothing here.

Source: https://hl7.org/fhir/R4/references.html#literal; a conditional reference (``Type?identifier=system|value``) is
that of https://hl7.org/fhir/R4/http.html#trules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

_FHIR_R4 = """
    Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse AuditEvent
    Basic Binary BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement CarePlan CareTeam
    CatalogEntry ChargeItem ChargeItemDefinition Claim ClaimResponse ClinicalImpression CodeSystem
    Communication CommunicationRequest CompartmentDefinition Composition ConceptMap Condition Consent Contract
    Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device DeviceDefinition
    DeviceMetric DeviceRequest DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference
    EffectEvidenceSynthesis Encounter Endpoint EnrollmentRequest EnrollmentResponse EpisodeOfCare
    EventDefinition Evidence EvidenceVariable ExampleScenario ExplanationOfBenefit FamilyMemberHistory Flag
    Goal GraphDefinition Group GuidanceResponse HealthcareService ImagingStudy Immunization
    ImmunizationEvaluation ImmunizationRecommendation ImplementationGuide InsurancePlan Invoice Library
    Linkage List Location Measure MeasureReport Media Medication MedicationAdministration MedicationDispense
    MedicationKnowledge MedicationRequest MedicationStatement MedicinalProduct MedicinalProductAuthorization
    MedicinalProductContraindication MedicinalProductIndication MedicinalProductIngredient
    MedicinalProductInteraction MedicinalProductManufactured MedicinalProductPackaged
    MedicinalProductPharmaceutical MedicinalProductUndesirableEffect MessageDefinition MessageHeader
    MolecularSequence NamingSystem NutritionOrder Observation ObservationDefinition OperationDefinition
    OperationOutcome Organization OrganizationAffiliation Parameters Patient PaymentNotice
    PaymentReconciliation Person PlanDefinition Practitioner PractitionerRole Procedure Provenance
    Questionnaire QuestionnaireResponse RelatedPerson RequestGroup ResearchDefinition
    ResearchElementDefinition ResearchStudy ResearchSubject RiskAssessment RiskEvidenceSynthesis Schedule
    SearchParameter ServiceRequest Slot Specimen SpecimenDefinition StructureDefinition StructureMap
    Subscription Substance SubstanceNucleicAcid SubstancePolymer SubstanceProtein
    SubstanceReferenceInformation SubstanceSourceMaterial SubstanceSpecification SupplyDelivery SupplyRequest
    Task TerminologyCapabilities TestReport TestScript ValueSet VerificationResult VisionPrescription
"""
RESOURCE_TYPES = frozenset(_FHIR_R4.split())
"""Source: https://hl7.org/fhir/R4/resourcelist.html. Any other word in the place of a type may be a name."""

IDENTIFIER, ELSEWHERE, SERIAL = "identifier", "elsewhere", "serial"
"""Kinds of targets beside the resource types: a thing by its business identifier, a record of another server, a thing
by its serial number or the like.
"""

_LITERAL = re.compile(r"(.*/)?([A-Za-z]+)/([^/?#|]+)(?:/_history/[^/]+)?")
_CONDITIONAL = re.compile(r"(?:.*/)?([A-Za-z]+)\?identifier=([^&]+)")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
_UUID = "urn:uuid:"
_PORTS = {"http": 80, "https": 443}


class Target(NamedTuple):
    """A resource type, IDENTIFIER or ELSEWHERE, and what tells one of that kind from another."""

    kind: str
    id: str


class Addresses:
    """The addresses under which one server's own records stand."""

    def __init__(self, own: Iterable[str]) -> None:
        self._own = frozenset(_plain(f"{address}/") for address in own)

    def include(self, address: str) -> bool:
        """Whether ``address`` is one of them, however it is written."""
        return _plain(f"{address}/") in self._own

    def own_record(self, text: str) -> Target | None:
        """The record of this server that a literal reference names; None for anything else."""
        target = self._literal(text)
        return None if target is None or target.kind == ELSEWHERE else target

    def target(self, text: str, resource_type: str | None = None) -> Target | None:
        """What a reference names; None where it cannot be told. ``resource_type``: what it says of its target's."""
        if target := self._literal(text):
            return target
        if match := _CONDITIONAL.fullmatch(text):
            return Target(IDENTIFIER, match[2]) if match[1] in RESOURCE_TYPES else None
        if resource_type in RESOURCE_TYPES and text.startswith(_UUID):
            return Target(resource_type, text.removeprefix(_UUID))
        return None

    def _literal(self, text: str) -> Target | None:
        match = _LITERAL.fullmatch(text)
        if match is None or match[2] not in RESOURCE_TYPES:
            return None
        address = match[1]
        if address is None or not _ABSOLUTE.match(address) or (plain := _plain(address)) in self._own:
            return Target(match[2], match[3])
        return Target(ELSEWHERE, f"{plain}{match[2]}/{match[3]}")


def _plain(address: str) -> str:
    """A web address, ending in a slash, without what makes no difference; any other text as it is."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return address
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
        return address
    shown = "" if port in (None, _PORTS[parts.scheme]) else f":{port}"
    return f"//{parts.hostname}{shown}{parts.path.rstrip('/')}/"
