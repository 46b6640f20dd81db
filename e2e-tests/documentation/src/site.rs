//! The site: the pages as mdBook reads them. `docs/site/SUMMARY.md` lists them.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{Page, links, pictures, repository};

const SUMMARY: &str = "docs/site/SUMMARY.md";
const BOOK: &str = "docs/site/book.toml";

/// Where everything is that is no part of the site.
const SOURCE: &str = "https://github.com/acr-credential-helper/acr-credential-helper/blob/main/";

/// The paths of the pages of the site, in their order.
///
/// # Errors
/// When the list of them cannot be read.
pub fn pages() -> Result<Vec<String>> {
    let summary = Page::read(SUMMARY)?;
    Ok(links::of(&summary).into_iter().map(|link| link.target).collect())
}

/// Writes into a directory what `mdbook build` makes the site from.
///
/// # Errors
/// When a page or a picture is missing, or something cannot be written.
pub fn write(directory: &Path) -> Result<()> {
    let pages = pages()?;
    let source = directory.join("src");
    copy(BOOK, &directory.join("book.toml"))?;
    copy(SUMMARY, &source.join("SUMMARY.md"))?;
    for path in &pages {
        put(&source.join(path), &page(&Page::read(path)?, &pages))?;
    }
    let drawn = repository().join(pictures::DIRECTORY);
    for entry in fs::read_dir(&drawn).with_context(|| format!("failed to list {}", drawn.display()))? {
        let picture = format!("{}/{}", pictures::DIRECTORY, entry?.file_name().to_string_lossy());
        copy(&picture, &source.join(&picture))?;
    }
    Ok(())
}

/// The text of a page, with links to where things are for a reader of the site: mdBook calls a `README.md` `index.html`, and what is no part
/// of the site is in the repository.
fn page(page: &Page, pages: &[String]) -> String {
    let mut text = page.text.clone();
    for link in links::of(page) {
        let (path, anchor) = links::resolve(page, &link);
        let path = path.to_string_lossy();
        let is_here = pages.iter().any(|page| *page == path) || path.starts_with(pictures::DIRECTORY);
        let target = match anchor {
            _ if is_here => link.target.replace("README.md", "index.md"),
            None => format!("{SOURCE}{path}"),
            Some(anchor) => format!("{SOURCE}{path}#{anchor}"),
        };
        text = text.replace(&format!("]({})", link.target), &format!("]({target})"));
    }
    text
}

fn copy(path: &str, to: &Path) -> Result<()> {
    let from = repository().join(path);
    put(to, &fs::read_to_string(&from).with_context(|| format!("failed to read {}", from.display()))?)
}

fn put(file: &Path, text: &str) -> Result<()> {
    let directory = file.parent().context("a file has no directory")?;
    fs::create_dir_all(directory).with_context(|| format!("failed to create {}", directory.display()))?;
    fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_pages_of_the_site_or_into_the_repository() {
        let text = "[a](install.md#b) [c](../README.md) [d](../deploy/inject.yaml) [e](#f) [g](../CHANGELOG.md#h) ![i](pictures/j.svg)";
        let pages = ["README.md", "docs/install.md", "docs/page.md"].map(str::to_owned);
        let page = page(&Page { path: "docs/page.md".to_owned(), text: text.to_owned() }, &pages);
        let expected = format!(
            "[a](install.md#b) [c](../index.md) [d]({SOURCE}deploy/inject.yaml) [e](#f) [g]({SOURCE}CHANGELOG.md#h) ![i](pictures/j.svg)"
        );
        assert_eq!(page, expected);
    }
}
