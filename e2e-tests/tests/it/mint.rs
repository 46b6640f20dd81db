//! `mint` on the fake cloud: every identity, every edition, and what is said when the cloud refuses.

use std::os::unix::fs::PermissionsExt as _;

use acr_e2e_tests::paths;
use acr_e2e_tests::sidecar::{Ended, Sidecar};
use acr_fake_cloud::{Action, FakeCloud, Fault, FaultKind, State, TokenRequest};
use anyhow::{Context as _, Result};
use jiff::SignedDuration;
use serde_json::Value;

/// The ServiceAccount whose tokens the state's RRSA role trusts.
pub const SUBJECT: &str = "system:serviceaccount:kube-system:acr-credential-sidecar";

pub async fn cloud() -> Result<FakeCloud> {
    let text = std::fs::read_to_string(paths::cloud_state("two-accounts"))?;
    FakeCloud::start(State::from_yaml(&text)?).await.context("failed to start the fake cloud")
}

/// A configuration with these entries, written below `acr-registry-info: |`.
pub fn configuration(entries: &str) -> String {
    format!("acr-registry-info: |\n  {}\n", entries.replace('\n', "\n  "))
}

/// A user's key that may pull and assume roles.
pub fn puller(cloud: &FakeCloud) -> Result<Sidecar> {
    Ok(Sidecar::new(cloud)?.with_keys("LTAI5tEXAMPLEpuller", "EXAMPLE-secret-of-puller"))
}

pub async fn mint(sidecar: &Sidecar, entries: &str, more: &[&str]) -> Result<Ended> {
    sidecar.file("config.yaml", &configuration(entries))?;
    let arguments = ["mint", "--config", "config.yaml", "--region", "cn-hangzhou"];
    sidecar.online(&arguments.iter().chain(more).copied().collect::<Vec<_>>()).await
}

/// Mints, and returns the hosts of the docker config, each with its user and password.
async fn minted(sidecar: &Sidecar, entries: &str) -> Result<Vec<(String, String, String)>> {
    let ended = mint(sidecar, entries, &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let document: Value =
        serde_json::from_str(&ended.stdout).context("standard output is no docker config")?;
    let auths = document["auths"].as_object().context("no auths")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(auths
        .iter()
        .map(|(host, login)| (host.clone(), text(&login["username"]), text(&login["password"])))
        .collect())
}

fn hosts(logins: &[(String, String, String)]) -> Vec<&str> {
    logins.iter().map(|(host, _, _)| host.as_str()).collect()
}

/// Mints one instance of the first account, and expects to be refused with a line that holds all of these.
async fn refused(sidecar: &Sidecar, entries: &str, expected: &[&str]) -> Result<()> {
    let ended = mint(sidecar, entries, &[]).await?;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    for part in expected {
        assert!(ended.stderr.contains(part), "no {part:?} in: {}", ended.stderr);
    }
    Ok(())
}

pub const EXAMPLE: &str = "- instanceId: cri-example\n  regionId: cn-hangzhou";

#[tokio::test]
async fn an_instance_and_personal_edition_come_with_all_their_hosts() -> Result<()> {
    let cloud = cloud().await?;
    let logins = minted(&puller(&cloud)?, &format!("{EXAMPLE}\n- instanceId: ''")).await?;
    assert_eq!(
        hosts(&logins),
        [
            "example-registry-vpc.cn-hangzhou.cr.aliyuncs.com",
            "example-registry.cn-hangzhou.cr.aliyuncs.com",
            "images.example.test",
            "registry-internal.cn-hangzhou.aliyuncs.com",
            "registry-intl-internal.cn-hangzhou.aliyuncs.com",
            "registry-intl-vpc.cn-hangzhou.aliyuncs.com",
            "registry-intl.cn-hangzhou.aliyuncs.com",
            "registry-vpc.cn-hangzhou.aliyuncs.com",
            "registry.cn-hangzhou.aliyuncs.com",
        ]
    );
    assert!(logins.iter().all(|(_, user, password)| user == "cr_temp_user" && !password.is_empty()));
    Ok(())
}

#[tokio::test]
async fn one_credential_is_minted_for_all_registries_that_need_the_same() -> Result<()> {
    let cloud = cloud().await?;
    let entries = "- instanceId: cri-example\n  domains: a.example.test\n- instanceId: cri-example\n  domains: b.example.test\n- instanceId: cri-example";
    let logins = minted(&puller(&cloud)?, entries).await?;
    assert_eq!(logins.len(), 5);
    assert_eq!(cloud.calls(Action::GetAuthorizationToken), 1);
    assert_eq!(cloud.calls(Action::ListInstanceEndpoint), 1);
    Ok(())
}

#[tokio::test]
async fn fifty_registries_of_one_role_need_one_session() -> Result<()> {
    let cloud = cloud().await?;
    let instances: serde_json::Map<String, Value> = (0..50)
        .map(|n| (format!("cri-number{n}"), serde_json::json!({"name": format!("number{n}")})))
        .collect();
    cloud.patch(&serde_json::json!({"accounts": {"2000000000000002": {"instances": instances}}}))?;
    let entries: Vec<_> = (0..50)
        .map(|n| {
            format!("- instanceId: cri-number{n}\n  assumeRoleARN: acs:ram::2000000000000002:role/guest")
        })
        .collect();
    let logins = minted(&puller(&cloud)?, &entries.join("\n")).await?;
    assert_eq!(logins.len(), 100);
    assert_eq!(cloud.calls(Action::AssumeRole), 1);
    assert_eq!(cloud.calls(Action::GetAuthorizationToken), 50);
    Ok(())
}

#[tokio::test]
async fn personal_edition_is_asked_in_each_region() -> Result<()> {
    let cloud = cloud().await?;
    cloud.patch(
        &serde_json::json!({"accounts": {"1000000000000001": {"personal": ["cn-hangzhou", "cn-beijing"]}}}),
    )?;
    let logins = minted(&puller(&cloud)?, "- regionId: cn-beijing\n- regionId: cn-hangzhou").await?;
    assert_eq!(logins.len(), 12);
    let regions: Vec<_> = cloud
        .requests()
        .into_iter()
        .filter(|request| request.action == Some(Action::GetPersonalToken))
        .map(|request| request.region)
        .collect();
    assert!(
        regions.contains(&"cn-beijing".to_owned()) && regions.contains(&"cn-hangzhou".to_owned()),
        "{regions:?}"
    );
    Ok(())
}

#[tokio::test]
async fn an_access_key_in_the_entry_works_and_is_warned_about() -> Result<()> {
    let cloud = cloud().await?;
    let entries = format!(
        "{EXAMPLE}\n  customAccessKey: LTAI5tEXAMPLEpuller\n  customAccessKeySecret: EXAMPLE-secret-of-puller"
    );
    let ended = mint(&Sidecar::new(&cloud)?, &entries, &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("accessKeySecretRef"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("EXAMPLE-secret"), "{}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn an_access_key_in_a_secret_is_read_as_kubernetes_mounts_it() -> Result<()> {
    let cloud = cloud().await?;
    let sidecar = Sidecar::new(&cloud)?;
    sidecar.file("keys/acr-puller/access-key-id", "LTAI5tEXAMPLEpuller\n")?;
    sidecar.file("keys/acr-puller/access-key-secret", "EXAMPLE-secret-of-puller\n")?;
    let entries = format!("{EXAMPLE}\n  accessKeySecretRef: acr-puller");
    let ended = mint(&sidecar, &entries, &["--key-secrets", "keys"]).await?;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    Ok(())
}

/// A Pod with RRSA: the projected token, and the configuration that names role and provider.
pub fn rrsa(cloud: &FakeCloud, wanted: &TokenRequest) -> Result<Sidecar> {
    let sidecar = Sidecar::new(cloud)?;
    let token = cloud.mint_oidc_token(wanted).map_err(anyhow::Error::msg)?;
    let file = sidecar.file("token", &token)?;
    Ok(sidecar.with("ALIBABA_CLOUD_OIDC_TOKEN_FILE", file.to_string_lossy()))
}

const RRSA: &str = "  rrsaRoleARN: acs:ram::1000000000000001:role/rrsa
  rrsaOIDCProviderRoleARN: acs:ram::1000000000000001:oidc-provider/ack-rrsa-example";

async fn mint_with_rrsa(sidecar: &Sidecar, entry: &str) -> Result<Ended> {
    let configuration = format!("rrsa: 'enable: true'\n{}", configuration(&format!("{entry}\n{RRSA}")));
    sidecar.file("rrsa.yaml", &configuration)?;
    sidecar.online(&["mint", "--config", "rrsa.yaml", "--region", "cn-hangzhou"]).await
}

#[tokio::test]
async fn rrsa_sends_the_token_in_the_body_and_a_policy_that_allows_only_pulling() -> Result<()> {
    let cloud = cloud().await?;
    let sidecar = rrsa(&cloud, &TokenRequest::of(SUBJECT))?;
    let ended = mint_with_rrsa(&sidecar, EXAMPLE).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let requests = cloud.requests();
    let assume = requests
        .iter()
        .find(|request| request.action == Some(Action::AssumeRoleWithOIDC))
        .context("no call")?;
    assert!(assume.body.contains("OIDCToken=") && !assume.query.contains("OIDCToken"), "{}", assume.query);
    assert!(assume.body.contains("cr%3APullRepository"), "no session policy");
    Ok(())
}

#[tokio::test]
async fn rrsa_goes_on_to_the_role_of_the_other_account() -> Result<()> {
    let cloud = cloud().await?;
    let sidecar = rrsa(&cloud, &TokenRequest::of(SUBJECT))?;
    let entry = "- instanceId: cri-other\n  assumeRoleARN: acs:ram::2000000000000002:role/guest";
    let ended = mint_with_rrsa(&sidecar, entry).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let requests = cloud.requests();
    let policy_of = |action| {
        let mut requests = requests.iter().filter(move |request| request.action == Some(action));
        requests.all(|request| request.body.contains("Policy=") || request.query.contains("Policy="))
    };
    assert_eq!((cloud.calls(Action::AssumeRole), cloud.calls(Action::AssumeRoleWithOIDC)), (1, 1));
    assert!(
        policy_of(Action::AssumeRole) && !policy_of(Action::AssumeRoleWithOIDC),
        "only the last hop is narrowed"
    );
    Ok(())
}

#[tokio::test]
async fn a_token_for_somebody_else_is_refused_with_the_way_out() -> Result<()> {
    let cloud = cloud().await?;
    let check = async |wanted: TokenRequest, expected: &str| -> Result<()> {
        let ended = mint_with_rrsa(&rrsa(&cloud, &wanted)?, EXAMPLE).await?;
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains(expected), "no {expected:?} in: {}", ended.stderr);
        Ok(())
    };
    check(
        TokenRequest { expires_in: Some(-60), ..TokenRequest::of(SUBJECT) },
        "AuthenticationFail.OIDCToken.Expired",
    )
    .await?;
    let audience = Some("somebody-else".to_owned());
    check(
        TokenRequest { audience, ..TokenRequest::of(SUBJECT) },
        "AuthenticationFail.OIDCToken.AudienceNotMatch",
    )
    .await?;
    check(TokenRequest::of("system:serviceaccount:default:default"), "AuthenticationFail.NoPermission").await
}

#[tokio::test]
async fn the_external_id_opens_a_role_that_asks_for_it() -> Result<()> {
    let cloud = cloud().await?;
    let sidecar = puller(&cloud)?;
    let entry = "- instanceId: cri-other\n  assumeRoleARN: acs:ram::2000000000000002:role/partner";
    refused(&sidecar, entry, &["AssumeRole", "NoPermission", "sts:AssumeRole"]).await?;
    let logins = minted(&sidecar, &format!("{entry}\n  externalId: example-external-id")).await?;
    assert_eq!(logins.len(), 2);
    Ok(())
}

#[tokio::test]
async fn ecs_metadata_is_the_last_identity_hardened_or_not() -> Result<()> {
    let cloud = cloud().await?;
    for hardened in [true, false] {
        cloud.patch(&serde_json::json!({"metadata": {"hardened": hardened}}))?;
        assert_eq!(minted(&Sidecar::new(&cloud)?, EXAMPLE).await?.len(), 3);
    }
    // Without --region, metadata tells where the cluster is.
    let sidecar = Sidecar::new(&cloud)?;
    sidecar.file("config.yaml", &configuration("- instanceId: cri-example"))?;
    let ended = sidecar.online(&["mint", "--config", "config.yaml", "--output", "json"]).await?;
    let document: Value = serde_json::from_str(&ended.stdout)?;
    assert_eq!(document["registries"][0]["region"], "cn-hangzhou");
    Ok(())
}

#[tokio::test]
async fn refusals_say_what_to_do() -> Result<()> {
    let cloud = cloud().await?;
    let with = |id: &str, secret: &str| Ok::<_, anyhow::Error>(Sidecar::new(&cloud)?.with_keys(id, secret));
    let nobody = with("LTAI5tEXAMPLEnobody", "EXAMPLE-secret-of-nobody")?;
    refused(&nobody, EXAMPLE, &["acr-registry-info[0]", "not authorized", "grant cr:GetAuthorizationToken"])
        .await?;
    let revoked = with("LTAI5tEXAMPLErevoked", "EXAMPLE-secret-of-revoked")?;
    refused(&revoked, EXAMPLE, &["access key", "InvalidAccessKeyId.Inactive"]).await?;
    refused(&with("LTAI5tEXAMPLEpuller", "EXAMPLE-wrong")?, EXAMPLE, &["SignatureDoesNotMatch"]).await?;
    let puller = puller(&cloud)?;
    refused(&puller, "- instanceId: cri-unknown", &["no such instance", "instanceId or regionId"]).await?;
    refused(&puller, "- regionId: cn-beijing", &["Personal Edition", "USER_NOT_EXIST"]).await?;
    let entry = "- instanceId: cri-other\n  assumeRoleARN: acs:ram::2000000000000002:role/unknown";
    refused(&puller, entry, &["EntityNotExist.Role", "role"]).await?;
    refused(
        &Sidecar::new(&cloud)?.with("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true"),
        EXAMPLE,
        &["finding keys", "ALIBABA_CLOUD_ACCESS_KEY_ID"],
    )
    .await
}

fn fault(kind: FaultKind, times: Option<u32>) -> Fault {
    Fault { action: Some(Action::GetAuthorizationToken), instance: None, times, kind }
}

#[tokio::test]
async fn faults_that_heal_are_tried_again_and_others_are_not() -> Result<()> {
    let cloud = cloud().await?;
    let heals = [
        FaultKind::Throttle {
            status: None,
            time_left_ms: Some(50),
            acs_retry_after_ms: None,
            retry_after: None,
        },
        FaultKind::Error { status: None, code: None, xml: true },
        FaultKind::Reset,
        FaultKind::Truncate { bytes: 20 },
    ];
    for kind in heals {
        cloud.add_fault(fault(kind.clone(), Some(1)));
        let before = cloud.calls(Action::GetAuthorizationToken);
        assert_eq!(minted(&puller(&cloud)?, EXAMPLE).await?.len(), 3, "{kind:?}");
        assert_eq!(cloud.calls(Action::GetAuthorizationToken) - before, 2, "{kind:?}");
    }
    let stays: [(FaultKind, &[&str]); 4] = [
        (FaultKind::NonJson, &["not JSON"]),
        (FaultKind::Unsuccessful { code: "EXAMPLE_REFUSAL".to_owned() }, &["EXAMPLE_REFUSAL"]),
        (FaultKind::Life { seconds: -5 }, &["expired"]),
        (FaultKind::ClockSkew { seconds: 7200 }, &["clock", "NTP"]),
    ];
    for (kind, expected) in stays {
        cloud.add_fault(fault(kind.clone(), None));
        let before = cloud.calls(Action::GetAuthorizationToken);
        refused(&puller(&cloud)?, EXAMPLE, expected).await?;
        assert_eq!(cloud.calls(Action::GetAuthorizationToken) - before, 1, "{kind:?}");
        cloud.clear_faults();
    }
    cloud.add_fault(fault(FaultKind::Error { status: None, code: None, xml: false }, None));
    refused(&puller(&cloud)?, EXAMPLE, &["ServiceUnavailable"]).await
}

#[tokio::test]
async fn a_machine_whose_clock_is_off_is_told_by_how_much() -> Result<()> {
    let cloud = cloud().await?;
    cloud.advance_clock(SignedDuration::from_mins(150));
    refused(&puller(&cloud)?, EXAMPLE, &["clock is 2 h behind the API's", "InvalidTimeStamp.Expired"]).await
}

#[tokio::test]
async fn a_file_is_private_and_is_written_as_a_whole_or_not_at_all() -> Result<()> {
    let cloud = cloud().await?;
    let sidecar = puller(&cloud)?;
    let path = sidecar.file("auth.json", "what was there before")?;
    let ended = mint(&sidecar, EXAMPLE, &["--to", "auth.json"]).await?;
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("--to auth.json is not a docker config, and is left alone"),
        "{}",
        ended.stderr
    );
    assert_eq!(std::fs::read_to_string(&path)?, "what was there before");
    assert_eq!(cloud.calls(Action::GetAuthorizationToken), 0);

    let before = r#"{"auths":{"images.example.test":{"auth":"OLD"},"other.example.test":{"auth":"KEPT"}},"credsStore":"x"}"#;
    sidecar.file("auth.json", before)?;
    let ended =
        mint(&sidecar, &format!("{EXAMPLE}\n- instanceId: cri-unknown"), &["--to", "auth.json"]).await?;
    assert_eq!(ended.code, Some(1));
    assert_eq!(std::fs::read_to_string(&path)?, before);

    let ended = mint(&sidecar, EXAMPLE, &["--to", "auth.json"]).await?;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
    assert!(ended.stderr.contains("! auth.json: credsStore is set: docker"), "{}", ended.stderr);
    let text = std::fs::read_to_string(&path)?;
    assert!(text.contains(r#""other.example.test": {"auth":"KEPT"}"#), "{}", ended.stderr);
    let document: Value = serde_json::from_str(&text)?;
    assert_eq!(
        (document["auths"].as_object().map(serde_json::Map::len), &document["credsStore"]),
        (Some(4), &"x".into())
    );
    assert!(!text.contains("OLD"));

    std::fs::remove_file(&path)?;
    let ended = mint(&sidecar, EXAMPLE, &["--to", "auth.json"]).await?;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), "wrote auth.json\n"));
    assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(&path)?.starts_with(r#"{"auths":{"example-registry-vpc"#));
    assert_eq!(std::fs::read_dir(sidecar.directory())?.count(), 2, "nothing else is left behind");

    let ended = mint(&sidecar, EXAMPLE, &["--to", "auth.json", "--output", "json"]).await?;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("is a docker config"), "{}", ended.stderr);
    let ended = mint(&sidecar, EXAMPLE, &["--to", "-"]).await?;
    assert!(ended.stdout.starts_with(r#"{"auths":"#) && ended.stderr.is_empty());
    Ok(())
}

#[tokio::test]
async fn one_registry_can_be_chosen() -> Result<()> {
    let cloud = cloud().await?;
    let sidecar = puller(&cloud)?;
    let entries = format!("- instanceId: cri-unknown\n{EXAMPLE}");
    let ended = mint(&sidecar, &entries, &["--registry", "1", "--output", "table"]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.starts_with("REGISTRY"), "{}", ended.stdout);
    assert!(ended.stdout.contains("cri-example") && !ended.stdout.contains("cri-unknown"));
    let ended = mint(&sidecar, &entries, &["--registry", "2"]).await?;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("--registry 2: there are 2 registries"), "{}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn json_tells_scripts_what_was_minted_and_what_was_not() -> Result<()> {
    let cloud = cloud().await?;
    let entries = format!("{EXAMPLE}\n- instanceId: cri-unknown");
    let ended = mint(&puller(&cloud)?, &entries, &["--output", "json"]).await?;
    assert_eq!(ended.code, Some(1));
    let document: Value = serde_json::from_str(&ended.stdout)?;
    let [good, bad] = &document["registries"].as_array().context("no registries")?[..] else {
        panic!("{document}")
    };
    assert_eq!(good["place"], "acr-registry-info[0]");
    assert_eq!((&good["edition"], &good["instanceId"]), (&"Enterprise".into(), &"cri-example".into()));
    assert_eq!(good["hosts"].as_array().map(Vec::len), Some(3));
    assert!(
        good["expiresAt"].as_str().is_some_and(|time| time.ends_with('Z')) && good.get("error").is_none()
    );
    assert_eq!(bad["error"]["reason"], "InstanceNotFound");
    assert!(bad.get("expiresAt").is_none());
    Ok(())
}
