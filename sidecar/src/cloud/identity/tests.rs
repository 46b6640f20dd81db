use std::fs;

use tempfile::TempDir;

use super::*;
use crate::configuration::SecretName;

const KEY_PAIR: [(&str, &str); 2] =
    [("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAI5tEXAMPLE"), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "MARKER")];
const OIDC: [(&str, &str); 3] = [
    ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1000000000000001:role/pull"),
    ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "acs:ram::1000000000000001:oidc-provider/ack-rrsa-example"),
    ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "/token"),
];

fn settings(variables: &[(&str, &str)], key_secrets: Option<&TempDir>) -> CloudSettings {
    CloudSettings {
        environment: variables.iter().copied().collect(),
        key_secrets: key_secrets.map(|directory| directory.path().to_owned()),
        ..CloudSettings::default()
    }
}

/// A directory as Kubernetes mounts a Secret.
fn mounted(name: &str, files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join(name)).unwrap();
    for (key, value) in files {
        fs::write(directory.path().join(name).join(key), value).unwrap();
    }
    directory
}

/// What the default chain finds, as a phrase.
fn found(settings: &CloudSettings) -> String {
    match first_keys(&IdentitySource::DefaultChain, settings, true) {
        Ok(FirstKeys::Here(session)) => session.origin.to_string(),
        Ok(FirstKeys::Oidc(role, file)) => {
            format!("{} with {} as {}", role.role, file.display(), role.session_name)
        }
        Ok(FirstKeys::Metadata) => "metadata".to_owned(),
        Err(error) => {
            assert_eq!(error.reason, Reason::IdentityUnavailable);
            error.to_string()
        }
    }
}

#[test]
fn the_default_chain_uses_the_first_that_is_there() {
    let pair = [("access-key-id", "LTAI5tEXAMPLE\n"), ("access-key-secret", "MARKER\n")];
    let addon = mounted(ADDON_SECRET, &pair);
    let all = [&KEY_PAIR[..], &OIDC[..]].concat();
    assert_eq!(found(&settings(&all, Some(&addon))), "the access key in the environment");
    assert_eq!(
        found(&settings(&OIDC, Some(&addon))),
        "acs:ram::1000000000000001:role/pull with /token as acr-credential-sidecar"
    );
    assert_eq!(found(&settings(&[], Some(&addon))), "the access key in the Secret alibaba-addon-secret");
    assert_eq!(found(&settings(&[], None)), "metadata");
    assert_eq!(
        found(&settings(&[("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")], None)),
        "finding keys: no access key and no OIDC token in the environment, no Secret alibaba-addon-secret, and ECS \
         metadata is switched off: set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, use RRSA, or \
         unset ALIBABA_CLOUD_ECS_METADATA_DISABLED"
    );
}

#[test]
fn what_is_there_but_broken_is_not_passed_over() {
    let addon = mounted(ADDON_SECRET, &[("access-key-id", "LTAI5tEXAMPLE"), ("access-key-secret", "MARKER")]);
    assert_eq!(
        found(&settings(&[&KEY_PAIR[..1], &OIDC[..]].concat(), Some(&addon))),
        "finding keys: ALIBABA_CLOUD_ACCESS_KEY_SECRET is not set, but other variables of the same identity are: set \
         ALIBABA_CLOUD_ACCESS_KEY_SECRET"
    );
    assert_eq!(
        found(&settings(&OIDC[1..], Some(&addon))),
        "finding keys: ALIBABA_CLOUD_ROLE_ARN is not set, but other variables of the same identity are: set ALIBABA_CLOUD_ROLE_ARN"
    );
    let odd = [
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAI5tEXAMPLE"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "MARKER MARKER"),
    ];
    assert_eq!(
        found(&settings(&odd, None)),
        "finding keys: the access key in the environment contains blanks or invalid characters: correct the variables"
    );
    let name = [&OIDC[..], &[("ALIBABA_CLOUD_ROLE_SESSION_NAME", "a b")]].concat();
    assert_eq!(
        found(&settings(&name, None)),
        "finding keys: ALIBABA_CLOUD_ROLE_SESSION_NAME is not a valid session name: write 2 to 64 letters, digits or .@-_"
    );
}

#[test]
fn the_environment_may_hold_a_session() {
    let variables = [&KEY_PAIR[..], &[("ALIBABA_CLOUD_SECURITY_TOKEN", "token")]].concat();
    match first_keys(&IdentitySource::DefaultChain, &settings(&variables, None), true) {
        Ok(FirstKeys::Here(session)) => assert!(session.keys.token.is_some()),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_secret(directory: Option<&TempDir>, name: &str, problem: &str) {
    let source = IdentitySource::KeySecret(SecretName::parse(name).unwrap());
    let error = first_keys(&source, &settings(&[], directory), true).unwrap_err();
    assert_eq!(error.reason, Reason::IdentityUnavailable);
    assert_eq!(error.details.problem.as_deref(), Some(problem));
}

#[test]
fn a_key_secret_that_is_not_whole_is_named() {
    let directory = mounted("half", &[("access-key-id", "LTAI5tEXAMPLE")]);
    check_secret(None, "half", "the Secret half is not mounted");
    check_secret(Some(&directory), "half", "the key access-key-secret of the Secret half does not exist");
    check_secret(Some(&directory), "none", "the key access-key-id of the Secret none does not exist");
    let empty = mounted("empty", &[("access-key-id", " \n"), ("access-key-secret", "MARKER")]);
    check_secret(Some(&empty), "empty", "the key access-key-id of the Secret empty is empty");
    let two = mounted("two", &[("access-key-id", "MARKER MARKER"), ("access-key-secret", "MARKER")]);
    check_secret(Some(&two), "two", "the key access-key-id of the Secret two contains more than one word");
}

#[test]
fn a_key_secret_leads_to_no_other_directory() {
    let directory = mounted("own", &[]);
    for name in ["../own", "..", "own/../own"] {
        let error = key_secret(Some(directory.path()), name).unwrap_err();
        assert!(error.to_string().contains("has a name that is not valid for a Secret"), "{error}");
    }
}

#[test]
fn a_key_secret_is_read_at_each_use() {
    let directory = mounted("key", &[("access-key-id", "LTAI5tEXAMPLE1"), ("access-key-secret", "MARKER")]);
    let id = || key_secret(Some(directory.path()), "key").unwrap().keys.id;
    assert_eq!(id(), "LTAI5tEXAMPLE1");
    fs::write(directory.path().join("key/access-key-id"), "LTAI5tEXAMPLE2").unwrap();
    assert_eq!(id(), "LTAI5tEXAMPLE2");
}

#[test]
fn a_token_file_that_is_not_there_is_named() {
    let error = oidc_token(Path::new("/nowhere/token")).unwrap_err();
    insta::assert_snapshot!(error, @"finding keys: the OIDC token file /nowhere/token does not exist: project a token with the audience sts.aliyuncs.com, or correct ALIBABA_CLOUD_OIDC_TOKEN_FILE");
}
