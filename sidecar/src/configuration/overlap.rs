//! Registries that claim the same host, and registries that are the same.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use acr_credential_core::Pattern;

use super::findings::Findings;
use super::values::{Host, Origin, Region};
use super::{Instance, Registry};

/// Steps of comparing namespaces at most, some 40 ms. Six hundred entries that claim one host need fewer; hostile input
/// would need hours.
const MOST_STEPS: usize = 10_000_000;
const OF_ANY_PAIR: usize = 32;

/// What to do about two entries of Personal Edition: no list of hosts can tell them apart.
pub const PERSONAL_EDITION_TWICE: &str = "keep one of the two, or give them different namespaces, since Personal Edition has the \
     same hosts in every account";

/// Looks for entries that cannot stand side by side: a pull secret holds one credential for a host.
pub(super) fn check(place: &str, registries: &[Registry], findings: &mut Findings) {
    // An entry with a mistake may not be meant for the edition that it seems to be for.
    let claims = if findings.has_mistakes() { written_claims } else { known_claims };
    if !claims_are_disjoint(place, registries, claims, findings) {
        findings.mistake(
            place,
            "has too many namespaces in entries that claim one host",
            "name fewer namespaces, or leave the host to fewer entries",
        );
    }
    if !findings.has_mistakes() {
        personal_editions(place, registries, findings);
        same(place, registries, findings);
    }
}

/// What a registry has a credential for.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Claim<'a> {
    Host(Cow<'a, Host>),
    /// The hosts of Personal Edition in the cluster's region, whatever that is.
    PersonalOfCluster,
}

/// Its list of hosts.
fn written_claims(registry: &Registry) -> Vec<Claim<'_>> {
    registry.domains.iter().map(|host| Claim::Host(Cow::Borrowed(host))).collect()
}

/// All that is known without the cloud.
fn known_claims(registry: &Registry) -> Vec<Claim<'_>> {
    if registry.names_hosts() || registry.instance != Instance::Personal {
        return written_claims(registry);
    }
    let Some(region) = &registry.region else { return vec![Claim::PersonalOfCluster] };
    Host::of_personal_edition(region).into_iter().map(|host| Claim::Host(Cow::Owned(host))).collect()
}

/// `false` when there are too many to compare.
fn claims_are_disjoint<'a>(
    place: &str,
    registries: &'a [Registry],
    claims: fn(&'a Registry) -> Vec<Claim<'a>>,
    findings: &mut Findings,
) -> bool {
    let mut claimants: BTreeMap<Claim<'_>, Vec<(usize, &Registry)>> = BTreeMap::new();
    for (at, registry) in registries.iter().enumerate() {
        for claim in claims(registry) {
            claimants.entry(claim).or_default().push((at, registry));
        }
    }
    let mut known = BTreeMap::new();
    // Entries without a list of hosts are told once, and not once for each host.
    let mut told = BTreeSet::new();
    let mut left = MOST_STEPS;
    for (claim, claimants) in claimants {
        for ((first, one), (second, other)) in pairs(&claimants) {
            let is_known = known.contains_key(&(first, second));
            let Some(rest) = left.checked_sub(if is_known { OF_ANY_PAIR } else { steps(one, other) }) else {
                return false;
            };
            left = rest;
            let clash = *known.entry((first, second)).or_insert_with(|| one.clashes_with(other));
            if findings.is_full() {
                return true;
            }
            match &claim {
                Claim::Host(host) if clash && one.names_hosts() && other.names_hosts() => findings.mistake(
                    format!("{place}[{second}].domains"),
                    format!("claims {host}, as {place}[{first}] does, for namespaces that can be the same"),
                    "remove the host from one of the two, or give them different namespaces",
                ),
                _ if clash && told.insert((first, second)) => findings.mistake(
                    format!("{place}[{second}]"),
                    format!(
                        "claims hosts of {place}[{first}] with another identity, for namespaces that can be the same"
                    ),
                    PERSONAL_EDITION_TWICE,
                ),
                _ => {}
            }
        }
    }
    true
}

/// Personal Edition of the cluster's region, beside that of a region which may be the same.
fn personal_editions(place: &str, registries: &[Registry], findings: &mut Findings) {
    // More are not worth the comparisons.
    const MOST: usize = 50;
    let personal =
        registries.iter().enumerate().filter(|(_, registry)| registry.instance == Instance::Personal);
    let (of_cluster, others): (Vec<_>, Vec<_>) =
        personal.take(MOST).partition(|(_, registry)| known_claims(registry) == [Claim::PersonalOfCluster]);
    for (first, one) in of_cluster {
        for (second, other) in &others {
            let Some(region) = other.region_of_hosts().filter(|_| one.clashes_with(other)) else { continue };
            let (first, second) = (first.min(*second), first.max(*second));
            findings.warning(
                format!("{place}[{second}]"),
                format!(
                    "claims hosts of {place}[{first}] with another identity if the cluster is in {region}, for namespaces that can \
                     be the same"
                ),
                PERSONAL_EDITION_TWICE,
            );
        }
    }
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
    fn names_hosts(&self) -> bool {
        !self.domains.is_empty()
    }

    /// Whether two registries that have a host in common cannot stand side by side. Two lists of hosts must not meet; a list that
    /// is left out may, where the credential is the same.
    fn clashes_with(&self, other: &Self) -> bool {
        let may_differ = self.names_hosts() && other.names_hosts();
        (may_differ || self.identity != other.identity) && self.shares_namespaces_with(other)
    }

    /// The region whose Personal Edition this is, by its key or by its hosts.
    fn region_of_hosts(&self) -> Option<Region> {
        if self.domains.is_empty() {
            return self.region.clone();
        }
        self.domains.iter().find_map(|host| match host.origin() {
            Some(Origin::Personal(region)) => Some(region),
            _ => None,
        })
    }

    /// Whether some namespace can get both.
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
