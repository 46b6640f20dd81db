//! What `mint` costs, from the start of the process to its end, beside a process that does nothing.
//!
//! The sidecar is the binary of the image, and the fake cloud is a process of its own. All numbers come from one run in which the
//! contestants take turns. Each contestant's answer is checked before it is measured. The second table has an answer time
//! like that of a real cloud in the same region: on loopback, without one, all that is measured is CPU time, and half of it
//! is the fake's.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use acr_e2e_tests::cloud_process::CloudProcess;
use acr_e2e_tests::paths;
use acr_e2e_tests::table::{self, Samples};
use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

const ROUNDS: usize = 60;
const WARM_UP: usize = 3;
const MANY: usize = 50;
/// Answer time of the second table, in milliseconds.
const ANSWER_MS: u64 = 20;
const BINARY_MIB: f64 = 1024.0 * 1024.0;

fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let state = directory.path().join("state.yaml");
    std::fs::write(&state, state_with(MANY)?)?;
    let cloud = CloudProcess::start(&state)?;
    let sidecar = paths::sidecar_static_binary()?;

    // From small to large: the memory of finished processes is told as the largest so far.
    let mut contestants =
        [0, 1, MANY].map(|registries| Contestant::new(registries, &sidecar, directory.path()));
    for contestant in &mut contestants {
        contestant.prepare(&cloud)?;
    }
    measure("mint, against the fake cloud on loopback", &mut contestants, &cloud)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(cloud.add_fault(&json!({"kind": "delay", "ms": ANSWER_MS})))?;
    let title = format!("mint, against the fake cloud with an answer time of {ANSWER_MS} ms");
    measure(&title, &mut contestants, &cloud)?;

    let size = std::fs::metadata(&sidecar)?.len();
    #[allow(clippy::cast_precision_loss)]
    let size = size as f64 / BINARY_MIB;
    table::print(
        "The sidecar's binary, stripped",
        &["", "MiB"],
        &[vec!["release".into(), format!("{size:.1}")]],
    )?;
    Ok(())
}

fn measure(title: &str, contestants: &mut [Contestant<'_>], cloud: &CloudProcess) -> Result<()> {
    for contestant in &mut *contestants {
        contestant.samples = Samples::default();
    }
    for _ in 0..ROUNDS {
        for contestant in &mut *contestants {
            let start = Instant::now();
            contestant.run(cloud)?;
            contestant.samples.add(start.elapsed());
        }
    }
    let medians: Vec<_> =
        contestants.iter_mut().map(|contestant| contestant.samples.percentile(50)).collect();
    let base = medians.get(1).copied().unwrap_or(f64::NAN);
    let rows: Vec<_> = contestants.iter_mut().map(|contestant| contestant.row(base)).collect();
    table::print(title, &["from start to end", "p50 ms", "p95 ms", "of one", "MiB at most"], &rows)?;
    Ok(())
}

struct Contestant<'a> {
    /// None is a process that only tells its version.
    registries: usize,
    sidecar: &'a Path,
    configuration: PathBuf,
    samples: Samples,
    largest_kib: i64,
}

impl<'a> Contestant<'a> {
    fn new(registries: usize, sidecar: &'a Path, directory: &Path) -> Self {
        let configuration = directory.join(format!("{registries}.yaml"));
        Self { registries, sidecar, configuration, samples: Samples::default(), largest_kib: 0 }
    }

    fn prepare(&mut self, cloud: &CloudProcess) -> Result<()> {
        let mut text = "acr-registry-info: |\n".to_owned();
        for at in 0..self.registries {
            writeln!(text, "  - instanceId: cri-bench{at}\n    regionId: cn-hangzhou")?;
        }
        std::fs::write(&self.configuration, text)?;
        for _ in 0..WARM_UP {
            let output = self.run(cloud)?;
            if self.registries > 0 {
                let document: Value = serde_json::from_slice(&output.stdout).context("no docker config")?;
                let hosts = document["auths"].as_object().map_or(0, serde_json::Map::len);
                ensure!(hosts == 2 * self.registries, "{hosts} hosts");
            }
        }
        self.largest_kib = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
        Ok(())
    }

    fn run(&self, cloud: &CloudProcess) -> Result<Output> {
        let mut command = Command::new(self.sidecar);
        command.env_clear();
        if self.registries == 0 {
            command.arg("--version");
        } else {
            command
                .env("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAI5tEXAMPLEpuller")
                .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "EXAMPLE-secret-of-puller")
                .args(["mint", "--config"])
                .arg(&self.configuration)
                .args(["--acr-endpoint", cloud.url()]);
        }
        let output = command.output().context("failed to run the sidecar")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(output)
    }

    #[allow(clippy::cast_precision_loss)]
    fn row(&mut self, base: f64) -> Vec<String> {
        let name = match self.registries {
            0 => "a process that only tells its version".to_owned(),
            1 => "1 registry".to_owned(),
            many => format!("{many} registries"),
        };
        let (p50, p95) = (self.samples.percentile(50), self.samples.percentile(95));
        let mib = self.largest_kib as f64 / 1024.0;
        vec![
            name,
            format!("{:.1}", p50 / 1e3),
            format!("{:.1}", p95 / 1e3),
            format!("{:.2}", p50 / base),
            format!("{mib:.1}"),
        ]
    }
}

fn state_with(instances: usize) -> Result<String> {
    let mut text = "\
accounts:
  '1000000000000001':
    users:
      puller:
        accessKeys: { LTAI5tEXAMPLEpuller: { secret: EXAMPLE-secret-of-puller } }
        policies: [AliyunContainerRegistryReadOnlyAccess]
    instances:
"
    .to_owned();
    for at in 0..instances {
        writeln!(text, "      cri-bench{at}: {{ name: bench{at} }}")?;
    }
    Ok(text)
}
