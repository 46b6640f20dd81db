//! `status`: reports the state of the cluster's pull secrets, read only from metadata, and the problems that the sidecar reports.

mod warnings;

use super::arguments::{self, ClusterArgs, Output};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::GetParams;
use serde::Serialize;

use self::warnings::Warning;
use super::Exit;
use super::cluster::{self, FoundSecret, Leader, Seen};
use super::report::remark::skipped;
use super::report::{self, Line};
use super::setup::{self, CommandError};
use crate::cluster::observed::{self as observed, PullSecret};
use crate::configuration::{Configuration, Finding, Mistakes};
use crate::kubernetes::{Collection, Metadata, at};

/// The number of names of a kind that are shown to people.
const SHOWN: usize = 10;

/// The shortest pause between two reads of `--watch`.
const PAUSE: Duration = Duration::from_secs(2);

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = STATUS_HELP)]
pub struct StatusArgs {
    /// Show only this namespace [default: all namespaces].
    #[arg(long, short, value_name = "NAMESPACE", value_parser = arguments::namespace)]
    pub namespace: Option<String>,
    /// Show the state again whenever it changes, until interrupted.
    #[arg(long, short)]
    pub watch: bool,
    /// What to write.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: StatusOutput,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// The output format of `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusOutput {
    /// One of the formats of every command.
    Common(Output),
    /// For people, with a line for each namespace.
    Wide,
}

impl ValueEnum for StatusOutput {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Common(Output::Text), Self::Wide, Self::Common(Output::Json), Self::Common(Output::Yaml)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Common(output) => output.to_possible_value(),
            Self::Wide => Some(PossibleValue::new("wide").help("For people, with a line for each namespace")),
        }
    }
}

const STATUS_HELP: &str = "\
Reads only metadata, never the contents of a Secret. Needs the rights to list namespaces and, by its name, the pull secret. \
With -n, it needs no right outside of that namespace: the role edit is enough, and with the role view the pull secret is not \
seen. What you may not read is marked with -, and the line names the right.

--watch reads everything again every 2 seconds, or less often: a tenth of the time at most is spent on reading. A terminal \
shows the last state; a pipe gets each state that differs from the one before.

Exit codes: 0 no problem was found (what was not checked, marked with -, does not count), 1 a managed namespace has no good \
pull secret, or the configuration has mistakes, 2 wrong usage, or the cluster did not answer.";

pub(super) fn run(args: StatusArgs) -> Result<Exit, CommandError> {
    let StatusArgs { namespace, watch, output, cluster } = args;
    let (output, is_wide) = match output {
        StatusOutput::Common(output) => (output, false),
        StatusOutput::Wide => (Output::Text, true),
    };
    // A dumb terminal cannot be cleared: like a pipe, it gets each state that differs from the one before.
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let repaints = watch && output == Output::Text && io::stdout().is_terminal() && !is_dumb;
    setup::runtime()?.block_on(async {
        let client = cluster::connect(&cluster)?;
        let mut shown: Option<Status> = None;
        loop {
            let (now, started) = (Timestamp::now(), Instant::now());
            let read = Status::read(&client, &cluster, namespace.as_deref(), is_wide, now).await;
            let pause = pause(&read, started.elapsed());
            match read {
                Ok(status) if repaints || shown.as_ref() != Some(&status) => {
                    if repaints {
                        report::clear()?;
                    } else if shown.is_some() && output == Output::Text {
                        report::to_stdout("")?;
                    }
                    let text = |status: &Status| report::to_stdout(status.text(is_wide, now).trim_end());
                    let exit = report::finish(output, status.ok, &status, text)?;
                    if !watch {
                        return Ok(exit);
                    }
                    shown = Some(status);
                }
                Ok(_) => {}
                // What was watched before is watched on: the API server may only be restarting.
                Err(error) if shown.is_some() => report::error(&error),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
        }
    })
}

/// Returns the pause after a read that took this long. After a failure it is short, because the time was spent waiting.
fn pause<T, E>(read: &Result<T, E>, took: Duration) -> Duration {
    if read.is_ok() { PAUSE.max(took * 10) } else { PAUSE }
}

/// A namespace: its name, whether it is managed, as far as that is known, and its pull secret.
#[derive(Debug)]
struct Known {
    name: String,
    is_managed: Option<bool>,
    secret: Seen<PullSecret>,
}

/// The state of the cluster, or of one namespace.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    ok: bool,
    configuration: Vec<String>,
    /// `None` if it is not known.
    leader: Option<String>,
    registries: Vec<Registry>,
    namespaces: Namespaces,
    /// Each pull secret, if they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pull_secrets: Vec<Row>,
    /// The sidecar's recent warnings.
    warnings: Vec<Warning>,
    /// What could not be read, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_checked: Vec<Line>,
    /// Whether it is about one namespace, so that there is nothing to count.
    #[serde(skip)]
    is_single: bool,
}

/// The state of a pull secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
enum State {
    Fresh,
    Stale,
    Missing,
    Foreign,
    Contested,
    Leftover,
    /// It does not exist, and it is not known whether it should.
    Absent,
    /// The namespace is not managed and has no pull secret of the sidecar.
    Unmanaged,
    /// It could not be read.
    Unknown,
}

/// The pull secret of one namespace.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    namespace: String,
    state: State,
    expires_at: Option<Timestamp>,
    registries: Vec<String>,
    /// Pull secrets with the same hash have the same content.
    hash: String,
    /// The manager that created or changed it instead of the sidecar.
    other_manager: Option<String>,
}

/// A registry, with facts from the pull secrets that contain it.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Registry {
    name: String,
    namespaces: usize,
    /// The first and the last expiry of the pull secrets that contain it.
    first_expiry: Option<Timestamp>,
    last_expiry: Option<Timestamp>,
}

/// The namespaces, grouped by the state of their pull secrets.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Namespaces {
    /// `None` while the configuration cannot be used, because the number is then not known.
    managed: Option<usize>,
    fresh: usize,
    /// Expired, or without any credential.
    stale: Vec<String>,
    missing: Vec<String>,
    foreign: Vec<String>,
    /// Ours, but changed by another manager.
    contested: Vec<String>,
    /// The other manager, by namespace.
    contested_by: BTreeMap<String, String>,
    /// No longer managed.
    leftover: Vec<String>,
}

impl Status {
    /// Reads the state of one namespace, or of all namespaces.
    async fn read(
        client: &Client,
        args: &ClusterArgs,
        namespace: Option<&str>,
        is_wide: bool,
        now: Timestamp,
    ) -> Result<Self, CommandError> {
        let configuration = Seen::of(cluster::configuration(client, args).await)?;
        let usable = configuration.found().and_then(|configuration| configuration.as_ref().ok());
        let (namespaces, mut not_checked) = match namespace {
            Some(name) => one(client, name, &args.pull_secret, usable).await?,
            None => all(client, &args.pull_secret, usable).await?,
        };
        let leader = Seen::of(cluster::leader(client, args, now).await)?;
        let warnings = Seen::of(warnings::read(client, args, now).await.map(Some))?;
        not_checked.extend(unknown("configuration", &configuration));
        not_checked.extend(unknown("leader", &leader));
        not_checked.extend(unknown("warnings", &warnings));
        let status = Self::new(&configuration, &namespaces, leader, now);
        let pull_secrets = if is_wide || namespace.is_some() { status.pull_secrets } else { Vec::new() };
        let warnings = warnings.found().cloned().unwrap_or_default();
        Ok(Self { pull_secrets, warnings, not_checked, is_single: namespace.is_some(), ..status })
    }

    fn new(
        configuration: &Seen<Result<Configuration, Mistakes>>,
        namespaces: &[Known],
        leader: Seen<Leader>,
        now: Timestamp,
    ) -> Self {
        let mistakes = match configuration {
            Seen::Found(Ok(_)) | Seen::Unknown(_) => Vec::new(),
            Seen::Found(Err(mistakes)) => mistakes.0.iter().map(Finding::to_string).collect(),
            Seen::Absent => vec!["there is no such ConfigMap".to_owned()],
        };
        let is_usable = matches!(configuration, Seen::Found(Ok(_)));
        let pull_secrets: Vec<_> = namespaces.iter().map(|namespace| Row::new(namespace, now)).collect();
        let managed = namespaces.iter().filter(|namespace| namespace.is_managed == Some(true)).count();
        let grouped = Namespaces::new(is_usable.then_some(managed), &pull_secrets);
        let Namespaces { stale, missing, foreign, contested, .. } = &grouped;
        let is_fine = [stale, missing, foreign, contested].iter().all(|names| names.is_empty());
        let concerns = |row: &Row| !matches!(row.state, State::Absent | State::Unmanaged);
        Self {
            ok: mistakes.is_empty() && is_fine,
            configuration: mistakes,
            leader: match leader {
                Seen::Found(Leader { name, is_alive: true }) => Some(name),
                Seen::Found(_) | Seen::Absent => Some("none; no sidecar is running".to_owned()),
                Seen::Unknown(_) => None,
            },
            registries: registries(namespaces),
            namespaces: grouped,
            pull_secrets: pull_secrets
                .into_iter()
                .filter(|row| namespaces.len() == 1 || concerns(row))
                .collect(),
            warnings: Vec::new(),
            not_checked: Vec::new(),
            is_single: false,
        }
    }

    fn text(&self, is_wide: bool, now: Timestamp) -> String {
        let mut parts = Vec::new();
        let mut head = String::new();
        // Writing to a String cannot fail.
        for mistake in &self.configuration {
            let _ = writeln!(head, "configuration: {mistake}");
        }
        if let Some(leader) = &self.leader {
            let _ = writeln!(head, "leader: {leader}");
        }
        for line in &self.not_checked {
            let _ = writeln!(head, "{line}");
        }
        parts.push(head.trim_end().to_owned());
        let left = |expiry: Option<Timestamp>| match expiry {
            Some(expiry) if expiry > now => report::time_left(now, expiry),
            Some(_) | None => "expired".to_owned(),
        };
        if !self.is_single {
            let last = if is_wide { "LAST EXPIRES IN" } else { "" };
            let mut table = report::table(["REGISTRY", "NAMESPACES", "FIRST EXPIRES IN", last]);
            for Registry { name, namespaces, first_expiry, last_expiry } in &self.registries {
                let last = if is_wide { left(*last_expiry) } else { String::new() };
                let name = report::one_line(name).into_owned();
                table.add_row([name, namespaces.to_string(), left(*first_expiry), last]);
            }
            parts.push(table.trim_fmt());
            parts.push(self.namespaces.table());
        }
        if !self.pull_secrets.is_empty() {
            let hash = if is_wide { "HASH" } else { "" };
            let mut table = report::table(["NAMESPACE", "STATE", "EXPIRES IN", "REGISTRIES", hash]);
            for row in &self.pull_secrets {
                let expires = row.expires_at.map(|at| left(Some(at))).unwrap_or_default();
                let hash: String = if is_wide { row.hash.chars().take(12).collect() } else { String::new() };
                let hash = report::one_line(&hash).into_owned();
                table.add_row([row.namespace.clone(), row.state(), expires, shown(&row.registries), hash]);
            }
            parts.push(table.trim_fmt());
        }
        if !self.warnings.is_empty() {
            let mut table = report::table(["WARNINGS", ""]);
            for Warning { at, reason, message } in &self.warnings {
                let ago = format!("{} ago", report::time_left(*at, now));
                table.add_row([ago, format!("{}: {message}", report::one_line(reason))]);
            }
            parts.push(table.trim_fmt());
        }
        parts.join("\n\n")
    }
}

/// Reads one namespace, as far as the user may, and returns what could not be read, too.
async fn one(
    client: &Client,
    name: &str,
    pull_secret: &str,
    configuration: Option<&Configuration>,
) -> Result<(Vec<Known>, Vec<Line>), CommandError> {
    let namespace = at::<Namespace>(None).get_metadata(name, &GetParams::default());
    let whether = |object: &str| Metadata::parse(object).map(|metadata| known(&metadata, configuration));
    let action = format!("get namespaces named {name}");
    let namespace = Seen::of(cluster::read(client, &action, namespace, whether).await)?;
    let secret = Seen::of(cluster::secret(client, name, pull_secret).await)?;
    let not_checked =
        unknown("namespace", &namespace).into_iter().chain(unknown("pull secret", &secret)).collect();
    let is_managed = match namespace {
        Seen::Found(Some((_, is_managed))) => is_managed,
        Seen::Unknown(_) => None,
        Seen::Found(None) | Seen::Absent => {
            let problem = format!("the namespace {name} does not exist, or is being deleted");
            return Err(CommandError::Refused(problem));
        }
    };
    let name = name.to_owned();
    Ok((vec![Known { name, is_managed, secret: secret.map(|secret| secret.facts) }], not_checked))
}

/// Lists all namespaces and their pull secrets, and returns a line for each object that cannot be read.
async fn all(
    client: &Client,
    pull_secret: &str,
    configuration: Option<&Configuration>,
) -> Result<(Vec<Known>, Vec<Line>), CommandError> {
    let namespaces = Collection::metadata::<Namespace>(None);
    let namespaces = cluster::read_all(client, &namespaces, "list namespaces", |object| {
        Metadata::parse(object).map(|metadata| known(&metadata, configuration))
    });
    let (namespaces, mut unreadable) = namespaces.await.map_err(|error| match error {
        CommandError::Forbidden { action, problem } => {
            let problem = format!("{problem} (status -n NAMESPACE needs no right outside of that namespace)");
            CommandError::Forbidden { action, problem }
        }
        error => error,
    })?;
    let (secrets, unreadable_secrets) = cluster::pull_secrets(client, pull_secret).await?;
    unreadable.extend(unreadable_secrets);
    Ok((with_secrets(namespaces, secrets), unreadable))
}

fn with_secrets(namespaces: Vec<(String, Option<bool>)>, secrets: Vec<FoundSecret>) -> Vec<Known> {
    let mut secrets: HashMap<String, PullSecret> =
        secrets.into_iter().map(|secret| (secret.namespace, secret.facts)).collect();
    let with = |(name, is_managed): (String, _)| {
        let secret = secrets.remove(&name).map_or(Seen::Absent, Seen::Found);
        Known { name, is_managed, secret }
    };
    namespaces.into_iter().map(with).collect()
}

/// Returns a line for something that could not be read.
fn unknown<T>(what: &str, seen: &Seen<T>) -> Option<Line> {
    match seen {
        Seen::Unknown(why) => Some(Line::at(what, skipped(format!("not checked: {why}")))),
        Seen::Found(_) | Seen::Absent => None,
    }
}

impl Row {
    fn new(Known { name, is_managed, secret }: &Known, now: Timestamp) -> Self {
        let state = match (secret, *is_managed) {
            (Seen::Unknown(_), _) => State::Unknown,
            (Seen::Absent, Some(true)) => State::Missing,
            (Seen::Absent, None) => State::Absent,
            (Seen::Found(secret), Some(false)) if secret.ours => State::Leftover,
            (Seen::Absent | Seen::Found(_), Some(false)) => State::Unmanaged,
            (Seen::Found(secret), _) if !secret.ours => State::Foreign,
            (Seen::Found(secret), _) if secret.contested_by().is_some() => State::Contested,
            (Seen::Found(secret), _) if secret.expires_at.is_some_and(|at| at > now) => State::Fresh,
            (Seen::Found(_), _) => State::Stale,
        };
        // Nothing that the annotations promise counts once another manager has changed them.
        let believed = secret.found().filter(|secret| is_believed(secret));
        let other = secret.found().and_then(|secret| match state {
            State::Contested => secret.contested_by(),
            State::Foreign => secret.other_manager.as_deref(),
            _ => None,
        });
        Self {
            namespace: name.clone(),
            state,
            expires_at: believed.and_then(|secret| secret.expires_at),
            registries: believed.map(names).into_iter().flatten().map(str::to_owned).collect(),
            hash: believed.map(|secret| secret.hash.to_string()).unwrap_or_default(),
            other_manager: other.map(str::to_owned),
        }
    }

    fn state(&self) -> String {
        let state: &'static str = self.state.into();
        match &self.other_manager {
            Some(by) => format!("{state} (by {})", report::one_line(by)),
            None => state.to_owned(),
        }
    }
}

impl Namespaces {
    fn new(managed: Option<usize>, rows: &[Row]) -> Self {
        let mut sorted = Self { managed, ..Self::default() };
        for Row { namespace, state, other_manager, .. } in rows {
            let group = match state {
                State::Fresh => {
                    sorted.fresh += 1;
                    continue;
                }
                State::Absent | State::Unmanaged | State::Unknown => continue,
                State::Stale => &mut sorted.stale,
                State::Missing => &mut sorted.missing,
                State::Foreign => &mut sorted.foreign,
                State::Leftover => &mut sorted.leftover,
                State::Contested => {
                    let by = other_manager.clone().unwrap_or_default();
                    sorted.contested_by.insert(namespace.clone(), by);
                    &mut sorted.contested
                }
            };
            group.push(namespace.clone());
        }
        sorted
    }

    fn table(&self) -> String {
        let Self { managed, fresh, stale, missing, foreign, contested, contested_by, leftover } = self;
        let by = |name: &String| match contested_by.get(name) {
            Some(by) => format!("{name} (by {by})"),
            None => name.clone(),
        };
        let contested = &contested.iter().map(by).collect();
        let managed = managed.map_or_else(|| "unknown".to_owned(), |count| count.to_string());
        let mut table = report::table(["NAMESPACES", "", ""]);
        table.add_row(["managed", &managed, ""]);
        table.add_row(["fresh", &fresh.to_string(), ""]);
        for (kind, names) in [
            ("stale", stale),
            ("missing", missing),
            ("foreign", foreign),
            ("contested", contested),
            ("leftover", leftover),
        ] {
            table.add_row([kind, &names.len().to_string(), &shown(names)]);
        }
        table.trim_fmt()
    }
}

fn shown(names: &[String]) -> String {
    let some: Vec<_> = names.iter().take(SHOWN).map(|name| report::one_line(name)).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => some.join(", "),
        more => format!("{} and {more} more", some.join(", ")),
    }
}

/// Returns the name of a namespace, and whether it is managed, as far as that is known. A namespace that is being deleted is
/// left out, because nothing can be written there.
fn known(metadata: &Metadata<'_>, configuration: Option<&Configuration>) -> Option<(String, Option<bool>)> {
    let selector = configuration.and_then(|configuration| configuration.namespace_selector.as_ref());
    let facts = observed::Namespace::from_metadata(metadata, selector);
    let is_managed = configuration.map(|configuration| facts.is_managed(&metadata.name, configuration));
    (!facts.terminating).then(|| (metadata.name.clone().into_owned(), is_managed))
}

fn is_believed(secret: &PullSecret) -> bool {
    secret.ours && secret.intact
}

fn names(secret: &PullSecret) -> impl Iterator<Item = &str> {
    secret.registries.split(',').filter(|name| !name.is_empty())
}

fn registries(namespaces: &[Known]) -> Vec<Registry> {
    let mut found: BTreeMap<&str, Registry> = BTreeMap::new();
    let secrets = namespaces.iter().filter_map(|namespace| namespace.secret.found());
    for facts in secrets.filter(|secret| is_believed(secret)) {
        for name in names(facts) {
            let new = || Registry { name: name.to_owned(), ..Registry::default() };
            let registry = found.entry(name).or_insert_with(new);
            registry.namespaces += 1;
            let expiry = facts.expires_at;
            registry.first_expiry = [registry.first_expiry, expiry].into_iter().flatten().min();
            registry.last_expiry = registry.last_expiry.max(expiry);
        }
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;
    use crate::configuration;
    use crate::telemetry::testing::api_server;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn namespace(
        name: &str,
        labels: &[(&str, &str)],
        configuration: Option<&Configuration>,
    ) -> (String, Option<bool>) {
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        let metadata = json!({ "name": name, "uid": "u", "resourceVersion": "1", "labels": labels });
        let object = json!({ "metadata": metadata }).to_string();
        known(&Metadata::parse(&object).unwrap(), configuration).unwrap()
    }

    fn secret(namespace: &str, ours: bool, minutes: i64, registries: &[&str]) -> FoundSecret {
        let facts = PullSecret {
            uid: "u".into(),
            resource_version: "1".into(),
            ours,
            surely_ours: ours,
            intact: ours,
            other_manager: None,
            terminating: false,
            hash: Box::default(),
            inputs: Box::default(),
            expires_at: Some(NOW + SignedDuration::from_mins(minutes)),
            registries: registries.join(",").into(),
        };
        let name = "acr-credential-secret-aggregation".to_owned();
        FoundSecret { name, namespace: namespace.to_owned(), facts }
    }

    fn changed(mut secret: FoundSecret, by: &str) -> FoundSecret {
        secret.facts.intact = false;
        secret.facts.other_manager = Some(by.into());
        secret
    }

    fn example() -> Status {
        let configuration = configuration::parse(
            b"watch-namespace: team-*\nwatch-namespace-selector: '!legacy'\nacr-registry-info: ''\n",
        );
        let configuration = configuration.map(|parsed| parsed.configuration);
        let namespace = |name, labels| namespace(name, labels, configuration.as_ref().ok());
        let namespaces = [
            namespace("team-a", &[]),
            namespace("team-b", &[]),
            namespace("team-c", &[]),
            namespace("team-d", &[]),
            namespace("team-e", &[("legacy", "yes")]),
            namespace("team-f", &[]),
            namespace("other", &[]),
        ];
        let hangzhou = "cn-hangzhou/cri-demo";
        let secrets = vec![
            secret("team-a", true, 50, &[hangzhou, "cn-beijing/personal"]),
            secret("team-b", true, -5, &[hangzhou]),
            secret("team-c", false, 50, &[]),
            secret("team-e", true, 50, &[hangzhou]),
            changed(secret("team-f", true, 50, &[hangzhou]), "kubectl-edit"),
            secret("other", false, 50, &[]),
        ];
        let leader = Leader { name: "sidecar-0".to_owned(), is_alive: true };
        let namespaces = with_secrets(namespaces.into(), secrets);
        Status::new(&Seen::Found(configuration), &namespaces, Seen::Found(leader), NOW)
    }

    #[test]
    fn a_failure_is_followed_by_a_short_pause() {
        let check = |read: Result<(), ()>, took, expected| {
            assert_eq!(pause(&read, Duration::from_secs(took)), Duration::from_secs(expected));
        };
        check(Ok(()), 0, 2);
        check(Ok(()), 3, 30);
        check(Err(()), 30, 2);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_part_of_the_state() {
        let client = api_server(|_, path, _| {
            let good = json!({ "name": "team-a", "namespace": "team-a", "uid": "u", "resourceVersion": "1" });
            let name = if path.contains("/secrets") { "a-secret" } else { "a-namespace" };
            (
                200,
                json!({ "metadata": {}, "items": [{ "metadata": good }, { "metadata": { "name": name } }] }),
            )
        });
        let (known, unreadable) = all(&client, "acr-pull", None).await.unwrap();
        assert_eq!(known.len(), 1);
        let lines: Vec<_> = unreadable.iter().map(Line::to_string).collect();
        assert!(lines[0].starts_with("! /a-namespace: cannot be read, and is left out: "), "{lines:?}");
        assert!(lines[1].starts_with("! /a-secret: cannot be read, and is left out: "), "{lines:?}");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn each_namespace_is_counted_once_and_named_where_something_is_wrong() {
        let status = Status { pull_secrets: Vec::new(), ..example() };
        insta::assert_snapshot!(status.text(false, NOW), @r"
        leader: sidecar-0

         REGISTRY              NAMESPACES  FIRST EXPIRES IN
         cn-beijing/personal   1           50 min
         cn-hangzhou/cri-demo  3           expired

         NAMESPACES
         managed     5
         fresh       1
         stale       1  team-b
         missing     1  team-d
         foreign     1  team-c
         contested   1  team-f (by kubectl-edit)
         leftover    1  team-e
        ");
    }

    #[test]
    fn what_the_sidecar_said_comes_last() {
        let warning = Warning {
            at: NOW - SignedDuration::from_mins(2),
            reason: "Credential\nUnavailable".to_owned(),
            message: "acr-registry-info[1]: GetAuthorizationToken: not authorized".to_owned(),
        };
        let text = Status { pull_secrets: Vec::new(), warnings: vec![warning], ..example() }.text(false, NOW);
        assert!(
            text.ends_with(
                " leftover    1  team-e\n\n WARNINGS\n 2 min ago  Credential\\nUnavailable: acr-registry-info[1]: \
                 GetAuthorizationToken: not authorized"
            ),
            "{text}"
        );
    }

    #[test]
    fn the_wide_output_has_a_line_for_each_pull_secret() {
        let text = example().text(true, NOW);
        let (_, wide) = text.split_once("leftover    1  team-e\n\n").unwrap();
        insta::assert_snapshot!(wide, @r"
        NAMESPACE  STATE                        EXPIRES IN  REGISTRIES                                 HASH
        team-a     fresh                        50 min      cn-hangzhou/cri-demo, cn-beijing/personal
        team-b     stale                        expired     cn-hangzhou/cri-demo
        team-c     foreign
        team-d     missing
        team-e     leftover                     50 min      cn-hangzhou/cri-demo
        team-f     contested (by kubectl-edit)
        ");
        assert!(text.contains("FIRST EXPIRES IN  LAST EXPIRES IN"), "{text}");
    }

    /// A tenant sees its own namespace, and what it does not see is neither good nor bad.
    #[test]
    fn what_was_not_seen_is_not_counted() {
        let forbidden = || Seen::<PullSecret>::Unknown("you may not get it".to_owned());
        let status = |secret: Seen<PullSecret>| {
            let known = Known { name: "team-a".to_owned(), is_managed: None, secret };
            let status =
                Status::new(&Seen::Unknown("no".to_owned()), &[known], Seen::Unknown("no".to_owned()), NOW);
            let line = unknown("configuration", &forbidden());
            let status = Status { not_checked: line.into_iter().collect(), is_single: true, ..status };
            (status.ok, status.text(false, NOW))
        };
        let head = "- configuration: not checked: you may not get it\n\n NAMESPACE  STATE";
        let check = |secret, is_good: bool, row: &str| {
            let (ok, text) = status(secret);
            assert!(text.starts_with(head), "{text}");
            assert_eq!((ok, text.lines().last().unwrap()), (is_good, row));
        };
        check(
            Seen::Found(secret("team-a", true, 50, &["cn-hangzhou/cri-demo"]).facts),
            true,
            " team-a     fresh  50 min      cn-hangzhou/cri-demo",
        );
        check(
            Seen::Found(secret("team-a", true, -1, &["cn-hangzhou/cri-demo"]).facts),
            false,
            " team-a     stale  expired     cn-hangzhou/cri-demo",
        );
        check(Seen::Found(secret("team-a", false, 50, &[]).facts), false, " team-a     foreign");
        check(Seen::Absent, true, " team-a     absent");
        check(forbidden(), true, " team-a     unknown");
    }

    #[test]
    fn scripts_get_all_names() {
        let status = example();
        assert!(!status.ok);
        let document = serde_json::to_value(&status).unwrap();
        assert_eq!(
            document["namespaces"],
            json!({
                "managed": 5, "fresh": 1, "stale": ["team-b"], "missing": ["team-d"], "foreign": ["team-c"],
                "contested": ["team-f"], "contestedBy": { "team-f": "kubectl-edit" }, "leftover": ["team-e"],
            })
        );
    }

    #[test]
    fn without_a_configuration_nothing_is_missing_but_it() {
        let namespaces = with_secrets(vec![namespace("team-a", &[], None)], Vec::new());
        let status = Status::new(&Seen::Absent, &namespaces, Seen::Absent, NOW);
        assert!(!status.ok);
        assert_eq!(status.namespaces.managed, None);
        assert!(
            status.text(false, NOW).starts_with("configuration: there is no such ConfigMap\nleader: none")
        );
    }
}
