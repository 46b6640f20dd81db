//! PromQL, of the pages and of the chart's alerts and dashboard: it parses, and names metrics, labels and values that
//! `docs/operations.md` lists, or metrics of Kubewarden. A test of the sidecar compares these lists with its code.

use std::convert::Infallible;

use acr_documentation::Page;
use acr_e2e_tests::paths;
use anyhow::{Context as _, Result, anyhow};
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{self, AggregateExpr, BinaryExpr, Expr, LabelModifier, MatrixSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;

/// Before the names of all metrics.
const PREFIX: &str = "acr_credential_sidecar_";

/// The metrics of Kubewarden's policy server, and their labels. (crates/policy-server/src/metrics of kubewarden/kubewarden-controller.)
const KUBEWARDEN: [&str; 2] =
    ["kubewarden_policy_evaluations_total", "kubewarden_policy_evaluation_latency_milliseconds"];
const KUBEWARDEN_LABELS: [&str; 9] = [
    "policy_name",
    "policy_mode",
    "resource_kind",
    "resource_namespace",
    "resource_request_operation",
    "accepted",
    "mutated",
    "request_origin",
    "error_code",
];

/// The metrics that are histograms.
const HISTOGRAMS: [&str; 2] = ["write_duration_seconds", KUBEWARDEN[1]];

#[test]
fn every_expression_names_what_there_is() -> Result<()> {
    let lists = Lists::read()?;
    let mut wrong = Vec::new();
    for (place, expression) in in_pages()?.into_iter().chain(of_alerts()?).chain(of_dashboard()?) {
        wrong.extend(lists.problems(&expression).into_iter().map(|problem| format!("{place}: {problem}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn every_expression_of_a_page_is_that_of_an_alert() -> Result<()> {
    let alerts = of_alerts()?;
    assert!(alerts.len() > 8, "{} alerts", alerts.len());
    let pages = in_pages()?;
    assert!(pages.len() > 5, "{} expressions", pages.len());
    for (place, expression) in pages {
        assert!(alerts.iter().any(|(_, alert)| *alert == expression), "{place}: {expression}");
    }
    Ok(())
}

#[test]
fn the_dashboard_shows_the_evaluations_of_all_our_policies_and_of_no_others() -> Result<()> {
    let names = objects()?;
    let names = names.iter().filter(|object| object["kind"] == "ClusterAdmissionPolicy");
    // Kubewarden's name of a policy in metrics is that in the policy server's configuration.
    let names = names
        .map(|policy| format!("clusterwide-{}", policy["metadata"]["name"].as_str().unwrap_or_default()));
    let names: Vec<_> = names.collect();
    assert!(names.len() > 1, "{names:?}");
    let mut filters = 0;
    for (place, expression) in of_dashboard()? {
        let mut metrics = Metrics::default();
        let Ok(_) = walk_expr(&mut metrics, &expression);
        for (metric, matchers) in metrics.0.iter().filter(|(metric, _)| metric.starts_with("kubewarden_")) {
            let matcher = matchers.iter().find(|matcher| matcher.name == "policy_name");
            let matcher = matcher.with_context(|| format!("{place}: {metric} is that of all policies"))?;
            assert!(names.iter().all(|name| matcher.is_match(name)), "{place}: {}", matcher.value);
            assert!(!matcher.is_match("clusterwide-others"), "{place}: {}", matcher.value);
            filters += 1;
        }
    }
    assert_eq!(filters, 2, "evaluations and latency");
    Ok(())
}

#[test]
fn a_name_that_does_not_exist_is_found() -> Result<()> {
    #[track_caller]
    fn check(expression: &str, expected: &[&str]) -> Result<()> {
        assert_eq!(Lists::read()?.problems(&parse(expression)?), expected, "{expression}");
        Ok(())
    }
    let named = |metric: &str| format!("{PREFIX}{metric}");
    check(&named("leader"), &[])?;
    check(&named("leaders"), &["there is no metric leaders"])?;
    check("up", &["there is no metric up"])?;
    check(&named("leader{result=\"success\"}"), &["leader has no label result"])?;
    check(
        &named("writes_total{result!~\"success|NotFound\"}"),
        &["the label result of writes_total is never NotFound"],
    )?;
    check(&named("registry_failing{reason=\"NotAuthorized\"}"), &[])?;
    check(
        &named("registry_failing{reason=\"Sorry\"}"),
        &["the label reason of registry_failing is never Sorry"],
    )?;
    check(
        &format!("sum by (namespace) (increase({PREFIX}mints_total{{registry=\"a\"}}[5m]))"),
        &["mints_total has no label namespace", "mints_total has no label registry"],
    )?;
    check(&format!("sum by (le, write) ({PREFIX}write_duration_seconds_bucket)"), &[])?;
    check(&named("leader_bucket"), &["there is no metric leader_bucket"])?;
    check("kubewarden_policy_evaluations", &["there is no metric kubewarden_policy_evaluations"])?;
    check(
        "kubewarden_policy_evaluations_total{policy=\"a\"}",
        &["kubewarden_policy_evaluations_total has no label policy"],
    )?;
    check(
        &format!("{PREFIX}credential_valid and on (registry) {PREFIX}leader"),
        &["leader has no label registry"],
    )
}

/// The tables of the documentation: their rows, cell by cell.
struct Lists {
    metrics: Vec<Vec<String>>,
    labels: Vec<Vec<String>>,
    reasons: Vec<Vec<String>>,
}

impl Lists {
    fn read() -> Result<Self> {
        let operations = Page::read("docs/operations.md")?;
        Ok(Self {
            metrics: rows(&operations, "| Metric |")?,
            labels: rows(&operations, "| Label | Of |")?,
            reasons: rows(&Page::read("docs/mint.md")?, "| `reason` |")?,
        })
    }

    /// What an expression names that does not exist.
    fn problems(&self, expression: &Expr) -> Vec<String> {
        let mut checker = Checker { lists: self, problems: Vec::new() };
        let Ok(_) = walk_expr(&mut checker, expression);
        checker.problems
    }

    /// The labels of a metric, if there is one of this name.
    fn labels(&self, metric: &str) -> Option<Vec<&str>> {
        if let Some(histogram) = metric.strip_suffix("_bucket").filter(|name| HISTOGRAMS.contains(name)) {
            return self.labels(histogram).map(|labels| [labels, vec!["le"]].concat());
        }
        if KUBEWARDEN.contains(&metric) {
            return Some(KUBEWARDEN_LABELS.to_vec());
        }
        let row = self.metrics.iter().find(|row| row[0] == code(metric))?;
        Some(row[1].split(", ").collect())
    }

    fn has_metric(&self, metric: &str) -> bool {
        self.labels(metric).is_some()
    }

    fn has_label(&self, metric: &str, label: &str) -> bool {
        self.labels(metric).is_some_and(|labels| labels.contains(&label))
    }

    fn has_value(&self, metric: &str, label: &str, value: &str) -> bool {
        if metric.starts_with("kubewarden_") {
            return true;
        }
        let mut rows =
            self.labels.iter().filter(|row| row[0] == code(label) && row[1].contains(&code(metric)));
        rows.any(|row| {
            // An example of what is any text.
            row[2].contains("such as")
                || row[2].contains(&code(value))
                || row[2].contains("(mint.md#when-it-fails)")
                    && self.reasons.iter().any(|row| row[0] == code(value))
        })
    }
}

struct Checker<'a> {
    lists: &'a Lists,
    problems: Vec<String>,
}

impl ExprVisitor for Checker<'_> {
    type Error = Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Infallible> {
        if let Some((metric, matchers)) = selected(expression) {
            self.selector(&metric, matchers);
        }
        if let Some(labels) = grouping(expression) {
            let mut metrics = Metrics::default();
            let Ok(_) = walk_expr(&mut metrics, expression);
            for (metric, _) in metrics.0 {
                labels.labels().labels.iter().for_each(|label| self.label(&metric, label));
            }
        }
        Ok(true)
    }
}

impl Checker<'_> {
    fn selector(&mut self, metric: &str, matchers: &[Matcher]) {
        if !self.lists.has_metric(metric) {
            self.problems.push(format!("there is no metric {metric}"));
            return;
        }
        for Matcher { op, name, value } in matchers {
            self.label(metric, name);
            let values = match op {
                MatchOp::Equal | MatchOp::NotEqual => vec![value.as_str()],
                MatchOp::Re(_) | MatchOp::NotRe(_) => value.split('|').collect(),
            };
            for value in values {
                if self.lists.has_label(metric, name) && !self.lists.has_value(metric, name, value) {
                    self.problems.push(format!("the label {name} of {metric} is never {value}"));
                }
            }
        }
    }

    fn label(&mut self, metric: &str, label: &str) {
        if self.lists.has_metric(metric) && !self.lists.has_label(metric, label) {
            self.problems.push(format!("{metric} has no label {label}"));
        }
    }
}

/// The metrics of an expression, with what selects their series.
#[derive(Default)]
struct Metrics(Vec<(String, Vec<Matcher>)>);

impl ExprVisitor for Metrics {
    type Error = Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Infallible> {
        self.0.extend(selected(expression).map(|(metric, matchers)| (metric, matchers.to_vec())));
        Ok(true)
    }
}

/// The metric that a selector selects, as the documentation calls it.
fn selected(expression: &Expr) -> Option<(String, &[Matcher])> {
    let (Expr::VectorSelector(selector) | Expr::MatrixSelector(MatrixSelector { vs: selector, .. })) =
        expression
    else {
        return None;
    };
    let name = selector.name.clone().unwrap_or_default();
    Some((name.strip_prefix(PREFIX).unwrap_or(&name).to_owned(), &selector.matchers.matchers))
}

/// The labels by which an expression groups or matches.
fn grouping(expression: &Expr) -> Option<&LabelModifier> {
    match expression {
        Expr::Aggregate(AggregateExpr { modifier, .. }) => modifier.as_ref(),
        Expr::Binary(BinaryExpr { modifier, .. }) => modifier.as_ref()?.matching.as_ref(),
        _ => None,
    }
}

/// The expressions of the pages. A comment stands before each of them.
fn in_pages() -> Result<Vec<(String, Expr)>> {
    let mut expressions = Vec::new();
    for page in Page::all()? {
        for block in page.blocks().into_iter().filter(|block| block.language() == "promql") {
            let lines: Vec<_> = block.text.lines().collect();
            for lines in lines.split(|line| line.starts_with('#')).filter(|lines| !lines.is_empty()) {
                let place = page.place(block.line);
                expressions.push((place.clone(), parse(&lines.join("\n")).context(place)?));
            }
        }
    }
    Ok(expressions)
}

/// The expressions of the alerts that the chart renders.
fn of_alerts() -> Result<Vec<(String, Expr)>> {
    let objects = objects()?;
    let of_rules = objects.iter().filter(|object| object["kind"] == "PrometheusRule");
    let groups = of_rules.flat_map(|object| list(&object["spec"]["groups"]));
    let rules = groups.flat_map(|group| list(&group["rules"]));
    rules
        .map(|rule| {
            let alert = text(&rule["alert"])?;
            Ok((alert.clone(), parse(&text(&rule["expr"])?).context(alert)?))
        })
        .collect()
}

/// The expressions of the dashboard that the chart renders, with an interval in place of Grafana's variable.
fn of_dashboard() -> Result<Vec<(String, Expr)>> {
    let objects = objects()?;
    let mut dashboards = objects.iter().map(|object| &object["data"]["acr-credential-helper.json"]);
    let dashboard = dashboards.find(|dashboard| dashboard.is_string()).context("there is no dashboard")?;
    let dashboard: Value = serde_json::from_str(&text(dashboard)?)?;
    let mut expressions = Vec::new();
    for panel in list(&dashboard["panels"]) {
        let title = format!("the panel {}", text(&panel["title"])?);
        for target in list(&panel["targets"]) {
            let expression = text(&target["expr"])?.replace("$__rate_interval", "5m");
            expressions.push((title.clone(), parse(&expression).with_context(|| title.clone())?));
        }
    }
    assert!(expressions.len() > 10, "{} expressions", expressions.len());
    Ok(expressions)
}

/// What the chart renders.
fn objects() -> Result<Vec<Value>> {
    let path = paths::repository().join("e2e-tests/helm/testdata/everything.yaml");
    Ok(serde_saphyr::from_multiple(&std::fs::read_to_string(path)?)?)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("{value} is no text"))
}

fn parse(text: &str) -> Result<Expr> {
    parser::parse(text).map_err(|problem| anyhow!("{text}: {problem}"))
}

/// The rows of the table of a page that begins with this.
fn rows(page: &Page, head: &str) -> Result<Vec<Vec<String>>> {
    let from = page.text.lines().skip_while(|line| !line.starts_with(head));
    let rows: Vec<_> = from.take_while(|line| line.starts_with('|')).skip(2).collect();
    let cells = |row: &&str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    anyhow::ensure!(!rows.is_empty(), "{}: there is no table {head}", page.path);
    Ok(rows.iter().map(cells).collect())
}

fn code(name: &str) -> String {
    format!("`{name}`")
}
