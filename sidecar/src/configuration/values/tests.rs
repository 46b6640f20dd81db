use super::*;

#[track_caller]
fn check<T>(parse: impl Fn(&str) -> Result<T, ValueError>, text: &str, problem: Option<&str>) {
    let error = parse(text).err().map(|error| error.problem);
    assert_eq!(error.as_deref(), problem, "{text}");
}

#[test]
fn ids_of_instances_are_told_from_all_else() {
    let id = |text, problem| check(InstanceId::parse, text, problem);
    id("cri-0123456789abcdef", None);
    id("cri-kmsixxxxdcvaduwb", None);
    id("cri-xxx", Some("is a placeholder from the documentation"));
    id("cri-XXXX", Some("is a placeholder from the documentation"));
    id("<instance id>", Some("is a placeholder from the documentation"));
    id("cn-hangzhou", Some("is a region, not an instance"));
    id("demo", Some("does not begin with cri-"));
    id("cri-", Some("contains characters after cri- other than lower-case letters and digits"));
    id("cri-ABC", Some("contains characters after cri- other than lower-case letters and digits"));
    id("cri-a,cri-b", Some("contains more than one id"));
}

#[test]
fn regions_are_told_from_zones_and_instances() {
    let region = |text, problem| check(Region::parse, text, problem);
    for text in ["cn-hangzhou", "ap-southeast-6", "cn-north-2-gov-1", "cn-shenzhen-finance-1", "me-central-1"]
    {
        region(text, None);
    }
    for text in [
        "cn-hangzhou-finance",
        "cn-beijing-finance-1",
        "cn-wuhan-lr",
        "cn-zhengzhou-jva",
        "cn-huhehaote",
        "cn-wulanchabu",
        "cn-hongkong",
        "ap-northeast-1",
        "eu-west-1",
        "us-southeast-1",
        "na-south-1",
        "sa-east-1",
        "af-south-1",
        "rus-west-1",
    ] {
        region(text, None);
    }
    for text in [
        "cn-hangzhou-b",
        "cn-hongkong-d",
        "cn-shanghai-finance-1b",
        "ap-southeast-1a",
        "us-east-1b",
        "eu-central-1a",
        "me-east-1a",
    ] {
        region(text, Some("is a zone, not a region"));
    }
    for (zone, meant) in [("cn-hangzhou-b", "cn-hangzhou"), ("ap-southeast-1a", "ap-southeast-1")] {
        let error = Region::parse(zone).unwrap_err().to_string();
        assert_eq!(error, format!("is a zone, not a region: write only the region: {meant}"));
    }
    for (text, meant) in [
        ("oss-cn-hangzhou", "cn-hangzhou"),
        ("vpc-ap-southeast-1", "ap-southeast-1"),
        ("registry.cn-beijing.aliyuncs.com", "cn-beijing"),
        ("oss-cn-shanghai-internal.aliyuncs.com", "cn-shanghai-internal"),
    ] {
        let error = Region::parse(text).unwrap_err().to_string();
        assert_eq!(error, format!("is not the id of a region: write only the region: {meant}"));
    }
    region("cri-0123456789abcdef", Some("is the id of an instance, not of a region"));
    region("CN-Hangzhou", Some("contains an upper-case letter"));
    for text in ["hangzhou", "cn_hangzhou", "cn-", "cn--x", "cn-hangzhou.evil.example", "cn-hangzhou/", "1-a"]
    {
        region(text, Some("is not the id of a region"));
    }
    region("cn-xxx", Some("is a placeholder from the documentation"));
}

#[test]
fn hosts_are_hosts_alone() {
    let host = |text, problem| check(Host::parse, text, problem);
    for text in ["registry.cn-hangzhou.aliyuncs.com", "localhost", "registry:5000", "a-b.example.com:65001"] {
        host(text, None);
    }
    assert_eq!(Host::parse(" Registry.Example.COM ").unwrap().as_str(), "registry.example.com");
    let error = Host::parse("https://registry.example.com/v2/").unwrap_err();
    assert_eq!(error.to_string(), "is a URL or a path: write only the host: registry.example.com");
    let error = Host::parse("https://user:secret@registry.example.com").unwrap_err();
    assert_eq!(error.to_string(), "is a URL or a path: write only the host, such as registry.example.com");
    host("registry.example.com/team", Some("is a URL or a path"));
    host("*.aliyuncs.com", Some("is a wildcard"));
    host("xxx-registry.cn-hangzhou.cr.aliyuncs.com", Some("is a placeholder from the documentation"));
    for text in ["registry.example.com:0", "registry.example.com:x", "a.example.com:65536", "a:1:2"] {
        host(text, Some("has no valid port after the colon"));
    }
    for text in ["registry", "a b.com", "-a.com", "a..com", "a.com.", "ünï.com"] {
        host(text, Some("is not a host"));
    }
}

#[test]
fn hosts_of_alibaba_cloud_give_edition_and_region_away() {
    let region = |text| Region::parse(text).unwrap();
    let cases = [
        ("registry.cn-hangzhou.aliyuncs.com", Some(Origin::Personal(region("cn-hangzhou")))),
        ("registry-intl-vpc.ap-southeast-1.aliyuncs.com", Some(Origin::Personal(region("ap-southeast-1")))),
        ("demo-registry.cn-hangzhou.cr.aliyuncs.com", Some(Origin::Enterprise(region("cn-hangzhou")))),
        (
            "demo-registry-vpc.distributed.cn-beijing.cr.aliyuncs.com:65001",
            Some(Origin::Enterprise(region("cn-beijing"))),
        ),
        ("registry.example.com", None),
        ("oss.cn-hangzhou.aliyuncs.com", None),
    ];
    for (host, origin) in cases {
        assert_eq!(Host::parse(host).unwrap().origin(), origin, "{host}");
    }
}

#[test]
fn arns_are_of_the_kind_that_is_asked_for() {
    let role = |text, problem| check(RoleArn::parse, text, problem);
    role("acs:ram::1234567890123456:role/AliyunCSManagedAcrRole", None);
    for text in [
        "acs:ram::.*:role/x",
        "acs:ram::*:role/x",
        "acs:ram::<A>:role/x",
        "acs:ram::1:role/xxx",
        "acs:ram::1:role/…",
    ] {
        role(text, Some("is a placeholder from the documentation"));
    }
    role("acs:ram::1:oidc-provider/a", Some("is the ARN of an OIDC provider"));
    role("acs:ram::1:user/a", Some("is the ARN of a user"));
    role("acs:ram::1:group/a", Some("is not the ARN of a RAM role"));
    role("acs:ram::me:role/a", Some("has no account id, which is a number of some 16 digits"));
    role("acs:ram:::role/a", Some("has no account id, which is a number of some 16 digits"));
    role("acs:ram::1:role/", Some("has no valid name after the slash"));
    role("acs:ram::1:role/a/b", Some("has no valid name after the slash"));
    role("a-role", Some("is not of the form acs:ram::ACCOUNT:role/NAME"));
    check(OidcProviderArn::parse, "acs:ram::1:oidc-provider/ack-rrsa-c0123", None);
    check(OidcProviderArn::parse, "acs:ram::1:role/a", Some("is the ARN of a role"));
    let role = RoleArn::parse("acs:ram::12:role/a-b").unwrap();
    assert_eq!(role.as_str(), "acs:ram::12:role/a-b");
}

#[test]
fn names_and_ids_without_a_form_of_their_own_are_bounded() {
    check(ExternalId::parse, "ab", None);
    check(ExternalId::parse, "a", Some("is not 2 to 1224 characters on one line"));
    check(ExternalId::parse, &"a".repeat(1225), Some("is not 2 to 1224 characters on one line"));
    check(SecretName::parse, "team-a.key", None);
    check(SecretName::parse, "Team", Some("contains an upper-case letter"));
    check(SecretName::parse, "*", Some("is a wildcard"));
    check(AccessKeyId::parse, "LTAI5tEXAMPLE", None);
    check(AccessKeyId::parse, "STS.EXAMPLE", None);
    check(AccessKeyId::parse, "xxxxx", Some("is a placeholder from the documentation"));
    check(AccessKeyId::parse, "a b", Some("is not the id of an access key"));
    check(parse_key_secret, "a b", Some("contains a blank"));
}

#[test]
fn an_access_key_is_never_shown_whole() {
    let id = AccessKeyId::parse("LTAI5tEXAMPLE").unwrap();
    assert_eq!(format!("{id} {id:?}"), "LTAI5t… AccessKeyId(LTAI5t…)");
    let pair = KeyPair { id, secret: SecretString::from("exampleSecret") };
    assert_eq!(format!("{pair:?}"), "KeyPair([redacted])");
}
