//! Whether a command printed what its page says.

/// Whether this is what the page shows. `…` stands for anything; blanks, line ends, and how much time is left do not
/// count.
#[must_use]
pub fn is_as_shown(shown: &str, printed: &str) -> bool {
    let (shown, printed) = (normalised(shown), normalised(printed));
    let parts: Vec<&str> = shown.split('…').map(str::trim).collect();
    let [first, rest @ ..] = parts.as_slice() else { return false };
    let Some(mut left) = printed.strip_prefix(first) else { return false };
    let Some((last, middle)) = rest.split_last() else { return left.is_empty() };
    for part in middle {
        let Some((_, behind)) = left.split_once(part) else { return false };
        left = behind;
    }
    left.ends_with(last)
}

/// The lines of a run in a form that is the same for each run: without colours, and with `N` for each word with a digit, such as the name of
/// a Pod or a version, and for how much time is left.
#[must_use]
pub fn shape(printed: &str) -> Vec<String> {
    let mut parts = printed.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    let plain = parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, text)| text));
    let has_digit = |word: &str| word.bytes().any(|byte| byte.is_ascii_digit());
    let shape = |line: &str| {
        let line = normalised(line).replace("N min", "N s");
        line.split(' ').map(|word| if has_digit(word) { "N" } else { word }).collect::<Vec<_>>().join(" ")
    };
    plain.lines().map(shape).collect()
}

/// Words with one blank between them; numbers of minutes and seconds are all alike.
fn normalised(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let units = ["h", "min", "s"];
    let alike = words.iter().enumerate().map(|(at, word)| match words.get(at + 1) {
        Some(unit) if is_number(word) && units.contains(unit) => "N",
        _ => word,
    });
    alike.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_each_time_does_not_count() {
        for (shown, printed) in [
            ("namespace/a created\n", "namespace/a created\n"),
            ("leader: web-…\n\n VALID FOR\n 59 min\n", "leader: web-5d9c7\n VALID FOR\n58 min"),
            ("…\nSTATUS: deployed\n…\n", "NAME: a\nSTATUS: deployed\nREVISION: 1\n"),
            ("…done", "done"),
            ("a … c", "a b c"),
        ] {
            assert!(is_as_shown(shown, printed), "{shown:?} {printed:?}");
        }
    }

    #[test]
    fn two_runs_have_one_shape() {
        let run = "\x1b[1mweb-5d9c7  Running\x1b[0m\nleft: 59 s\n";
        assert_eq!(shape(run), ["N Running", "left: N s"]);
        assert_eq!(shape("web-77fb9 Running\nleft: 1 min"), shape(run));
        assert_ne!(shape("web-77fb9 Pending\nleft: 59 s"), shape(run));
    }

    #[test]
    fn what_is_not_shown_is_told() {
        for (shown, printed) in [
            ("fresh 2", "fresh 3"),
            ("created", "created\nerror: no"),
            ("a … c … b", "a b c"),
            ("…\nSTATUS: deployed\n…", "STATUS: failed"),
            ("", "anything"),
        ] {
            assert!(!is_as_shown(shown, printed), "{shown:?} {printed:?}");
        }
    }
}
