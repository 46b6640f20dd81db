//! The state of the pull secrets as people read it.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::state::{Namespaces, Registry, Row, Status};
use super::warnings::Warning;
use crate::commands::report;

/// The number of names of a kind that are shown to people.
const SHOWN: usize = 10;

impl Status {
    pub(super) fn text(&self, is_wide: bool, now: Timestamp) -> String {
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

impl Row {
    fn state(&self) -> String {
        let state: &'static str = self.state.into();
        match &self.other_manager {
            Some(by) => format!("{state} (by {})", report::one_line(by)),
            None => state.to_owned(),
        }
    }
}

impl Namespaces {
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
