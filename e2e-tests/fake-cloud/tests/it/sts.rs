//! Sessions: who may become which role, and for how long.

use acr_fake_cloud::{Signer, TokenRequest};
use jiff::SignedDuration;
use serde_json::json;

use crate::support::{
    GUEST, Key, PROVIDER, RRSA, SUBJECT, assume_role_request, check, example, json, oidc_request, sign,
    start, unsigned,
};

#[track_caller]
fn assume(key: &str, query: &str, expected: &str) {
    check(&mut example(), &assume_role_request(&Key::of(key), query), expected);
}

#[track_caller]
fn trade(wanted: &TokenRequest, expected: &str) {
    let mut cloud = example();
    let token = cloud.mint_oidc_token(wanted).unwrap();
    check(&mut cloud, &oidc_request(&token), expected);
}

#[test]
fn the_parameters_have_bounds() {
    assume("puller", "DurationSeconds=900", "200");
    assume("puller", "DurationSeconds=3600", "200");
    assume("puller", "DurationSeconds=899", "400 InvalidParameter.DurationSeconds");
    assume("puller", "DurationSeconds=3601", "400 InvalidParameter.DurationSeconds");
    assume("puller", "DurationSeconds=soon", "400 InvalidParameter.DurationSeconds");
    assume("puller", "Policy=%7B%7D", "400 InvalidParameter.PolicyGrammar");
    assume("puller", &format!("Policy={}", "x".repeat(2049)), "400 InvalidParameter.PolicySize");
    assume("puller", "ExternalId=x", "400 InvalidParameter.ExternalId");
}

#[test]
fn a_session_has_a_name() {
    let named = |name: &str| {
        let query = format!("RoleArn={GUEST}&RoleSessionName={name}");
        sign(unsigned("2015-04-01", "AssumeRole", &query, start()), &Key::of("puller"))
    };
    check(&mut example(), &named("ab"), "200");
    check(&mut example(), &named(&"x".repeat(64)), "200");
    check(&mut example(), &named("me.and@you-or_them"), "200");
    check(&mut example(), &named(""), "400 MissingRoleSessionName");
    check(&mut example(), &named("a"), "400 InvalidParameter.RoleSessionName");
    check(&mut example(), &named(&"x".repeat(65)), "400 InvalidParameter.RoleSessionName");
    check(&mut example(), &named("a%20b"), "400 InvalidParameter.RoleSessionName");
}

#[test]
fn both_sides_must_agree_to_a_role() {
    // May assume roles, but is not trusted; is not allowed to; is the account itself.
    let ask = |key: &str, role: &str| {
        let query = format!("RoleArn={role}&RoleSessionName=test");
        sign(unsigned("2015-04-01", "AssumeRole", &query, start()), &Key::of(key))
    };
    check(&mut example(), &ask("puller", GUEST), "200");
    check(&mut example(), &ask("puller", RRSA), "403 NoPermission");
    check(&mut example(), &ask("nobody", GUEST), "403 NoPermission");
    check(&mut example(), &ask("root1", GUEST), "403 NoPermission");
    check(&mut example(), &ask("puller", "acs:ram::2000000000000002:role/gone"), "404 EntityNotExist.Role");
    check(&mut example(), &ask("puller", "guest"), "400 InvalidParameter.RoleArn");
}

#[test]
fn a_token_can_come_in_the_query_too() {
    let mut cloud = example();
    let token = cloud.mint_oidc_token(&TokenRequest::of(SUBJECT)).unwrap();
    let mut request = oidc_request(&token);
    request.query =
        format!("{}&{}", request.query, String::from_utf8(std::mem::take(&mut request.body)).unwrap());
    let body = json(&check(&mut cloud, &request, "200"));
    assert_eq!(body["OIDCTokenInfo"]["Issuer"], json!("https://oidc.example.test/cluster"));
    assert_eq!(body["Credentials"]["Expiration"], json!("2026-01-01T01:00:00Z"));
}

#[test]
fn a_token_must_be_right_in_everything() {
    let good = TokenRequest::of(SUBJECT);
    trade(&good, "200");
    trade(&TokenRequest { expires_in: Some(0), ..good.clone() }, "400 AuthenticationFail.OIDCToken.Expired");
    trade(
        &TokenRequest { audience: Some("x".into()), ..good.clone() },
        "400 AuthenticationFail.OIDCToken.AudienceNotMatch",
    );
    trade(
        &TokenRequest { issuer: Some("x".into()), ..good.clone() },
        "400 AuthenticationFail.OIDCToken.IssuerNotMatch",
    );
    trade(
        &TokenRequest { signed_by: Signer::Stranger, ..good.clone() },
        "400 AuthenticationFail.OIDCToken.Invalid",
    );
    trade(&TokenRequest { subject: "another".into(), ..good }, "403 AuthenticationFail.NoPermission");
}

#[test]
fn a_token_expires_by_the_clock_of_the_cloud() {
    let mut cloud = example();
    let token = cloud.mint_oidc_token(&TokenRequest::of(SUBJECT)).unwrap();
    cloud.clock.advance(SignedDuration::from_mins(59));
    check(&mut cloud, &oidc_request(&token), "200");
    cloud.clock.advance(SignedDuration::from_mins(1));
    check(&mut cloud, &oidc_request(&token), "400 AuthenticationFail.OIDCToken.Expired");
    // Before it was made it is not valid either.
    cloud.clock.set(start() - SignedDuration::from_hours(1));
    check(&mut cloud, &oidc_request(&token), "400 AuthenticationFail.OIDCToken.Invalid");
}

#[test]
fn a_provider_must_be_registered() {
    let mut cloud = example();
    let token = cloud.mint_oidc_token(&TokenRequest::of(SUBJECT)).unwrap();
    let gone = json!({"accounts": {"1000000000000001": {"oidcProviders": {"ack-rrsa-example": null}}}});
    cloud.patch(&gone).unwrap();
    check(&mut cloud, &oidc_request(&token), "404 AuthenticationFail.NoPermission");
    let wanted = TokenRequest { provider: Some(PROVIDER.into()), ..TokenRequest::of(SUBJECT) };
    assert!(cloud.mint_oidc_token(&wanted).is_err());
}
