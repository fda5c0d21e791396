{% set superseded = "select * from " ~ ref('int_encounter__unified') ~ " where superseded_at is not null" -%}
{{ encounter_facts(located_encounters(superseded, are_superseded=true), are_superseded=true) }}
