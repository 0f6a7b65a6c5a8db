"""Every command of kubectl, by the oldest version that is promised and by the newest; a core of them by all between."""

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.e2e.cluster import Cluster, wait_until
from tests.e2e.pods import IMAGE, deployment, service
from tests.kubectl import Kubectl, installed

ALL = installed()
OLDEST, NEWEST = ALL[0], ALL[-1]
AT_ONCE = 4
"""Commands that run at the same time where none needs another."""
SERVE = ("sh", "-c", "mkdir -p /tmp /w; hostname > /w/index.html; trap 'exit 0' TERM; httpd -f -p 8080 -h /w & wait")
TICK = ("sh", "-c", "trap 'exit 0' TERM; while true; do echo tick; sleep 0.2; done")


@dataclass(frozen=True)
class User:
    """A person with one kubectl and a namespace and folder of their own."""

    cluster: Cluster
    kubectl: Kubectl
    namespace: str
    folder: Path

    @property
    def is_old(self) -> bool:
        return self.kubectl == OLDEST

    def command(self, *arguments: str) -> list[str]:
        return [self.kubectl.path, *arguments, "-n", self.namespace]

    def __call__(self, line: str, *rest: str, stdin: str = "", code: int = 0) -> str:
        """Runs the words of `line` and then `rest`, which may hold blanks. Returns both outputs."""
        words = line.split()
        split = words.index("--") if "--" in words else len(words)
        command = [self.kubectl.path, *words[:split], "-n", self.namespace, *words[split:], *rest]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=90, cwd=self.folder,
            env=self.cluster.environment | {"KUBE_EDITOR": str(self.folder / "editor")},
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == code, f"{' '.join(command)}: {done.returncode}: {said}"
        return said

    def each(self, *lines: str) -> dict[str, str]:
        """What every line printed; the lines run at once."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(lines, pool.map(self, lines), strict=True))

    def typed(self, line: str, script: str) -> str:
        """Runs `line -- sh -c SCRIPT` at a terminal. Returns what the terminal showed; the exit code stands last."""
        command = f"{self.kubectl.path} -n {self.namespace} {line} -- sh -c '{script}'; echo code $?"
        done = subprocess.run(
            ["script", "-qc", command, "/dev/null"], input="", capture_output=True, text=True, timeout=60,
            cwd=self.folder, env=self.cluster.environment,
        )  # fmt: skip
        return done.stdout

    def pods(self, selector: str) -> list[str]:
        return self(f"get pods -o name -l {selector}").split()


def two_containers(name: str) -> dict[str, object]:
    """A Deployment of one pod: `main` serves its name on port 8080, `side` writes a line five times a second."""
    made = deployment(name, 1, *SERVE, ports=[{"name": "http", "containerPort": 8080}])
    side = {"name": "side", "image": IMAGE, "command": list(TICK)}
    made["spec"]["template"]["spec"]["containers"].append(side)
    return made


def user_of(cluster: Cluster, kubectl: Kubectl, folder: Path, story: str) -> Iterator[User]:
    user = User(cluster, kubectl, f"{story}-{kubectl.version[1]}", folder)
    user(f"create namespace {user.namespace}")
    manifest = yaml.safe_dump_all([two_containers("web"), service("web", 80, "http")])
    (folder / "web.yaml").write_text(manifest)
    try:
        yield user
    finally:
        user(f"delete namespace {user.namespace} --wait=false")


@pytest.fixture(params=(OLDEST, NEWEST), ids=lambda one: one.name)
def user(cluster: Cluster, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[User]:
    story = request.node.originalname.removeprefix("test_").replace("_", "-")[:30]
    yield from user_of(cluster, request.param, tmp_path, story)


@pytest.fixture(params=ALL[1:-1], ids=lambda one: one.name)
def user_between(cluster: Cluster, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[User]:
    yield from user_of(cluster, request.param, tmp_path, "between")


def started(user: User) -> str:
    """Applies the manifest; the name of its pod, whose events are there: the agent tells them a moment later."""
    assert "deployment.apps/web created" in user("apply -f web.yaml")
    assert "successfully rolled out" in user("rollout status deploy/web --timeout=60s")
    (pod,) = user.pods("app=web")
    wait_until("the pod's events", lambda: "Started container side" in user("get events"))
    return pod.removeprefix("pod/")


def test_core(user_between: User) -> None:
    user = user_between
    pod = started(user)
    assert "serverside-applied" in user("apply --server-side --force-conflicts -f web.yaml")
    said = user.each(
        "diff -f web.yaml",
        f"describe pod {pod}",
        f"logs {pod} --all-containers --prefix --tail=1",
        f"exec {pod} -c main -- hostname",
        "explain pod.spec.containers.resources",
        "get all -o wide",
        f"exec {pod} -c side -- true",
    )
    assert f"[pod/{pod}/side] tick" in said[f"logs {pod} --all-containers --prefix --tail=1"]
    assert said[f"exec {pod} -c main -- hostname"] == f"{pod}\n"
    assert "limits" in said["explain pod.spec.containers.resources"]
    copy_both_ways(user, pod)
    assert fetched(user, "svc/web", 80) == f"{pod}\n"
    user(f"exec {pod} -c main -- sh -c", "exit 7", code=7)
    user("scale deploy/web --replicas=2")
    assert "successfully rolled out" in user("rollout status deploy/web --timeout=60s")
    user("delete -f web.yaml --timeout=60s")


def test_changing(user: User) -> None:
    """apply, diff, replace, edit, label, annotate, patch, scale, autoscale, set, expose, rollout."""
    started(user)
    assert "unchanged" in user("apply -f web.yaml")
    assert "serverside-applied" in user("apply --server-side --force-conflicts -f web.yaml")
    (user.folder / "web.yaml").write_text((user.folder / "web.yaml").read_text().replace("replicas: 1", "replicas: 2"))
    for how in ("diff -f web.yaml", "diff --server-side --force-conflicts -f web.yaml"):
        assert "+  replicas: 2" in user(how, code=1)
    user("replace -f web.yaml")
    (user.folder / "editor").write_text('#!/bin/sh\nsed -i "s/replicas: 2/replicas: 1/" "$1"\n')
    (user.folder / "editor").chmod(0o755)
    assert "edited" in user("edit deploy web")
    for line in (
        "label deploy web tier=front", "label deploy web tier=back --overwrite", "label deploy web tier-",
        "annotate deploy web note=hi", "annotate deploy web note-",
        'patch deploy web -p {"spec":{"minReadySeconds":1}}',
        'patch deploy web --type=merge -p {"spec":{"minReadySeconds":null}}',
        'patch deploy web --type=json -p [{"op":"replace","path":"/spec/revisionHistoryLimit","value":5}]',
        "scale deploy web --current-replicas=1 --replicas=2",
        "autoscale deploy web --min=1 --max=3 --cpu-percent=80",
        "create serviceaccount runner",
        "set image deploy/web side=docker.io/library/" + IMAGE,
        "set env deploy/web -c side GREETING=hi",
        "set resources deploy/web -c side --limits=memory=32Mi --requests=cpu=1m",
        "set serviceaccount deploy/web runner",
        "set selector service web app=web",
        "expose deploy web --port=81 --target-port=http --name=other",
        "rollout pause deploy/web", "rollout resume deploy/web", "rollout restart deploy/web",
    ):  # fmt: skip
        user(line)
    if not user.is_old:
        user('patch deploy web --subresource=status --type=merge -p {"status":{"collisionCount":1}}')
    assert "successfully rolled out" in user("rollout status deploy/web --timeout=60s")
    assert "GREETING=hi" in user("set env deploy/web --list")
    assert user("get deploy web -o jsonpath={.metadata.labels}{.spec.revisionHistoryLimit}") == "5"
    user("rollout undo deploy/web --to-revision=1")
    assert "successfully rolled out" in user("rollout status deploy/web --timeout=60s")
    assert "GREETING" not in user("set env deploy/web --list")
    assert len(user("rollout history deploy/web").splitlines()) > 3
    assert 'deployment.apps "web" deleted' in user("replace --force --grace-period=0 -f web.yaml")


def test_creating(user: User) -> None:
    """Every generator of create that the server has a kind for."""
    key = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=x",
    ]
    subprocess.run(
        [*key, "-keyout", "key.pem", "-out", "cert.pem"], cwd=user.folder, check=True, capture_output=True, timeout=30
    )
    lines = [
        f"create deployment made --image={IMAGE} --replicas=1 --port=80 -- sleep 1000",
        f"create job once --image={IMAGE} -- echo hi",
        "create configmap settings --from-literal=a=b --from-file=web.yaml",
        "create secret generic plain --from-literal=a=b",
        "create secret tls pair --cert=cert.pem --key=key.pem",
        "create secret docker-registry login --docker-username=u --docker-password=p --docker-server=r.example",
        "create service clusterip inner --tcp=80:8080",
        "create service nodeport outer --tcp=80:8080",
        "create service loadbalancer far --tcp=80:8080",
        "create service externalname alias --external-name=www.example",
        "create ingress way --rule=www.example/=inner:80",
        "create quota bound --hard=configmaps=30,secrets=20",
        f"create priorityclass {user.namespace} --value=10",
        "create serviceaccount runner",
    ]
    if not user.is_old:  # which asks for betas of these two that Kubernetes 1.25 took away
        lines += [
            f"create cronjob nightly --image={IMAGE} --schedule=@daily -- echo hi",
            "create pdb keep --selector=app=made --min-available=1",
        ]
    for line, said in user.each(*lines).items():
        assert "created" in said, f"{line}: {said}"
    kinds = "deploy,job,cm,secret,svc,ingress,quota,sa,pdb,cronjob,hpa,endpoints"
    user.each(*(f"describe {kind}" for kind in (*kinds.split(","), f"priorityclass {user.namespace}")))
    assert "already exists" in user("create configmap settings", code=1)
    if not user.is_old:
        user("create job again --from=cronjob/nightly")
        assert len(user("create token runner --duration=1h").split(".")) == 3
    user(f"delete priorityclass {user.namespace}")


def test_reading(user: User) -> None:
    """get in every form, describe, explain, wait, events, top, auth, discovery, cluster-info."""
    pod = started(user)
    said = user.each(
        "get all -o wide",
        "get pods -o yaml",
        "get pods -o jsonpath={.items[*].metadata.name}",
        "get pods -o custom-columns=NAME:.metadata.name,NODE:.spec.nodeName --no-headers",
        "get pods -o go-template={{range.items}}{{.metadata.name}}{{end}}",
        "get pods -A --sort-by=.metadata.creationTimestamp --chunk-size=1",
        "get pods --show-labels -L app --field-selector=status.phase=Running",
        "get events",
        "wait --for=condition=Available deploy/web --timeout=30s",
        "describe nodes",
        "describe namespaces",
        f"describe pod {pod}",
        "describe deploy,rs,svc,endpoints",
        "explain pod.spec.containers.resources",
        "explain deployment --recursive",
        "explain hpa.spec.metrics",
        "api-resources --verbs=list -o name",
        "api-versions",
        "auth can-i create deployments",
        "auth can-i --list",
        "cluster-info",
        "config view",
        "top node",
    )
    assert said["get pods -o jsonpath={.items[*].metadata.name}"] == pod
    assert said["get pods -o go-template={{range.items}}{{.metadata.name}}{{end}}"] == pod
    assert "kind: Pod\n" in said["get pods -o yaml"]
    assert f"Scheduled           pod/{pod}" in said["get events"].replace(" " * 12, " " * 11)
    assert re.search(r"Started\s.*Started container side", said[f"describe pod {pod}"])
    assert "deployments.apps" in said["api-resources --verbs=list -o name"].split()
    assert said["auth can-i create deployments"] == "yes\n"
    assert subprocess.run(
        [user.kubectl.path, "get", "--raw", "/readyz?verbose"], env=user.cluster.environment, capture_output=True,
        text=True, timeout=30,
    ).stdout.endswith("readyz check passed\n")  # fmt: skip
    top = user.command("top", "pod", "--containers")
    wait_until("figures of the pod", lambda: "side" in user.cluster.run(top, check=False).stdout)
    if not user.is_old:
        user.each(
            "get deploy web -o yaml --show-managed-fields",
            "get deploy web --subresource=status",
            f"wait --for=jsonpath={{.status.phase}}=Running pod/{pod} --timeout=30s",
            f"events --for pod/{pod}",
            "explain deploy --output=plaintext-openapiv2",
            "auth whoami",
        )


def copy_both_ways(user: User, pod: str) -> None:
    (user.folder / "tree" / "sub").mkdir(parents=True, exist_ok=True)
    (user.folder / "tree" / "sub" / "leaf").write_text("green\n")
    user(f"cp tree {pod}:/tmp/ -c main")
    user(f"cp {pod}:/tmp/tree back -c main")
    assert (user.folder / "back" / "sub" / "leaf").read_text() == "green\n"


def fetched(user: User, target: str, port: int) -> str:
    """A page through port-forward to `target`."""
    command = user.command("port-forward", target, f":{port}")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=user.cluster.environment) as forward:
        assert forward.stdout is not None
        try:
            found = re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline())
            assert found is not None
            return user.cluster.run(["curl", "-sS", "-m", "10", f"http://127.0.0.1:{found[1]}/"]).stdout
        finally:
            forward.terminate()


def first_lines(user: User, count: int, *arguments: str) -> list[str]:
    """Lines of a command that goes on for ever."""
    with subprocess.Popen(
        user.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=user.cluster.environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            return [process.stdout.readline() for _ in range(count)]
        finally:
            process.terminate()


def test_inside(user: User) -> None:
    """exec, attach, run, logs, cp, port-forward, proxy, debug."""
    pod = started(user)
    assert user(f"exec {pod} -i -c side -- cat", stdin="typed\n") == "typed\n"
    user(f"exec {pod} -c main -- sh -c", "exit 7", code=7)
    said = user.typed(f"exec -it {pod} -c main", "tty; exit 5")
    assert "/dev/pts/" in said
    assert "code 5" in said
    copy_both_ways(user, pod)
    for target, port in ((f"pod/{pod}", 8080), ("svc/web", 80), ("deploy/web", 8080)):
        assert fetched(user, target, port) == f"{pod}\n"
    for path in (f"pods/{pod}:8080", "services/web"):
        raw = [user.kubectl.path, "get", "--raw", f"/api/v1/namespaces/{user.namespace}/{path}/proxy/"]
        assert user.cluster.run(raw).stdout == f"{pod}\n"
    (line,) = first_lines(user, 1, "proxy", "--port=0")
    assert line.startswith("Starting to serve on 127.0.0.1:")
    assert first_lines(user, 3, "attach", f"pod/{pod}", "-c", "side") == ["tick\n"] * 3
    follow = ("logs", "-f", "-l", "app=web", "--all-containers", "--prefix", "--tail=2")
    assert first_lines(user, 3, *follow) == [f"[pod/{pod}/side] tick\n"] * 3
    assert user(f"logs {pod} -c side --limit-bytes=7") == "tick\nti"
    stamped = user(f"logs {pod} -c side --since=1h --timestamps --tail=1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z tick\n", stamped)
    once = f"run once --image={IMAGE} --restart=Never --rm -i --command -- sh -c"
    assert "from within\n" in user(once, "sleep 1; echo from within; exit 3", code=3)
    assert "left\n" in user.typed(f"run tty --image={IMAGE} --restart=Never --rm -it --command", "sleep 1; echo left")
    debug(user, pod)


def debug(user: User, pod: str) -> None:
    user(f"debug {pod} --image={IMAGE} --copy-to=copy --share-processes -c tools -- sleep 1000")
    user("wait --for=condition=Ready pod/copy --timeout=60s")
    node = f"debug node/node-1 --image={IMAGE} -i -- sh -c"
    assert "node-1\n" in user(node, "sleep 1; cat /host/etc/hostname; hostname")
    if not user.is_old:  # whose way to ephemeral containers Kubernetes 1.22 took away
        there = f"debug {pod} --image={IMAGE} --target=main -i -- sh -c"
        assert "httpd -f -p 8080" in user(there, "sleep 1; ps")


def test_nodes(user: User) -> None:
    """taint, cordon, drain against a disruption budget, uncordon."""
    pod = started(user)
    node = user(f"get pod {pod} -o jsonpath={{.spec.nodeName}}")
    budget = {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "keep"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }  # fmt: skip
    user("apply -f -", stdin=yaml.safe_dump(budget))
    drain = f"drain {node} --ignore-daemonsets --delete-emptydir-data --pod-selector=app=web --timeout"
    try:
        user(f"taint node {node} a=b:NoSchedule")
        user(f"taint node {node} a=b:NoSchedule-")
        user(f"cordon {node}")
        assert "SchedulingDisabled" in user(f"get node {node}")
        assert "violate the pod's disruption budget" in user(f"{drain}=1s", code=1)
        user("delete pdb keep")
        assert f"{pod} evicted" in user(f"{drain}=60s")
    finally:
        user(f"uncordon {node}")
    assert "successfully rolled out" in user("rollout status deploy/web --timeout=60s")
    assert user("get pods -l app=web -o jsonpath={.items[0].spec.nodeName}") != node


def test_deleting(user: User) -> None:
    """Orphans, foreground, force, wait for deletion; kustomize; watch."""
    pod = started(user)
    user("delete deploy web --cascade=orphan")
    assert user.pods("app=web") == [f"pod/{pod}"]
    user("delete rs -l app=web --cascade=foreground")
    wait_until("the orphan's pod to go", lambda: user.pods("app=web") == [], timeout_s=30)
    for name in ("forced", "later"):
        user(f"run {name} --image={IMAGE} --command -- sleep 1000")
    user("wait --for=condition=Ready pod/forced pod/later --timeout=60s")
    assert first_lines(user, 2, "get", "pods", "-w", "-o", "name") == ["pod/forced\n", "pod/later\n"]
    assert "force deleted" in user("delete pod forced --grace-period=0 --force")
    user("delete pod later --wait=false --now")
    user("wait --for=delete pod/later --timeout=60s")
    (user.folder / "kustomization.yaml").write_text(
        "resources: [web.yaml]\nnamePrefix: my-\nconfigMapGenerator: [{name: made, literals: [a=b]}]\n"
    )
    assert "deployment.apps/my-web created" in user("apply -k .")
    user("diff -k .")
    assert 'deployment.apps "my-web" deleted' in user("delete -k . --wait=false")
