//! Label selectors in the syntax of `kubectl --selector`.

use std::collections::BTreeSet;

use acr_credential_core::{Pattern, Vocabulary};
use kube::core::{Expression, Selector};

use super::values::ValueError;

/// Reads a label selector such as `team=a, env in (prod, test), !legacy`. All of its parts must be true.
pub(super) fn parse(text: &str) -> Result<Selector, ValueError> {
    let expressions = parts(text).into_iter().enumerate().map(|(at, part)| {
        expression(part.trim()).ok_or_else(|| {
            ValueError::new(
                format!("part {} is not a label selector", at + 1),
                "write parts such as team=a, team!=a, env in (prod,test), env notin (test), legacy or !legacy, with commas \
                 between them",
            )
        })
    });
    expressions.collect()
}

fn expression(part: &str) -> Option<Expression> {
    if let Some(name) = part.strip_prefix('!') {
        return Some(Expression::DoesNotExist(key(name.trim())?));
    }
    for operator in ["!=", "==", "="] {
        let Some((name, text)) = part.split_once(operator) else { continue };
        let (key, value) = (key(name.trim())?, value(text)?);
        let is_not = operator == "!=";
        return Some(if is_not { Expression::NotEqual(key, value) } else { Expression::Equal(key, value) });
    }
    let Some((name, rest)) = part.split_once(char::is_whitespace) else {
        return Some(Expression::Exists(key(part)?));
    };
    let rest = rest.trim_start();
    let (is_in, list) = match rest.strip_prefix("notin") {
        Some(list) => (false, list),
        None => (true, rest.strip_prefix("in")?),
    };
    let list = list.trim().strip_prefix('(')?.strip_suffix(')')?;
    let (key, values) = (key(name)?, list.split(',').map(value).collect::<Option<BTreeSet<_>>>()?);
    Some(if is_in { Expression::In(key, values) } else { Expression::NotIn(key, values) })
}

/// Splits a selector at the commas outside parentheses.
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

/// Reads a label's key: a name of at most 63 characters, with an optional prefix of a DNS name and a slash.
fn key(text: &str) -> Option<String> {
    let is_key = match text.split_once('/') {
        None => is_name(text),
        Some((prefix, name)) => {
            matches!(Pattern::parse(prefix, Vocabulary::Subdomain), Ok(Pattern::Name(_))) && is_name(name)
        }
    };
    is_key.then(|| text.to_owned())
}

/// Reads a label's value, without the white space around it.
fn value(text: &str) -> Option<String> {
    let text = text.trim();
    (text.is_empty() || is_name(text)).then(|| text.to_owned())
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
    use kube::core::SelectorExt as _;

    use super::*;

    #[test]
    fn selectors_of_every_form_are_taken() {
        for (text, expected) in [
            ("team=a", "team=a"),
            ("team == a,env!=prod", "team=a,env!=prod"),
            ("env in (prod, test),team", "env in (prod,test),team"),
            (
                "kubernetes.io/metadata.name notin (kube-system)",
                "kubernetes.io/metadata.name notin (kube-system)",
            ),
            ("!legacy", "!legacy"),
            ("! legacy", "!legacy"),
            ("team=", "team="),
            ("env in (a,),x", "env in (,a),x"),
        ] {
            let printed = parse(text).map(|selector| selector.to_string());
            assert_eq!(printed.as_deref(), Ok(expected));
            assert_eq!(parse(expected), parse(text));
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
            let error = parse(text).unwrap_err();
            assert_eq!(error.problem, format!("part {part} is not a label selector"), "{text}");
        }
    }

    #[test]
    fn every_part_must_hold() {
        let check = |selector: &str, labels: &[(&str, &str)], expected| {
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            assert_eq!(parse(selector).unwrap().matches(&labels), expected, "{selector}");
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
