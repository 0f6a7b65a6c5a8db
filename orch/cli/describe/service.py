"""Services with their endpoints, for reading."""

from typing import Any

from orch.cli.describe.sheet import Sheet
from orch.cli.pods import selector_text

Plain = dict[str, Any]
ENDPOINTS_SHOWN_MAX = 10


def describe(obj: Plain, slices: list[Plain], sheet: Sheet) -> None:
    spec = obj["spec"]
    sheet.line("Selector", selector_text(spec.get("selector")))
    sheet.line("Type", spec.get("type"))
    sheet.line("IP Families", ", ".join(spec.get("ipFamilies") or ()))
    sheet.line("IP", spec.get("clusterIP"))
    sheet.optional("External Name", spec.get("externalName"))
    for port in spec.get("ports") or ():
        sheet.line("Port", f"{port.get('name') or '<unset>'}  {port['port']}/{port.get('protocol', 'TCP')}")
        sheet.line("TargetPort", f"{port.get('targetPort', port['port'])}/{port.get('protocol', 'TCP')}")
        if port.get("nodePort"):
            sheet.line("NodePort", f"{port.get('name') or '<unset>'}  {port['nodePort']}/{port.get('protocol', 'TCP')}")
        sheet.line("Endpoints", endpoints(slices, port.get("name") or ""))
    sheet.line("Session Affinity", spec.get("sessionAffinity"))
    sheet.optional("External Traffic Policy", spec.get("externalTrafficPolicy"))
    sheet.line("Internal Traffic Policy", spec.get("internalTrafficPolicy"))


def endpoints(slices: list[Plain], port_name: str) -> str:
    """Ready addresses of that port, at most ten of them spelled out."""
    found = sorted(
        f"{address}:{port['port']}"
        for endpoint_slice in slices
        for port in endpoint_slice.get("ports") or ()
        if (port.get("name") or "") == port_name
        for endpoint in endpoint_slice.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint.get("addresses") or ()
    )
    more = len(found) - ENDPOINTS_SHOWN_MAX
    return ",".join(found[:ENDPOINTS_SHOWN_MAX]) + (f" + {more} more..." if more > 0 else "")
