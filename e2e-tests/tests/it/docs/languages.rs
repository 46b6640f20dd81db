//! The pages in Chinese: each has the headings, tables and blocks of the English page, so that the two cannot drift apart. The
//! blocks are the same, so whoever runs the commands of the English page has run those of the Chinese one.

use acr_documentation::{Page, links};
use anyhow::{Context as _, Result};

/// The English page of a Chinese one.
fn original(path: &str) -> Option<String> {
    match path {
        "README.zh-CN.md" => Some("README.md".to_owned()),
        _ => path.strip_prefix("docs/zh-CN/").map(|name| format!("docs/{name}")),
    }
}

#[test]
fn a_chinese_page_has_the_structure_and_the_commands_of_the_english_one() -> Result<()> {
    let mut compared = 0;
    for page in Page::all()? {
        let Some(original) = original(&page.path) else { continue };
        let original = Page::read(&original).with_context(|| format!("{} has no original", page.path))?;
        let (ours, theirs) = (skeleton(&page), skeleton(&original));
        for ((line, found), (there, expected)) in ours.iter().zip(&theirs) {
            assert_eq!(found, expected, "{} and {}", page.place(*line), original.place(*there));
        }
        assert_eq!(ours.len(), theirs.len(), "{} ends elsewhere than {}", page.path, original.path);
        compared += 1;
    }
    assert!(compared >= 9, "{compared} pages in Chinese");
    Ok(())
}

#[test]
fn both_languages_lead_to_each_other_on_top() -> Result<()> {
    for page in Page::all()? {
        let Some(original) = original(&page.path) else { continue };
        let original = Page::read(&original)?;
        for (from, to) in [(&page, &original), (&original, &page)] {
            let on_top = links::of(from).into_iter().filter(|link| link.line <= 3);
            let leads = on_top
                .map(|link| links::resolve(from, &link).0)
                .any(|path| path.as_os_str() == to.path.as_str());
            assert!(leads, "no link to {} in the first lines of {}", to.path, from.path);
        }
    }
    Ok(())
}

/// What must be the same in both languages, with its line: the levels of headings, the cells of each row of a table, and all that
/// is in blocks.
fn skeleton(page: &Page) -> Vec<(usize, String)> {
    let mut is_inside = false;
    let mut parts = Vec::new();
    for (at, line) in page.text.lines().enumerate() {
        let text = line.trim_start();
        let part = if text.starts_with("```") {
            is_inside = !is_inside;
            line.to_owned()
        } else if is_inside {
            line.to_owned()
        } else if text.starts_with('#') {
            text.chars().take_while(|c| *c == '#').collect()
        } else if text.starts_with('|') {
            format!("a row of {}", text.replace("\\|", "").matches('|').count())
        } else {
            continue;
        };
        parts.push((at + 1, part));
    }
    parts
}
