//! Names and globs in the lists that users write.

use std::borrow::Cow;
use std::fmt;

use wildmatch::WildMatch;

/// One entry of a list: everything, one name, or a glob with `*` (any characters) and `?` (one character).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern<'a> {
    /// `all` or `*`: matches every name.
    All,
    /// Exactly this name.
    Name(Cow<'a, str>),
    /// Every name that the glob matches.
    Glob(Cow<'a, str>),
}

/// The kind of object that the names belong to. It decides which names are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vocabulary {
    /// Namespaces: RFC 1123 labels, at most 63 characters.
    Label,
    /// Service accounts and Secrets: RFC 1123 subdomains, at most 253 characters.
    Subdomain,
    /// Registries: `host` or `host:port`, as at the beginning of an image reference.
    Host,
}

/// Why a text is not a pattern, and how to write it instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(String);

impl Vocabulary {
    fn longest(self) -> usize {
        match self {
            Self::Label => 63,
            // A host name has the same limit; the rest is the port.
            Self::Subdomain => 253,
            Self::Host => 253 + ":65535".len(),
        }
    }

    fn allows(self, character: char) -> bool {
        match character {
            'a'..='z' | '0'..='9' | '-' => true,
            '.' => self != Self::Label,
            ':' => self == Self::Host,
            _ => false,
        }
    }
}

impl fmt::Display for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Label => "namespace names",
            Self::Subdomain => "names",
            Self::Host => "registry hosts",
        })
    }
}

impl<'a> Pattern<'a> {
    /// Reads one entry. The words `all` and `default` are recognised in any case, as the vendor's component does.
    ///
    /// # Errors
    /// Returns an error when no name of this kind could ever match the entry.
    pub fn parse(text: impl Into<Cow<'a, str>>, vocabulary: Vocabulary) -> Result<Self, PatternError> {
        let text = match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        };
        if text == "*" || text.eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        if text.eq_ignore_ascii_case("default") {
            return Ok(Self::Name(Cow::Borrowed("default")));
        }
        check(&text, vocabulary)?;
        if text.contains(['*', '?']) { Ok(Self::Glob(text)) } else { Ok(Self::Name(text)) }
    }

    /// Returns the same pattern as an owned value.
    #[must_use]
    pub fn into_owned(self) -> Pattern<'static> {
        match self {
            Self::All => Pattern::All,
            Self::Name(name) => Pattern::Name(name.into_owned().into()),
            Self::Glob(glob) => Pattern::Glob(glob.into_owned().into()),
        }
    }

    /// Returns whether the pattern matches this name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Name(own) => own == name,
            Self::Glob(glob) => WildMatch::new(glob).matches(name),
        }
    }

    /// Returns whether the pattern is exactly this name, and not a glob that happens to match it.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        matches!(self, Self::Name(own) if own == name)
    }

    /// Returns the pattern in its shortest spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::All => "*",
            Self::Name(text) | Self::Glob(text) => text,
        }
    }

    /// Returns whether some name could match both patterns.
    #[must_use]
    pub fn overlaps(&self, other: &Pattern<'_>) -> bool {
        match (self, other) {
            (Self::All, _) | (_, Pattern::All) => true,
            (Self::Name(name), other) => other.matches(name),
            (glob, Pattern::Name(name)) => glob.matches(name),
            (Self::Glob(one), Pattern::Glob(other)) => globs_overlap(one, other),
        }
    }
}

/// Returns whether some text matches both globs.
fn globs_overlap(one: &str, other: &str) -> bool {
    let other: Vec<char> = other.chars().collect();
    // `row[n]` is true when the rest of `one` and the last `n` characters of `other` match a common text. The first row is for
    // an empty rest of `one`, which only stars can match.
    let stars = other.iter().rev().take_while(|c| **c == '*').count();
    let mut row: Vec<bool> = (0..=other.len()).map(|left| left <= stars).collect();
    for c in one.chars().rev() {
        // The rest of `other` is empty here: only a star matches that.
        let mut next = vec![c == '*' && row.first() == Some(&true)];
        for (of_other, (without_both, without_c)) in
            other.iter().rev().zip(row.iter().zip(row.iter().skip(1)))
        {
            let without_of_other = next.last() == Some(&true);
            next.push(match (c, *of_other) {
                // The star ends here, or matches the next character of the other side.
                ('*', _) | (_, '*') => *without_c || without_of_other,
                (a, b) => (a == b || a == '?' || b == '?') && *without_both,
            });
        }
        row = next;
    }
    row.last() == Some(&true)
}

impl fmt::Display for Pattern<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn check(text: &str, vocabulary: Vocabulary) -> Result<(), PatternError> {
    let wrong = |complaint: String| Err(PatternError(complaint));
    let (Some(first), Some(last)) = (text.chars().next(), text.chars().next_back()) else {
        return wrong("is empty; write a name, or remove the entry".to_owned());
    };
    let (length, most) = (text.chars().count(), vocabulary.longest());
    if length > most {
        return wrong(format!("has {length} characters, but {vocabulary} have at most {most}"));
    }
    let wildcard = |c: char| c == '*' || c == '?';
    if let Some(character) = text.chars().find(|&c| !vocabulary.allows(c) && !wildcard(c)) {
        return wrong(match character {
            ',' => "contains a comma; write one list entry for each name".to_owned(),
            '/' if vocabulary == Vocabulary::Host => {
                "is a URL or a path; write only the host, such as \"registry.example.com\"".to_owned()
            }
            'A'..='Z' => format!("contains an upper-case letter; {vocabulary} are lower case"),
            '[' | ']' | '{' | '}' | '!' | '^' | '$' | '(' | ')' | '|' | '+' => format!(
                "contains {character:?}; the only wildcards are \"*\" (any characters) and \"?\" (one character)"
            ),
            _ => format!("contains {character:?}, which {vocabulary} never contain"),
        });
    }
    let edge = |c: char| c.is_ascii_alphanumeric() || wildcard(c);
    if !edge(first) || !edge(last) {
        return wrong("must begin and end with a letter or a digit".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(vocabulary: Vocabulary, text: &str, expected: Result<Pattern<'_>, &str>) {
        let parsed = Pattern::parse(text, vocabulary).map_err(|error| error.to_string());
        assert_eq!(parsed, expected.map_err(str::to_owned));
    }

    #[track_caller]
    fn check_label(text: &str, expected: Result<Pattern<'_>, &str>) {
        check(Vocabulary::Label, text, expected);
    }

    #[test]
    fn the_words_all_and_default_are_read_in_any_case() {
        for text in ["*", "all", "ALL", " All "] {
            check_label(text, Ok(Pattern::All));
        }
        check_label("Default", Ok(Pattern::Name("default".into())));
    }

    #[test]
    fn names_and_globs_are_told_apart() {
        check_label("team-a", Ok(Pattern::Name("team-a".into())));
        check_label("team-*", Ok(Pattern::Glob("team-*".into())));
        check_label("?-prod", Ok(Pattern::Glob("?-prod".into())));
    }

    #[test]
    fn what_can_never_match_is_refused_with_a_way_out() {
        check_label("", Err("is empty; write a name, or remove the entry"));
        check_label("default, team-a", Err("contains a comma; write one list entry for each name"));
        check_label("Team-a", Err("contains an upper-case letter; namespace names are lower case"));
        check_label("team_a", Err("contains '_', which namespace names never contain"));
        check_label("team.a", Err("contains '.', which namespace names never contain"));
        check_label("-team", Err("must begin and end with a letter or a digit"));
        check_label(
            "team-[ab]",
            Err("contains '['; the only wildcards are \"*\" (any characters) and \"?\" (one character)"),
        );
        let long = "a".repeat(64);
        check_label(&long, Err("has 64 characters, but namespace names have at most 63"));
    }

    #[test]
    fn hosts_may_have_a_port_but_no_path() {
        let check_host = |text, expected| check(Vocabulary::Host, text, expected);
        check_host("registry.example.com:5000", Ok(Pattern::Name("registry.example.com:5000".into())));
        check_host("*.aliyuncs.com", Ok(Pattern::Glob("*.aliyuncs.com".into())));
        let not_a_host = "is a URL or a path; write only the host, such as \"registry.example.com\"";
        check_host("https://registry.example.com", Err(not_a_host));
        check_host("registry.example.com/team", Err(not_a_host));
    }

    #[test]
    fn patterns_overlap_when_some_name_matches_both() {
        let cases = [
            ("*", "team-a", true),
            ("team-a", "team-a", true),
            ("team-a", "team-b", false),
            ("team-a", "team-*", true),
            ("team-a", "*-b", false),
            ("team-*", "*-prod", true),
            ("team-*", "prod-*", false),
            ("a*", "*a", true),
            ("a?", "?b", true),
            ("a?", "a", false),
            ("a?b", "a*c", false),
            ("*a*b*", "b*a", true),
            ("**", "?", true),
            ("x*y", "xy", true),
            ("a*b?c", "ab*d", false),
        ];
        for (one, other, expected) in cases {
            let parse = |text| Pattern::parse(text, Vocabulary::Label).unwrap();
            assert_eq!(parse(one).overlaps(&parse(other)), expected, "{one} {other}");
            assert_eq!(parse(other).overlaps(&parse(one)), expected, "{other} {one}");
        }
    }

    #[test]
    fn globs_match_whole_names() {
        let glob = Pattern::parse("team-*", Vocabulary::Label).unwrap();
        assert!(glob.matches("team-a") && glob.matches("team-"));
        assert!(!glob.matches("a-team-a"));
        let one = Pattern::parse("team-?", Vocabulary::Label).unwrap();
        assert!(one.matches("team-a"));
        assert!(!one.matches("team-") && !one.matches("team-ab"));
    }
}
