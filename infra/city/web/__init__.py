"""The HTTP face of the city: one FHIR server per hospital below ``/<hospital>/fhir``, the APIs around them
(``open_data``), and the clock below ``/city``.

Routes only translate: parameters in, a call, an answer out.
"""

from __future__ import annotations

from infra.city.web.app import make_app as make_app
from infra.city.web.servers import ServerOptions as ServerOptions
from infra.city.web.servers import Servers as Servers
from infra.city.web.servers import make_servers as make_servers
