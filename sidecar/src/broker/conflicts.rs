//! Finds hosts that more than one registry claims. The kubelet sends one credential to a host, so only one registry can get the
//! host.

use std::collections::BTreeMap;

use super::ResolvedRegistry;
use crate::configuration::{Finding, Host, Instance, PERSONAL_EDITION_TWICE, Registry};
use crate::credential::CredentialKey;

/// How to fix a conflict.
pub const WAY_OUT: &str = "list the hosts of each in domains, or give them different namespaces";

/// The hosts of a registry, as far as they are known.
#[derive(Debug, Clone, Copy)]
pub struct HostClaim<'a> {
    /// The registry.
    pub registry: &'a ResolvedRegistry,
    /// What its credential is minted for.
    pub key: &'a CredentialKey,
    /// Its hosts: `domains` if it is set, otherwise the discovered hosts.
    pub hosts: &'a [Host],
}

/// A host that two registries claim with different credentials, for namespaces that can overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConflict {
    /// The host.
    pub host: Host,
    /// Position of the registry that gets the host.
    pub winner: usize,
    /// Position of the registry that does not get it.
    pub loser: usize,
    /// The conflict as text.
    pub finding: Finding,
}

/// Returns every host that is in two claims. The registry that lists the host in `domains` gets it, otherwise the earlier one.
pub fn among(claims: &[HostClaim<'_>]) -> Vec<HostConflict> {
    let mut claimants: BTreeMap<&Host, Vec<usize>> = BTreeMap::new();
    let mut conflicts = Vec::new();
    let mut in_turn: Vec<_> = claims.iter().enumerate().collect();
    in_turn.sort_by_key(|(_, claim)| claim.registry.registry.claim_rank());
    for (loser, claim) in in_turn {
        for host in claim.hosts {
            let earlier = claimants.entry(host).or_default();
            let clashing = earlier.iter().filter_map(|&at| Some((at, claims.get(at)?)));
            if let Some((winner, other)) = clashing.into_iter().find(|(_, other)| other.conflicts_with(claim))
            {
                let finding = finding(host, other.registry, claim.registry);
                conflicts.push(HostConflict { host: host.clone(), winner, loser, finding });
            }
            earlier.push(loser);
        }
    }
    conflicts
}

/// Returns why a registry gets a host that another one also claims.
pub fn why(winner: &ResolvedRegistry) -> &'static str {
    if winner.needs_discovery() { "comes first" } else { "lists its hosts in domains" }
}

fn finding(host: &Host, winner: &ResolvedRegistry, loser: &ResolvedRegistry) -> Finding {
    let is_personal = |resolved: &ResolvedRegistry| resolved.registry.instance == Instance::Personal;
    let why = why(winner);
    let fix = if is_personal(winner) && is_personal(loser) { PERSONAL_EDITION_TWICE } else { WAY_OUT };
    Finding {
        place: loser.registry.place.clone(),
        problem: format!("{host} also belongs to {}, which {why} and gets it", winner.registry.place),
        fix: fix.to_owned(),
    }
}

impl HostClaim<'_> {
    /// Returns whether one namespace can see different credentials for a host of both. Two lists of `domains` were already
    /// compared when the configuration was read.
    ///
    /// Two long lists of namespaces are assumed to overlap: comparing them takes time, and a mistake only causes an unnecessary
    /// warning.
    fn conflicts_with(&self, other: &Self) -> bool {
        const MOST_COMPARISONS: usize = 10_000;
        let (own, others) = (&self.registry.registry, &other.registry.registry);
        let length = |registry: &Registry| registry.namespaces.as_ref().map_or(1, Vec::len);
        let differs = self.key != other.key;
        match (own.lists_hosts() && others.lists_hosts(), length(own) * length(others) > MOST_COMPARISONS) {
            (true, _) => false,
            (false, true) => differs,
            (false, false) => own.conflicts_with(others, !differs),
        }
    }
}
