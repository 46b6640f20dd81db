//! The word that the user probably meant.

/// Returns the known word nearest to a misspelt word, if any is near enough for a suggestion.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Beyond this distance, a suggestion would be a guess: a third of the word, but at least two letters.
    let length = word.chars().count();
    let limit = (length / 3).max(2);
    known
        .into_iter()
        // The distance between two words is at least the difference of their lengths, and measuring it takes the product of
        // the lengths.
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= limit)
        .map(|candidate| {
            (strsim::osa_distance(&word.to_ascii_lowercase(), &candidate.to_ascii_lowercase()), candidate)
        })
        .filter(|&(distance, _)| distance <= limit)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["namespaces", "serviceAccounts", "registries"];
        assert_eq!(nearest("namespace", known), Some("namespaces"));
        assert_eq!(nearest("service_accounts", known), Some("serviceAccounts"));
        assert_eq!(nearest("regisrties", known), Some("registries"));
        assert_eq!(nearest("color", known), None);
        assert_eq!(nearest(&"namespaces".repeat(100_000), known), None);
    }
}
