//! The names that documents promise are those of the code: reasons of Events, metrics, labels and what these can be.
//!
//! `docs/operations.md` lists them. What its PromQL and the chart's alerts name is compared with these lists by the system
//! tests, which have a parser of PromQL.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strum::IntoEnumIterator as _;

use super::metrics::{EventOutcome, Metrics};
use crate::broker::testing::{FakeCloud, TestClock, epoch, error, registry};
use crate::broker::{self, Snapshot, Status, Trouble, mint_once};
use crate::clock::Clock as _;
use crate::cloud;
use crate::cluster::observer::Write;
use crate::cluster::store::Kind;
use crate::kubernetes::{ApiError, Verb};
use crate::reason::Reason;

const OPERATIONS: &str = include_str!("../../../docs/operations.md");
const MINT: &str = include_str!("../../../docs/mint.md");

/// What the chart renders, alerts included.
const CHART: &str = include_str!("../../../e2e-tests/helm/testdata/everything.yaml");

type Names = BTreeSet<String>;

#[test]
fn the_reasons_of_events_are_documented_each_in_one_place() {
    let mut reasons: Vec<_> = Reason::iter().map(Reason::name).collect();
    reasons.sort_unstable();
    let mut documented: Vec<_> =
        rows(OPERATIONS, "| Reason | About |").iter().flat_map(|row| code(row[0])).collect();
    documented.sort_unstable();
    assert_eq!(documented, reasons);
    for (path, page) in pages() {
        let is_row =
            |line: &&str| line.starts_with('|') && code(cells(line)[0]).any(|it| reasons.contains(&it));
        let rows = page.lines().filter(is_row).count();
        assert!(rows == 0 || path.ends_with("operations.md"), "{}: a second list of them", path.display());
    }
}

#[test]
fn what_is_called_an_event_or_a_metric_is_one() {
    let reasons: Vec<_> = Reason::iter().map(Reason::name).collect();
    let (mut events, mut metrics) = (0, 0);
    let chart = (PathBuf::from("everything.yaml"), CHART.to_owned());
    for (path, page) in pages().into_iter().chain([chart]) {
        for name in names_after(&page, &["Event", "Events"], is_reason) {
            assert!(reasons.contains(&name), "{}: there is no Event {name}", path.display());
            events += 1;
        }
        for name in names_after(&page, &["metric", "metrics"], |word| word.contains('`')) {
            let is_listed =
                rows(OPERATIONS, "| Metric |").iter().any(|row| code(row[0]).any(|it| it == name));
            assert!(is_listed, "{}: there is no metric {name}", path.display());
            metrics += 1;
        }
    }
    assert!(events > 15 && metrics > 0, "{events} Events and {metrics} metrics");
}

#[test]
fn each_reason_of_an_event_is_told_somewhere() {
    let sources = sources("src");
    let makers: Vec<_> = sources.iter().filter(|(_, text)| imports_reason(text)).collect();
    for reason in Reason::iter() {
        assert!(makers.iter().any(|(_, text)| makes(text, &format!("{reason:?}"))), "{reason:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_metrics_and_their_labels_are_documented() {
    let page = everything_that_can_be_shown().await;
    let labels = |cell: &str| cell.split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
    let metrics = rows(OPERATIONS, "| Metric |");
    let mut documented: BTreeMap<&str, Names> =
        metrics.iter().map(|row| (code(row[0]).next().unwrap(), labels(row[1]))).collect();
    let of_process = code(OPERATIONS).filter(|name| name.starts_with("process_"));
    documented.extend(of_process.map(|name| (name, Names::new())));
    let shown: BTreeMap<&str, Names> =
        page.iter().map(|(name, labels)| (name.as_str(), labels.keys().cloned().collect())).collect();
    assert_eq!(documented, shown);
}

#[tokio::test(start_paused = true)]
async fn the_values_of_labels_are_documented() {
    let page = everything_that_can_be_shown().await;
    let mut documented = BTreeSet::new();
    for row in rows(OPERATIONS, "| Label | Of |") {
        let [label, metrics, values] = row[..] else { panic!("{row:?}") };
        let label = code(label).next().unwrap();
        let mut shown = Names::new();
        for metric in code(metrics) {
            shown.extend(page[metric][label].iter().filter(|value| !value.is_empty()).cloned());
            assert!(
                documented.insert((metric.to_owned(), label.to_owned())),
                "{metric} {label} has two rows"
            );
        }
        // An example of what is any text.
        if values.contains("such as") {
            continue;
        }
        let values: Names = if values.contains("(mint.md#when-it-fails)") {
            rows(MINT, "| `reason` |").iter().flat_map(|row| code(row[0])).map(str::to_owned).collect()
        } else {
            code(values).map(str::to_owned).collect()
        };
        assert_eq!(values, shown, "{label} of {metrics}");
    }
    let shown =
        page.iter().flat_map(|(metric, labels)| labels.keys().map(|label| (metric.clone(), label.clone())));
    assert_eq!(documented, shown.collect());
}

/// Neither a namespace that is being deleted nor a conflict is anything to wake people up for.
#[test]
fn the_alert_about_writes_leaves_out_success_and_races_and_nothing_else() {
    let races = ApiError::iter().filter(ApiError::is_a_race).map(|failure| failure.name());
    let expected: BTreeSet<_> = races.chain(["success"]).collect();
    for text in [OPERATIONS, CHART] {
        let (_, from) = text.split_once("writes_total{result!~\"").unwrap();
        let (left_out, _) = from.split_once('"').unwrap();
        assert_eq!(left_out.split('|').collect::<BTreeSet<_>>(), expected);
    }
}

/// The page with all metrics, with all labels that they can have, and with all that these can be.
async fn everything_that_can_be_shown() -> BTreeMap<String, BTreeMap<String, Names>> {
    let metrics = Metrics::new();
    metrics.show_registries(&every_trouble().await, TestClock::new().now());
    let reasons = cloud::Reason::iter().map(|reason| Err(error(reason)));
    let issued = every_trouble().await.entries[0].issued.clone().unwrap();
    reasons.chain([Ok(issued.credential.clone())]).for_each(|outcome| metrics.minted(&outcome));
    for write in Write::iter() {
        let failures = ApiError::iter().map(|failure| Err(failure.name()));
        failures.chain([Ok(())]).for_each(|result| metrics.wrote(write.name(), result, Duration::ZERO));
    }
    for kind in [Kind::Namespace, Kind::PullSecret, Kind::ServiceAccount] {
        // Another kind belongs into the list above.
        let (Kind::Namespace | Kind::PullSecret | Kind::ServiceAccount) = kind;
        metrics.watch_failed(kind.name());
        metrics.unreadable(kind.name());
    }
    EventOutcome::iter().for_each(|outcome| metrics.event(outcome));
    for verb in Verb::iter() {
        ApiError::iter().for_each(|error| metrics.api_error(verb, &error));
    }
    read(&metrics.render().unwrap())
}

/// A registry that has a credential, again for each reason why it could not be renewed.
async fn every_trouble() -> Snapshot {
    let registries = [registry("cri-a", &["a.example.com"])];
    let minted = mint_once(Arc::new(FakeCloud::new()), Arc::new(TestClock::new()), registries.into()).await;
    let of_cloud = cloud::Reason::iter().map(|reason| broker::MintFailure::Cloud(error(reason)));
    let entries = of_cloud.chain(broker::MintFailure::iter()).map(|failure| {
        let mut entry = minted.entries[0].clone();
        entry.status = Status::Failing(Trouble { failure, since: epoch() });
        entry
    });
    Snapshot { entries: entries.collect(), ..Snapshot::default() }
}

/// The metrics of a page, each with its labels, each with what it was.
fn read(page: &str) -> BTreeMap<String, BTreeMap<String, Names>> {
    let mut metrics: BTreeMap<String, BTreeMap<String, Names>> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let name = name.strip_prefix("acr_credential_sidecar_").unwrap_or(name);
        // Of a histogram.
        let name = ["_bucket", "_count", "_sum"]
            .into_iter()
            .find_map(|part| name.strip_suffix(part))
            .unwrap_or(name);
        let of = metrics.entry(name.to_owned()).or_default();
        for (label, value) in labels.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='))
        {
            if label != "le" {
                of.entry(label.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
            }
        }
    }
    metrics
}

/// The rows of the table that begins with this, cell by cell.
fn rows<'a>(page: &'a str, head: &str) -> Vec<Vec<&'a str>> {
    let table =
        page.lines().skip_while(|line| !line.starts_with(head)).take_while(|line| line.starts_with('|'));
    let rows: Vec<_> = table.skip(2).map(cells).collect();
    assert!(!rows.is_empty(), "there is no table {head}");
    rows
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

/// What is marked as code.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The names that a text lists behind one of these words: `Events A, B and C`.
fn names_after<'a>(text: &'a str, words: &[&str], is_name: fn(&str) -> bool) -> Vec<&'a str> {
    let mut names = Vec::new();
    let mut is_listing = false;
    for word in text.split_whitespace() {
        is_listing = words.contains(&word) || is_listing && (is_name(word) || word == "and");
        if is_listing && is_name(word) {
            names.push(word.trim_matches(|c: char| !c.is_alphanumeric()));
        }
    }
    names
}

/// `PullSecretRepaired`, marked as code or not; neither `Kubernetes` nor `readyz`.
fn is_reason(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_alphanumeric());
    word.chars().all(char::is_alphabetic)
        && word.starts_with(char::is_uppercase)
        && word.chars().filter(|c| c.is_uppercase()).count() > 1
}

/// The pages that users read.
fn pages() -> Vec<(PathBuf, String)> {
    let files =
        files("../docs").into_iter().chain(["../README.md", "../CHANGELOG.md"].map(|path| root().join(path)));
    let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The code that is not for tests.
fn sources(directory: &str) -> Vec<(PathBuf, String)> {
    let is_for_tests = |path: &Path| {
        let mut parts = path.iter().map(|part| part.to_string_lossy());
        parts.any(|part| ["tests", "tests.rs", "testing.rs"].contains(&&*part))
    };
    let files = files(directory).into_iter().filter(|path| !is_for_tests(path));
    files
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
            (path, code)
        })
        .collect()
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn files(directory: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![root().join(directory)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    files
}

/// Whether `Reason` is that of Events in this source.
fn imports_reason(source: &str) -> bool {
    source.contains("use crate::reason::Reason;")
}

/// Whether this source makes this reason, and does not only tell it from others.
fn makes(source: &str, reason: &str) -> bool {
    source.split("Reason::").skip(1).any(|rest| {
        let Some(rest) = rest.strip_prefix(reason) else { return false };
        let is_pattern = ["=>", "|"].iter().any(|next| rest.trim_start().starts_with(next));
        !is_pattern && !rest.starts_with(char::is_alphanumeric)
    })
}
