"""Lints and renders the chart with several values, and prints the command lines of its containers and of the Compose file.

Usage: render.py CHART COMPOSE FOLDER. What Kubernetes itself defines is written to the folder, for kubernetes-validate. Each line of the
output is a JSON list of arguments.
"""

import json
import pathlib
import sys

import helm_python as helm
import yaml

CUSTOM = "monitoring.coreos.com/v1"
# Helm's levels: 1 is information, 2 a warning.
WARNING = 2


def fail(text):
    sys.exit(f"error: {text}")


def documents(chart, values):
    """All objects that the chart makes of these values."""
    with helm.Chart.load(chart) as loaded:
        rendered = loaded.render(values, name="chat", namespace="production")
    texts = (text for name, text in rendered.items() if name.endswith(".yaml"))
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def lint(chart, values):
    report = helm.lint(chart, values, strict=True, kube_version="v1.30.0")
    bad = [message for message in report["messages"] if message["severity"] >= WARNING]
    if bad or report["errors"]:
        fail(f"helm lint: {bad} {report['errors']}")


def kinds(documents):
    return {document["kind"] for document in documents}


def check_one(documents):
    """Without a cluster: one pod with a volume."""
    expected = {"Deployment", "NetworkPolicy", "PersistentVolumeClaim", "Secret", "Service"}
    if kinds(documents) != expected:
        fail(f"one server is {kinds(documents)}")


def check_cluster(chart, documents):
    """With everything that can be turned on."""
    expected = {"ConfigMap", "Deployment", "Ingress", "NetworkPolicy", "PodDisruptionBudget", "PrometheusRule", "Service", "ServiceMonitor"}
    if kinds(documents) != expected:
        fail(f"a cluster is {kinds(documents)}")
    alerts = yaml.safe_load((pathlib.Path(chart) / "files/alerts.yaml").read_text())
    rule = next(document for document in documents if document["kind"] == "PrometheusRule")
    if rule["spec"] != alerts:
        fail("the PrometheusRule has other alerts than packaging/watching")
    board = next(document for document in documents if document["kind"] == "ConfigMap")
    if json.loads(board["data"]["dog.json"]) != json.loads((pathlib.Path(chart) / "files/dashboard.json").read_text()):
        fail("the ConfigMap has another dashboard than packaging/watching")


def check_typos(chart):
    """A value that the chart does not know is refused."""
    try:
        documents(chart, {"clusters": {"url": "nats://nats:4222"}})
    except helm.HelmError:
        return
    fail("the chart takes values that it does not know")


def show(arguments):
    print(json.dumps(arguments))


def main(chart, compose, folder):
    cluster = yaml.safe_load((pathlib.Path(chart) / "ci/cluster.yaml").read_text())
    for name, values in {"one": {}, "cluster": cluster}.items():
        lint(chart, values)
        made = documents(chart, values)
        check_one(made) if name == "one" else check_cluster(chart, made)
        standard = [document for document in made if document["apiVersion"] != CUSTOM]
        (pathlib.Path(folder) / f"{name}.yaml").write_text(yaml.safe_dump_all(standard))
        deployment = next(document for document in made if document["kind"] == "Deployment")
        show(deployment["spec"]["template"]["spec"]["containers"][0]["args"])
    check_typos(chart)
    services = yaml.safe_load(pathlib.Path(compose).read_text())["services"]
    for name in ("node1", "node2", "node3"):
        show(services[name]["entrypoint"][1:] + services[name]["command"])


main(*sys.argv[1:])
