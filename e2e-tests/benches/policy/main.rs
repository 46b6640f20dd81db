//! What our policy costs, beside a policy that does nothing and one that is written with typed objects.
//!
//! `cargo bench --manifest-path e2e-tests/Cargo.toml`, and `-- host growth http saturation admission modules` to choose among the
//! tables.
//!
//! All numbers of a table come from one run in which the contestants take turns, so that whatever else the machine does
//! meets them alike. The number of rounds is fixed. Each contestant's answer is checked before it is measured.

mod admission;
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use acr_e2e_tests::client::HttpClient;
use acr_e2e_tests::environment::{HostConfig, PolicyConfig};
use acr_e2e_tests::host_calls::{ContextAwareResource, Journal, KubewardenHost, RecordedSource};
use acr_e2e_tests::paths;
use acr_e2e_tests::review::{AdmissionResponse, Mode, Terms};
use acr_e2e_tests::server::PolicyHost;
use acr_e2e_tests::table::{self, Samples};
use acr_e2e_tests::wasm::{Limits, PolicyModule, Runtime};
use anyhow::{Context as _, Result, bail};
use axum::body::Bytes;
use serde_json::{Map, Value, json};

use crate::requests::{Shape, deployment_review, pod_review};

const KIB: usize = 1024;
const ORDINARY: usize = 8 * KIB;

const HOST_ROUNDS: usize = 3000;
const HTTP_ROUNDS: usize = 1000;
const COMPILE_ROUNDS: usize = 3;
const SATURATION_ROUNDS: usize = 5;
const CONNECTIONS: usize = 16;
/// Requests of each connection in a round.
const REQUESTS: usize = 100;
/// Sizes of Pods, with rounds that keep the whole thing short.
const GROWTH: [(usize, usize); 4] = [(8, 1000), (64, 400), (256, 120), (1024, 40)];
const WARM_UP: usize = 20;

fn main() -> Result<()> {
    let start = Instant::now();
    let runtime = Runtime::new(Limits::default())?;
    let policies = Policies::load(&runtime)?;

    // Cargo adds `--bench`.
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |table: &str| chosen.is_empty() || chosen.iter().any(|name| name == table);
    if wanted("host") {
        measure_host(&policies)?;
    }
    if wanted("growth") {
        measure_growth(&policies)?;
    }
    let async_runtime = tokio::runtime::Runtime::new().context("failed to start the async runtime")?;
    if wanted("http") {
        async_runtime.block_on(measure_http())?;
    }
    if wanted("saturation") {
        async_runtime.block_on(measure_saturation())?;
    }
    if wanted("admission") {
        async_runtime.block_on(admission::measure())?;
    }
    if wanted("modules") {
        measure_modules(&runtime)?;
    }

    println!("\nTook {:.0} s.", start.elapsed().as_secs_f64());
    Ok(())
}

/// The three policies, compiled.
struct Policies {
    accept: PolicyModule,
    ours: PolicyModule,
    typed: PolicyModule,
}

impl Policies {
    fn load(runtime: &Runtime) -> Result<Self> {
        Ok(Self {
            accept: runtime.compile_file(&paths::accept_everything_wasm()?)?,
            ours: runtime.compile_file(&paths::policy_wasm()?)?,
            typed: runtime.compile_file(&paths::typed_mutator_wasm()?)?,
        })
    }
}

/// The settings that our manifests ship with.
fn settings() -> Map<String, Value> {
    let settings = json!({
        "namespaces": ["default"],
        "excludedNamespaces": ["kube-system", "kube-public", "kube-node-lease"],
        "serviceAccounts": ["default"],
        "pullSecret": "acr-credential-secret-aggregation",
        "manualPullSecrets": {"pods": "reject", "ownedPods": "merge", "allowed": []},
        "readServiceAccounts": true,
    });
    match settings {
        Value::Object(settings) => settings,
        _ => Map::new(),
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    Untouched,
    Mutated,
    Refused,
}

fn outcome(response: &AdmissionResponse) -> Result<Outcome> {
    match (response.allowed, &response.patch) {
        (true, None) => Ok(Outcome::Untouched),
        (true, Some(_)) => Ok(Outcome::Mutated),
        (false, _) if response.status.as_ref().is_some_and(|status| status.code == Some(500)) => {
            bail!("{}", response.message())
        }
        (false, _) => Ok(Outcome::Refused),
    }
}

/// A policy and what it is asked.
struct Scenario {
    label: &'static str,
    policy: &'static str,
    review: Value,
    expected: Outcome,
}

fn scenarios() -> Vec<Scenario> {
    let manual = Shape { pull_secrets: &["my-registry"], owned: false, ..Shape::SELECTED };
    let ours = |label, shape, expected| Scenario {
        label,
        policy: "ours",
        review: pod_review(shape, ORDINARY),
        expected,
    };
    vec![
        Scenario {
            label: "accept everything",
            policy: "accept",
            review: pod_review(Shape::SELECTED, ORDINARY),
            expected: Outcome::Untouched,
        },
        ours(
            "ours, namespace not selected",
            Shape { namespace: "team-a", ..Shape::SELECTED },
            Outcome::Untouched,
        ),
        ours(
            "ours, service account not selected",
            Shape { service_account: "builder", ..Shape::SELECTED },
            Outcome::Untouched,
        ),
        ours("ours, mutating", Shape::SELECTED, Outcome::Mutated),
        ours(
            "ours, already there",
            Shape { pull_secrets: &["acr-credential-secret-aggregation"], ..Shape::SELECTED },
            Outcome::Untouched,
        ),
        Scenario {
            label: "ours, warning of a Deployment's manual list",
            policy: "ours",
            review: deployment_review(Shape { owned: false, ..manual }, ORDINARY),
            expected: Outcome::Untouched,
        },
        ours(LOOKUP, manual, Outcome::Refused),
        Scenario {
            label: "typed, mutating",
            policy: "typed",
            review: pod_review(Shape::SELECTED, ORDINARY),
            expected: Outcome::Mutated,
        },
    ]
}

/// The one scenario that looks up a ServiceAccount.
const LOOKUP: &str = "ours, refusing a Pod's manual list";

fn host_calls() -> Arc<KubewardenHost> {
    let service_account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}
    });
    let source = RecordedSource::default().with_object(service_account);
    Arc::new(KubewardenHost::new(granted(), Arc::new(source), Journal::default()))
}

fn granted() -> BTreeSet<ContextAwareResource> {
    BTreeSet::from([ContextAwareResource { api_version: "v1".to_owned(), kind: "ServiceAccount".to_owned() }])
}

/// A scenario in the policy host, without a server.
struct Contestant<'a> {
    label: &'static str,
    module: &'a PolicyModule,
    payload: Vec<u8>,
    samples: Samples,
}

impl<'a> Contestant<'a> {
    fn new(policies: &'a Policies, scenario: &Scenario) -> Result<Self> {
        let Scenario { label, policy, review, expected } = scenario;
        let module = match *policy {
            "accept" => &policies.accept,
            "typed" => &policies.typed,
            _ => &policies.ours,
        };
        let request = requests::request(review)?;
        let payload = request.payload(&settings())?;
        let terms = Terms { policy, mode: Mode::Protect, mutating: true, message: None };
        for _ in 0..WARM_UP {
            let answer = module.evaluate("validate", &payload, host_calls());
            let response = AdmissionResponse::new(&request, answer, &terms);
            let outcome = outcome(&response).context(*label)?;
            if outcome != *expected {
                bail!("{label}: expected {expected:?}, got {outcome:?}: {}", response.message());
            }
        }
        Ok(Self { label, module, payload, samples: Samples::default() })
    }

    fn run(&mut self) {
        let host_calls = host_calls();
        let start = Instant::now();
        let answer = self.module.evaluate("validate", black_box(&self.payload), host_calls);
        self.samples.add(start.elapsed());
        black_box(answer).ok();
    }
}

fn take_turns(contestants: &mut [Contestant<'_>], rounds: usize) {
    for _ in 0..rounds {
        for contestant in &mut *contestants {
            contestant.run();
        }
    }
}

fn measure_host(policies: &Policies) -> Result<()> {
    let scenarios = scenarios();
    let mut contestants =
        scenarios.iter().map(|scenario| Contestant::new(policies, scenario)).collect::<Result<Vec<_>>>()?;
    take_turns(&mut contestants, HOST_ROUNDS);
    let results: Vec<Timing> = contestants
        .iter_mut()
        .map(|contestant| Timing::new(contestant.label, &mut contestant.samples))
        .collect();
    let title = format!(
        "In the policy host alone: a new instance and one call, with an object of {} KiB ({HOST_ROUNDS} rounds)",
        ORDINARY / KIB
    );
    print_timings(&title, &results)?;
    let of = |label: &str| {
        results.iter().find(|timing| timing.label == label).map_or(f64::NAN, |timing| timing.median)
    };
    println!(
        "  Aims, as the median of five runs: not selected at most 1.35, mutating at most 1.45; typed at least 3.5 times ours, here {:.1}.",
        of("typed, mutating") / of("ours, mutating")
    );
    Ok(())
}

fn measure_growth(policies: &Policies) -> Result<()> {
    let mut rows = Vec::new();
    for (kib, rounds) in GROWTH {
        let scenario = |label, policy, expected| Scenario {
            label,
            policy,
            review: pod_review(Shape::SELECTED, kib * KIB),
            expected,
        };
        let mut contestants = [
            Contestant::new(policies, &scenario("accept everything", "accept", Outcome::Untouched))?,
            Contestant::new(policies, &scenario("ours, mutating", "ours", Outcome::Mutated))?,
        ];
        take_turns(&mut contestants, rounds);
        let [accept, ours] = &mut contestants;
        let (accept, ours) = (accept.samples.percentile(50), ours.samples.percentile(50));
        let kib = f64::from(u32::try_from(kib)?);
        rows.push(vec![
            format!("{kib} KiB"),
            format!("{accept:.0}"),
            format!("{:.2}", accept / kib),
            format!("{ours:.0}"),
            format!("{:.2}", ours / kib),
            format!("{:.2}", (ours - accept) / kib),
        ]);
    }
    table::print(
        "Growth, in the policy host alone: median in µs, and per KiB of the Pod",
        &["Pod", "accept", "/KiB", "ours, mutating", "/KiB", "ours - accept, /KiB"],
        &rows,
    )?;
    println!("  Aim: no worse than linear, so the columns per KiB do not rise.");
    Ok(())
}

/// Serves the three policies in this process.
async fn start_host() -> Result<PolicyHost> {
    let policy = |module: PathBuf| PolicyConfig {
        context_aware_resources: granted(),
        ..PolicyConfig::mutating(module, settings())
    };
    let policies = BTreeMap::from([
        ("accept".to_owned(), policy(paths::accept_everything_wasm()?)),
        ("ours".to_owned(), policy(paths::policy_wasm()?)),
        ("typed".to_owned(), policy(paths::typed_mutator_wasm()?)),
    ]);
    PolicyHost::start(HostConfig { policies, ..HostConfig::default() }).await
}

async fn measure_http() -> Result<()> {
    // Without a control plane there is nothing to look up.
    let scenarios: Vec<Scenario> =
        scenarios().into_iter().filter(|scenario| scenario.label != LOOKUP).collect();
    let host = start_host().await?;
    let client = HttpClient::trusting(host.ca_pem())?;

    let mut contestants = Vec::new();
    for Scenario { label, policy, review, expected } in scenarios {
        let (url, body) = (host.url(policy), Bytes::from(review.to_string()));
        for _ in 0..WARM_UP {
            let (status, answer) = client.post(&url, body.clone()).await?;
            let mut answer: Value = serde_json::from_slice(&answer).context(label)?;
            let response = serde_json::from_value(answer["response"].take())
                .with_context(|| format!("{label}: the host answered {status}"))?;
            let outcome = outcome(&response).context(label)?;
            if outcome != expected {
                bail!("{label}: expected {expected:?}, got {outcome:?}");
            }
        }
        contestants.push((label, url, body, Samples::default()));
    }
    for _ in 0..HTTP_ROUNDS {
        for (_, url, body, samples) in &mut contestants {
            let start = Instant::now();
            let answer = client.post(url, body.clone()).await?;
            samples.add(start.elapsed());
            black_box(answer);
        }
        host.log().clear();
    }
    let results: Vec<Timing> =
        contestants.iter_mut().map(|(label, _, _, samples)| Timing::new(label, samples)).collect();
    let title = format!("Over HTTPS: one client, one connection, the same objects ({HTTP_ROUNDS} rounds)");
    print_timings(&title, &results)?;
    Ok(())
}

/// How many requests a host answers in a second when it never waits for one.
async fn measure_saturation() -> Result<()> {
    let host = start_host().await?;
    let mut contestants = Vec::new();
    for label in ["accept everything", "ours, mutating", "typed, mutating"] {
        let scenario = scenarios().into_iter().find(|scenario| scenario.label == label);
        let Scenario { policy, review, .. } = scenario.context(label)?;
        contestants.push((label, host.url(policy), Bytes::from(review.to_string()), Samples::default()));
    }
    let clients =
        (0..CONNECTIONS).map(|_| HttpClient::trusting(host.ca_pem())).collect::<Result<Vec<_>>>()?;
    let clients: Arc<[HttpClient]> = clients.into();
    for round in 0..=SATURATION_ROUNDS {
        for (label, url, body, samples) in &mut contestants {
            let start = Instant::now();
            let tasks: Vec<_> = (0..CONNECTIONS)
                .map(|number| {
                    let (clients, url, body) = (Arc::clone(&clients), url.clone(), body.clone());
                    tokio::spawn(async move {
                        let client = clients.get(number).context("no client")?;
                        for _ in 0..REQUESTS {
                            let (status, _) = client.post(&url, body.clone()).await?;
                            anyhow::ensure!(status == 200, "the host answered {status}");
                        }
                        Ok(())
                    })
                })
                .collect();
            for task in tasks {
                task.await?.context(*label)?;
            }
            // The first round opens the connections.
            if round > 0 {
                samples.add(start.elapsed());
            }
            host.log().clear();
        }
    }
    let requests = f64::from(u32::try_from(CONNECTIONS * REQUESTS)?);
    let rate = |samples: &mut Samples| requests / (samples.percentile(50) / 1e6);
    let baseline = contestants.first_mut().map_or(f64::NAN, |(.., samples)| rate(samples));
    let row = |(label, _, _, samples): &mut (&str, String, Bytes, Samples)| {
        let rate = rate(samples);
        vec![(*label).to_owned(), format!("{rate:.0}"), format!("{:.2}", rate / baseline)]
    };
    table::print(
        &format!(
            "Saturation: requests/s over HTTPS, {CONNECTIONS} connections that never rest (client and host share the machine)"
        ),
        &["policy", "requests/s", "ratio"],
        &contestants.iter_mut().map(row).collect::<Vec<_>>(),
    )?;
    Ok(())
}

fn measure_modules(runtime: &Runtime) -> Result<()> {
    let modules = [
        ("accept everything", paths::accept_everything_wasm()?),
        ("ours", paths::policy_wasm()?),
        ("typed", paths::typed_mutator_wasm()?),
    ];
    let mut contestants = Vec::new();
    for (label, path) in modules {
        let wasm = std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
        contestants.push((label, wasm, Samples::default()));
    }
    for _ in 0..COMPILE_ROUNDS {
        for (_, wasm, samples) in &mut contestants {
            let start = Instant::now();
            black_box(runtime.compile(wasm)?);
            samples.add(start.elapsed());
        }
    }
    let mut baseline = f64::NAN;
    let rows: Vec<Vec<String>> = contestants
        .iter_mut()
        .map(|(label, wasm, samples)| {
            let milliseconds = samples.percentile(50) / 1e3;
            if baseline.is_nan() {
                baseline = milliseconds;
            }
            vec![
                (*label).to_owned(),
                format!("{}", wasm.len().div_ceil(1000)),
                format!("{milliseconds:.0}"),
                format!("{:.2}", milliseconds / baseline),
            ]
        })
        .collect();
    table::print(
        &format!(
            "The modules: size, and compilation when a policy server starts (median of {COMPILE_ROUNDS})"
        ),
        &["policy", "kB", "ms", "ratio"],
        &rows,
    )?;
    println!(
        "  Aims: ours at most 350 kB, and at most 3 times the compilation of the one that does nothing."
    );
    Ok(())
}

/// A row of the tables of times.
struct Timing {
    label: &'static str,
    median: f64,
    p99: f64,
}

impl Timing {
    fn new(label: &'static str, samples: &mut Samples) -> Self {
        Self { label, median: samples.percentile(50), p99: samples.percentile(99) }
    }
}

/// The first row is what the others are compared with. The difference is the policy's own; the ratio also depends on what
/// the host spends on any policy.
fn print_timings(title: &str, timings: &[Timing]) -> std::io::Result<()> {
    let baseline = timings.first().map_or(f64::NAN, |timing| timing.median);
    let rows: Vec<Vec<String>> = timings
        .iter()
        .map(|Timing { label, median, p99 }| {
            vec![
                (*label).to_owned(),
                format!("{median:.1}"),
                format!("{p99:.1}"),
                format!("{:.1}", median - baseline),
                format!("{:.2}", median / baseline),
            ]
        })
        .collect();
    table::print(title, &["policy", "p50 µs", "p99 µs", "p50 - first", "p50 / first"], &rows)
}
