//! The examples of `docs/configuration.md`: read as it says, or answered as it says.

use super::super::{Examined, Finding, Mistakes, examine};

const PAGE: &str = include_str!("../../../../docs/configuration.md");

/// The blocks of the page in this language, each with what follows it.
fn blocks(language: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let opening = format!("\n```{language}\n");
    let mut rest = PAGE;
    std::iter::from_fn(move || {
        let (_, from_block) = rest.split_once(&opening)?;
        let (block, following) = from_block.split_once("\n```\n")?;
        rest = following;
        Some((block, following))
    })
}

#[test]
fn every_example_is_read_or_answered_as_the_page_says() {
    let mut answered = 0;
    for (example, following) in blocks("yaml") {
        let Examined { outcome, warnings } = examine(example.as_bytes());
        let answer = following.strip_prefix("\n```text\n").map(|text| text.split("\n```\n").next().unwrap());
        let mistakes = outcome.err().map_or(Vec::new(), |Mistakes(mistakes)| mistakes);
        let findings = if mistakes.is_empty() { warnings } else { mistakes };
        let said = findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n");
        assert_eq!(said, answer.unwrap_or_default(), "{example}");
        answered += usize::from(answer.is_some());
    }
    assert_eq!(answered, 7);
    assert_eq!(blocks("text").count(), answered);
}
