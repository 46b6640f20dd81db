//! The rule for conflicts between registries that claim the same host, and the check of a configuration for conflicts that can
//! be found without the cloud. `broker::conflicts` applies the same rule to discovered hosts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use acr_credential_core::Pattern;

use super::findings::Findings;
use super::values::{Host, Origin, Region};
use super::{Instance, Registry};

/// Maximum steps for comparing namespaces, about 40 ms. Six hundred entries that claim the same host need fewer; hostile
/// input would need hours.
const MOST_STEPS: usize = 10_000_000;
const OF_ANY_PAIR: usize = 32;

/// The fix for two entries of Personal Edition. No list of hosts can separate them.
pub const PERSONAL_EDITION_TWICE: &str = "keep one of the two, or give them different namespaces, since Personal Edition has the \
     same hosts in every account";

impl Registry {
    /// Returns whether the hosts are listed in `domains`, and not discovered.
    pub fn lists_hosts(&self) -> bool {
        !self.domains.is_empty()
    }

    /// Returns the rank of the registry among those that claim the same host. The lowest rank gets the host, and the first
    /// registry if ranks are equal. A list in `domains` takes precedence over discovery.
    pub fn claim_rank(&self) -> u8 {
        u8::from(!self.lists_hosts())
    }

    /// Returns whether two registries that claim the same host conflict: a namespace can get both registries, but a pull secret
    /// has one credential for a host. Two lists in `domains` must not share a host, even if the credentials are the same.
    pub fn conflicts_with(&self, other: &Self, is_same_credential: bool) -> bool {
        let both_list_it = self.lists_hosts() && other.lists_hosts();
        (both_list_it || !is_same_credential) && self.shares_namespaces_with(other)
    }

    /// Returns whether some namespace can get both registries.
    fn shares_namespaces_with(&self, other: &Self) -> bool {
        match (&self.namespaces, &other.namespaces) {
            (Some(own), Some(others)) => {
                own.iter().any(|pattern| others.iter().any(|other: &Pattern<'_>| pattern.overlaps(other)))
            }
            // An entry without namespaces is for all managed namespaces.
            (Some(own), None) | (None, Some(own)) => !own.is_empty(),
            (None, None) => true,
        }
    }
}

/// Reports entries that conflict: a pull secret has only one credential for a host.
pub(super) fn check(place: &str, registries: &[Registry], findings: &mut Findings) {
    // If there are mistakes, an entry may be intended for another edition than it appears to be.
    let claims = if findings.has_mistakes() { written_claims } else { known_claims };
    if !claims_are_disjoint(registries, claims, findings) {
        findings.mistake(
            place,
            "has too many namespaces in entries that claim one host",
            "name fewer namespaces, or leave the host to fewer entries",
        );
    }
    if !findings.has_mistakes() {
        personal_editions(registries, findings);
        same(registries, findings);
    }
}

/// A host, or a group of hosts, that a registry has a credential for.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Claim<'a> {
    Host(Cow<'a, Host>),
    /// The hosts of Personal Edition in the cluster's region, which is not known here.
    PersonalOfCluster,
}

/// Returns the claims of the registry's list of hosts.
fn written_claims(registry: &Registry) -> Vec<Claim<'_>> {
    registry.domains.iter().map(|host| Claim::Host(Cow::Borrowed(host))).collect()
}

/// Returns all claims that are known without the cloud.
fn known_claims(registry: &Registry) -> Vec<Claim<'_>> {
    if registry.lists_hosts() || registry.instance != Instance::Personal {
        return written_claims(registry);
    }
    let Some(region) = &registry.region else { return vec![Claim::PersonalOfCluster] };
    Host::of_personal_edition(region).into_iter().map(|host| Claim::Host(Cow::Owned(host))).collect()
}

/// Reports claims that conflict. Returns `false` when there are too many entries to compare.
fn claims_are_disjoint<'a>(
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
    let mut known: BTreeMap<(usize, usize), bool> = BTreeMap::new();
    let mut left = MOST_STEPS;
    for (claim, claimants) in claimants {
        for ((first, one), (second, other)) in pairs(&claimants) {
            let before = known.get(&(first, second)).copied();
            let steps = before.map_or_else(|| steps(one, other), |_| OF_ANY_PAIR);
            let Some(rest) = left.checked_sub(steps) else { return false };
            left = rest;
            let conflict =
                before.unwrap_or_else(|| one.conflicts_with(other, one.identity == other.identity));
            known.insert((first, second), conflict);
            if findings.is_full() {
                return true;
            }
            match &claim {
                _ if !conflict => {}
                Claim::Host(host) if one.lists_hosts() && other.lists_hosts() => findings.mistake(
                    format!("{}.domains", other.place),
                    format!("claims {host}, as {} does, for namespaces that can be the same", one.place),
                    "remove the host from one of the two, or give them different namespaces",
                ),
                // An entry without a list of hosts is reported once, not once for each host.
                _ if before.is_none() => findings.mistake(
                    &other.place,
                    format!(
                        "claims hosts of {} with another identity, for namespaces that can be the same",
                        one.place
                    ),
                    PERSONAL_EDITION_TWICE,
                ),
                _ => {}
            }
        }
    }
    true
}

/// Warns about Personal Edition of the cluster's region together with Personal Edition of a region that may be the same.
fn personal_editions(registries: &[Registry], findings: &mut Findings) {
    // Comparing more entries would take too long.
    const MOST: usize = 50;
    let personal = registries.iter().filter(|registry| registry.instance == Instance::Personal);
    let is_of_cluster = |registry: &Registry| !registry.lists_hosts() && registry.region.is_none();
    for (one, other) in pairs(&personal.take(MOST).collect::<Vec<_>>()) {
        let region = match (is_of_cluster(one), is_of_cluster(other)) {
            (true, false) => region_of_hosts(other),
            (false, true) => region_of_hosts(one),
            (true, true) | (false, false) => None,
        };
        if let Some(region) = region
            && one.conflicts_with(other, one.identity == other.identity)
        {
            findings.warning(
                &other.place,
                format!(
                    "claims hosts of {} with another identity if the cluster is in {region}, for namespaces that can be the same",
                    one.place
                ),
                PERSONAL_EDITION_TWICE,
            );
        }
    }
}

/// Returns the region of this Personal Edition, from the region's key or from the hosts.
fn region_of_hosts(registry: &Registry) -> Option<Region> {
    if !registry.lists_hosts() {
        return registry.region.clone();
    }
    registry.domains.iter().find_map(|host| match host.origin() {
        Some(Origin::Personal(region)) => Some(region),
        _ => None,
    })
}

/// Returns each earlier element with each later element.
fn pairs<T: Copy>(all: &[T]) -> impl Iterator<Item = (T, T)> {
    all.iter().enumerate().flat_map(|(at, later)| all.iter().take(at).map(move |earlier| (*earlier, *later)))
}

/// Returns the steps for comparing two entries. Comparing two globs takes the product of their lengths.
fn steps(one: &Registry, other: &Registry) -> usize {
    let letters = |registry: &Registry| {
        let patterns = registry.namespaces.iter().flatten();
        patterns.map(|pattern| pattern.as_str().len()).sum::<usize>().max(1)
    };
    letters(one).saturating_mul(letters(other)).saturating_add(OF_ANY_PAIR)
}

/// Warns about entries that are equal except for their place. It compares entries without `domains`, which are not compared
/// above because their hosts are not known yet.
fn same(registries: &[Registry], findings: &mut Findings) {
    // Comparing more entries would take too long.
    const MOST: usize = 500;
    for (at, registry) in registries.iter().enumerate().take(MOST).filter(|(_, entry)| !entry.lists_hosts()) {
        let Registry { place, instance, region, domains, namespaces, identity } = registry;
        let is_same = |other: &&Registry| {
            (instance, region, domains) == (&other.instance, &other.region, &other.domains)
                && (namespaces, identity) == (&other.namespaces, &other.identity)
        };
        if let Some(earlier) = registries.iter().take(at).find(is_same) {
            findings.warning(place, format!("is the same as {}", earlier.place), "remove one of the two");
        }
    }
}
