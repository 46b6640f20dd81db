//! The command line as a shell sees it: exit codes, pipes, and what is judged before a cluster is looked for.

#![allow(clippy::unwrap_used, reason = "a test may panic: that is how it fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_acr-credential-sidecar");

const CONFIGURATION: &str =
    "watch-namespace: \"*\"\nacr-registry-info: |\n  - instanceId: cri-example\n    regionId: cn-hangzhou\n";

/// Returns a command in a directory with a configuration, from where no cluster and no cloud can be found.
fn command(directory: &Path, arguments: &[&str]) -> Command {
    fs::write(directory.join("config.yaml"), CONFIGURATION).unwrap();
    fs::write(directory.join("no-pods.yaml"), "kind: Service\nmetadata: { name: web }\n").unwrap();
    fs::write(directory.join("pod.yaml"), "kind: Pod\nmetadata: { name: web }\nspec: { containers: [] }\n")
        .unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    command.env_clear().env("HOME", directory).env("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true");
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_closed_pipe_is_silent_and_ends_the_command_as_it_ends_others() {
    let directory = tempfile::tempdir().unwrap();
    let check = |arguments: &[&str], code: i32| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(directory.path(), arguments).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(code), ""), "{arguments:?}");
    };
    check(&["manifests", "--config=config.yaml"], 141);
    check(&["manifests", "--config=config.yaml", "--output=json"], 141);
    check(&["check", "--config=config.yaml"], 141);
    check(&["check", "--config=config.yaml", "--output=yaml"], 141);
    check(&["explain", "--file=pod.yaml", "--config=config.yaml"], 141);
    check(&["completion", "bash"], 141);
    check(&["man"], 141);
    check(&["--help"], 0);
    check(&["explain", "--help"], 0);
}

#[test]
fn an_error_that_is_not_read_changes_no_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["check", "--config=nowhere"], &["mint", "--config=config.yaml"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = command(directory.path(), arguments);
        let command = command.env("ACR_LOG_LEVEL", "trace").stderr(writer);
        let expected = if arguments[0] == "check" { 2 } else { 1 };
        assert_eq!(command.output().unwrap().status.code(), Some(expected), "{arguments:?}");
    }
}

const NO_CLUSTER: &str = "failed to find the cluster";

#[track_caller]
fn check_usage(arguments: &[&str], problem: &str) {
    let directory = tempfile::tempdir().unwrap();
    let output = command(directory.path(), arguments).output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(problem), "no {problem:?} in {said}");
    assert_eq!(said.contains(NO_CLUSTER), problem == NO_CLUSTER, "{said}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn good_arguments_end_where_no_cluster_is() {
    check_usage(&["run"], NO_CLUSTER);
    check_usage(&["status"], NO_CLUSTER);
    check_usage(&["explain", "pod", "web"], NO_CLUSTER);
    check_usage(&["explain", "--file=pod.yaml"], NO_CLUSTER);
    check_usage(&["cleanup", "--yes"], NO_CLUSTER);
}

#[test]
fn arguments_are_judged_before_a_cluster_is_looked_for() {
    check_usage(&["run", "--acr-endpoint=nonsense"], "--acr-endpoint");
    check_usage(&["run", "--concurrency=1"], "--concurrency");
    check_usage(&["run", "--listen=nonsense"], "--listen");
    check_usage(&["status", "--pull-secret=a*"], "--pull-secret");
    check_usage(&["status", "web"], "unexpected argument");
    check_usage(&["cleanup"], "add --yes");
    check_usage(&["cleanup", "--yes", "--stop=A b"], "--stop");
    check_usage(&["explain"], "required arguments");
    check_usage(&["explain", "pod"], "name one of pod, deployment");
    check_usage(&["explain", "node", "web"], "name one of pod, deployment");
    check_usage(&["explain", "pod", "web", "--namespace=Team_A"], "--namespace");
    check_usage(&["explain", "pod", "web", "--file=pod.yaml"], "cannot be used with");
    check_usage(&["explain", "pod", "web", "--policies=pod.yaml"], "cannot be used with");
    check_usage(&["explain", "pod", "web", "--as=kubernetes-admin"], "cannot be used with");
    check_usage(&["explain", "pod", "web", "--config=nowhere"], "failed to read the configuration nowhere");
    check_usage(&["explain", "--file=nowhere"], "failed to read the manifest nowhere");
    check_usage(&["explain", "--file=no-pods.yaml"], "contains no Pod");
    check_usage(&["explain", "--file=pod.yaml", "--policies=nowhere"], "failed to read the manifest nowhere");
    check_usage(&["explain", "--file=pod.yaml", "--policies=pod.yaml"], "contains none of the policies");
    check_usage(&["explain", "--file=-", "--config=-"], "only one of --file, --config and --policies");
    check_usage(&["check", "--config=nowhere"], "failed to read the configuration nowhere");
    check_usage(&["check", "--config=config.yaml", "--online", "--sts-endpoint=nonsense"], "--sts-endpoint");
    check_usage(&["mint", "--config=config.yaml", "--sts-endpoint=nonsense"], "--sts-endpoint");
    check_usage(&["mint", "--config=config.yaml", "--registry=1"], "--registry 1: there are 1 registries");
    check_usage(&["manifests", "--config=nowhere"], "failed to read the configuration nowhere");
    check_usage(&["completion", "tcsh"], "invalid value 'tcsh'");
    check_usage(&["man", "--to=nowhere"], "failed to write nowhere");
}

#[cfg(unix)]
#[test]
fn as_a_plugin_of_kubectl_it_says_kubectl_acr() {
    let directory = tempfile::tempdir().unwrap();
    let plugin = directory.path().join("kubectl-acr");
    std::os::unix::fs::symlink(PROGRAM, &plugin).unwrap();
    let output = Command::new(plugin).args(["explain", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("Usage: kubectl acr explain "), "{help}");
    assert!(help.contains("    kubectl acr explain deployment web -n team-a\n"), "{help}");
}

#[test]
fn yaml_says_what_json_says() {
    let directory = tempfile::tempdir().unwrap();
    let printed = |arguments: &[&str], output: &str| {
        let arguments = [arguments, &["-o", output]].concat();
        String::from_utf8(command(directory.path(), &arguments).output().unwrap().stdout).unwrap()
    };
    for arguments in [
        &["check", "--config=config.yaml"][..],
        &["explain", "--file=pod.yaml", "--config=config.yaml"],
        &["mint", "--config=config.yaml"],
    ] {
        let json: serde_json::Value = serde_json::from_str(&printed(arguments, "json")).unwrap();
        let yaml = printed(arguments, "yaml");
        assert!(!yaml.starts_with('{'), "{yaml}");
        assert_eq!(serde_saphyr::from_str::<serde_json::Value>(&yaml).unwrap(), json);
    }
}
