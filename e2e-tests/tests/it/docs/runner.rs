//! Runs the commands of a page one after the other, as a reader does, and compares what they print with what the page shows.

use std::time::Duration;

use acr_documentation::commands::{self, Documented};
use acr_documentation::{Block, Page, output};
use acr_e2e_tests::cluster::PATIENCE;
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result};
use tokio::sync::Mutex;

use super::stage::{Before, Stage};

/// Runs a page, for a reader who goes this way, on a control plane of its own. There is one at a time: each takes half a gigabyte.
pub async fn run_page(path: &str, way: Option<&str>, before: Before) -> Result<()> {
    static TURNS: Mutex<()> = Mutex::const_new(());
    let _turn = TURNS.lock().await;
    let page = Page::read(path)?;
    let mut stage = Stage::new(&page, before).await?;
    for block in page.blocks() {
        if let Some(file) = block.attribute("write") {
            stage.desk.sidecar.file(file, &block.text)?;
        }
        if !is_run(&block, way) {
            continue;
        }
        for documented in commands::of(&block) {
            let place = || format!("{}: {}", page.place(documented.line), documented.command);
            run(&mut stage, &documented).await.with_context(place)?;
            if !documented.only_looks() {
                stage.settle().await.with_context(|| format!("after {}", place()))?;
            }
        }
    }
    Ok(())
}

fn is_run(block: &Block, way: Option<&str>) -> bool {
    let others = block.attribute("way").is_some_and(|of| Some(of) != way);
    block.language() == "console" && !block.is("no-run") && !others
}

/// Runs a command. One that changes nothing is run until it prints what it should: what came before it may take a moment.
async fn run(stage: &mut Stage, documented: &Documented) -> Result<()> {
    let patience = if documented.only_looks() { PATIENCE } else { Duration::ZERO };
    let mut last = String::new();
    let done = wait_until("it prints what the page shows", patience, async || {
        let ended = stage.sh(&documented.command).await?;
        last = format!("{}{}", ended.stdout, ended.stderr);
        let is_good = if documented.output.is_empty() {
            ended.code == Some(0)
        } else {
            output::is_as_shown(&documented.output, &last)
        };
        Ok(is_good.then_some(()))
    })
    .await;
    done.with_context(|| format!("the page shows:\n{}\nand this was printed:\n{last}\n", documented.output))
}
