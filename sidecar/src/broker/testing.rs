//! A cloud and a clock for tests. Both follow tokio's clock, which tests pause.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};

use super::{ActiveConfiguration, Minter, ResolvedRegistry};
use crate::clock::Clock;
use crate::cloud::{CloudError, Reason};
use crate::configuration::{self, Host, Identity, IdentitySource, Instance, InstanceId, Region, Registry};
use crate::credential::{Credential, CredentialKey};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// The true time when a test begins.
pub(crate) fn epoch() -> Timestamp {
    "2026-11-24T20:00:00Z".parse().unwrap()
}

/// The clocks of a machine whose wall clock can be stepped.
#[derive(Debug)]
pub(crate) struct TestClock {
    start: Instant,
    off_by: Mutex<SignedDuration>,
}

impl TestClock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), off_by: Mutex::default() }
    }

    /// Moves the wall clock alone: a step, or what a suspended machine finds when it wakes up.
    pub(crate) fn step(&self, by: SignedDuration) {
        *self.off_by.lock().unwrap() += by;
    }
}

impl Clock for TestClock {
    fn wall(&self) -> Timestamp {
        epoch() + self.start.elapsed() + *self.off_by.lock().unwrap()
    }
}

/// A cloud that hands out `token-1`, `token-2`, … with the true time of their expiry.
#[derive(Debug)]
pub(crate) struct FakeCloud {
    start: Instant,
    script: Mutex<Script>,
}

/// How the cloud answers, and what it was asked.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) life: Duration,
    /// True time that the machine slept through.
    pub(crate) slept: Duration,
    /// How long an answer takes.
    pub(crate) delay: Duration,
    /// The user in the answer.
    pub(crate) user: &'static str,
    /// What minting fails with, by instance.
    pub(crate) refusals: BTreeMap<&'static str, CloudError>,
    /// Hosts by instance; for others, discovery fails.
    pub(crate) hosts: BTreeMap<&'static str, Vec<&'static str>>,
    /// Time since the start and instance of each mint.
    pub(crate) mints: Vec<(Duration, String)>,
    /// Instance of each mint that was answered, and not given up by the caller.
    pub(crate) answered: Vec<String>,
    /// Time since the start and instance of each discovery.
    pub(crate) discoveries: Vec<(Duration, String)>,
}

impl FakeCloud {
    pub(crate) fn new() -> Self {
        let script = Script {
            life: HOUR,
            slept: Duration::ZERO,
            delay: Duration::ZERO,
            user: "cr_temp_user",
            refusals: BTreeMap::new(),
            hosts: BTreeMap::new(),
            mints: Vec::new(),
            answered: Vec::new(),
            discoveries: Vec::new(),
        };
        Self { start: Instant::now(), script: Mutex::new(script) }
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Seconds since the start of each mint.
    pub(crate) fn mints(&self) -> Vec<u64> {
        self.script().mints.iter().map(|(at, _)| at.as_secs()).collect()
    }

    /// Seconds since the start of each discovery.
    pub(crate) fn discoveries(&self) -> Vec<u64> {
        self.script().discoveries.iter().map(|(at, _)| at.as_secs()).collect()
    }
}

impl Minter for FakeCloud {
    async fn credential(&self, key: &CredentialKey) -> Result<Credential, CloudError> {
        let instance = instance(key);
        let (number, delay) = {
            let mut script = self.script();
            script.mints.push((self.start.elapsed(), instance.clone()));
            (script.mints.len(), script.delay)
        };
        sleep(delay).await;
        let mut script = self.script();
        script.answered.push(instance.clone());
        match script.refusals.get(&*instance) {
            Some(error) => Err(error.clone()),
            None => Ok(Credential {
                user: script.user.to_owned(),
                password: format!("token-{number}").into(),
                expires_at: epoch() + self.start.elapsed() + script.slept + script.life,
            }),
        }
    }

    async fn hosts(&self, key: &CredentialKey) -> Result<Vec<Host>, CloudError> {
        let instance = instance(key);
        let mut script = self.script();
        script.discoveries.push((self.start.elapsed(), instance.clone()));
        match script.hosts.get(&*instance) {
            Some(hosts) => Ok(hosts.iter().map(|host| Host::parse(host).unwrap()).collect()),
            None => Err(error(Reason::Unreachable)),
        }
    }
}

pub(crate) fn error(reason: Reason) -> CloudError {
    CloudError::new(reason, "GetAuthorizationToken")
}

/// A registry of Enterprise Edition.
pub(crate) fn registry(instance: &str, domains: &[&str]) -> ResolvedRegistry {
    let region = Region::parse("cn-hangzhou").unwrap();
    ResolvedRegistry {
        region: region.clone(),
        registry: Registry {
            place: format!("registry of {instance}"),
            instance: Instance::Enterprise(InstanceId::parse(instance).unwrap()),
            region: Some(region),
            domains: domains.iter().map(|host| Host::parse(host).unwrap()).collect(),
            namespaces: None,
            identity: Identity { source: IdentitySource::DefaultChain, assume_role: None },
        },
    }
}

fn instance(key: &CredentialKey) -> String {
    match &key.instance {
        Instance::Personal => "personal".to_owned(),
        Instance::Enterprise(id) => id.as_str().to_owned(),
    }
}

/// A configuration of these registries, whose credentials are renewed a quarter of an hour before they expire.
pub(crate) fn active(registries: &[ResolvedRegistry]) -> Arc<ActiveConfiguration> {
    let configuration = configuration::parse(b"expiring-threshold: 15m").unwrap().configuration;
    Arc::new(ActiveConfiguration { configuration, registries: registries.into() })
}
