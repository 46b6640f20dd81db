//! How long a new namespace waits for its pull secret.
//!
//! The bare client watches namespaces, too, and sends one request, made beforehand, for each new one that is its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use acr_e2e_tests::sidecar::Running;
use acr_e2e_tests::table::{self, Samples};
use anyhow::{Context as _, Result, ensure};
use hyper::Request;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::WatchEvent;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::bed::{Bed, Party, create_namespace};
use crate::load::{self, Load, send_all};
use crate::observer::{follow, version_now};
use crate::written::{self, until_filled};

/// New namespaces for each of the two, while nothing else happens.
const AT_REST: usize = 150;

/// Rotations in which namespaces are made, and updates of the bare client as many.
const ROTATIONS: usize = 3;

/// More than can be made while one rotation lasts.
const PREPARED: usize = 2000;

pub(crate) async fn measure(bed: &mut Bed) -> Result<()> {
    bed.clear(&[&bed.ours, &bed.bare]).await?;
    let mut sidecar = bed.start_sidecar().await?;
    bed.configure(&json!({})).await?;
    let load = Load::like(&bed.admin, &bed.ours, &until_filled(bed).await?).await?;
    send_all(&bed.bare.client, load.creations(&bed.bare.name, &bed.namespaces)?).await?;
    let bare = Reaction::start(bed, &load).await?;
    bed.rest().await?;

    let [mut ours_at_rest, mut bare_at_rest] = [Waits::default(), Waits::default()];
    for _ in 0..AT_REST {
        let name = bed.next_namespace();
        ours_at_rest.measure(bed, &bed.ours, &name).await?;
        bed.namespaces.push(name);
        bare_at_rest.measure(bed, &bed.bare, &bare.next()?).await?;
    }

    let [mut ours_busy, mut bare_busy] = [Waits::default(), Waits::default()];
    for round in 0..ROTATIONS {
        bed.rest().await?;
        let updates = load.updates(&bed.bare.name, &bed.bare.observer.all(), round)?;
        let client = bed.bare.client.clone();
        let updating = tokio::spawn(async move { send_all(&client, updates).await });
        while !updating.is_finished() {
            bare_busy.measure(bed, &bed.bare, &bare.next()?).await?;
        }
        updating.await??;

        let old = bed.ours.observer.all().into_values().next().context("nothing was filled")?.hash;
        sidecar = begin_rotation(bed, sidecar).await?;
        let is_over = || bed.ours.observer.all().values().all(|sight| sight.hash != old);
        let mut made = Vec::new();
        while !is_over() {
            let name = format!("{}-{round}{:04}", bed.next_namespace(), made.len());
            ours_busy.measure(bed, &bed.ours, &name).await?;
            made.push(name);
        }
        bed.namespaces.extend(made);
        written::check(bed).await?;
    }
    ensure!(sidecar.stop().await? == Some(0), "the sidecar did not end well: {}", sidecar.log()?);
    let rows = [
        ours_at_rest.row("at rest"),
        bare_at_rest.row("  limit"),
        ours_busy.row("while a rotation runs"),
        bare_busy.row("  limit, while as many updates run"),
    ];
    table::print(
        "A new namespace has its pull secret (goals: p50 8 ms, p99 1 s)",
        &["ms from the answer", "p50", "p99", "most", "from the request, p50", "p99", "samples"],
        &rows,
    )?;
    Ok(())
}

/// Restarts the sidecar with no credential at hand. It mints one, and brings it to all namespaces.
async fn begin_rotation(bed: &Bed, mut sidecar: Running) -> Result<Running> {
    bed.rest().await?;
    ensure!(sidecar.stop().await? == Some(0), "the sidecar did not end well: {}", sidecar.log()?);
    bed.forget_credentials().await?;
    bed.rest().await?;
    bed.start_sidecar().await
}

/// Times from the making of a namespace to the sight of its Secret.
#[derive(Default)]
struct Waits {
    from_answer: Samples,
    from_request: Samples,
    count: usize,
}

impl Waits {
    async fn measure(&mut self, bed: &Bed, party: &Party, name: &str) -> Result<()> {
        let asked = Instant::now();
        create_namespace(bed.admin.clone(), name.to_owned()).await?;
        let answered = Instant::now();
        let sight = party.observer.until_in(name).await?;
        self.from_answer.add(sight.at.saturating_duration_since(answered));
        self.from_request.add(sight.at - asked);
        self.count += 1;
        Ok(())
    }

    fn row(&mut self, what: &str) -> Vec<String> {
        let ms = |samples: &mut Samples, percent| format!("{:.1}", samples.percentile(percent) / 1e3);
        vec![
            what.to_owned(),
            ms(&mut self.from_answer, 50),
            ms(&mut self.from_answer, 99),
            ms(&mut self.from_answer, 100),
            ms(&mut self.from_request, 50),
            ms(&mut self.from_request, 99),
            self.count.to_string(),
        ]
    }
}

/// A client that watches namespaces, and sends what is prepared for each.
struct Reaction {
    names: Mutex<Vec<String>>,
    task: JoinHandle<()>,
}

impl Reaction {
    async fn start(bed: &Bed, load: &Load) -> Result<Self> {
        let names: Vec<_> = (0..PREPARED).map(|number| format!("{}-{number:05}", bed.bare.name)).collect();
        let prepared: Vec<_> = names
            .iter()
            .map(|name| Ok((name.clone(), load.creation(&bed.bare.name, name)?)))
            .collect::<Result<_>>()?;
        let prepared: Arc<Mutex<HashMap<String, Request<Vec<u8>>>>> =
            Arc::new(Mutex::new(prepared.into_iter().collect()));
        let namespaces: Api<Namespace> = Api::all(bed.bare.client.clone());
        let version = version_now(&namespaces, "").await?;
        let client = bed.bare.client.clone();
        let task = tokio::spawn(follow(namespaces, String::new(), version, move |event| {
            let WatchEvent::Added(namespace) = event else { return };
            let name = namespace.metadata.name.unwrap_or_default();
            let request = prepared.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
            if let Some(request) = request {
                // A failure shows as a Secret that never comes.
                tokio::spawn(load::send(client.clone(), request));
            }
        }));
        Ok(Self { names: Mutex::new(names), task })
    }

    /// A name that is prepared for.
    fn next(&self) -> Result<String> {
        ensure!(!self.task.is_finished(), "the watch of the bare client has lost its place");
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.pop().context("too few namespaces are prepared")
    }
}

impl Drop for Reaction {
    fn drop(&mut self) {
        self.task.abort();
    }
}
