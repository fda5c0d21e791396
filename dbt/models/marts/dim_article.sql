select
    concat(source, '/', article_no) as article_key,
    source,
    article_no,
    code_system,
    code,
    atc_code,
    article_name,
    name as medication_name,
    strength,
    form,
    pack_size,
    is_prescription_only,
    is_current,
    case when code is not null then atc_code is not null end as is_medication_resolved,
    known_from,
    available_at,
    usable_at
from {{ ref('int_article__coded') }}
