//! Lists in one text.

/// The entries of a list such as `team-a, team-b`, without blanks around them, each with its position in the text. Where
/// nothing is written, there is no entry: `team-a,` has one.
pub fn comma_separated(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split(',').map(str::trim).enumerate().filter(|(_, entry)| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(usize, &str)]) {
        assert_eq!(comma_separated(text).collect::<Vec<_>>(), expected, "{text:?}");
    }

    #[test]
    fn an_entry_is_what_is_written_between_commas() {
        check("team-a", &[(0, "team-a")]);
        check(" team-a ,team-b", &[(0, "team-a"), (1, "team-b")]);
        check("team-a,", &[(0, "team-a")]);
        check(",, team-a,\n", &[(2, "team-a")]);
        check("", &[]);
        check(" , ", &[]);
    }
}
