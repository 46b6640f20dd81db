//! Label selectors, as `kubectl --selector` takes them.

use std::fmt;

use acr_credential_core::{Pattern, Vocabulary};

use super::values::ValueError;

/// A label selector such as `team=a, env in (prod, test), !legacy`: every part of it must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSelector {
    text: String,
    requirements: Vec<Requirement>,
}

/// One part of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    /// Holds where the label is absent too, as in Kubernetes.
    NotIn(Vec<String>),
}

impl LabelSelector {
    /// Reads a selector.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let mut requirements = Vec::new();
        for (at, part) in parts(text).into_iter().enumerate() {
            let Some(requirement) = Requirement::parse(part.trim()) else {
                return Err(ValueError::new(
                    format!("part {} is not a label selector", at + 1),
                    "write parts such as team=a, team!=a, env in (prod,test), env notin (test), legacy or \
                     !legacy, with commas between them",
                ));
            };
            requirements.push(requirement);
        }
        Ok(Self { text: text.to_owned(), requirements })
    }

    /// Whether it selects an object; `label` finds the value of one of its labels.
    pub fn matches<T: AsRef<str>>(&self, label: impl Fn(&str) -> Option<T>) -> bool {
        self.requirements.iter().all(|Requirement { key, test }| {
            let value = label(key);
            let is_one_of = |values: &[String]| {
                value.as_ref().is_some_and(|value| values.iter().any(|known| known == value.as_ref()))
            };
            match test {
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::In(values) => is_one_of(values),
                Test::NotIn(values) => !is_one_of(values),
            }
        })
    }
}

impl LabelSelector {
    /// Its parts as Kubernetes writes them in `matchExpressions`: key, operator, and values where the operator has any.
    pub fn expressions(&self) -> impl Iterator<Item = (&str, &'static str, &[String])> {
        self.requirements.iter().map(|Requirement { key, test }| match test {
            Test::Exists => (key.as_str(), "Exists", &[][..]),
            Test::Absent => (key.as_str(), "DoesNotExist", &[][..]),
            Test::In(values) => (key.as_str(), "In", values.as_slice()),
            Test::NotIn(values) => (key.as_str(), "NotIn", values.as_slice()),
        })
    }
}

impl fmt::Display for LabelSelector {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Requirement {
    fn parse(part: &str) -> Option<Self> {
        let of = |key: &str, test| is_key(key).then(|| Self { key: key.to_owned(), test });
        if let Some(key) = part.strip_prefix('!') {
            return of(key.trim(), Test::Absent);
        }
        for operator in ["!=", "==", "="] {
            let Some((key, value)) = part.split_once(operator) else { continue };
            let values = values([value])?;
            let test = if operator == "!=" { Test::NotIn(values) } else { Test::In(values) };
            return of(key.trim(), test);
        }
        let Some((key, rest)) = part.split_once(char::is_whitespace) else { return of(part, Test::Exists) };
        let rest = rest.trim_start();
        let (is_in, list) = match rest.strip_prefix("notin") {
            Some(list) => (false, list),
            None => (true, rest.strip_prefix("in")?),
        };
        let values = values(list.trim().strip_prefix('(')?.strip_suffix(')')?.split(','))?;
        of(key, if is_in { Test::In(values) } else { Test::NotIn(values) })
    }
}

/// The values without white space around them; none if one of them cannot be a label's.
fn values<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<Vec<String>> {
    let value = |text: &str| is_value(text.trim()).then(|| text.trim().to_owned());
    texts.into_iter().map(value).collect()
}

/// The parts between commas outside parentheses.
fn parts(text: &str) -> Vec<&str> {
    let mut within = false;
    text.split(|c| {
        match c {
            '(' => within = true,
            ')' => within = false,
            _ => {}
        }
        c == ',' && !within
    })
    .collect()
}

/// A label's key: a name of at most 63 characters, after a DNS name and a slash where it has a prefix.
fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_name(key),
        Some((prefix, name)) => {
            matches!(Pattern::parse(prefix, Vocabulary::Subdomain), Ok(Pattern::Name(_))) && is_name(name)
        }
    }
}

fn is_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

fn is_name(name: &str) -> bool {
    let is_edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    name.len() <= 63
        && is_edge(name.bytes().next())
        && is_edge(name.bytes().next_back())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_of_every_form_are_taken() {
        for text in [
            "team=a",
            "team == a,env!=prod",
            "env in (prod, test),team",
            "kubernetes.io/metadata.name notin (kube-system)",
            "!legacy",
            "! legacy",
            "team=",
            "env in (a,),x",
        ] {
            assert_eq!(LabelSelector::parse(text).map(|selector| selector.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_with_the_number_of_the_part() {
        for (text, part) in [
            ("", 1),
            ("team=a,", 2),
            ("team: a", 1),
            ("team=a,env in prod", 2),
            ("env in (a", 1),
            ("env within (a)", 1),
            ("-team=a", 1),
            ("team=a b", 1),
            ("a/b/c=d", 1),
            ("{team: a}", 1),
        ] {
            let error = LabelSelector::parse(text).unwrap_err();
            assert_eq!(error.problem, format!("part {part} is not a label selector"), "{text}");
        }
    }

    #[test]
    fn every_part_must_hold() {
        let check = |selector: &str, labels: &[(&str, &'static str)], expected| {
            let label = |key: &str| labels.iter().find(|(known, _)| *known == key).map(|(_, value)| *value);
            assert_eq!(LabelSelector::parse(selector).unwrap().matches(label), expected, "{selector}");
        };
        check("team=a", &[("team", "a")], true);
        check("team == a", &[("team", "b")], false);
        check("team=a", &[], false);
        check("team!=a", &[], true);
        check("team!=a", &[("team", "a")], false);
        check("env in (prod, test)", &[("env", "test")], true);
        check("env in (prod,)", &[("env", "")], true);
        check("env notin (prod)", &[], true);
        check("env notin (prod)", &[("env", "prod")], false);
        check("team", &[("team", "")], true);
        check("!legacy", &[("legacy", "")], false);
        check("team=a,!legacy", &[("team", "a")], true);
        check("team=a,!legacy", &[("team", "a"), ("legacy", "")], false);
    }
}
