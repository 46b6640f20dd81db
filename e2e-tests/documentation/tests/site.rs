//! The site has all pages.

use acr_documentation::{Page, site};
use anyhow::Result;

#[test]
fn every_page_for_users_is_in_the_site_once() -> Result<()> {
    // Rancher shows app-readme.md beside the form of the chart.
    let for_users =
        |path: &str| (path.contains('/') || path.starts_with("README.")) && !path.ends_with("app-readme.md");
    let mut expected: Vec<_> =
        Page::all()?.into_iter().map(|page| page.path).filter(|path| for_users(path)).collect();
    let mut listed = site::pages()?;
    expected.sort();
    listed.sort();
    assert_eq!(listed, expected, "docs/site/SUMMARY.md");
    Ok(())
}
