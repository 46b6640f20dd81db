//! The pages that users read: their fenced blocks, their commands, their links, their [pictures], and the [site] of them.
//!
//! What a block is for stands behind its language, where no reader sees it:
//!
//! | | |
//! |---|---|
//! | `console` | Commands behind `$`, each with what it prints. |
//! | `console no-run` | The same, where nothing here could run them. |
//! | `console way=NAME` | The same, for those who go this way; other blocks are for all. |
//! | `yaml write=PATH` | What the reader writes into this file. |
//! | `yaml file=PATH` | The whole content of this file. |
//! | `json ram=ACCOUNT/roles/NAME/policy` | What this role may do; `users` and `trust` in their places. |

pub mod commands;
pub mod links;
pub mod output;
pub mod pictures;
pub mod site;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or(root)
}

/// A page.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its path in the repository.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// A fenced block of a page, without the indentation of its fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The line of its fence, from 1.
    pub line: usize,
    /// What stands behind the fence: the language, then what we want to know.
    pub info: String,
    /// Its lines.
    pub text: String,
}

impl Page {
    /// Reads the page at this path in the repository.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &str) -> Result<Self> {
        let file = repository().join(path);
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// All pages: those at the root, those in `docs` in both languages, and the chart's.
    ///
    /// # Errors
    /// When a directory cannot be listed, or a page not be read.
    pub fn all() -> Result<Vec<Self>> {
        let mut pages = Vec::new();
        for directory in [".", "docs", "docs/zh-CN", "charts/acr-credential-helper"] {
            let mut found: Vec<PathBuf> = Vec::new();
            let entries = std::fs::read_dir(repository().join(directory));
            for entry in entries.with_context(|| format!("failed to list {directory}"))? {
                found.push(entry.with_context(|| format!("failed to list {directory}"))?.file_name().into());
            }
            found.retain(|name| name.extension().is_some_and(|extension| extension == "md"));
            found.sort();
            for name in found {
                let path = Path::new(directory).join(name);
                pages.push(Self::read(path.to_string_lossy().trim_start_matches("./"))?);
            }
        }
        Ok(pages)
    }

    /// Its fenced blocks.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<(Block, usize)> = None;
        for (at, line) in self.text.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            open = match (open, fence) {
                (None, Some(info)) => {
                    let indent = line.len() - line.trim_start().len();
                    Some((Block { line: at + 1, info: info.trim().to_owned(), text: String::new() }, indent))
                }
                (None, None) => None,
                (Some((block, _)), Some(_)) => {
                    blocks.push(block);
                    None
                }
                (Some((mut block, indent)), None) => {
                    block.text.push_str(line.get(indent..).unwrap_or(line.trim_start()));
                    block.text.push('\n');
                    Some((block, indent))
                }
            };
        }
        blocks
    }

    /// A place in it, as people and editors write it.
    #[must_use]
    pub fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }
}

impl Block {
    /// Its language.
    #[must_use]
    pub fn language(&self) -> &str {
        self.info.split_whitespace().next().unwrap_or_default()
    }

    /// Whether this word stands behind its language.
    #[must_use]
    pub fn is(&self, word: &str) -> bool {
        self.info.split_whitespace().skip(1).any(|found| found == word)
    }

    /// What is said of it behind this key, such as the path in `file=PATH`.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&str> {
        let mut words = self.info.split_whitespace().skip(1).filter_map(|word| word.split_once('='));
        words.find_map(|(found, value)| (found == key).then_some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_with_what_is_said_of_them() {
        let text = "# Page\n\n```yaml file=a.yaml\na: 1\n```\n\n- item:\n\n  ```console no-run\n  $ ls\n    x\n  ```\n";
        let page = Page { path: "page.md".to_owned(), text: text.to_owned() };
        let [yaml, console] = &page.blocks()[..] else { panic!("{:?}", page.blocks()) };
        assert_eq!((yaml.line, yaml.language(), yaml.text.as_str()), (3, "yaml", "a: 1\n"));
        assert_eq!((yaml.attribute("file"), yaml.attribute("ram")), (Some("a.yaml"), None));
        assert_eq!((console.line, console.text.as_str()), (9, "$ ls\n  x\n"));
        assert!(console.is("no-run") && !yaml.is("no-run"));
    }
}
