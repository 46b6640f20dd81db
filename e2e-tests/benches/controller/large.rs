//! A large cluster: 10,000 namespaces, in each of them five service accounts that get an entry in their lists.

use std::time::Instant;

use acr_e2e_tests::sidecar::metric;
use acr_e2e_tests::wait::wait_until;
use acr_e2e_tests::{cluster, grants, table};
use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::bed::{Bed, PATIENCE, SETTING_UP};
use crate::each;
use crate::process::SIDECAR;
use crate::rest::{self, Rest, Restart};
use crate::written::{self, Asked, until_filled};

const NAMESPACES: usize = 10_000;

/// Besides the one that each namespace comes with.
const ACCOUNTS: usize = 4;

pub(crate) async fn measure(bed: &mut Bed) -> Result<()> {
    let began = Instant::now();
    bed.clear(&[&bed.ours, &bed.bare]).await?;
    bed.add_namespaces(NAMESPACES.saturating_sub(bed.namespaces.len())).await?;
    let accounts: Vec<_> = bed
        .namespaces
        .iter()
        .flat_map(|namespace| {
            (1..=ACCOUNTS).map(move |number| (namespace.clone(), format!("builder-{number}")))
        })
        .collect();
    each(SETTING_UP, accounts, |(namespace, name)| create_account(bed.admin.clone(), namespace, name))
        .await?;
    for object in grants::of_sidecar(&bed.ours.name, true)? {
        cluster::apply(&bed.admin, &object).await?;
    }
    bed.rest().await?;
    eprintln!("{} namespaces are there after {:.0} s", bed.namespaces.len(), began.elapsed().as_secs_f64());

    let mut sidecar = bed.start_sidecar().await?;
    let counter = bed.counter(Some(sidecar.id()?))?;
    let began = Instant::now();
    bed.configure(&json!({ "attach": "both", "service-account": "*" })).await?;
    let namespaces = bed.namespaces.len();
    let writes = u64::try_from(namespaces * (2 + ACCOUNTS)).context("so many writes")?;
    wait_until("all is written", PATIENCE, async || {
        let page = sidecar.page("/metrics").await?.map(|(_, body)| body).unwrap_or_default();
        Ok((metric(&page, "writes_total", &["success"]) >= writes).then_some(()))
    })
    .await?;
    let (took, used) = (began.elapsed(), counter.end()?);
    until_filled(bed).await?;
    written::check(bed).await?;
    let attached = attached(&bed.admin, &bed.ours.name).await?;
    ensure!(attached == namespaces * (1 + ACCOUNTS), "{attached} service accounts have an entry");
    let asked = Asked::so_far(bed, &mut sidecar).await?;

    let at_rest = Rest::of(bed, &sidecar).await?;
    let restart = Restart::of(bed, &mut sidecar).await?;
    table::print(
        &format!("{namespaces} namespaces and {attached} service accounts, attach: both"),
        &["", "s", "writes", "CPU, s", "elsewhere"],
        &[vec![
            "everything is written".to_owned(),
            format!("{:.0}", took.as_secs_f64()),
            asked.writes.to_string(),
            format!("{:.1}", used.of(SIDECAR)),
            format!("{:.0} %", used.elsewhere),
        ]],
    )?;
    println!("  (Goals: 64 MiB at rest, 128 MiB at most.)");
    rest::print(bed, &[("after everything was written", &at_rest)], &restart)
}

async fn create_account(client: Client, namespace: String, name: String) -> Result<()> {
    let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
    let account = ServiceAccount { metadata, ..ServiceAccount::default() };
    Api::<ServiceAccount>::namespaced(client, &namespace).create(&PostParams::default(), &account).await?;
    Ok(())
}

/// How many service accounts list this pull secret.
async fn attached(admin: &Client, pull_secret: &str) -> Result<usize> {
    let accounts: Api<ServiceAccount> = Api::all(admin.clone());
    let mut parameters = ListParams::default().limit(2000);
    let mut count = 0;
    loop {
        let page = accounts.list(&parameters).await?;
        let lists = |account: &&ServiceAccount| {
            account.image_pull_secrets.iter().flatten().any(|entry| entry.name == pull_secret)
        };
        count += page.items.iter().filter(lists).count();
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters.continue_token = Some(token),
            None => return Ok(count),
        }
    }
}
