"""Pods (and pod templates) for reading."""

from typing import Any

from orch.cli.describe import generic
from orch.cli.describe.sheet import Sheet

Plain = dict[str, Any]


def describe(obj: Plain, sheet: Sheet) -> None:
    spec, status = obj["spec"], obj.get("status", {})
    node = spec.get("nodeName")
    sheet.line("Node", f"{node}/{status['hostIP']}" if node and status.get("hostIP") else node)
    sheet.optional("Start Time", status.get("startTime"))
    sheet.line("Status", phase(obj))
    sheet.optional("Reason", status.get("reason"))
    sheet.optional("Message", status.get("message"))
    sheet.line("IP", status.get("podIP"))
    sheet.line("Service Account", spec.get("serviceAccountName"))
    statuses = {s["name"]: s for key in ("initContainerStatuses", "containerStatuses") for s in status.get(key) or ()}
    containers(spec, statuses, sheet)
    generic.conditions(obj, sheet)
    volumes(spec, sheet)
    sheet.line("QoS Class", status.get("qosClass"))
    sheet.pairs("Node-Selectors", spec.get("nodeSelector"))
    sheet.many("Tolerations", [_toleration(toleration) for toleration in spec.get("tolerations") or ()])


def phase(obj: Plain) -> str:
    if obj["metadata"].get("deletionTimestamp"):
        return f"Terminating (since {obj['metadata']['deletionTimestamp']})"
    return str(obj.get("status", {}).get("phase") or "Unknown")


def containers(spec: Plain, statuses: dict[str, Plain], sheet: Sheet) -> None:
    for label, key in (("Init Containers", "initContainers"), ("Containers", "containers")):
        if spec.get(key):
            with sheet.section(label):
                for container in spec[key]:
                    with sheet.section(container["name"]):
                        _container(container, statuses.get(container["name"]), sheet)


def _container(container: Plain, status: Plain | None, sheet: Sheet) -> None:
    if status:
        sheet.optional("Container ID", status.get("containerID"))
    sheet.line("Image", container.get("image"))
    if status:
        sheet.optional("Image ID", status.get("imageID"))
    ports = [f"{p['containerPort']}/{p.get('protocol', 'TCP')}" for p in container.get("ports") or ()]
    sheet.line("Ports", ", ".join(ports))
    sheet.optional("Command", " ".join(container.get("command") or ()))
    sheet.optional("Args", " ".join(container.get("args") or ()))
    if status:
        _state("State", status.get("state"), sheet)
        if status.get("lastState"):
            _state("Last State", status["lastState"], sheet)
        sheet.line("Ready", status.get("ready"))
        sheet.line("Restart Count", status.get("restartCount"))
    resources = container.get("resources") or {}
    for key in ("limits", "requests"):
        if resources.get(key):
            sheet.pairs(key.title(), resources[key], join=": ")
    for key in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(key):
            sheet.line(key.removesuffix("Probe").title(), probe_text(container[key]))
    sheet.many("Environment", [_variable(variable) for variable in container.get("env") or ()])
    mounts = [f"{m['mountPath']} from {m['name']} ({'ro' if m.get('readOnly') else 'rw'})" for m in _mounts(container)]
    sheet.many("Mounts", mounts)


def _mounts(container: Plain) -> list[Plain]:
    return container.get("volumeMounts") or []


def _state(label: str, state: Plain | None, sheet: Sheet) -> None:
    """One of waiting, running, terminated, with what is known of it."""
    stated: Plain = state or {"waiting": {}}
    name, details = next(iter(stated.items()))
    sheet.line(label, name.title())
    for key in ("reason", "message", "exitCode", "signal", "startedAt", "finishedAt"):
        if details.get(key) is not None:
            sheet.line(f"  {generic.title(key)}", details[key])


def probe_text(probe: Plain) -> str:
    """As kubectl: what is done, then the numbers."""
    numbers = (
        f"delay={probe.get('initialDelaySeconds', 0)}s timeout={probe.get('timeoutSeconds', 1)}s "
        f"period={probe.get('periodSeconds', 10)}s #success={probe.get('successThreshold', 1)} "
        f"#failure={probe.get('failureThreshold', 3)}"
    )
    if "exec" in probe:
        return f"exec {probe['exec'].get('command')} {numbers}"
    if "httpGet" in probe:
        get = probe["httpGet"]
        where = f"{get.get('scheme', 'HTTP').lower()}://{get.get('host', '')}:{get['port']}{get.get('path', '')}"
        return f"http-get {where} {numbers}"
    if "tcpSocket" in probe:
        return f"tcp-socket :{probe['tcpSocket']['port']} {numbers}"
    return f"{', '.join(key for key in probe if key in ('grpc',)) or 'unknown'} {numbers}"


def _variable(variable: Plain) -> str:
    source = variable.get("valueFrom")
    if not source:
        return f"{variable['name']}: {variable.get('value', '')}"
    kind, details = next(iter(source.items()))
    inner = details.get("fieldPath") or details.get("resource") or f"{details.get('name')}/{details.get('key')}"
    return f"{variable['name']}: <{kind} {inner}>"


def volumes(spec: Plain, sheet: Sheet) -> None:
    rows = []
    for volume in spec.get("volumes") or ():
        kind = next((key for key in volume if key != "name"), "emptyDir")
        details = volume.get(kind) or {}
        rows.append(
            [volume["name"], kind, str(details.get("name") or details.get("secretName") or details.get("path") or "")]
        )
    sheet.table("Volumes", ["Name", "Type", "Source"], rows)


def _toleration(toleration: Plain) -> str:
    key = toleration.get("key", "")
    value = f"={toleration['value']}" if toleration.get("value") else ""
    effect = f":{toleration['effect']}" if toleration.get("effect") else ""
    operator = " op=Exists" if toleration.get("operator") == "Exists" else ""
    seconds = toleration.get("tolerationSeconds")
    return f"{key}{value}{effect}{operator}" + (f" for {seconds}s" if seconds is not None else "")
