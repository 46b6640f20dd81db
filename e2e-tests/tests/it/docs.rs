//! The documentation: its links lead somewhere, its examples are what is tested, its PromQL names what there is, and its commands do
//! what it says.
//!
//! The commands of the pages in [`PAGES`] are run on a control plane with a registry and a node, against the fake cloud. No image
//! of the sidecar can run in a Pod there, so what a Pod of it would run, [`kubelet`] runs as a process, under the account, the arguments
//! and the mounts of the Pod; and what Kubewarden would do about a policy, [`Kubewarden`](acr_e2e_tests::kubewarden::Kubewarden) does. `helm` gets the chart of this repository
//! in place of the published one. Nothing of that is to be seen in the pages.

mod examples;
mod kubelet;
mod languages;
mod links;
mod module_login;
mod promql;
mod runner;
mod stage;

use std::io::Write as _;

use acr_documentation::{Page, commands};
use acr_e2e_tests::paths;
use anyhow::Result;

use self::runner::run_page;
use self::stage::Before;

/// The pages whose commands are run, with how many of them are, and how many cannot be. The numbers are here so that nobody marks a
/// command as not to be run without saying so.
const PAGES: [(&str, usize, usize); 10] = [
    ("docs/install.md", 7, 20),
    ("docs/install-manifests.md", 4, 2),
    ("docs/choices.md", 4, 1),
    ("docs/mirror.md", 15, 4),
    ("docs/kubewarden-1.37.md", 5, 0),
    ("docs/scenarios.md", 13, 0),
    ("docs/rrsa.md", 3, 3),
    ("docs/private-network.md", 1, 1),
    ("docs/multi-tenant.md", 8, 0),
    ("docs/migrate-from-aliyun-acr-credential-helper.md", 20, 1),
];

#[tokio::test]
async fn the_commands_of_the_installation_by_helm_do_what_the_page_says() -> Result<()> {
    run_page("docs/install.md", None, Before::Nothing).await
}

#[tokio::test]
async fn the_commands_of_the_installation_by_manifests_do_what_the_page_says() -> Result<()> {
    run_page("docs/install-manifests.md", None, Before::Nothing).await
}

#[tokio::test]
async fn the_commands_of_the_choices_do_what_the_page_says() -> Result<()> {
    run_page("docs/choices.md", None, Before::Nothing).await
}

#[tokio::test]
async fn the_commands_of_the_scenarios_do_what_the_page_says_by_helm() -> Result<()> {
    run_page("docs/scenarios.md", Some("helm"), Before::Nothing).await
}

#[tokio::test]
async fn the_commands_of_the_scenarios_do_what_the_page_says_by_manifests() -> Result<()> {
    run_page("docs/scenarios.md", Some("manifests"), Before::Nothing).await
}

#[tokio::test]
async fn the_commands_about_rrsa_do_what_the_page_says() -> Result<()> {
    run_page("docs/rrsa.md", None, Before::Nothing).await
}

#[tokio::test]
async fn the_commands_about_private_networks_do_what_the_page_says() -> Result<()> {
    run_page("docs/private-network.md", None, Before::Nothing).await
}

#[tokio::test]
async fn the_commands_about_tenants_do_what_the_page_says() -> Result<()> {
    run_page("docs/multi-tenant.md", None, Before::Nothing).await
}

#[tokio::test]
async fn the_commands_of_the_migration_and_of_the_way_back_do_what_the_page_says() -> Result<()> {
    let page = "docs/migrate-from-aliyun-acr-credential-helper.md";
    run_page(page, None, Before::VendorsComponent).await
}

#[tokio::test]
async fn the_commands_about_kubewardens_migration_do_what_the_page_says() -> Result<()> {
    run_page("docs/kubewarden-1.37.md", None, Before::Installed).await
}

#[tokio::test]
async fn the_commands_about_mirrors_do_what_the_page_says_by_helm() -> Result<()> {
    run_page("docs/mirror.md", Some("helm"), Before::PublishedAndImageMirrored).await
}

/// The tools are not part of the bed, so this says where it does not run them.
#[tokio::test]
async fn the_commands_about_mirrors_do_what_the_page_says_where_skopeo_and_kwctl_are_installed() -> Result<()>
{
    if let Some(missing) = ["skopeo", "kwctl"].iter().find(|tool| paths::on_path(tool).is_none()) {
        // Not by a macro, whose output is not shown.
        writeln!(std::io::stderr(), "NOT RUN: the commands of docs/mirror.md: {missing} is not on the PATH")?;
        return Ok(());
    }
    run_page("docs/mirror.md", Some("skopeo"), Before::Published).await
}

#[test]
fn what_is_not_run_is_counted() -> Result<()> {
    let mut counted = Vec::new();
    for (path, ..) in PAGES {
        let page = Page::read(path)?;
        let blocks = page.blocks().into_iter().filter(|block| block.language() == "console");
        let (skipped, runs): (Vec<_>, Vec<_>) = blocks.partition(|block| block.is("no-run"));
        let count = |blocks: &[_]| blocks.iter().map(|block| commands::of(block).len()).sum::<usize>();
        counted.push((path, count(&runs), count(&skipped)));
    }
    assert_eq!(counted, PAGES);
    Ok(())
}
