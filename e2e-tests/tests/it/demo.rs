//! `make demo`: it prints what its picture shows. `make demo-shell`: every command that it suggests does what it says.

use std::process::Stdio;
use std::time::Duration;

use acr_documentation::{output, pictures};
use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

/// How long the demo may take to set everything up.
const SET_UP: Duration = Duration::from_mins(3);

/// Runs a command after the lines that lead to the cluster. It is made to see that they are all that is needed.
async fn run(leads: &[String], command: &str) -> Result<(bool, String)> {
    let script = format!("{}\n{command}", leads.join("\n"));
    let path = std::env::var_os("PATH").context("there is no PATH")?;
    let output =
        Command::new("sh").args(["-c", &script]).env_clear().env("PATH", path).stdin(Stdio::null()).output();
    let output = output.await.context("failed to run sh")?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

#[tokio::test]
async fn the_recording_of_the_demo_is_what_the_demo_prints() -> Result<()> {
    let ended = Command::new(env!("CARGO_BIN_EXE_demo"))
        .env("CLICOLOR_FORCE", "1")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .output()
        .await
        .context("failed to start the demo")?;
    ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    // Whether the node waits already before it tries again is a matter of milliseconds.
    let shape = |text: &str| output::shape(&text.replace("ImagePullBackOff", "ErrImagePull"));
    let printed = String::from_utf8(ended.stdout)?;
    assert_eq!(shape(&pictures::recording()?), shape(&printed), "run `make record-demo`");
    Ok(())
}

#[tokio::test]
async fn every_command_that_the_shell_suggests_does_what_it_says() -> Result<()> {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"))
        .arg("--shell")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("failed to start the demo")?;
    let mut output = BufReader::new(demo.stdout.take().context("no standard output")?);
    let mut lines = Vec::new();
    tokio::time::timeout(SET_UP, async {
        let mut line = String::new();
        while !line.starts_with("Everything ends") {
            line.clear();
            anyhow::ensure!(output.read_line(&mut line).await? > 0, "the demo ended early: {lines:?}");
            lines.push(line.trim_end().to_owned());
        }
        Ok(())
    })
    .await
    .context("the demo does not become ready")??;
    let commands =
        lines.iter().filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with('#')));
    let (leads, commands): (Vec<_>, Vec<_>) =
        commands.map(str::to_owned).partition(|line| line.starts_with("export ") || line.starts_with("cd "));
    assert_eq!(leads.len(), 3, "{lines:?}");
    assert!(commands.len() > 10, "{lines:?}");

    // What a command says besides ending well, or why it does not.
    let expected = [
        ("kubectl get pods -n team-b -o 'custom", true, "acr-credential-secret-aggregation"),
        ("acr-credential-sidecar explain -n team-b", true, "Nothing prevents it"),
        ("kubectl apply -f refused.yaml", false, "spec.imagePullSecrets lists \"my-registry\""),
        ("acr-credential-sidecar explain pod lonely", false, "It cannot pull its images."),
        ("acr-credential-sidecar status", true, "cn-hangzhou/cri-example"),
        ("kubectl get secrets -A", true, "team-b"),
        ("kubectl get events -n team-b", true, "Pulled"),
        ("/metrics", true, "acr_credential_sidecar_leader 1"),
        ("/_admin/clock", true, "now"),
    ];
    let mut seen = vec![false; expected.len()];
    for command in &commands {
        let found = expected.iter().position(|(part, _, _)| command.contains(part));
        let (succeeds, says) = found.map_or((true, ""), |at| (expected[at].1, expected[at].2));
        if let Some(at) = found {
            seen[at] = true;
        }
        let (succeeded, said) = run(&leads, command).await?;
        assert_eq!(succeeded, succeeds, "{command}\n{said}");
        assert!(said.contains(says), "{command}\n{said}");
    }
    assert_eq!(seen, vec![true; expected.len()], "a command is no longer suggested: {commands:?}");

    let directory = leads[2].trim_start_matches("cd '").trim_end_matches('\'');
    assert!(std::path::Path::new(directory).is_dir());
    drop(demo.stdin.take());
    let mut rest = String::new();
    output.read_to_string(&mut rest).await?;
    assert!(demo.wait().await?.success());
    assert!(!std::path::Path::new(directory).exists(), "something is left");
    Ok(())
}
