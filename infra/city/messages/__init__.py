"""What the city's hospitals and its laboratory say in HL7 v2, of the same people and encounters as their FHIR feeds.

voices     who speaks, and each one's version, separators, character set, clock and habits
writing    segments of a message in a voice
telling    from a stretch of calendar to messages: people, and which visits are told of
visits     appointments, admissions, discharges
reports    what was measured and found
medication what was prescribed and handed out
speaker    keeps what is said, with its truth for the answer key
outbox     the queue on disk: the first days as batch files, later ones to be sent
post       sends them over MLLP, one at a time, until each is acknowledged
"""
