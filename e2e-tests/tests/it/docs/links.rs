//! Links between pages.

use acr_documentation::{Page, links};
use acr_e2e_tests::paths;
use anyhow::Result;

#[test]
fn every_link_leads_to_something_that_is_there() -> Result<()> {
    let pages = Page::all()?;
    assert!(pages.len() > 20, "{} pages", pages.len());
    let mut broken = Vec::new();
    for page in &pages {
        for link in links::of(page) {
            let (path, anchor) = links::resolve(page, &link);
            let target = pages.iter().find(|page| path.as_os_str() == page.path.as_str());
            let leads = match (&anchor, target) {
                (None, _) => paths::repository().join(&path).exists(),
                (Some(anchor), Some(target)) => links::anchors(target).contains(anchor),
                (Some(_), None) => false,
            };
            if !leads {
                broken.push(format!("{}: {}", page.place(link.line), link.target));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

#[test]
fn every_page_is_in_the_index_of_its_language() -> Result<()> {
    for directory in ["docs/", "docs/zh-CN/"] {
        let index = Page::read(&format!("{directory}README.md"))?;
        let listed: Vec<_> = links::of(&index).iter().map(|link| links::resolve(&index, link).0).collect();
        for page in Page::all()?.iter().filter(|page| page.path != index.path) {
            if page.path.strip_prefix(directory).is_some_and(|name| !name.contains('/')) {
                assert!(listed.iter().any(|path| path.as_os_str() == page.path.as_str()), "{}", page.path);
            }
        }
    }
    Ok(())
}
