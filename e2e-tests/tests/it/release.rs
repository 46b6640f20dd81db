//! What is released: the binary of the image, and files that have to say the same.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use acr_credential_helper_policy::validate_settings;
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

/// Runs a program in the repository and returns what it prints.
fn run(command: &mut Command) -> Result<String> {
    let output = command.current_dir(paths::repository()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("failed to run {command:?}"))?;
    anyhow::ensure!(output.status.success(), "{command:?}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

fn script(name: &str) -> Command {
    Command::new(paths::repository().join("release").join(name))
}

/// Size that the image's binary must not reach, in MiB.
const LIMIT: u64 = 13;

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
    assert!(
        dockerfile
            .contains("COPY dist/${TARGETOS}_${TARGETARCH}/acr-credential-sidecar /acr-credential-sidecar\n")
    );
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
    for manifest in ["sidecar/Cargo.toml", "core/Cargo.toml"] {
        assert_eq!(of_package(&text(manifest)?)?, version, "{manifest}");
    }
    let metadata = yaml("metadata.yml")?;
    assert_eq!(metadata["annotations"]["io.kubewarden.policy.version"], version, "metadata.yml");
    for file in ["inject", "guard", "serviceaccounts"] {
        let module = yaml(&format!("deploy/{file}.yaml"))?["spec"]["module"].clone();
        let module = module.as_str().unwrap_or_default();
        assert!(module.ends_with(&format!(":v{version}")), "deploy/{file}.yaml: {module}");
    }
    let image = format!("acr-credential-sidecar:v{version}\n");
    for file in ["deploy/sidecar.yaml", "charts/acr-credential-helper/Chart.yaml"] {
        assert!(text(file)?.contains(&image), "{file} lacks {image}");
    }
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

/// What `make release-files` makes of binaries for two platforms.
fn release_files(directory: &Path) -> Result<()> {
    for (platform, binary) in
        [("linux_amd64", "acr-credential-sidecar"), ("windows_amd64", "acr-credential-sidecar.exe")]
    {
        std::fs::create_dir(directory.join(platform))?;
        std::fs::write(directory.join(platform).join(binary), platform)?;
    }
    run(script("pack.sh").arg(directory)).map(drop)
}

#[test]
fn the_archives_hold_the_binary_and_the_licence_and_the_krew_manifest_names_them() -> Result<()> {
    let directory = tempfile::tempdir()?;
    release_files(directory.path())?;
    let release = directory.path().join("release");
    let version = format!("v{}", of_package(&text("Cargo.toml")?)?);

    // The rules are those of krew's validate-krew-manifest.
    let plugin: Value = serde_saphyr::from_str(&std::fs::read_to_string(release.join("acr.yaml"))?)?;
    assert_eq!(plugin["apiVersion"], "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!((&plugin["kind"], &plugin["metadata"]["name"]), (&json!("Plugin"), &json!("acr")));
    assert_eq!(plugin["spec"]["version"], version);
    let short = plugin["spec"]["shortDescription"].as_str().context("no short description")?;
    assert!(short.len() <= 50 && !short.contains('\n'), "{short}");
    let platforms = plugin["spec"]["platforms"].as_array().context("no platforms")?;
    let selected: Vec<_> =
        platforms.iter().map(|platform| platform["selector"]["matchLabels"].clone()).collect();
    assert_eq!(
        selected,
        [json!({ "os": "linux", "arch": "amd64" }), json!({ "os": "windows", "arch": "amd64" })]
    );

    let checksums = std::fs::read_to_string(release.join("checksums.txt"))?;
    for platform in platforms {
        let uri = platform["uri"].as_str().context("no uri")?;
        let (place, file) = uri.rsplit_once('/').context("no path")?;
        let repository = "https://github.com/acr-credential-helper/acr-credential-helper";
        assert_eq!(place, format!("{repository}/releases/download/{version}"));
        let binary = platform["bin"].as_str().context("no bin")?;
        let list = run(Command::new("tar").args(["--list", "--gzip", "--file"]).arg(release.join(file)))?;
        assert_eq!(list, format!("{binary}\nLICENSE\n"), "{file}");
        let sum = platform["sha256"].as_str().context("no sum")?;
        assert!(checksums.contains(&format!("{sum}  {file}\n")), "{file}: {checksums}");
    }
    let check = "cd \"$0\" && sha256sum --check --strict --quiet checksums.txt";
    run(Command::new("bash").args(["-c", check]).arg(&release))?;
    for file in ["acr.yaml", "hauler-manifest.yaml"] {
        assert!(checksums.contains(&format!("  {file}\n")), "{file}: {checksums}");
    }
    Ok(())
}

#[test]
fn the_workflow_builds_each_platform_of_its_matrix() -> Result<()> {
    let workflow = yaml(".github/workflows/binaries.yml")?;
    let job = &workflow["jobs"]["binary"];
    let steps = job["steps"].as_array().context("no steps")?;
    let build = steps.iter().find(|step| step["name"] == "Build").context("no step builds")?;
    let line = build["run"].as_str().context("it runs nothing")?;
    let platforms = job["strategy"]["matrix"]["include"].as_array().context("no matrix")?;
    assert!(platforms.len() > 1);
    for platform in platforms {
        let target = platform["target"].as_str().context("no target")?;
        // With this flag, make only prints what it would do.
        let mut make = Command::new("bash");
        let printed = run(make.args(["-c", line]).env("TARGET", target).env("MAKEFLAGS", "n"))?;
        assert!(printed.contains(&format!("--target {target} ")), "{target}: {printed}");
    }
    Ok(())
}

#[test]
fn without_a_binary_nothing_is_packed() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let output = script("pack.sh").arg(directory.path()).output()?;
    assert!(!output.status.success());
    let stderr = String::from_utf8(output.stderr)?;
    assert!(stderr.contains("has no binaries: run `make binary` first"), "{stderr}");
    Ok(())
}

#[test]
fn hauler_mirrors_the_image_the_module_and_the_chart_of_this_version() -> Result<()> {
    let directory = tempfile::tempdir()?;
    release_files(directory.path())?;
    let manifest = std::fs::read_to_string(directory.path().join("release/hauler-manifest.yaml"))?;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&manifest)?;
    let [images, charts] = &documents[..] else { panic!("{manifest}") };
    for (document, kind) in [(images, "Images"), (charts, "Charts")] {
        assert_eq!(document["apiVersion"], "content.hauler.cattle.io/v1");
        assert_eq!(document["kind"], kind);
    }

    let names = images["spec"]["images"].as_array().context("no images")?;
    let [image, module] = &names[..] else { panic!("{manifest}") };
    let image = image["name"].as_str().context("no name")?;
    assert!(text("deploy/sidecar.yaml")?.contains(&format!("image: {image}\n")), "{image}");
    let module = module["name"].as_str().context("no name")?;
    assert_eq!(yaml("deploy/inject.yaml")?["spec"]["module"], format!("registry://{module}"));

    let chart = yaml("charts/acr-credential-helper/Chart.yaml")?;
    let workflow = yaml(".github/workflows/release.yml")?;
    let place = workflow["jobs"]["chart"]["env"]["CHARTS"].as_str().context("no place")?;
    let expected =
        json!([{ "name": chart["name"], "repoURL": format!("oci://{place}"), "version": chart["version"] }]);
    assert_eq!(charts["spec"]["charts"], expected);
    Ok(())
}

#[test]
fn the_readme_for_artifact_hub_has_no_relative_link_and_every_file_exists() -> Result<()> {
    let page = run(script("absolute-links.sh").stdin(File::open(paths::repository().join("README.md"))?))?;
    let targets: Vec<_> = ["](", "src=\"", "srcset=\"", "href=\""]
        .iter()
        .flat_map(|start| page.split(start).skip(1))
        .filter_map(|rest| rest.split([')', '"', ' ']).next())
        .collect();
    assert!(targets.len() > 30, "{targets:?}");
    for target in &targets {
        assert!(target.starts_with("https://") || target.starts_with('#'), "{target}");
    }
    assert!(files_of_this_version(&page)? > 30);
    Ok(())
}

#[test]
fn links_and_pictures_become_absolute_in_every_form_of_markdown() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let page = directory.path().join("page.md");
    let source = "[![b](docs/b.svg)](docs/a.md#x) [c](#c) [d](https://d.example/(d)) <img alt=\"\" src=\"docs/e.svg\"> <a href=\"f.md\">\n";
    std::fs::write(&page, source)?;
    let printed = run(script("absolute-links.sh").stdin(File::open(&page)?))?;
    let version = of_package(&text("Cargo.toml")?)?;
    let repository = "acr-credential-helper/acr-credential-helper";
    let (page, file) = (
        format!("https://github.com/{repository}/blob/v{version}"),
        format!("https://raw.githubusercontent.com/{repository}/v{version}"),
    );
    let expected = format!(
        "[![b]({file}/docs/b.svg)]({page}/docs/a.md#x) [c](#c) [d](https://d.example/(d)) <img alt=\"\" src=\"{file}/docs/e.svg\"> <a href=\"{page}/f.md\">\n"
    );
    assert_eq!(printed, expected);
    Ok(())
}

/// Checks that each file exists that a text names by a URL of this repository's tag, and returns their number.
fn files_of_this_version(text_with_urls: &str) -> Result<usize> {
    let version = of_package(&text("Cargo.toml")?)?;
    let mut found = 0;
    for place in ["github.com", "raw.githubusercontent.com"] {
        let start = format!("https://{place}/acr-credential-helper/acr-credential-helper/");
        for rest in text_with_urls.split(&start).skip(1) {
            let path = rest.strip_prefix("blob/").unwrap_or(rest);
            // Other pages of the project, such as its releases and the newest documents.
            if path == rest && place == "github.com" || path.starts_with("main/") {
                continue;
            }
            let path = path
                .strip_prefix(&format!("v{version}/"))
                .with_context(|| format!("another version: {path:.60}"))?;
            let path = path
                .split(|end: char| "#)\"'".contains(end) || end.is_whitespace())
                .next()
                .unwrap_or_default();
            anyhow::ensure!(paths::repository().join(path).exists(), "{path} does not exist");
            found += 1;
        }
    }
    Ok(found)
}

#[test]
fn every_picture_that_the_packages_name_exists() -> Result<()> {
    for file in ["artifacthub-pkg.yml", "charts/acr-credential-helper/Chart.yaml"] {
        assert!(files_of_this_version(&text(file)?)? > 0, "{file} has no logo");
    }
    Ok(())
}

#[test]
fn the_page_of_the_chart_has_no_relative_link() -> Result<()> {
    for target in text("charts/acr-credential-helper/README.md")?.split("](").skip(1) {
        assert!(target.starts_with("https://") || target.starts_with('#'), "{target:.60}");
    }
    Ok(())
}

#[test]
fn the_chart_is_packaged_with_the_changes_of_its_version() -> Result<()> {
    let directory = tempfile::tempdir()?;
    run(script("package-chart.sh").arg(directory.path()).env("HELM", paths::helm_binary()?))?;
    let chart = yaml("charts/acr-credential-helper/Chart.yaml")?;
    let version = chart["version"].as_str().context("no version")?;
    let archive = directory.path().join(format!("acr-credential-helper-{version}.tgz"));
    let extract = ["--extract", "--gzip", "--to-stdout", "--file"];
    let mut tar = Command::new("tar");
    let packaged = run(tar.args(extract).arg(archive).arg("acr-credential-helper/Chart.yaml"))?;
    let mut packaged: Value = serde_saphyr::from_str(&packaged)?;
    let changes =
        packaged["annotations"].as_object_mut().and_then(|all| all.remove("artifacthub.io/changes"));
    assert_eq!(packaged, chart, "everything else is as it was");

    let changelog = text("CHANGELOG.md")?;
    let sections =
        ["[Unreleased]", &format!("[{version}]")].map(|name| changelog.split(&format!("\n## {name}")).nth(1));
    let section =
        sections[1].or(sections[0]).context("no section")?.split("\n## ").next().context("no section")?;
    let changes: Vec<Value> =
        serde_saphyr::from_str(changes.as_ref().and_then(Value::as_str).context("no changes")?)?;
    let kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];
    let parts = section
        .split("\n### ")
        .filter(|part| kinds.iter().any(|kind| part.starts_with(&format!("{kind}\n"))));
    assert_eq!(changes.len(), parts.map(|part| part.matches("\n- ").count()).sum::<usize>());
    let words = |text: &str| text.replace(|c: char| !c.is_alphanumeric(), "");
    // Without the targets of links.
    let mut plain = String::new();
    for (index, part) in section.split("](").enumerate() {
        plain.push_str(&words(if index == 0 {
            part
        } else {
            part.split_once(')').context("no end of a link")?.1
        }));
    }
    for change in &changes {
        let kind = change["kind"].as_str().unwrap_or_default();
        assert!(
            ["added", "changed", "deprecated", "removed", "fixed", "security"].contains(&kind),
            "{change}"
        );
        let description = change["description"].as_str().unwrap_or_default();
        assert!(
            !description.is_empty() && !description.contains(['`', '\n']) && !description.contains("]("),
            "{change}"
        );
        let beginning: String = description.chars().take(40).collect();
        assert!(plain.contains(&words(&beginning)), "{beginning}");
    }
    Ok(())
}

#[test]
fn what_rancher_writes_from_the_form_is_valid() -> Result<()> {
    let form = yaml("questions-ui.yml")?;
    let mut settings = json!({});
    let mut questions: Vec<_> = form["questions"].as_array().context("no questions")?.iter().collect();
    let mut next = 0;
    while let Some(question) = questions.get(next).copied() {
        next += 1;
        questions.extend(question["subquestions"].as_array().into_iter().flatten());
        let variable = question["variable"].as_str().context("no variable")?;
        // Rancher writes every default, null among them.
        if let Some(default) = question.get("default") {
            let pointer = format!("/{}", variable.replace('.', "/"));
            match (settings.pointer_mut(&pointer), variable.split_once('.')) {
                (Some(value), _) => *value = default.clone(),
                (None, Some((parent, key))) => settings[parent][key] = default.clone(),
                (None, None) => settings[variable] = default.clone(),
            }
        }
    }
    assert!(settings["manualPullSecrets"]["pods"].is_string(), "{settings}");
    let answer =
        validate_settings(settings.to_string().as_bytes()).map_err(|error| anyhow::anyhow!("{error}"))?;
    let answer: Value = serde_json::from_slice(&answer)?;
    assert_eq!(answer["valid"], true, "{settings}: {answer}");
    Ok(())
}

#[test]
fn every_action_is_pinned_to_a_commit_with_its_version_beside_it() -> Result<()> {
    for file in std::fs::read_dir(paths::repository().join(".github/workflows"))? {
        let path = file?.path();
        for line in std::fs::read_to_string(&path)?.lines() {
            let Some((_, action)) = line.split_once("uses: ") else { continue };
            let pinned = action.split_once('@').and_then(|(_, rest)| rest.split_once(" # v"));
            let by_commit = pinned.is_some_and(|(commit, _)| {
                commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit())
            });
            assert!(by_commit || action.starts_with("./"), "{}: {action}", path.display());
        }
    }
    Ok(())
}
