//! Registries that claim the same host, and registries that are the same.

use std::collections::BTreeMap;

use acr_credential_core::Pattern;

use super::Registry;
use super::findings::Findings;
use super::values::Host;

/// Steps of comparing namespaces at most, some 40 ms. Six hundred entries that claim one host need fewer; hostile input
/// would need hours.
const MOST_STEPS: usize = 10_000_000;
const OF_ANY_PAIR: usize = 32;

/// Looks for entries that cannot stand side by side: a pull secret holds one credential for a host.
pub(super) fn check(place: &str, registries: &[Registry], findings: &mut Findings) {
    if !claims_are_disjoint(place, registries, findings) {
        findings.mistake(
            place,
            "has too many namespaces in entries that claim one host",
            "name fewer namespaces, or leave the host to fewer entries",
        );
    }
    if !findings.has_mistakes() {
        same(place, registries, findings);
    }
}

/// `false` when there are too many to compare.
fn claims_are_disjoint(place: &str, registries: &[Registry], findings: &mut Findings) -> bool {
    let mut claimants: BTreeMap<&Host, Vec<(usize, &Registry)>> = BTreeMap::new();
    for (at, registry) in registries.iter().enumerate() {
        for host in &registry.domains {
            claimants.entry(host).or_default().push((at, registry));
        }
    }
    let mut known = BTreeMap::new();
    let mut left = MOST_STEPS;
    for (host, claimants) in claimants {
        for ((first, one), (second, other)) in pairs(&claimants) {
            let is_known = known.contains_key(&(first, second));
            let Some(rest) = left.checked_sub(if is_known { OF_ANY_PAIR } else { steps(one, other) }) else {
                return false;
            };
            left = rest;
            let clash = *known.entry((first, second)).or_insert_with(|| one.shares_namespaces_with(other));
            if findings.is_full() {
                return true;
            }
            if clash {
                findings.mistake(
                    format!("{place}[{second}].domains"),
                    format!("claims {host}, as {place}[{first}] does, for namespaces that can be the same"),
                    "remove the host from one of the two, or give them different namespaces",
                );
            }
        }
    }
    true
}

/// Each earlier one with each later one.
fn pairs<T: Copy>(all: &[T]) -> impl Iterator<Item = (T, T)> {
    all.iter().enumerate().flat_map(|(at, later)| all.iter().take(at).map(move |earlier| (*earlier, *later)))
}

/// What comparing two entries takes: two globs take the product of their lengths.
fn steps(one: &Registry, other: &Registry) -> usize {
    let letters = |registry: &Registry| {
        let patterns = registry.namespaces.iter().flatten();
        patterns.map(|pattern| pattern.as_str().len()).sum::<usize>().max(1)
    };
    letters(one).saturating_mul(letters(other)).saturating_add(OF_ANY_PAIR)
}

impl Registry {
    /// Whether some namespace can get both.
    #[must_use]
    pub fn shares_namespaces_with(&self, other: &Self) -> bool {
        match (&self.namespaces, &other.namespaces) {
            (Some(own), Some(others)) => {
                own.iter().any(|pattern| others.iter().any(|other: &Pattern<'_>| pattern.overlaps(other)))
            }
            // An entry without namespaces is for all that are managed.
            (Some(own), None) | (None, Some(own)) => !own.is_empty(),
            (None, None) => true,
        }
    }

    /// Whether the two say the same, wherever they stand.
    fn says_the_same(&self, other: &Self) -> bool {
        let Self { place: _, instance, region, domains, namespaces, identity } = self;
        (instance, region, domains) == (&other.instance, &other.region, &other.domains)
            && (namespaces, identity) == (&other.namespaces, &other.identity)
    }
}

/// Entries without `domains` are not compared above: their hosts are not known yet.
fn same(place: &str, registries: &[Registry], findings: &mut Findings) {
    // More are not worth the comparisons.
    const MOST: usize = 500;
    let registries = registries.iter().take(MOST);
    for (second, registry) in
        registries.clone().enumerate().filter(|(_, registry)| registry.domains.is_empty())
    {
        if let Some(first) =
            registries.clone().take(second).position(|earlier| earlier.says_the_same(registry))
        {
            findings.warning(
                format!("{place}[{second}]"),
                format!("is the same as {place}[{first}]"),
                "remove one of the two",
            );
        }
    }
}
