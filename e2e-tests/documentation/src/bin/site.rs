//! `make docs`: writes what mdBook makes the site from.

use acr_documentation::{repository, site};
use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    let directory = repository().join("target/site");
    // Pages that are no more would stay in the site.
    if directory.exists() {
        std::fs::remove_dir_all(&directory).context("failed to remove the last site")?;
    }
    site::write(&directory)
}
