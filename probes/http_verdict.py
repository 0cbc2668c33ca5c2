"""What is wrong with an answer, in the order in which it is told: status, TLS, SOAP fault, schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from probes.failures import TroubleError, plain_line
from probes.http_facts import HttpFacts
from probes.http_request import shown
from probes.http_soap import fault_in
from probes.http_visit import Visit
from probes.model import Failure, Resources

if TYPE_CHECKING:
    from probes.json_schema import JsonSchema


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer should be.

    Attributes:
        status: codes and classes that are fine.
        require_tls: whether it has to come over TLS.
        has_token: whether a token was sent that was got for it: then 401 says that it was refused.
        schema: what its JSON should be like, or None.

    """

    status: tuple[str, ...]
    require_tls: bool = False
    has_token: bool = False
    schema: JsonSchema | None = None

    def allows(self, status: int) -> bool:
        """Say whether a status code is fine."""
        return f"{status // 100}xx" in self.status or str(status) in self.status


async def judge(expected: Expected, visit: Visit, resources: Resources) -> TroubleError | None:
    """Say what is wrong with a complete answer."""
    status = _wrong_status(expected, visit)
    fault = _soap_fault(visit)
    if status is not None:
        return TroubleError(status.failure, f"{status.message}: {fault}") if fault else status
    if expected.require_tls and visit.session is None:
        return TroubleError(Failure.TLS_REQUIRED, "the answer came without TLS")
    if fault:
        return TroubleError(Failure.SOAP_FAULT, f"SOAP fault {fault}")
    return await _against_schema(expected.schema, visit, resources) if expected.schema is not None else None


def explained(expected: Expected, visit: Visit, trouble: TroubleError) -> TroubleError:
    """Return the trouble, or the status if that is wrong already: it says more than a body that broke off."""
    if trouble.failure in (Failure.AUTH_REJECTED, Failure.AUTH_TOKEN):
        return trouble  # it explains the status
    if visit.head is None and visit.redirects:  # nothing else says which of the hosts it is
        return TroubleError(trouble.failure, plain_line(f"redirected to {shown(visit.request.url)}: {trouble.message}"))
    redirecting = visit.head is not None and visit.leads_on(visit.head)
    return trouble if redirecting else _wrong_status(expected, visit) or trouble


def _wrong_status(expected: Expected, visit: Visit) -> TroubleError | None:
    if visit.head is None or expected.allows(visit.head.status):
        return None
    if visit.head.status == 401 and expected.has_token:
        return TroubleError(Failure.AUTH_REJECTED, "the service does not take the token (status = 401)")
    allowed = ", ".join(expected.status)
    return TroubleError(Failure.HTTP_STATUS, f"status not in [{allowed}] (status = {visit.head.status})")


def _soap_fault(visit: Visit) -> str | None:
    exchange, head = visit.exchange, visit.head
    if exchange is None or head is None or not exchange.content:
        return None
    return fault_in(exchange.content, head.first("content-type"))


async def _against_schema(schema: JsonSchema, visit: Visit, resources: Resources) -> TroubleError | None:
    from probes.conditions import AbsentError  # noqa: PLC0415 - pulls in CEL, which few checks need

    try:
        found = await schema.violations(HttpFacts(visit)["json"], resources)
    except AbsentError as error:
        found = str(error)
    except TroubleError as error:
        return error
    return TroubleError(Failure.CONDITION, plain_line(f"not as json_schema says: {found}")) if found else None
