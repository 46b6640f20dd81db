//! The rule that selects namespaces and service accounts.

use crate::pattern::Pattern;

/// Two lists and one rule: an exact name beats an exclusion, an exclusion beats a glob.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection<'a> {
    /// The names and globs that are selected.
    pub include: Vec<Pattern<'a>>,
    /// The names and globs that no glob of `include` selects.
    pub exclude: Vec<Pattern<'a>>,
}

impl Selection<'_> {
    /// Returns whether the lists select this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        if self.include.iter().any(|pattern| pattern.names(name)) {
            return true;
        }
        self.include.iter().any(|pattern| pattern.matches(name))
            && !self.exclude.iter().any(|pattern| pattern.matches(name))
    }

    /// Returns the positions of the first glob that can never select anything and of the exclusion that covers it. Such a glob is
    /// a contradiction in the lists.
    #[must_use]
    pub fn contradiction(&self) -> Option<(usize, usize)> {
        let is_glob = |(_, pattern): &(usize, &Pattern<'_>)| !matches!(pattern, Pattern::Name(_));
        self.include.iter().enumerate().filter(is_glob).find_map(|(at, glob)| {
            let covers = |exclusion: &Pattern<'_>| *exclusion == Pattern::All || exclusion == glob;
            Some((at, self.exclude.iter().position(covers)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Vocabulary;

    fn selection(include: &[&'static str], exclude: &[&'static str]) -> Selection<'static> {
        let parse = |texts: &[&'static str]| {
            texts.iter().map(|text| Pattern::parse(*text, Vocabulary::Label).unwrap()).collect()
        };
        Selection { include: parse(include), exclude: parse(exclude) }
    }

    #[test]
    fn an_exact_name_beats_an_exclusion_and_an_exclusion_beats_a_glob() {
        let lists = selection(&["*", "kube-system"], &["kube-*"]);
        assert!(lists.contains("team-a"));
        assert!(lists.contains("kube-system"));
        assert!(!lists.contains("kube-public"));
    }

    #[test]
    fn nothing_is_selected_by_default_lists_that_are_empty() {
        assert!(!selection(&[], &[]).contains("default"));
    }

    #[test]
    fn a_glob_that_an_exclusion_covers_is_a_contradiction() {
        assert_eq!(selection(&["default", "team-*"], &["kube-*", "team-*"]).contradiction(), Some((1, 1)));
        assert_eq!(selection(&["team-*"], &["all"]).contradiction(), Some((0, 0)));
        assert_eq!(selection(&["team-a"], &["team-a"]).contradiction(), None);
        assert_eq!(selection(&["*"], &["kube-*"]).contradiction(), None);
    }
}
