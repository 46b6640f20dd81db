//! What a configuration means, and what is said about one with mistakes.

mod documentation;
mod forms;
mod hostile;
mod mistakes;
mod pasted;
mod registries;
mod vendor;

use super::{Configuration, Finding, Parsed, Registry, examine, parse};

/// The only registry of a list.
#[track_caller]
fn registry(list: &str) -> Registry {
    let mut configuration = read(&data(list));
    assert_eq!(configuration.registries.len(), 1);
    configuration.registries.remove(0)
}

/// A configuration without mistakes.
#[track_caller]
fn read(text: &str) -> Configuration {
    match parse(text.as_bytes()) {
        Ok(Parsed { configuration, .. }) => configuration,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

/// A bare `data` map with RRSA on and this list of registries, each line of which is indented.
fn data(list: &str) -> String {
    format!("rrsa: 'enable: true'\nacr-registry-info: |\n{}", indented(list))
}

/// Each line below a key.
fn indented(text: &str) -> String {
    format!("  {}\n", text.trim_matches('\n').replace('\n', "\n  "))
}

/// All mistakes, one a line.
#[track_caller]
fn check(text: &str, expected: &str) {
    let mistakes = parse(text.as_bytes()).expect_err("it was taken").to_string();
    assert_eq!(mistakes, expected.trim(), "\n--- is\n{mistakes}\n---");
}

/// All warnings, one a line.
#[track_caller]
fn check_warnings(text: &str, expected: &str) {
    let warnings: Vec<_> = examine(text.as_bytes()).warnings.iter().map(Finding::to_string).collect();
    assert_eq!(warnings.join("\n"), expected.trim());
}

#[test]
fn the_shipped_example_has_no_mistake_and_no_warning() {
    let text = include_str!("../../../deploy/sidecar-configuration.example.yaml");
    let Parsed { configuration, warnings } = parse(text.as_bytes()).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(configuration.registries.len(), 1);
}
