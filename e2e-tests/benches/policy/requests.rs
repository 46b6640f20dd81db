//! The requests that are measured: what an API server sends for ordinary workloads, made by code, the same every time.

use acr_e2e_tests::review::{AdmissionRequest, AdmissionReview};
use anyhow::{Context as _, Result};
use serde::Deserialize as _;
use serde_json::{Value, json};

/// Who the object belongs to, and what it says of pull secrets.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) namespace: &'static str,
    pub(crate) service_account: &'static str,
    pub(crate) pull_secrets: &'static [&'static str],
    pub(crate) owned: bool,
}

impl Shape {
    /// A ReplicaSet's Pod that wants the pull secret and does not have it.
    pub(crate) const SELECTED: Self =
        Self { namespace: "default", service_account: "default", pull_secrets: &[], owned: true };
}

/// The review of a Pod's creation; the Pod has about this many bytes as JSON.
pub(crate) fn pod_review(shape: Shape, bytes: usize) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": metadata(shape, "web-6d4b75cb6d-"),
        "spec": pod_spec(shape),
        "status": {},
    });
    pad(&mut pod, "/spec/containers/0/env", bytes);
    review(shape, "", "v1", "Pod", "pods", &pod)
}

/// The review of a Deployment's creation; the Deployment has about this many bytes as JSON.
pub(crate) fn deployment_review(shape: Shape, bytes: usize) -> Value {
    let mut template = metadata(shape, "");
    template["labels"] = json!({"app.kubernetes.io/name": "web"});
    let mut deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": shape.namespace, "labels": {"app.kubernetes.io/name": "web"}},
        "spec": {
            "replicas": 3, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": {"app.kubernetes.io/name": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {"metadata": template, "spec": pod_spec(shape)},
        },
        "status": {},
    });
    pad(&mut deployment, "/spec/template/spec/containers/0/env", bytes);
    review(shape, "apps", "v1", "Deployment", "deployments", &deployment)
}

/// The request inside a review, as a policy host understands it.
pub(crate) fn request(review: &Value) -> Result<AdmissionRequest> {
    let review = AdmissionReview::deserialize(review).context("the review that was made up is invalid")?;
    Ok(review.request)
}

fn review(shape: Shape, group: &str, version: &str, kind: &str, resource: &str, object: &Value) -> Value {
    let gvk = json!({"group": group, "version": version, "kind": kind});
    let gvr = json!({"group": group, "version": version, "resource": resource});
    // Without an owner, it is what a person creates.
    let username = if shape.owned {
        "system:serviceaccount:kube-system:replicaset-controller"
    } else {
        "kubernetes-admin"
    };
    let name = object.pointer("/metadata/name").cloned().unwrap_or_else(|| json!(""));
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": gvk, "resource": gvr, "requestKind": gvk, "requestResource": gvr,
            "name": name, "namespace": shape.namespace, "operation": "CREATE",
            "userInfo": {
                "username": username,
                "uid": "e6f4d6b0-6e6b-4a3c-9b51-0e9ad1c8d2a1",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"],
                "extra": {"authentication.kubernetes.io/credential-id": ["JTI=3b4a1c0e-7c49-4c25-8a3b-9d7c1a9e2f10"]},
            },
            "object": object, "oldObject": null, "dryRun": false,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        }
    })
}

fn metadata(shape: Shape, generate_name: &str) -> Value {
    let mut metadata = json!({
        "namespace": shape.namespace,
        "creationTimestamp": null,
        "labels": {
            "app.kubernetes.io/name": "web", "app.kubernetes.io/part-of": "shop", "pod-template-hash": "6d4b75cb6d",
        },
        "annotations": {
            "prometheus.io/port": "9090", "prometheus.io/scrape": "true",
            "checksum/config": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        },
        "managedFields": [{
            "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:app.kubernetes.io/name": {}}}, "f:spec": {
                "f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:env": {}, "f:image": {}, "f:ports": {}}},
                "f:restartPolicy": {}, "f:schedulerName": {}, "f:securityContext": {},
            }},
        }],
    });
    if !generate_name.is_empty() {
        metadata["generateName"] = json!(generate_name);
    }
    if shape.owned {
        metadata["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6d4b75cb6d",
            "uid": "0e9f3b9a-9c1d-4c55-8d4a-0c3f5b1a7d2e", "controller": true, "blockOwnerDeletion": true,
        }]);
    }
    metadata
}

fn pod_spec(shape: Shape) -> Value {
    let mut spec = json!({
        "containers": [
            container("web", "registry.example.com/shop/web:1.42.0", 8080),
            container("proxy", "registry.example.com/mesh/proxy:2.7.1", 15001),
        ],
        "initContainers": [container("migrate", "registry.example.com/shop/migrate:1.42.0", 1)],
        "volumes": [
            {"name": "config", "configMap": {"name": "web", "defaultMode": 420}},
            {"name": "kube-api-access-x7k2p", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {
                    "apiVersion": "v1", "fieldPath": "metadata.namespace"
                }}]}},
            ]}},
        ],
        "serviceAccountName": shape.service_account, "serviceAccount": shape.service_account,
        "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
        "terminationGracePeriodSeconds": 30, "enableServiceLinks": true, "priority": 0,
        "preemptionPolicy": "PreemptLowerPriority", "securityContext": {"runAsNonRoot": true, "fsGroup": 2000},
        "tolerations": [
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
        ],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": 100, "podAffinityTerm": {
                "topologyKey": "kubernetes.io/hostname",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "web"}},
            },
        }]}},
    });
    if !shape.pull_secrets.is_empty() {
        spec["imagePullSecrets"] = shape.pull_secrets.iter().map(|name| json!({"name": name})).collect();
    }
    spec
}

fn container(name: &str, image: &str, port: u16) -> Value {
    let probe = json!({
        "httpGet": {"path": "/healthz", "port": port, "scheme": "HTTP"},
        "initialDelaySeconds": 5, "periodSeconds": 10, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3,
    });
    json!({
        "name": name, "image": image, "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/server"], "args": ["--listen", format!(":{port}"), "--config=/etc/web/config.yaml"],
        "ports": [{"name": "http", "containerPort": port, "protocol": "TCP"}],
        "env": [],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
        "livenessProbe": probe, "readinessProbe": probe,
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/web", "readOnly": true},
            {"name": "kube-api-access-x7k2p", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true},
        ],
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
    })
}

/// Adds environment variables until the object is as long as wanted.
fn pad(object: &mut Value, list: &str, bytes: usize) {
    let length = object.to_string().len();
    let variable = |index: usize| {
        let value = format!("https://service-{index:05}.shop.svc.cluster.local:8443/v1?retries=3&timeout=5s");
        json!({"name": format!("SERVICE_{index:05}_URL"), "value": value})
    };
    let one = variable(0).to_string().len() + 1;
    let count = bytes.saturating_sub(length).div_ceil(one);
    if let Some(list) = object.pointer_mut(list) {
        *list = (0..count).map(variable).collect();
    }
}
