//! What is released: the binary of the image, and files that have to say the same.

use std::process::Command;

use acr_e2e_tests::paths;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::mint::{EXAMPLE, cloud, configuration};

fn text(path: &str) -> Result<String> {
    let path = paths::repository().join(path);
    std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
}

fn yaml(path: &str) -> Result<Value> {
    serde_saphyr::from_str(&text(path)?).with_context(|| format!("{path} is no YAML"))
}

/// Size that the image's binary must not reach, in MiB.
const LIMIT: u64 = 12;

#[tokio::test]
async fn the_binary_of_the_image_is_static_small_and_mints() -> Result<()> {
    let binary = paths::sidecar_static_binary()?;
    let bytes = std::fs::read(&binary)?;
    let has = |needle: &str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    for loader in ["/lib64/ld-linux", "/lib/ld-linux", "/lib/ld-musl"] {
        assert!(!has(loader), "it asks for {loader}");
    }
    let here = paths::repository();
    assert!(!has(&here.display().to_string()), "it holds a path of this machine");
    assert!(bytes.len() as u64 <= LIMIT << 20, "{} bytes", bytes.len());

    // With a host's name, since a static C library looks names up in its own way.
    let cloud = cloud().await?;
    let url = cloud.url().replace("127.0.0.1", "localhost");
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("config.yaml"), configuration(EXAMPLE))?;
    let arguments = ["mint", "--config", "config.yaml", "--output", "docker-config"];
    let mut mint = Command::new(&binary);
    mint.args(arguments).args(["acr", "sts", "metadata"].map(|name| format!("--{name}-endpoint={url}")));
    mint.current_dir(directory.path()).env_clear();
    mint.env("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAI5tEXAMPLEpuller");
    mint.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "EXAMPLE-secret-of-puller");
    let output = tokio::task::spawn_blocking(move || mint.output()).await??;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout)?;
    let host = "example-registry.cn-hangzhou.cr.aliyuncs.com";
    assert!(document["auths"][host]["password"].is_string(), "{document}");
    Ok(())
}

#[test]
fn the_image_holds_the_static_binary_of_each_architecture_and_pins_its_base() -> Result<()> {
    let dockerfile = text("Dockerfile")?;
    assert!(dockerfile.contains("COPY dist/${TARGETARCH}/acr-credential-sidecar /acr-credential-sidecar\n"));
    let base = dockerfile.lines().find(|line| line.starts_with("FROM ")).context("no FROM")?;
    assert!(base.contains("@sha256:") && base.len() >= 64, "{base}");
    let user = dockerfile.lines().find(|line| line.starts_with("USER ")).context("no USER")?;
    assert_eq!(user, "USER 65532:65532", "deploy/sidecar.yaml runs it as this user");
    assert!(text("deploy/sidecar.yaml")?.contains("runAsUser: 65532"));
    Ok(())
}

#[test]
fn every_file_names_the_same_version() -> Result<()> {
    let version = of_package(&text("Cargo.toml")?)?;
    assert_eq!(of_package(&text("sidecar/Cargo.toml")?)?, version, "sidecar/Cargo.toml");
    let metadata = yaml("metadata.yml")?;
    assert_eq!(metadata["annotations"]["io.kubewarden.policy.version"], version, "metadata.yml");
    for file in ["inject", "guard", "serviceaccounts"] {
        let module = yaml(&format!("deploy/{file}.yaml"))?["spec"]["module"].clone();
        let module = module.as_str().unwrap_or_default();
        assert!(module.ends_with(&format!(":v{version}")), "deploy/{file}.yaml: {module}");
    }
    let image = format!("acr-credential-sidecar:v{version}\n");
    assert!(text("deploy/sidecar.yaml")?.contains(&image), "deploy/sidecar.yaml lacks {image}");
    Ok(())
}

/// The version that a Cargo.toml gives its package.
fn of_package(manifest: &str) -> Result<String> {
    let line = manifest.lines().find_map(|line| line.strip_prefix("version = \"")).context("no version")?;
    Ok(line.trim_end_matches('"').to_owned())
}

/// What `kwctl scaffold artifacthub` makes of metadata.yml and questions-ui.yml; `make e2e-tests` compares with kwctl itself.
#[test]
fn the_package_on_artifact_hub_says_what_the_metadata_says() -> Result<()> {
    let (metadata, mut package) = (yaml("metadata.yml")?, yaml("artifacthub-pkg.yml")?);
    let of = |key: &str| metadata["annotations"][key].as_str().unwrap_or_default().to_owned();
    let (version, url) = (of("io.kubewarden.policy.version"), of("io.kubewarden.policy.ociUrl"));
    let (author, mail) = of("io.kubewarden.policy.author")
        .trim_end_matches('>')
        .split_once(" <")
        .map(|(name, mail)| (name.to_owned(), mail.to_owned()))
        .context("the author has no address")?;
    let source = of("io.kubewarden.policy.source");
    let keywords = of("io.artifacthub.keywords");
    let download = format!("{source}/releases/download/v{version}/policy.wasm");
    for (key, expected) in [
        ("version", json!(version)),
        ("name", json!(of("io.kubewarden.policy.title"))),
        ("displayName", json!(of("io.artifacthub.displayName"))),
        ("description", json!(of("io.kubewarden.policy.description"))),
        ("license", json!(of("io.kubewarden.policy.license"))),
        ("homeURL", json!(of("io.kubewarden.policy.url"))),
        ("containersImages", json!([{ "name": "policy", "image": format!("{url}:v{version}") }])),
        ("keywords", json!(keywords.split(", ").collect::<Vec<_>>())),
        ("links", json!([{ "name": "policy", "url": download }, { "name": "source", "url": source }])),
        ("maintainers", json!([{ "name": author, "email": mail }])),
        ("provider", json!({ "name": "acr-credential-helper" })),
    ] {
        assert_eq!(package[key], expected, "{key}");
    }
    let install = package["install"].as_str().unwrap_or_default();
    assert!(install.contains(&format!("kwctl pull {url}:v{version}")), "{install}");

    let mut annotation = |key: &str| -> Result<Value> {
        let text = package["annotations"][format!("kubewarden/{key}")].take();
        let text = text.as_str().context("not a text")?;
        serde_saphyr::from_str(text).with_context(|| format!("kubewarden/{key} is no YAML"))
    };
    assert_eq!(annotation("rules")?, metadata["rules"]);
    assert_eq!(annotation("contextAwareResources")?, metadata["contextAwareResources"]);
    assert_eq!(annotation("mutation")?, metadata["mutating"]);
    assert_eq!(annotation("questions-ui")?, yaml("questions-ui.yml")?);
    assert_eq!(package["annotations"]["kubewarden/resources"], of("io.artifacthub.resources").as_str());
    Ok(())
}
