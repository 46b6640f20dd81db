//! Asks a registry for its ACR instance, without a credential.

use reqwest::Method;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

use super::api::Api;
use super::call::Call;
use super::endpoints::Base;
use super::error::{CloudError, Reason};
use super::http::HttpRequest;
use crate::configuration::{Host, Instance, InstanceId, Region};

/// The ACR instance in a registry's response to `GET /v2/` without a credential; `None` for any other registry.
pub type Challenge = Option<(Region, Instance)>;

/// Asks a registry for its ACR instance.
pub(super) async fn challenge(api: &Api, host: &Host) -> Result<Challenge, CloudError> {
    let call = Call::new("GET /v2/", host.to_string());
    let base = Base::from_registry(host.as_str()).map_err(|error| call.malformed(error.to_string()))?;
    let request =
        HttpRequest { method: Method::GET, url: base.url("/v2/", ""), headers: Vec::new(), form: None };
    let answer = api.http.send(&call, request, api.http.limits.total).await?;
    match answer.status {
        401 => read(&answer.headers).ok_or_else(|| call.malformed("the answer has no Bearer challenge")),
        500.. => Err(call.error(Reason::ServiceUnavailable)),
        status => Err(call.malformed(format!("the answer is HTTP {status}, not a challenge"))),
    }
}

/// Maximum length of the service that a registry names. A registry can send any text, and the text is printed in a report.
const LONGEST_SERVICE: usize = 256;

fn read(headers: &HeaderMap) -> Option<Challenge> {
    let mut values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let bearer = values.find_map(|value| {
        let (scheme, parameters) = value.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(parameters)
    })?;
    let mut quoted = false;
    let pairs: Vec<_> = bearer
        .split(|character| {
            quoted ^= character == '"';
            character == ',' && !quoted
        })
        .filter_map(|pair| pair.trim().split_once('='))
        .collect();
    let parameter = |name: &str| {
        let (_, value) = pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value.trim_matches('"'))
    };
    parameter("realm")?;
    let service: String = parameter("service")?.chars().take(LONGEST_SERVICE).collect();
    Some(acr_instance(&service))
}

/// Reads ACR's form of a service: `registry.aliyuncs.com:<region>:<zone>:cri-…` for an Enterprise Edition instance, and
/// `registry.aliyuncs.com:<region>:<number>` for Personal Edition. The source is Harbor's adapter; there is no documentation.
fn acr_instance(service: &str) -> Challenge {
    let parts: Vec<_> = service.split(':').collect();
    let (region, instance) = match parts.as_slice() {
        ["registry.aliyuncs.com", region, _zone, id] => {
            (region, Instance::Enterprise(InstanceId::parse(id).ok()?))
        }
        ["registry.aliyuncs.com", region, _number] => (region, Instance::Personal),
        _ => return None,
    };
    Some((Region::parse(region).ok()?, instance))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn challenge(header: &'static str) -> Option<Challenge> {
        read(&HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_static(header))]))
    }

    #[track_caller]
    fn check(header: &'static str, region: &str, instance: Instance) {
        assert_eq!(challenge(header), Some(Some((Region::parse(region).unwrap(), instance))));
    }

    #[test]
    fn a_challenge_of_acr_says_region_and_instance() {
        let id = InstanceId::parse("cri-kmsiwlxxdcvaduwb").unwrap();
        check(
            r#"Bearer realm="https://auth.example/token",service="registry.aliyuncs.com:cn-hangzhou:china:cri-kmsiwlxxdcvaduwb""#,
            "cn-hangzhou",
            Instance::Enterprise(id),
        );
        check(
            r#"bearer scope="repository:a:pull,service=b", service="registry.aliyuncs.com:cn-beijing:26842", realm="https://auth.example/token""#,
            "cn-beijing",
            Instance::Personal,
        );
    }

    #[test]
    fn a_challenge_of_another_registry_says_no_more_than_that() {
        let other = r#"Bearer realm="https://auth.example/token",service="registry.example""#;
        assert_eq!(challenge(other), Some(None));
        assert_eq!(challenge(r#"Bearer service="registry.example""#), None);
        assert_eq!(challenge(r#"Basic realm="registry""#), None);
        assert_eq!(challenge("Bearer"), None);
    }
}
