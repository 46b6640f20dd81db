//! Input that means harm, or is none at all: an error soon, never a crash, and never a word of what may be a key.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};

use super::super::{Examined, Finding, Mistakes, examine, from_data};

/// The secret half of an access key, as it looks; an example.
const MARKER: &str = "pLanted0SecretEXAMPLE0123456789";

const SAMPLE: &str = r#"
apiVersion: v1
kind: ConfigMap
data:
  service-account: "default, builder"
  watch-namespace: "all"
  expiring-threshold: 15m
  attach: pod
  watch-namespace-selector: team in (a, b)
  rrsa: |
    enable: true
  acr-registry-info: |
    - instanceId: "cri-0123456789abcdef"
      regionId: "cn-hangzhou"
      domains: "a.example.com,b.example.com"
      namespaces: team-a
      customAccessKey: "LTAI5tEXAMPLE"
      customAccessKeySecret: "pLanted0SecretEXAMPLE0123456789"
    - instanceId: ""
      rrsaRoleARN: acs:ram::1:role/a
      rrsaOIDCProviderRoleARN: acs:ram::1:oidc-provider/a
      assumeRoleARN: "acs:ram::1234567890123456:role/acr-puller"
      expireDuration: 3600
"#;

/// All that is said about a text.
fn said(text: &[u8]) -> String {
    let Examined { outcome, warnings } = examine(text);
    let mistakes = outcome.map_or_else(
        |Mistakes(mistakes)| mistakes,
        |configuration| {
            // `Debug` of a configuration must not show a key either.
            vec![Finding { place: format!("{configuration:?}"), problem: String::new(), fix: String::new() }]
        },
    );
    mistakes.iter().chain(&warnings).map(Finding::to_string).collect::<Vec<_>>().join("\n")
}

/// CPU time of this thread: how busy the machine is does not matter.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

/// The limit is for a debug build; a release build takes less than a tenth of it.
#[track_caller]
fn check(text: &[u8], problem: &str) {
    let start = cpu_time();
    let said = said(text);
    let took = cpu_time().saturating_sub(start);
    assert!(said.contains(problem), "{said:.1000}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(said.len() < 100_000, "{} bytes of messages", said.len());
}

/// `text` until it is almost 1 MiB long.
fn filled(head: &str, text: &str) -> Vec<u8> {
    let times = ((1 << 20) - head.len()) / text.len();
    format!("{head}{}", text.repeat(times)).into_bytes()
}

#[test]
fn what_is_no_text_is_refused() {
    check(b"\xff\xfea\0t\0", "is not UTF-8 text");
    check(b"attach: p\xf0od", "is not UTF-8 text");
    check(b"attach: \0pod", "line 1 contains a character that is not allowed there");
    check(b"attach: \"p\\0od\"", "attach: is not one of");
    check("attach: pod\n\u{feff}attach: both".as_bytes(), "configuration");
}

#[test]
fn what_is_too_large_is_refused() {
    check(&vec![b'a'; (1 << 20) + 1], "is larger than 1 MiB");
    let data = BTreeMap::from([("acr-registry-info".to_owned(), " ".repeat(1 << 20))]);
    assert!(from_data(&data).unwrap_err().to_string().contains("is larger than 1 MiB"));
}

#[test]
fn deep_nesting_is_refused() {
    check(&filled("", "["), "nests too deeply");
    check(&filled("", "{a: "), "nests too deeply");
    check(&filled("", "- "), "nests too deeply");
    check(&filled("", "? "), "has a list or a map as a key");
    let stairs: Vec<_> = (0..1000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    check(stairs.concat().as_bytes(), "nests too deeply");
    check(format!("acr-registry-info: '{}'", "[".repeat(1 << 19)).as_bytes(), "nests too deeply");
}

#[test]
fn aliases_are_refused() {
    let levels: Vec<_> =
        (1..30).map(|level| format!("a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1)).collect();
    check(format!("a0: &a0 [x, x]\n{}", levels.concat()).as_bytes(), "which YAML takes for a reference");
    check(b"a: &a [*a]", "which YAML takes for a reference");
    check(b"<<: *a", "which YAML takes for a reference");
}

#[test]
fn a_mebibyte_of_anything_is_answered_soon() {
    check(&filled("", "[],"), "configuration");
    check(&filled("[", "a,"), "contains more than 20000 values");
    check(&filled("", "- a\n"), "contains more than 20000 values");
    check(&filled("", "a: b\n"), "contains more than 20000 values");
    check(&filled("", "\"a\" x\n"), "configuration");
    check(&filled("", "\n"), "is empty");
    check(&filled("", "#\n"), "is empty");
    check(&filled("", " "), "is empty");
    check(&filled("", "%a\n"), "configuration");
    check(&filled("", "!a "), "configuration");
    check(&filled("", "&a "), "configuration");
    check(&filled("attach: ", "a"), "attach: is not one of");
    check(&filled("attach: \"", "\\n"), "is not closed");
    check(&filled("watch-namespace: ", "a,"), "watch-namespace: contains more than 500 entries");
    check(&filled("watch-namespace-selector: ", "a,"), "is not a label selector");
    check(&filled("acr-registry-info: |\n", "  - domains: [a.b]\n"), "acr-registry-info");
    check(
        &filled("acr-registry-info: |\n", "  - domains: a.b, c.d\n    namespaces: a*, *b\n"),
        "acr-registry-info",
    );
    check(&filled("expiring-threshold: ", "9"), "expiring-threshold: has no unit");
    check(&filled("expiring-threshold: ", "1h"), "expiring-threshold: is not between");
}

#[test]
fn comparing_claims_is_bounded() {
    let entries = |namespace: &dyn Fn(usize) -> String| {
        let entries: Vec<_> = (0..2000)
            .map(|at| format!("  - domains: a.example.com\n    namespaces: '{}'\n", namespace(at)))
            .collect();
        format!("acr-registry-info: |\n{}", entries.concat())
    };
    check(
        entries(&|at| format!("team-{at}")).as_bytes(),
        "has too many namespaces in entries that claim one host",
    );
    let stars = |at| format!("{}{at:04}", "*a".repeat(28));
    check(entries(&stars).as_bytes(), "has too many namespaces in entries that claim one host");
    check(entries(&|_| String::from("team-*")).as_bytes(), "claims a.example.com");
}

#[test]
fn many_unknown_keys_are_answered_with_some_of_them() {
    let keys: Vec<_> = (0..15_000).map(|at| format!("k{}: x\n", "a".repeat(at % 40))).collect();
    check(keys.concat().as_bytes(), "has more mistakes than these");
}

#[test]
fn a_key_out_of_its_place_is_not_quoted() {
    for text in [
        format!("{MARKER}: x"),
        format!("acr-registry-info: |\n  - {MARKER}: x"),
        format!("acr-registry-info: |\n  - {MARKER}: \"x\" y"),
        format!("acr-registry-info: |\n  - customAccessKeySecret: {MARKER} {MARKER}"),
        format!("acr-registry-info: |\n  - customAccessKey: {MARKER}/"),
        format!(
            "acr-registry-info: |\n  - regionId: {MARKER}\n    instanceId: {MARKER}\n    domains: {MARKER}"
        ),
        format!("acr-registry-info: |\n  - customAccesKey: {MARKER}"),
        format!(
            "acr-registry-info: |\n  - externalId: {MARKER}\n    assumeRoleARN: acs:ram::{MARKER}:role/x"
        ),
        format!("attach: {MARKER}\nexpiring-threshold: {MARKER}\nrrsa: {MARKER}"),
    ] {
        let said = said(text.as_bytes());
        assert!(!said.is_empty());
        assert!(!said.to_lowercase().contains(&MARKER.to_lowercase()), "{said}");
    }
}

/// One change of a text: bytes from `at` on, `cut` of them, replaced by `put`.
fn mutation() -> impl Strategy<Value = (usize, usize, String)> {
    let put = prop_oneof![
        Just(String::new()),
        Just("\n".to_owned()),
        Just("\t".to_owned()),
        Just(": ".to_owned()),
        Just("\"".to_owned()),
        Just("- ".to_owned()),
        Just("{".to_owned()),
        Just(", ".to_owned()),
        Just("\n      ".to_owned()),
        "\\PC{0,4}",
    ];
    (0..SAMPLE.len(), 0..24_usize, put)
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        said(&bytes);
    }

    #[test]
    fn no_yaml_makes_it_panic(text in "[-a-z:,\\[\\]{}\"'#&*!|>%? \t\n]{0,120}") {
        said(text.as_bytes());
        said(format!("acr-registry-info: |\n  {text}").as_bytes());
    }

    #[test]
    fn no_change_of_a_configuration_makes_it_panic_or_show_a_key(
        changes in prop::collection::vec(mutation(), 1..6)
    ) {
        let mut text = SAMPLE.as_bytes().to_vec();
        for (at, cut, put) in changes {
            let at = at.min(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, put.bytes());
        }
        // A change may fall into the key itself; its halves are not looked for.
        let said = said(&text);
        prop_assert!(!said.contains(MARKER), "{}", said);
    }
}

#[test]
fn the_sample_that_is_changed_is_a_good_one() {
    assert!(examine(SAMPLE.as_bytes()).outcome.is_ok());
}
