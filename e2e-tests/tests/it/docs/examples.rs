//! The examples of the pages: the same as the files, and the chart's values mean what the configurations mean.

use std::collections::BTreeMap;

use acr_documentation::Page;
use acr_e2e_tests::paths;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// A configuration, and the values with which the chart renders the same.
const PAIRS: [(&str, &str); 8] = [
    ("examples/1-personal-and-enterprise.yaml", "1-personal-and-enterprise"),
    ("examples/2-own-account.yaml", "2-own-account"),
    ("examples/3-two-regions.yaml", "3-two-regions"),
    ("examples/3-two-regions-personal.yaml", "3-two-regions-personal"),
    ("examples/4-other-account-by-role.yaml", "4-other-account-by-role"),
    ("examples/4-other-account-by-rrsa.yaml", "4-other-account-by-rrsa"),
    ("examples/4-other-account-by-key-secret.yaml", "4-other-account-by-key-secret"),
    ("examples/multi-tenant.yaml", "multi-tenant"),
];

#[test]
fn an_example_in_a_page_is_the_file_that_it_names() -> Result<()> {
    let mut named = 0;
    for page in Page::all()? {
        for block in page.blocks() {
            let Some(path) = block.attribute("file") else { continue };
            named += 1;
            let file = std::fs::read_to_string(paths::repository().join(path))
                .with_context(|| format!("{}: {path}", page.place(block.line)))?;
            assert_eq!(block.text, file, "{}: {path}", page.place(block.line));
        }
    }
    assert!(named > 15, "{named} examples");
    Ok(())
}

#[test]
fn every_block_of_yaml_or_json_can_be_read() -> Result<()> {
    for page in Page::all()? {
        for block in page.blocks() {
            let place = || page.place(block.line);
            match block.language() {
                "yaml" => serde_saphyr::from_multiple::<Value>(&block.text).map(drop).with_context(place)?,
                "json" => serde_json::from_str::<Value>(&block.text).map(drop).with_context(place)?,
                _ => {}
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_values_of_an_example_render_the_configuration_beside_it() -> Result<()> {
    for (configuration, values) in PAIRS {
        let text = std::fs::read_to_string(paths::repository().join(configuration))?;
        let expected = meaning(&serde_saphyr::from_str::<Value>(&text)?)?;
        let rendered = meaning(&configuration_of_chart(&format!("examples/{values}.values.yaml")).await?)?;
        for (key, value) in &expected {
            assert_eq!(rendered.get(key), Some(value), "{values}: {key}");
        }
        // What the chart adds says what is so without it.
        let defaults =
            [("exclude-namespace", "kube-system,kube-public,kube-node-lease"), ("expiring-threshold", "15m")];
        for (key, value) in rendered.iter().filter(|(key, _)| !expected.contains_key(*key)) {
            let default = defaults.iter().find(|(name, _)| name == key).map(|(_, value)| Value::from(*value));
            assert_eq!(Some(value), default.as_ref(), "{values}: {key}");
        }
    }
    Ok(())
}

async fn configuration_of_chart(values: &str) -> Result<Value> {
    let output = tokio::process::Command::new(paths::helm_binary()?)
        .current_dir(paths::repository())
        .args([
            "template",
            "acr-credential-helper",
            "charts/acr-credential-helper",
            "--namespace=kube-system",
        ])
        .args(["--show-only=templates/sidecar/configuration.yaml", "--values", values])
        .output()
        .await
        .context("failed to run helm")?;
    ensure!(output.status.success(), "{values}: {}", String::from_utf8_lossy(&output.stderr));
    serde_saphyr::from_slice(&output.stdout).context("helm rendered no YAML")
}

/// The keys that do something, with what the texts in them say: `all` is `*`, and texts within entries are quoted or not.
fn meaning(config_map: &Value) -> Result<BTreeMap<String, Value>> {
    let data = config_map["data"].as_object().context("no data")?;
    let mut meaning = BTreeMap::new();
    for (key, value) in data {
        let text = value.as_str().with_context(|| format!("{key} is no text"))?;
        let value = match key.as_str() {
            "notify-email" | "acr-api-version" => continue,
            "acr-registry-info" | "rrsa" => serde_saphyr::from_str(text).with_context(|| key.clone())?,
            _ if text == "all" => Value::from("*"),
            _ => Value::from(text),
        };
        meaning.insert(key.clone(), value);
    }
    Ok(meaning)
}
