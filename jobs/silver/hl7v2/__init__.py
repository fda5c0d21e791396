"""The shapes of the HL7 v2 messages Citywell models: flat records of what may be kept, and how a message becomes them.

As with FHIR (``jobs.silver.fhir``, whose leaves are used here too) only what a shape names can enter the lake:
pseudonyms for ids, codes, numbers with their digits, instants with their precision. Names, addresses, telephone
numbers and free text are named by none; that a text was there is ``is_text_withheld``.

    table         message                       a record is
    admission     ADT A01 A02 … A34 A37 A40     one message (of a merge of several people: one pair of them)
    result        ORU^R01                       one OBX
    appointment   SIU S12 … S17 S26             one message
    prescription  RDE^O11 (O01 before 2.4)      one order
    dispense      RDS^O13 (O01 before 2.4)      one dispense

    reading --parts of a message (parts), fields by the endpoint's dialect (fields)--> admissions, results, orders
            --> records of the shapes (shapes)

What the vault is told in clear is read by ``identities``.

An empty field says nothing, ``""`` deletes (HL7 2.5.3): the names of deleted fields stand in ``nulled``.

Identifiers are pseudonyms of kind ``identifier`` over ``system|value`` in the house's namespace, as those of its FHIR
resources are, so that a visit number told by both is one. Which system an assigning authority stands for is said by the
endpoint's ``Dialect``.

Sources: HL7 v2.3, 2.5.1 and 2.8, chapters 2.A, 3 (ADT), 4 (RDE, RDS), 7 (ORU), 10 (SIU).
"""

from jobs.silver.hl7v2.fields import Dialect as Dialect
from jobs.silver.hl7v2.identities import demographics as demographics
from jobs.silver.hl7v2.identities import merges as merges
from jobs.silver.hl7v2.parts import fhir_text as fhir_text
from jobs.silver.hl7v2.reading import Read as Read
from jobs.silver.hl7v2.reading import Recorder as Recorder
from jobs.silver.hl7v2.reading import Speech as Speech
from jobs.silver.hl7v2.reading import read as read
from jobs.silver.hl7v2.reading import table_of as table_of
from jobs.silver.hl7v2.records import Record as Record
from jobs.silver.hl7v2.records import Refused as Refused
from jobs.silver.hl7v2.shapes import MERGES as MERGES
from jobs.silver.hl7v2.shapes import MESSAGE as MESSAGE
from jobs.silver.hl7v2.shapes import SHAPES as SHAPES
from jobs.silver.hl7v2.shapes import UNLINKS as UNLINKS
from jobs.silver.hl7v2.shapes import Admission as Admission
