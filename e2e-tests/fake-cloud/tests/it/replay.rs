//! What the vendor's own SDKs sent (`make conformance-record`) must get today what it got then.

use std::fs;
use std::path::Path;

use acr_fake_cloud::{Action, Cloud, Record, State};

use crate::support::{EXAMPLE, set_header, verdict};

fn recordings() -> Vec<(String, Vec<Record>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/recordings");
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
        })
        .collect();
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert!(all.len() >= 50, "there are {} recordings", all.len());
    all
}

fn cloud() -> Cloud {
    let mut cloud = Cloud::new(State::from_yaml(EXAMPLE).unwrap());
    cloud.clock.freeze(true);
    cloud
}

fn expected(record: &Record) -> String {
    if record.code.is_empty() {
        record.status.to_string()
    } else {
        format!("{} {}", record.status, record.code)
    }
}

#[test]
fn each_recorded_request_gets_its_recorded_verdict() {
    for (name, records) in recordings() {
        let mut cloud = cloud();
        for (position, record) in records.iter().enumerate() {
            cloud.clock.set(record.at);
            let answer = cloud.respond(&record.region, &record.request());
            assert_eq!(
                verdict(&answer),
                expected(record),
                "{name}, request {position}: {}",
                String::from_utf8_lossy(&answer.body)
            );
        }
    }
}

#[test]
fn each_signed_request_that_was_accepted_is_refused_when_its_nonce_is_another() {
    let mut forged = 0;
    for (name, records) in recordings() {
        let mut cloud = cloud();
        for record in &records {
            cloud.clock.set(record.at);
            let mut request = record.request();
            if record.status == 200
                && request.header("x-acs-signature-nonce").is_some()
                && cloud.faults.list().is_empty()
            {
                set_header(&mut request, "x-acs-signature-nonce", "forged");
                let answer = Cloud::clone(&cloud).respond(&record.region, &request);
                assert_eq!(verdict(&answer), "400 SignatureDoesNotMatch", "{name}");
                forged += 1;
            }
            cloud.respond(&record.region, &record.request());
        }
    }
    assert!(forged >= 20, "{forged}");
}

#[test]
fn every_action_was_recorded_accepted_and_refused() {
    let records: Vec<Record> = recordings().into_iter().flat_map(|(_, records)| records).collect();
    for action in [
        Action::GetAuthorizationToken,
        Action::ListInstanceEndpoint,
        Action::GetPersonalToken,
        Action::AssumeRole,
        Action::AssumeRoleWithOIDC,
        Action::MetadataToken,
        Action::MetadataCredentials,
        Action::Metadata,
    ] {
        let verdicts =
            || records.iter().filter(|record| record.action == Some(action)).map(|record| record.status);
        assert!(verdicts().any(|status| status == 200), "{action:?} was never accepted");
        // Credentials are not asked for once the role's name was refused.
        assert!(
            action == Action::MetadataCredentials || verdicts().any(|status| status >= 400),
            "{action:?} was never refused"
        );
    }
}
