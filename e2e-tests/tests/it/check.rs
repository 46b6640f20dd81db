//! `check`, offline and online.

use acr_e2e_tests::sidecar::{Ended, Sidecar};
use acr_fake_cloud::Action;
use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::mint::{cloud, configuration, puller};

async fn check(sidecar: &Sidecar, configuration: &str, more: &[&str]) -> Result<Ended> {
    sidecar.file("config.yaml", configuration)?;
    let arguments = ["check", "--config", "config.yaml"];
    sidecar.online(&arguments.iter().chain(more).copied().collect::<Vec<_>>()).await
}

#[tokio::test]
async fn offline_it_tells_every_mistake_and_asks_nobody() -> Result<()> {
    let cloud = cloud().await?;
    let entries = "- instanceId: cri-xxx\n- regoinId: cn-hangzhou\n- domains: https://a.example.test/v2";
    let configuration = format!("watch-namespace: Team_A\n{}", configuration(entries));
    let ended = check(&puller(&cloud)?, &configuration, &["--online"]).await?;
    assert_eq!(ended.code, Some(1));
    for place in [
        "✗ watch-namespace: ",
        "✗ acr-registry-info[0].instanceId: ",
        "✗ acr-registry-info[1].regoinId: ",
        "✗ acr-registry-info[2].domains: ",
    ] {
        assert!(ended.stdout.contains(place), "no {place:?} in:\n{}", ended.stdout);
    }
    assert!(ended.stdout.ends_with("\n4 errors, 0 warnings\n"), "{}", ended.stdout);
    assert_eq!(cloud.requests().len(), 0);
    Ok(())
}

#[tokio::test]
async fn what_works_but_is_unwise_is_a_warning_and_no_error() -> Result<()> {
    let cloud = cloud().await?;
    let entries = "- instanceId: cri-example\n  regionId: cn-hangzhou";
    let ended = check(&Sidecar::new(&cloud)?, &configuration(entries), &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert!(ended.stdout.contains("! acr-registry-info[0]: no role narrows"), "{}", ended.stdout);
    assert!(!ended.stdout.contains('\x1b'), "no colours where nobody sees them");
    Ok(())
}

#[tokio::test]
async fn it_says_for_whom_each_registry_is() -> Result<()> {
    let cloud = cloud().await?;
    let entries = "- instanceId: cri-example\n- instanceId: cri-other\n  namespaces: team-a, team-b\n\
         - instanceId: cri-third\n  namespaces: all";
    let configuration = format!("watch-namespace: team-*\n{}", configuration(entries));
    let ended = check(&Sidecar::new(&cloud)?, &configuration, &[]).await?;
    for line in [
        "✓ acr-registry-info[0]: cri-example in the cluster's region, all of its hosts, for every managed namespace\n",
        "✓ acr-registry-info[1]: cri-other in the cluster's region, all of its hosts, for namespaces team-a, team-b\n",
        "✓ acr-registry-info[2]: cri-third in the cluster's region, all of its hosts, for every managed namespace\n",
    ] {
        assert!(ended.stdout.contains(line), "no {line:?} in:\n{}", ended.stdout);
    }
    Ok(())
}

#[tokio::test]
async fn online_it_walks_from_the_identity_to_the_hosts() -> Result<()> {
    let cloud = cloud().await?;
    let host = cloud.url().replace("http://", "");
    let entries = format!(
        "- instanceId: cri-example\n  regionId: cn-hangzhou\n  domains: \"{host}, 127.0.0.1:9\"\n\
         - instanceId: cri-other\n  regionId: cn-hangzhou\n  domains: {host}\n  namespaces: other\n  \
         assumeRoleARN: acs:ram::2000000000000002:role/guest"
    );
    let configuration = format!("watch-namespace: '*'\n{}", configuration(&entries))
        .replace("namespaces: other", "namespaces: other-*");
    let configuration = configuration.replacen("  domains", "  namespaces: own-*\n    domains", 1);
    let ended = check(&puller(&cloud)?, &configuration, &["--online"]).await?;
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let says = |start: &str| {
        assert!(lines.iter().any(|line| line.starts_with(start)), "no {start:?} in:\n{}", ended.stdout);
    };
    says("✓ acr-registry-info[0]: identity: the access key in the environment");
    says("✓ acr-registry-info[0]: token: valid for 59 min");
    says(&format!("✓ acr-registry-info[0]: host {host}: answers for this instance"));
    says("! acr-registry-info[0]: no answer here from 127.0.0.1:9: ");
    says("✓ acr-registry-info[1]: identity: the role acs:ram::2000000000000002:role/guest, assumed with");
    says(&format!("✗ acr-registry-info[1]: host {host}: belongs to cri-example in cn-hangzhou"));
    assert_eq!(ended.code, Some(1));
    assert_eq!(cloud.calls(Action::ListInstanceEndpoint), 0, "the hosts are written down");
    Ok(())
}

#[tokio::test]
async fn a_host_that_two_registries_turn_out_to_share_is_a_warning() -> Result<()> {
    let cloud = cloud().await?;
    let entries = "- instanceId: cri-example\n  regionId: cn-hangzhou\n\
         - instanceId: cri-example\n  regionId: cn-hangzhou\n  customAccessKey: LTAI5tEXAMPLEroot1\n  \
         customAccessKeySecret: EXAMPLE-secret-of-root1";
    let ended = check(&puller(&cloud)?, &configuration(entries), &["--online"]).await?;
    let shared = "! acr-registry-info[1]: example-registry.cn-hangzhou.cr.aliyuncs.com also belongs to \
         acr-registry-info[0], which comes first and gets it";
    assert!(ended.stdout.contains(shared), "{}", ended.stdout);
    Ok(())
}

#[tokio::test]
async fn what_depends_on_a_failed_step_is_not_tried() -> Result<()> {
    let cloud = cloud().await?;
    let sidecar = Sidecar::new(&cloud)?.with("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true");
    let ended =
        check(&sidecar, &configuration("- instanceId: cri-example\n  regionId: cn-hangzhou"), &["--online"])
            .await?;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("- acr-registry-info[0]: not tried: hosts, token"), "{}", ended.stdout);
    assert_eq!(cloud.requests().len(), 0);
    Ok(())
}

#[tokio::test]
async fn json_has_every_finding() -> Result<()> {
    let cloud = cloud().await?;
    let ended =
        check(&Sidecar::new(&cloud)?, &configuration("- instanceId: cri-xxx"), &["--output", "json"]).await?;
    assert_eq!(ended.code, Some(1));
    let document: Value = serde_json::from_str(&ended.stdout)?;
    assert_eq!(document["ok"], false);
    let finding = document["findings"].get(0).context("no findings")?;
    assert_eq!(
        (&finding["mark"], &finding["place"]),
        (&"error".into(), &"acr-registry-info[0].instanceId".into())
    );
    assert!(finding["message"].as_str().is_some_and(|text| text.contains("placeholder")), "{finding}");
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_not_there_is_wrong_usage() -> Result<()> {
    let cloud = cloud().await?;
    let ended = Sidecar::new(&cloud)?.run(&["check", "--config", "nowhere.yaml"]).await?;
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.starts_with("error: failed to read the configuration nowhere.yaml: "),
        "{}",
        ended.stderr
    );
    let ended = Sidecar::new(&cloud)?.run(&["check", "--confg", "nowhere.yaml"]).await?;
    assert_eq!(ended.code, Some(2));
    Ok(())
}
