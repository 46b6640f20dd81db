//! One entry of the list of registries.

use std::collections::BTreeSet;
use std::time::Duration;

use acr_credential_core::{Pattern, Vocabulary};
use secrecy::SecretString;

use super::fields::Field;
use super::findings::Findings;
use super::keys;
use super::source::within_text;
use super::tree::Node;
use super::values::{Origin, ValueError, parse_key_secret, refuse_if};
use super::{
    AccessKeyId, AssumeRole, ExternalId, Host, Identity, IdentitySource, Instance, InstanceId, KeyPair,
    OidcProviderArn, Region, Registry, RoleArn, SecretName,
};

/// The default life of a session, the same as in STS.
const DEFAULT_SESSION: Duration = Duration::from_hours(1);

/// The values that STS accepts as `DurationSeconds`; a role may allow less.
const SESSION_SECONDS: std::ops::RangeInclusive<u64> = 900..=43_200;

impl Registry {
    /// Returns Personal Edition of the cluster's region with the default identity, which is the meaning of an empty list.
    pub(super) fn of_cluster(place: &str) -> Self {
        Self {
            place: place.to_owned(),
            instance: Instance::Personal,
            region: None,
            domains: Vec::new(),
            namespaces: None,
            identity: Identity { source: IdentitySource::DefaultChain, assume_role: None },
        }
    }
}

/// Reads the list, which may be YAML within a text. The result also contains entries with mistakes, as far as they could be
/// read, so that places stay correct. If RRSA is off, `enable_rrsa` explains how to switch it on.
pub(super) fn read_all(
    place: &str,
    node: Node,
    enable_rrsa: Option<&str>,
    findings: &mut Findings,
) -> Vec<Registry> {
    const FIX: &str = "write a list, each entry of which begins with \"- instanceId:\"";
    let list = match within_text(place, node, findings) {
        None | Some(Node::Null) => return Vec::new(),
        Some(Node::List(list)) => list,
        Some(Node::Scalar(text)) if text.trim().is_empty() => return Vec::new(),
        Some(node) => {
            findings.mistake(place, format!("is {}", node.kind()), FIX);
            Vec::from_iter(matches!(node, Node::Map(_)).then_some(node))
        }
    };
    let entries = list.into_iter().enumerate();
    entries.map(|(at, node)| read(&format!("{place}[{at}]"), node, enable_rrsa, findings)).collect()
}

/// The keys of an entry, before they are checked together.
#[derive(Default)]
struct Entry {
    instance: Field<InstanceId>,
    region: Field<Region>,
    domains: Vec<(String, Host)>,
    namespaces: Option<Vec<Pattern<'static>>>,
    identity: IdentityKeys,
}

/// The keys that select the identity.
#[derive(Default)]
struct IdentityKeys {
    assume_role: Field<RoleArn>,
    duration: Field<Duration>,
    external_id: Field<ExternalId>,
    rrsa_role: Field<RoleArn>,
    rrsa_provider: Field<OidcProviderArn>,
    secret_ref: Field<SecretName>,
    key_id: Field<AccessKeyId>,
    key_secret: Field<SecretString>,
}

fn read(place: &str, node: Node, enable_rrsa: Option<&str>, findings: &mut Findings) -> Registry {
    if matches!(node, Node::Null) {
        findings.mistake(
            place,
            "is empty",
            "remove it, or write `instanceId: \"\"` for Personal Edition of the cluster's region",
        );
    }
    let entry = read_keys(place, node, findings);
    editions(place, &entry, findings);
    let Entry { instance, region, domains, namespaces, identity: keys } = entry;
    let mut seen = BTreeSet::new();
    let domains = domains.into_iter().map(|(_, host)| host).filter(|host| seen.insert(host.clone()));
    Registry {
        place: place.to_owned(),
        instance: instance.given().map_or(Instance::Personal, Instance::Enterprise),
        region: region.given(),
        domains: domains.collect(),
        namespaces,
        identity: identity(place, keys, enable_rrsa, findings),
    }
}

fn read_keys(place: &str, node: Node, findings: &mut Findings) -> Entry {
    let mut entry = Entry::default();
    let keys = &mut entry.identity;
    for (key, node) in findings.entries(place, node, &keys::REGISTRY) {
        let place = &format!("{place}.{key}");
        match key {
            "instanceId" => entry.instance = findings.parsed(place, node, InstanceId::parse),
            "regionId" => entry.region = findings.parsed(place, node, Region::parse),
            "domains" => entry.domains = domains(place, node, findings),
            "namespaces" => entry.namespaces = Some(namespaces(place, node, findings)),
            "assumeRoleARN" => keys.assume_role = findings.parsed(place, node, RoleArn::parse),
            "expireDuration" => keys.duration = expire_duration(place, node, findings),
            "externalId" => keys.external_id = findings.parsed(place, node, ExternalId::parse),
            "rrsaRoleARN" => keys.rrsa_role = findings.parsed(place, node, RoleArn::parse),
            "rrsaOIDCProviderRoleARN" => {
                keys.rrsa_provider = findings.parsed(place, node, OidcProviderArn::parse);
            }
            "accessKeySecretRef" => keys.secret_ref = secret_ref(place, node, findings),
            "customAccessKey" => keys.key_id = findings.parsed(place, node, key_id),
            _ => keys.key_secret = findings.parsed(place, node, parse_key_secret),
        }
    }
    entry
}

/// Reads each host with its place. In the vendor's files, an empty text means all hosts. Any other value without a host is
/// reported: it is the rest of a list that was written to limit the hosts.
fn domains(place: &str, node: Node, findings: &mut Findings) -> Vec<(String, Host)> {
    if node.is_blank_text() {
        return Vec::new();
    }
    let words = match findings.words(place, node) {
        Field::Given(words) if !words.is_empty() => words,
        Field::Wrong => return Vec::new(),
        Field::Given(_) | Field::Absent => {
            findings.mistake(
                place,
                "names no host",
                "name at least one, or remove the key for all hosts of the instance",
            );
            return Vec::new();
        }
    };
    words
        .into_iter()
        .filter_map(|(place, word)| {
            let host = findings.value(&place, Host::parse(&word)).given()?;
            Some((place, host))
        })
        .collect()
}

/// Reads the namespaces, and reports an empty list. A user who comments out the last name wants to remove the registry from a
/// namespace, and not to add it to all of them.
fn namespaces(place: &str, node: Node, findings: &mut Findings) -> Vec<Pattern<'static>> {
    match findings.patterns(place, node, Vocabulary::Label) {
        Field::Given(patterns) if !patterns.is_empty() => return patterns,
        Field::Given(_) | Field::Absent => findings.mistake(
            place,
            "names no namespace",
            "name at least one, or remove the entry if no namespace should get it, or the key if all managed namespaces should",
        ),
        Field::Wrong => {}
    }
    // With no namespaces, this mistake does not cause others.
    Vec::new()
}

/// Reads the life of a session. The console writes 0 if the user entered nothing.
fn expire_duration(place: &str, node: Node, findings: &mut Findings) -> Field<Duration> {
    match node {
        Node::Scalar(text) if text.trim() == "0" => Field::Absent,
        node => findings.parsed(place, node, session),
    }
}

fn session(text: &str) -> Result<Duration, ValueError> {
    const FIX: &str = "write the seconds, from 900 to the role's longest session, which is 43200 at most";
    let seconds = text.parse::<u64>().map_err(|_| ValueError::new("is not a number of seconds", FIX))?;
    refuse_if(!SESSION_SECONDS.contains(&seconds), "is not between 900 and 43200 seconds", FIX)?;
    Ok(Duration::from_secs(seconds))
}

fn key_id(text: &str) -> Result<AccessKeyId, ValueError> {
    let id = AccessKeyId::parse(text)?;
    let fix = "use the key of a RAM user, which begins with LTAI";
    refuse_if(id.is_of_session(), "belongs to a session, which ends, and lacks its token", fix)?;
    Ok(id)
}

/// Reads the name of a Secret, or a map with the name, as Kubernetes writes references.
fn secret_ref(place: &str, node: Node, findings: &mut Findings) -> Field<SecretName> {
    if !matches!(node, Node::Map(_)) {
        return findings.parsed(place, node, SecretName::parse);
    }
    let place_of_name = format!("{place}.name");
    let name = findings.entries(place, node, &["name"]).pop().map_or(Node::Null, |(_, name)| name);
    let field = findings.parsed(&place_of_name, name, SecretName::parse);
    if field.is_absent() {
        findings.mistake(place, "names no Secret", "write the name of one Secret");
        return Field::Wrong;
    }
    field
}

/// Reports hosts that belong to the other edition or to another region.
fn editions(place: &str, entry: &Entry, findings: &mut Findings) {
    for (place_of_host, host) in &entry.domains {
        if host.is_elsewhere() {
            findings.warning(
                place_of_host,
                format!("{host} is not a host of ACR: the credential would be sent there"),
                "remove it, or write the host of the instance",
            );
        }
        let Some(origin) = host.origin() else { continue };
        let region = match (&origin, &entry.instance) {
            (Origin::Enterprise(_), Field::Absent) => {
                findings.mistake(
                    place_of_host,
                    "is a host of Enterprise Edition, but the entry has no instanceId",
                    format!("add the instance's id as {place}.instanceId"),
                );
                continue;
            }
            (Origin::Personal(_), Field::Given(_)) => {
                findings.mistake(
                    place_of_host,
                    "is a host of Personal Edition, but the entry has an instanceId",
                    "move the host to an entry with `instanceId: \"\"`",
                );
                continue;
            }
            (Origin::Personal(region) | Origin::Enterprise(region), _) => region,
        };
        if let Field::Given(own) = &entry.region
            && own != region
        {
            findings.warning(
                place_of_host,
                format!("is a host in {region}, but the entry's regionId is {own}"),
                "correct one of the two, since credentials are good for one region",
            );
        }
    }
}

/// Returns the values of two keys that need each other. `fix` receives the name of the missing key.
fn both<A, B>(
    place: &str,
    (one_key, one): (&str, Field<A>),
    (other_key, other): (&str, Field<B>),
    fix: impl Fn(&str) -> String,
    findings: &mut Findings,
) -> Field<(A, B)> {
    let (has, lacks) = match (one, other) {
        (Field::Absent, Field::Absent) => return Field::Absent,
        (Field::Given(one), Field::Given(other)) => return Field::Given((one, other)),
        (Field::Absent, _) => (other_key, one_key),
        (_, Field::Absent) => (one_key, other_key),
        _ => return Field::Wrong,
    };
    findings.mistake(place, format!("has {has} without {lacks}"), fix(lacks));
    Field::Wrong
}

fn key_pair(
    place: &str,
    id: Field<AccessKeyId>,
    secret: Field<SecretString>,
    findings: &mut Findings,
) -> Field<(AccessKeyId, SecretString)> {
    let fix =
        |_: &str| "add the other half, or keep both in a Secret and name it in accessKeySecretRef".to_owned();
    let pair = both(place, ("customAccessKey", id), ("customAccessKeySecret", secret), fix, findings);
    if matches!(pair, Field::Given(_)) {
        findings.warning(
            format!("{place}.customAccessKey"),
            "keeps an access key in the ConfigMap, where many can read it",
            "move it to a Secret, and name that in accessKeySecretRef",
        );
    }
    pair
}

fn rrsa_role(
    place: &str,
    role: Field<RoleArn>,
    provider: Field<OidcProviderArn>,
    enable_rrsa: Option<&str>,
    findings: &mut Findings,
) -> Field<(RoleArn, OidcProviderArn)> {
    const ROLE: &str = "rrsaRoleARN";
    const PROVIDER: &str = "rrsaOIDCProviderRoleARN";
    if let Some(enable) = enable_rrsa
        && !(role.is_absent() && provider.is_absent())
    {
        let key = if role.is_absent() { PROVIDER } else { ROLE };
        findings.mistake(format!("{place}.{key}"), "is set, but RRSA is not switched on", enable);
    }
    let fix = |lacks: &str| match lacks {
        ROLE => format!("add the ARN of the role in the cluster's account as {ROLE}"),
        _ => format!("add the ARN of the cluster's OIDC provider as {PROVIDER}"),
    };
    both(place, (ROLE, role), (PROVIDER, provider), fix, findings)
}

/// Reads the identity: the source of the first keys, of which an entry names at most one, and the role that is assumed with
/// them.
fn identity(place: &str, keys: IdentityKeys, enable_rrsa: Option<&str>, findings: &mut Findings) -> Identity {
    let IdentityKeys { secret_ref, assume_role: role, duration, external_id, .. } = keys;
    let key_pair = key_pair(place, keys.key_id, keys.key_secret, findings);
    let rrsa = rrsa_role(place, keys.rrsa_role, keys.rrsa_provider, enable_rrsa, findings);
    let mut given = Vec::new();
    given.extend((!key_pair.is_absent()).then_some("customAccessKey"));
    given.extend((!secret_ref.is_absent()).then_some("accessKeySecretRef"));
    given.extend((!rrsa.is_absent()).then_some("rrsaRoleARN"));
    if given.len() > 1 {
        let problem = format!("has more than one identity ({})", given.join(", "));
        findings.mistake(place, problem, "keep one of them");
    }
    if role.is_absent() {
        const PROBLEM: &str = "has no effect without a role";
        const FIX: &str = "remove it, or add assumeRoleARN";
        if !duration.is_absent() && rrsa.is_absent() {
            // The console leaves this key behind. It is only a warning, because there is no session that could be too long.
            findings.warning(format!("{place}.expireDuration"), PROBLEM, FIX);
        }
        if !external_id.is_absent() {
            findings.mistake(format!("{place}.externalId"), PROBLEM, FIX);
        }
    }
    let session = duration.given().unwrap_or(DEFAULT_SESSION);
    // If the cluster's own role only serves to assume the last role, its session does not need a long life.
    let first_session = if role.is_absent() { session } else { DEFAULT_SESSION };
    let source = match (key_pair, secret_ref, rrsa) {
        (Field::Given((id, secret)), _, _) => IdentitySource::KeyPair(KeyPair { id, secret }),
        (_, Field::Given(name), _) => IdentitySource::KeySecret(name),
        (_, _, Field::Given((role, provider))) => {
            IdentitySource::Rrsa { role, provider, duration: first_session }
        }
        _ => IdentitySource::DefaultChain,
    };
    let assume_role =
        role.given().map(|role| AssumeRole { role, duration: session, external_id: external_id.given() });
    Identity { source, assume_role }
}
