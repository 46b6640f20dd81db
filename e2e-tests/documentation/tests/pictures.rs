//! The pictures of the pages are what `make pictures` writes.

use std::collections::BTreeMap;

use acr_documentation::{pictures, repository};
use anyhow::{Context as _, Result};

#[test]
fn the_pictures_are_those_that_make_pictures_writes() -> Result<()> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(repository().join(pictures::DIRECTORY))? {
        let path = entry?.path();
        let name = path.file_name().context("no name")?.to_string_lossy().into_owned();
        // The only one that is drawn by hand.
        if name != "logo.svg" {
            found.insert(name, std::fs::read_to_string(&path)?);
        }
    }
    let expected = pictures::all()?;
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "run `make pictures`");
    for (name, picture) in &expected {
        assert!(found.get(name) == Some(picture), "{name} is not up to date: run `make pictures`");
    }
    Ok(())
}
