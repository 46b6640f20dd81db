//! The word that somebody probably meant.

/// The known word nearest to a misspelt one, if any is near enough to be worth suggesting.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Beyond this distance a suggestion is a guess: a third of the word, at least two letters.
    let length = word.chars().count();
    let limit = (length / 3).max(2);
    known
        .into_iter()
        // Words of other lengths are no nearer than the lengths are, and measuring takes their product.
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
