//! The pictures of the pages, as `make pictures` writes them into [`DIRECTORY`].
//!
//! Diagrams are the templates in `e2e-tests/documentation/pictures`, in each language with the texts of `labels.yaml`. Terminals show what our programs print:
//! `check` is run, and the rest is out of [`recording`], with which the test of the demo compares a run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anstyle_svg::{Term, WIN10_CONSOLE};
use anyhow::{Context as _, Result, ensure};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use textwrap::{Options, WordSplitter};

use crate::repository;

/// Where the pictures are, in the repository.
pub const DIRECTORY: &str = "docs/pictures";

/// What all diagrams are made of. It is no diagram.
const MACROS: &str = "macros.svg";

/// The step of the demo that is the picture of `explain`.
const EXPLAIN: [&str; 1] = ["Why does this Pod run"];

/// The steps of the demo that are its picture.
const DEMO: [&str; 3] = [
    "The configuration goes in",
    "A Deployment with a private image",
    "A Pod with a list of its own is refused",
];

/// Columns of a terminal that fits into a page of GitHub.
const COLUMNS: usize = 104;

/// All pictures, by the names of their files.
///
/// # Errors
/// When a template, a text or the recording is missing or wrong, or the sidecar cannot be run.
pub fn all() -> Result<BTreeMap<String, String>> {
    let mut pictures = diagrams()?;
    let recording = recording()?;
    let explain = steps(&recording, &EXPLAIN)?;
    // What the demo does about it is behind this line.
    let (explain, _) = explain.split_once("So it is done").context("the demo does nothing about its Pod")?;
    for (name, title, text) in [
        ("check", "check reports every mistake of a configuration, and how to fix it", check()?),
        ("explain", "explain shows why one Pod runs and another one does not", explain.to_owned()),
        ("demo", "The output of make demo, in parts", steps(&recording, &DEMO)?),
    ] {
        pictures.insert(format!("{name}.svg"), terminal(title, &text)?);
    }
    Ok(pictures)
}

/// What the demo printed when `make record-demo` was run last, with its colours.
///
/// # Errors
/// When it cannot be read.
pub fn recording() -> Result<String> {
    read("demo.txt")
}

fn diagrams() -> Result<BTreeMap<String, String>> {
    let labels: BTreeMap<String, BTreeMap<String, Vec<String>>> =
        serde_saphyr::from_str(&read("labels.yaml")?).context("labels.yaml")?;
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    templates.add_template_owned(MACROS, read(MACROS)?)?;
    let mut pictures = BTreeMap::new();
    for (name, texts) in labels {
        let template = read(&format!("{name}.svg"))?;
        for (at, language, suffix) in [(0, "en", ""), (1, "zh-CN", ".zh-CN")] {
            let texts: BTreeMap<_, _> = texts
                .iter()
                .map(|(key, both)| Some((key.clone(), both.get(at)?.clone())))
                .collect::<Option<_>>()
                .with_context(|| format!("labels.yaml: {name}: a text is not in {language}"))?;
            let picture = templates.render_str(&template, context! { t => texts, language })?;
            pictures.insert(format!("{name}{suffix}.svg"), picture);
        }
    }
    Ok(pictures)
}

/// `check` of a configuration with mistakes, below its command.
fn check() -> Result<String> {
    let arguments = ["check", "--config", "acr-configuration.yaml"];
    let output = Command::new(sidecar())
        .args(arguments)
        .current_dir(directory())
        .env_clear()
        .env("CLICOLOR_FORCE", "1")
        .output()
        .context("failed to run the sidecar; run `make sidecar`")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "check found no mistake: {error}");
    let printed = String::from_utf8(output.stdout).context("check printed something that is not UTF-8")?;
    Ok(format!("\x1b[36m$ acr-credential-sidecar {}\x1b[0m\n{printed}", arguments.join(" ")))
}

/// Some steps of the demo, found by how their titles begin.
fn steps(recording: &str, titles: &[&str]) -> Result<String> {
    const BEGIN: &str = "\x1b[1m▸ ";
    let all: Vec<_> = recording.split(BEGIN).collect();
    let found = titles.iter().map(|title| {
        let step = all.iter().find(|step| step.starts_with(title));
        Ok(format!("{BEGIN}{}", step.with_context(|| format!("the demo has no step {title:?}"))?))
    });
    Ok(found.collect::<Result<Vec<_>>>()?.concat())
}

fn terminal(title: &str, text: &str) -> Result<String> {
    let options = Options::new(COLUMNS).word_splitter(WordSplitter::NoHyphenation);
    let wrapped = textwrap::fill(text.trim_end(), options);
    // The bright colours: the others are too dark for a black background.
    let svg = Term::new().palette(WIN10_CONSOLE).render_svg(&wrapped.replace("\x1b[3", "\x1b[9"));
    // A size alone is not scaled down on a narrow page, and has no name for those who cannot see it.
    let (size, rest) = svg.split_once(" xmlns=").context("the terminal is not an SVG any more")?;
    let numbers: Vec<_> = size.split('"').filter_map(|part| part.strip_suffix("px")).collect();
    let ([width, height], Some((name_space, content))) = (&numbers[..], rest.split_once('>')) else {
        anyhow::bail!("the terminal has no size any more: {size}");
    };
    Ok(format!(
        "{size} viewBox=\"0 0 {width} {height}\" role=\"img\" xmlns={name_space}>\n  <title>{title}</title>{content}"
    ))
}

/// What `SIDECAR_BIN` names, else what `make sidecar` builds.
fn sidecar() -> PathBuf {
    let named = std::env::var_os("SIDECAR_BIN").filter(|path| !path.is_empty());
    named.map_or_else(|| repository().join("target/debug/acr-credential-sidecar"), PathBuf::from)
}

fn directory() -> PathBuf {
    repository().join("e2e-tests/documentation/pictures")
}

fn read(name: &str) -> Result<String> {
    let file = directory().join(name);
    std::fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_found_by_their_titles_and_a_missing_one_is_named() {
        let recording = "\n\x1b[1m▸ One thing\x1b[0m\n$ a\n\n\x1b[1m▸ Two\x1b[0m\n$ b\n";
        assert_eq!(steps(recording, &["Two"]).unwrap(), "\x1b[1m▸ Two\x1b[0m\n$ b\n");
        assert_eq!(steps(recording, &["No"]).unwrap_err().to_string(), "the demo has no step \"No\"");
    }

    #[test]
    fn a_terminal_has_a_size_that_scales_and_a_title() {
        let svg = terminal("What it shows", &"word ".repeat(40)).unwrap();
        assert!(svg.starts_with("<svg width=\""), "{svg}");
        assert!(svg.contains("viewBox=\"0 0 ") && svg.contains("<title>What it shows</title>"), "{svg}");
        let (_, width) = svg.split_once("width=\"").unwrap();
        assert!(width.split_once("px").unwrap().0.parse::<u32>().unwrap() <= 900, "{svg}");
    }
}
