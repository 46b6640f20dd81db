//! `make pictures`: writes the pictures of the pages.

use acr_documentation::{pictures, repository};
use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    let directory = repository().join(pictures::DIRECTORY);
    std::fs::create_dir_all(&directory).context("failed to create the directory of the pictures")?;
    for (name, picture) in pictures::all()? {
        std::fs::write(directory.join(&name), picture).with_context(|| format!("failed to write {name}"))?;
    }
    Ok(())
}
