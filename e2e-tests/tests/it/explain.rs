//! `explain` for manifests, without a cluster.

use acr_e2e_tests::sidecar::{Ended, Sidecar};
use anyhow::Result;
use serde_json::{Value, json};

use crate::mint::cloud;

const CONFIGURATION: &str = r#"
watch-namespace: "team-*"
service-account: "*"
acr-registry-info: |
  - instanceId: ""
    regionId: cn-beijing
  - instanceId: cri-example
    regionId: cn-hangzhou
    domains: shop-registry.cn-hangzhou.cr.aliyuncs.com
"#;

const PRIVATE: &str = "shop-registry.cn-hangzhou.cr.aliyuncs.com/shop/web:1";

async fn explain(manifest: &str, more: &[&str]) -> Result<Ended> {
    explain_with(CONFIGURATION, manifest, more).await
}

async fn explain_with(configuration: &str, manifest: &str, more: &[&str]) -> Result<Ended> {
    let sidecar = Sidecar::new(&cloud().await?)?;
    sidecar.file("config.yaml", configuration)?;
    sidecar.file("manifest.yaml", manifest)?;
    let printed = sidecar.run(&["manifests", "--config", "config.yaml"]).await?.stdout;
    sidecar.file("policies.yaml", &printed.replace("pods: reject", "pods: warn"))?;
    let arguments = ["explain", "--file", "manifest.yaml", "--config", "config.yaml"];
    sidecar.run(&arguments.iter().chain(more).copied().collect::<Vec<_>>()).await
}

#[track_caller]
fn check(ended: &Ended, code: i32, says: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}\n{}", ended.stdout, ended.stderr);
    for part in says {
        assert!(ended.stdout.contains(part), "no {part:?} in:\n{}", ended.stdout);
    }
    // The Secret was not looked at, at least.
    assert!(!ended.stdout.contains("Nothing prevents it"), "{}", ended.stdout);
}

fn spec(image: &str, list: &[&str]) -> Value {
    let list: Vec<_> = list.iter().map(|name| json!({ "name": name })).collect();
    json!({ "containers": [{ "name": "main", "image": image }], "imagePullSecrets": list })
}

fn pod(image: &str, list: &[&str]) -> String {
    let metadata = json!({ "name": "web", "namespace": "team-a" });
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec(image, list) }).to_string()
}

fn templated(version: &str, kind: &str, list: &[&str]) -> String {
    let metadata = json!({ "name": "web", "namespace": "team-a" });
    let spec = json!({ "template": { "spec": spec(PRIVATE, list) } });
    json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec }).to_string()
}

#[tokio::test]
async fn a_persons_pod_is_refused_as_the_shipped_policies_refuse_it() -> Result<()> {
    let refusal = "✗ policy acr-credential-helper-inject: Pod team-a/web: spec.imagePullSecrets lists \"corp\" without \
                   \"acr-credential-secret-aggregation\"";
    let manual = pod(PRIVATE, &["corp"]);
    let assumed = "- policies: assumed to be those that `manifests` prints for this configuration";
    let person = "judged as created by a person";
    check(&explain(&manual, &[]).await?, 1, &[refusal, assumed, person, "It cannot pull its images."]);
    check(&explain(&pod("nginx", &["corp"]), &[]).await?, 1, &[refusal]);
    check(&explain(&manual, &["--as", "kubernetes-admin"]).await?, 1, &[refusal]);
    let runner = "system:serviceaccount:ci:runner";
    let merged = "✓ imagePullSecrets: has corp, and the policy adds acr-credential-secret-aggregation";
    check(
        &explain(&manual, &["--as", runner]).await?,
        0,
        &[merged, "judged as created by system:serviceaccount"],
    );
    let warning = "! policy acr-credential-helper-inject: imagePullSecrets lists \"corp\" without";
    let ended = explain(&manual, &["--policies", "policies.yaml"]).await?;
    check(&ended, 0, &[warning, merged, "assumed to be those in policies.yaml"]);
    let ended = explain(&manual, &["--policies", "config.yaml"]).await?;
    assert_eq!(ended.code, Some(2), "{}", ended.stdout);
    assert!(ended.stderr.contains("config.yaml: contains none of the policies acr-"), "{}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn mistakes_in_the_configuration_are_named_and_the_rest_is_judged_all_the_same() -> Result<()> {
    let mistaken = format!("{CONFIGURATION}watch-namespaces: team-b\n");
    let unknown = "- configuration: not checked: it has mistakes";
    let ended = explain_with(&mistaken, &pod("https://ghcr.io/a", &[]), &[]).await?;
    check(&ended, 1, &["✗ watch-namespaces: ", unknown, "✗ image https://ghcr.io/a: begins with a scheme"]);
    Ok(())
}

#[tokio::test]
async fn a_context_that_does_not_exist_is_an_error_and_not_the_namespace_default() -> Result<()> {
    for (more, problem) in
        [(["--context", "typo"], "there is no context typo"), (["--kubeconfig", "absent"], "absent: ")]
    {
        let ended = explain(&pod(PRIVATE, &[]), &more).await?;
        assert_eq!(ended.code, Some(2), "{}", ended.stdout);
        assert!(ended.stderr.contains(problem), "{}", ended.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn a_workload_with_a_manual_list_gets_the_warning_of_the_policy() -> Result<()> {
    let ended = explain(&templated("apps/v1", "Deployment", &["corp"]), &[]).await?;
    let warning = "! policy acr-credential-helper-guard: imagePullSecrets lists \"corp\" without \
                   \"acr-credential-secret-aggregation\"; Pods get it anyway";
    check(&ended, 0, &[warning, "No error was found."]);
    Ok(())
}

#[tokio::test]
async fn every_kind_with_a_pod_template_is_explained_and_the_rest_is_named() -> Result<()> {
    let clone_set = templated("apps.kruise.io/v1alpha1", "CloneSet", &["corp"]);
    let knative = templated("serving.knative.dev/v1", "Service", &[]);
    let workflow = "---\nkind: Workflow\nmetadata: { generateName: build- }\nspec: { templates: [{ container: { image: a } }] }\n";
    let ended = explain(&format!("{clone_set}{knative}\n{workflow}"), &[]).await?;
    let passed_over = "Skipped, because there is no pod template in it: Workflow build-\n";
    check(&ended, 0, &["CloneSet team-a/web\n", "Service team-a/web\n", passed_over]);
    assert!(!ended.stdout.contains("-guard"), "it never sees such kinds:\n{}", ended.stdout);
    let ended = explain(workflow, &[]).await?;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("nothing with the template of a Pod: Workflow build-"), "{}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn images_are_told_by_where_they_come_from_and_whether_they_can_be_pulled_at_all() -> Result<()> {
    let public = "not among the configured registries; fine if it is public";
    for image in [
        "registry.aliyuncs.com/google_containers/coredns:1",
        "registry-cn-hangzhou.ack.aliyuncs.com/acs/csi:1",
        "a1b2c3.mirror.aliyuncs.com/library/nginx",
        "their-registry.cn-shanghai.cr.aliyuncs.com/a/b:1",
    ] {
        check(&explain(&pod(image, &[]), &[]).await?, 0, &[&format!("- image {image}: "), public]);
    }
    let personal = "crpi-0a1b2c3d4e5f6a7b.cn-hangzhou.personal.cr.aliyuncs.com/a/b:1";
    check(
        &explain(&pod(personal, &[]), &[]).await?,
        0,
        &["for which no token API exists: use a pull secret"],
    );
    for (image, problem) in [
        ("shop-registry.cn-hangzhou.cr.aliyuncs.com/Shop/web", "has an upper-case letter"),
        ("https://shop-registry.cn-hangzhou.cr.aliyuncs.com/shop/web", "begins with a scheme"),
        ("{{ .Values.image }}", "is a template that was not rendered"),
        ("shop-registry.cn-hangzhou.cr.aliyuncs.com/shop/", "ends with a slash"),
        ("", "is empty"),
    ] {
        check(&explain(&pod(image, &[]), &[]).await?, 1, &["✗ image ", problem]);
    }
    Ok(())
}

#[tokio::test]
async fn a_host_that_the_kubelet_takes_for_another_one_is_told() -> Result<()> {
    for host in ["SHOP-registry.cn-hangzhou.cr.aliyuncs.com", "shop-registry.cn-hangzhou.cr.aliyuncs.com:443"]
    {
        let ended = explain(&pod(&format!("{host}/shop/web:1"), &[]), &[]).await?;
        check(&ended, 1, &["compares letter by letter: write shop-registry.cn-hangzhou.cr.aliyuncs.com"]);
    }
    let other = explain(&pod("Quay.example.com:443/a/b:1", &[]), &[]).await?;
    check(&other, 0, &["is not among the configured registries; fine if it is public"]);
    Ok(())
}

#[tokio::test]
async fn the_field_of_a_wrong_type_is_named_and_its_value_is_not() -> Result<()> {
    let pod =
        "kind: Pod\nmetadata: { name: web }\nspec: { containers: [{ env: [{ name: a, value: 4711 }] }] }\n";
    let ended = explain(pod, &[]).await?;
    assert_eq!(ended.code, Some(2));
    let expected = "Pod web: spec.containers[0].env[0].value: a string is expected";
    assert!(ended.stderr.contains(expected) && !ended.stderr.contains("4711"), "{}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn what_others_wrote_reaches_no_terminal_as_it_is() -> Result<()> {
    let hidden: String = ('\u{1}'..='\u{1f}')
        .chain('\u{7f}'..='\u{9f}')
        .chain('\u{202a}'..='\u{202e}')
        .chain('\u{2066}'..='\u{2069}')
        .collect();
    let image = format!("{PRIVATE}{hidden}\n  \u{1b}[32m✓\u{1b}[0m image: all is well");
    let list = format!("corp{hidden}");
    for more in [&[][..], &["--output", "json"], &["--as", "kubernetes-admin"]] {
        let ended = explain(&pod(&image, &[&list]), more).await?;
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        for text in [&ended.stdout, &ended.stderr] {
            let shown: Vec<_> = text.chars().filter(|c| *c != '\n' && hidden.contains(*c)).collect();
            assert!(shown.is_empty(), "{shown:?} in {text}");
            let forged = text.lines().find(|line| line.trim_start().starts_with("✓ image: all is well"));
            assert_eq!(forged, None, "{text}");
        }
    }
    Ok(())
}
