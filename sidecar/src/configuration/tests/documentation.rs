//! The examples of `docs/configuration.md`: read as it says, or answered as it says. And its table of keys without a value.

use super::super::{Configuration, Examined, Finding, Mistakes, examine};

const PAGE: &str = include_str!("../../../../docs/configuration.md");

/// The blocks of the page in this language, each with what follows it.
fn blocks(language: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let opening = format!("\n```{language}\n");
    let mut rest = PAGE;
    std::iter::from_fn(move || {
        let (_, from_block) = rest.split_once(&opening)?;
        let (block, following) = from_block.split_once("\n```\n")?;
        rest = following;
        Some((block, following))
    })
}

#[test]
fn every_example_is_read_or_answered_as_the_page_says() {
    let mut answered = 0;
    for (example, following) in blocks("yaml") {
        let Examined { outcome, warnings } = examine(example.as_bytes());
        let answer = following.strip_prefix("\n```text\n").map(|text| text.split("\n```\n").next().unwrap());
        let mistakes = outcome.err().map_or(Vec::new(), |Mistakes(mistakes)| mistakes);
        let findings = if mistakes.is_empty() { warnings } else { mistakes };
        let said = findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n");
        assert_eq!(said, answer.unwrap_or_default(), "{example}");
        answered += usize::from(answer.is_some());
    }
    assert_eq!(answered, 10);
    assert_eq!(blocks("text").count(), answered);
}

/// Forms of a value that is not there, beside that of JSON.
const NULLS: [&str; 4] = ["null", "~", "", "# team-a"];

/// The rows of the table below "Absent, null, empty": the keys, and what each column says.
fn rows() -> Vec<(Vec<&'static str>, [&'static str; 3])> {
    let (_, section) = PAGE.split_once("\n## Absent, null, empty\n").unwrap();
    let (_, table) = section.split_once("|---|---|---|---|---|\n").unwrap();
    let row = |line: &'static str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [keys, _, null, empty, list] = cells[..] else { panic!("{line}") };
        let keys = keys.split(';').next().unwrap_or_default();
        (keys.split(", ").map(|key| key.trim_matches('`')).collect(), [null, empty, list])
    };
    table.lines().take_while(|line| line.starts_with('|')).map(row).collect()
}

/// Checks what one form of a key without a value does; `base` is a configuration that leaves the key out.
#[track_caller]
fn check_form(text: &str, base: &str, place: &str, says: &str) {
    let Examined { outcome, warnings } = examine(text.as_bytes());
    let base = examine(base.as_bytes());
    match says {
        "as left out" => assert_eq!((outcome, warnings), (base.outcome, base.warnings), "{text}"),
        "as left out, with a warning" => {
            assert_eq!(outcome, base.outcome, "{text}");
            assert_eq!(warnings.iter().map(|warning| warning.place.as_str()).collect::<Vec<_>>(), [place]);
        }
        "mistake" => {
            let Mistakes(mistakes) = outcome.expect_err(text);
            let places: Vec<_> = mistakes.iter().map(|mistake| mistake.place.as_str()).collect();
            assert_eq!(places, [place], "{text}");
        }
        "excludes nothing" => {
            let Configuration { namespaces, .. } = outcome.expect(text);
            assert!(namespaces.exclude.is_empty(), "{text}");
        }
        other => panic!("the page says {other:?}"),
    }
}

#[test]
fn a_key_without_a_value_does_what_the_page_says() {
    let rows = rows();
    assert_eq!(rows.len(), 23);
    let entry = rows.iter().position(|(keys, _)| keys == &["instanceId"]).unwrap();
    for (at, (keys, [null, empty, list])) in rows.into_iter().enumerate() {
        let is_of_entry = at >= entry;
        let (in_data, in_json) = (keys[0], keys.get(1).copied().or(is_of_entry.then_some(keys[0])));
        let head = if is_of_entry { "acr-registry-info: |\n  - " } else { "" };
        let data = |form: &str| format!("{head}{in_data}: {form}\n");
        let place = if is_of_entry { format!("acr-registry-info[0].{in_data}") } else { in_data.to_owned() };
        let base = if is_of_entry { "acr-registry-info: '[{}]'" } else { "{}" };
        for form in NULLS {
            check_form(&data(form), base, &place, null);
        }
        check_form(&data("''"), base, &place, empty);
        check_form(&data("'  '"), base, &place, empty);
        // Keys of a ConfigMap are texts; one of them may hold a list.
        if list != "–" && (is_of_entry || in_data == "acr-registry-info") {
            check_form(&data(if is_of_entry { "[]" } else { "'[]'" }), base, &place, list);
        }

        let Some(in_json) = in_json else { continue };
        let (head, tail) = if is_of_entry { (r#"{"AcrInstanceInfo": ["#, "]}") } else { ("", "") };
        let json = |form: &str| format!(r#"{head}{{"{in_json}": {form}}}{tail}"#);
        let place = if is_of_entry { format!("AcrInstanceInfo[0].{in_json}") } else { in_json.to_owned() };
        let base = if is_of_entry { r#"{"AcrInstanceInfo": [{}]}"# } else { r#"{"AcrInstanceInfo": []}"# };
        check_form(&json("null"), base, &place, null);
        check_form(&json(r#""""#), base, &place, empty);
        if list != "–" {
            check_form(&json("[]"), base, &place, list);
        }
    }
}

#[test]
fn every_key_is_in_the_table_of_keys_without_a_value() {
    let of_table: Vec<_> = rows().into_iter().flat_map(|(keys, _)| keys).collect();
    for known in ["color: red", r#"{"enableRRSA": 1, "color": 1}"#, "acr-registry-info: '[{color: red}]'"] {
        let mistakes = examine(known.as_bytes()).outcome.unwrap_err().to_string();
        let (_, keys) = mistakes.lines().find_map(|line| line.split_once("known here: ")).unwrap();
        for key in keys.split(", ") {
            assert!(of_table.contains(&key), "{key} is not in the table");
        }
    }
}
